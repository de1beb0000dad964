//! What the build script built, carried in the executable.

/// The L1 image, an ELF64 for multiboot2 and PVH loaders.
pub const L1_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/l1"));

/// The boot ROM for Bochs, an ELF from which `vmm::bochs` makes the 64 KiB.
pub const ROM_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rom"));
