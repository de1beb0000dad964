// For build scripts, by `include!`: how a crate's binary becomes a freestanding image.

/// What is linked for one address.
#[allow(dead_code, reason = "not every crate is")]
const FIXED: &[&str] = &["-static", "-no-pie"];

/// Links the crate's binary by `script` of this folder, without a C library and its start files, and
/// with `options`.
fn link_freestanding(script: &str, options: &[&str]) {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let linker = std::path::Path::new(&manifest)
        .ancestors()
        .map(|folder| folder.join("linker"))
        .find(|linker| linker.is_dir())
        .expect("the workspace has a folder linker");
    println!("cargo::rerun-if-changed={}", linker.display());
    println!("cargo::rustc-link-arg-bins=-T{}", linker.join(script).display());
    for arg in [
        "-nostartfiles",
        "-nostdlib",
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,noexecstack",
        "-Wl,--gc-sections",
    ]
    .iter()
    .chain(options)
    {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
