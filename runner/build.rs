//! Builds the freestanding parts that the runner carries: the L1 image (with L2 in it), the boot ROM,
//! and Xen's first domain.

use std::path::PathBuf;
use std::{env, fs};

include!("../linker/nested_cargo.rs");

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // Asked at run time, because a copied target folder has another checkout's build scripts.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the workspace is the parent");
    for input in ["l1", "l2", "lab", "spec/src", "spec/Cargo.toml", "linker", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let packages = ["-p=l1", "-p=rom", "-p=dom0", "--features=l1/image,dom0/image"];
    let built = build_images(root, &packages, &out.join("image-target"));
    for part in ["l1", "rom", "dom0"] {
        fs::copy(built.join(part), out.join(part)).expect("cargo built the part");
    }
}
