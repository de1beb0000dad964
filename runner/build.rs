//! Builds the parts that the runner carries: the L1 image (with L2 in it), the EFI application around
//! it, the boot ROM, Xen's first domain, all freestanding, and what runs VirtualBox, which is dynamic.

use std::path::PathBuf;
use std::{env, fs};

include!("../linker/nested_cargo.rs");
include!("../linker/pe.rs");

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // Asked at run time, because a copied target folder has another checkout's build scripts.
    let manifest =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the workspace is the parent");
    for input in [
        "l1",
        "l2",
        "efi",
        "lab",
        "spec/src",
        "spec/Cargo.toml",
        "linker",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let packages = ["-p=l1", "-p=rom", "-p=dom0", "-p=vbox", "--features=l1/image,dom0/image"];
    let built = build_images(root, &packages, &out.join("image-target"), "static");
    for part in ["l1", "rom", "dom0", "vbox"] {
        let elf = fs::read(built.join(part)).expect("cargo built the part");
        fs::write(out.join(part), without_section_headers(elf)).expect("OUT_DIR is writable");
    }
    let l1 = format!("env.MASKMATCH_L1='{}'", out.join("l1").display());
    let efi = ["-p=efi", "--features=efi/image", "--config", &l1];
    let built = build_images(root, &efi, &out.join("image-target"), "pie");
    let elf = fs::read(built.join("efi")).expect("cargo built the application");
    fs::write(out.join("efi"), efi_application(&elf)).expect("OUT_DIR is writable");
}

/// An ELF64 of program headers only, which is what loaders read: what follows the last segment is
/// cut off.
fn without_section_headers(mut elf: Vec<u8>) -> Vec<u8> {
    const E_PHOFF: usize = 0x20;
    const E_SHOFF: std::ops::Range<usize> = 0x28..0x30;
    const E_PHNUM: usize = 0x38;
    const E_SHNUM_AND_SHSTRNDX: std::ops::Range<usize> = 0x3c..0x40;
    // Size of a program header, and where it has offset and size of its segment in the file.
    const PHDR: usize = 56;
    const P_OFFSET: usize = 8;
    const P_FILESZ: usize = 32;
    let word = |at: usize| {
        u64::from_le_bytes(elf[at..at + 8].try_into().expect("it has 8 bytes")) as usize
    };
    let headers = (0..usize::from(elf[E_PHNUM])).map(|number| word(E_PHOFF) + PHDR * number);
    let end =
        headers.map(|at| word(at + P_OFFSET) + word(at + P_FILESZ)).max().expect("it has segments");
    elf.truncate(end);
    elf[E_SHOFF].fill(0);
    elf[E_SHNUM_AND_SHSTRNDX].fill(0);
    elf
}
