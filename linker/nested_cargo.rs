// For build scripts, by `include!`: building freestanding crates of the workspace from within
// cargo.

/// Runs cargo for what `selected`, options of cargo, says of the workspace at `root`; returns the
/// folder with the images. `target_dir` must not be the outer cargo's, which holds the lock of its
/// own. `model` is rustc's relocation model.
fn build_images(
    root: &std::path::Path,
    selected: &[&str],
    target_dir: &std::path::Path,
    model: &str,
) -> std::path::PathBuf {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "image"]).args(selected);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]).arg(target_dir);
    // What the outer build sets for itself (clippy as compiler, a static runner) is not for the
    // image.
    for var in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(var);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(model).join("\x1f"));
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "{} does not build", selected.join(" "));
    target_dir.join("x86_64-unknown-linux-gnu/image")
}

/// Options of rustc for images. Where the sources of other crates are is not for the image, which
/// has the file names of its panics and is to be the same in any home.
fn flags(model: &str) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let folders = sources.into_iter().flatten().flatten().map(|folder| folder.path());
    let remap = |folder: std::path::PathBuf| format!("--remap-path-prefix={}=", folder.display());
    std::iter::once(format!("-Crelocation-model={model}")).chain(folders.map(remap)).collect()
}
