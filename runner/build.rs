//! Builds the freestanding parts that the runner carries: the L1 image (with L2 in it) and the boot
//! ROM.

use std::path::PathBuf;
use std::{env, fs};

include!("../linker/nested_cargo.rs");

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // Asked at run time, because a copied target folder has another checkout's build scripts.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the workspace is the parent");
    for input in ["l1", "l2", "lab/rom", "spec/src", "spec/Cargo.toml", "linker", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let built = build_images(root, &["-p=l1", "--features=l1/image", "-p=rom"], &out.join("image-target"));
    for part in ["l1", "rom"] {
        fs::copy(built.join(part), out.join(part)).expect("cargo built the part");
    }
}
