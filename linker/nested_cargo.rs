// For build scripts, by `include!`: building freestanding crates of the workspace from within
// cargo.

/// Runs cargo for what `selected`, options of cargo, says of the workspace at `root`; returns the
/// folder with the images. `target_dir` must not be the outer cargo's, which holds the lock of its
/// own.
fn build_images(root: &std::path::Path, selected: &[&str], target_dir: &std::path::Path) -> std::path::PathBuf {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "image"]).args(selected);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]).arg(target_dir);
    // What the outer build sets for itself (clippy as compiler, a static runner) is not for the
    // image.
    for var in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(var);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Crelocation-model=static");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "{} does not build", selected.join(" "));
    target_dir.join("x86_64-unknown-linux-gnu/image")
}
