//! Builds the freestanding parts that the runner carries: the L1 image (with L2 in it) and the boot ROM.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is the parent");
    for input in ["l1", "l2", "rom", "spec/src", "spec/Cargo.toml", "linker", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let built = build_image(root, &out);
    for part in ["l1", "rom"] {
        fs::copy(built.join(part), out.join(part)).expect("cargo built the part");
    }
}

/// Runs cargo with a target directory of its own, since the outer cargo holds the lock of its.
fn build_image(root: &Path, out: &Path) -> PathBuf {
    let target_dir = out.join("image-target");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--package", "l1", "--package", "rom", "--profile", "image"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]).arg(&target_dir);
    // What the outer build sets for itself (clippy as compiler, a static runner) is not for the image.
    for var in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(var);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Crelocation-model=static");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the image does not build");
    target_dir.join("x86_64-unknown-linux-gnu/image")
}
