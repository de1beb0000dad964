//! Links L2 as a freestanding image.

include!("../linker/freestanding.rs");

fn main() {
    link_freestanding("l2.ld", FIXED);
}
