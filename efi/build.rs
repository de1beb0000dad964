//! Links the application, which carries the image that `MASKMATCH_L1` names.

include!("../linker/freestanding.rs");

fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-env-changed=MASKMATCH_L1");
    // Tests and lints need no image.
    let l1 = std::env::var_os("MASKMATCH_L1").map_or_else(Vec::new, |path| {
        println!("cargo::rerun-if-changed={}", path.display());
        std::fs::read(path).expect("the image can be read")
    });
    std::fs::write(out.join("l1"), l1).expect("OUT_DIR is writable");
    link_freestanding("efi.ld", &["-pie", "-Wl,--no-dynamic-linker"]);
}
