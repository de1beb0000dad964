#!/bin/sh
# Makes target/deb/maskmatch_VERSION_amd64.deb. Needs cargo-deb: `cargo install cargo-deb`.
set -eu
cd "$(dirname "$0")/../.."
cargo build --release --locked -p runner
maskmatch=target/x86_64-unknown-linux-gnu/release/maskmatch
mkdir -p target/deb
"$maskmatch" man target/deb/man
for shell in bash fish zsh; do
    "$maskmatch" completions "$shell" >"target/deb/$shell"
done
version=$("$maskmatch" --version | cut -d" " -f2)
cat >target/deb/changelog <<END
maskmatch ($version-1) unstable; urgency=medium

  * What changed is in CHANGELOG.md.

 -- maskmatch maintainers <maintainers@maskmatch.invalid>  $(date -R)
END
cargo deb -p runner --target x86_64-unknown-linux-gnu --no-build --no-strip --output target/deb/
