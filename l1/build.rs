//! Builds L2 and flattens it, then links L1 as a freestanding image around it.

use std::path::PathBuf;
use std::{env, fs};

use spec::log::Writer;

include!("../linker/freestanding.rs");
include!("../linker/nested_cargo.rs");

/// Whole logs for machines that L1 cannot run on, which can be written before it runs.
const EARLY: [(&str, &str); 2] = [
    ("no-long-mode.log", "the CPU has no 64-bit mode"),
    ("no-memory.log", "the machine has too little memory for the image, which needs 4 MiB"),
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // Asked at run time: a target folder that was copied has build scripts of another checkout.
    let manifest =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the workspace is the parent");

    // Tests and lints need no L2.
    let l2 = env::var_os("CARGO_FEATURE_IMAGE").map_or_else(Vec::new, |_| {
        let built = build_images(root, &["-p=l2"], &out.join("l2-target"), "static");
        flatten(&fs::read(built.join("l2")).expect("cargo built L2")).to_vec()
    });
    fs::write(out.join("l2.bin"), l2).expect("OUT_DIR is writable");

    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets CARGO_PKG_VERSION");
    for (name, reason) in EARLY {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, &version, &"boot=unknown");
        log.skip_all(&reason);
        log.end();
        fs::write(out.join(name), text).expect("OUT_DIR is writable");
    }

    for input in ["l2", "spec/src", "spec/Cargo.toml", "linker", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    link_freestanding("l1.ld", FIXED);
}

/// The bytes of the one loadable segment.
fn flatten(elf: &[u8]) -> &[u8] {
    let u64_at =
        |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("eight bytes")) as usize;
    // Elf64_Ehdr.e_phoff, then Elf64_Phdr.p_offset and p_filesz of the first entry.
    let segment = u64_at(32);
    let (offset, size) = (u64_at(segment + 8), u64_at(segment + 32));
    &elf[offset..offset + size]
}
