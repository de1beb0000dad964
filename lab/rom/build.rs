//! Links the ROM as a freestanding image.

include!("../../linker/freestanding.rs");

fn main() {
    link_freestanding("rom.ld", FIXED);
}
