//! Builds L2 and flattens it, then links L1 as a freestanding image around it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is the parent");

    let elf = fs::read(build_l2(root, &out)).expect("cargo built L2");
    fs::write(out.join("l2.bin"), flatten(&elf)).expect("OUT_DIR is writable");

    let script = root.join("linker/l1.ld");
    for input in ["l2", "spec/src", "spec/Cargo.toml", "linker", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    for arg in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,noexecstack",
        "-Wl,--gc-sections",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}

/// Runs cargo for L2 with a target directory of its own, since the outer cargo holds the lock of its.
fn build_l2(root: &Path, out: &Path) -> PathBuf {
    let target_dir = out.join("l2-target");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--package", "l2", "--profile", "image"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]).arg(&target_dir);
    // What the outer build sets for itself (clippy as compiler, static runner) is not for the image.
    for var in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(var);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Crelocation-model=static");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "L2 does not build");
    target_dir.join("x86_64-unknown-linux-gnu/image/l2")
}

/// The bytes of the one loadable segment.
fn flatten(elf: &[u8]) -> &[u8] {
    let u64_at = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("eight bytes")) as usize;
    // Elf64_Ehdr.e_phoff, then Elf64_Phdr.p_offset and p_filesz of the first entry.
    let segment = u64_at(32);
    let (offset, size) = (u64_at(segment + 8), u64_at(segment + 32));
    &elf[offset..offset + size]
}
