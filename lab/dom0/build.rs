//! Links dom0 as a freestanding image.

include!("../../linker/freestanding.rs");

fn main() {
    link_freestanding("dom0.ld", FIXED);
}
