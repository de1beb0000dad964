//! What the build script built, carried in the executable.

/// The L1 image, an ELF64 for multiboot2 and PVH loaders.
pub const L1_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/l1"));

/// The EFI application that carries the same, with room for options.
pub const EFI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/efi"));

/// Xen's first domain in the lab, an ELF64 that Xen loads.
pub const DOM0_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dom0"));

/// What runs a virtual machine of VirtualBox in the lab, a dynamic executable for Linux.
pub const VBOX_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vbox"));

/// The boot ROM for Bochs, an ELF from which `vmm::bochs` makes the 64 KiB.
pub const ROM_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rom"));

#[cfg(test)]
mod tests {
    /// What the image may have, in bytes: slow consoles and small firmware load it, too.
    const ROOM: usize = 300 << 10;

    #[test]
    fn the_image_is_small() {
        assert!(super::L1_ELF.len() <= ROOM, "{} bytes", super::L1_ELF.len());
    }
}
