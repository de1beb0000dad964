//! The zero page: what Linux learns about the machine when it is entered. The Linux kernel's
//! Documentation/arch/x86/zero-page.rst and boot.rst (6.12) describe its fields.
//!
//! The layout made here, for a ROM that enters the kernel in long mode with RSI at [`BOOT_PARAMS`]:
//!
//! | address | what |
//! |---|---|
//! | 0x20_0000 | the zero page |
//! | 0x20_1000 | the command line |
//! | as in vmlinux | the kernel's segments |
//! | the next 2 MiB after the kernel | the initramfs |
//!
//! Everything lies close together, from 1 MiB on: the less memory is filled, the less has to be
//! loaded.

use linux_loader::loader::bootparam::{LOADED_HIGH, boot_e820_entry, boot_params, setup_header};
use vm_memory::ByteValued;

use super::vmlinux::Vmlinux;
use crate::vmm::Unavailable;

/// Physical address of the zero page.
pub const BOOT_PARAMS: u64 = 0x20_0000;
/// Physical address of the command line, right after the zero page so that both are one blob.
const COMMAND_LINE: u64 = BOOT_PARAMS + size_of::<boot_params>() as u64;
/// The longest command line that every x86 kernel takes.
const COMMAND_LINE_MAX: usize = 2047;
/// A `vid_mode` that leaves the display as it is.
const NO_VID_MODE: u16 = 0xffff;
/// A `type_of_loader` without an assigned number.
const UNKNOWN_LOADER: u8 = 0xff;

/// An E820 type: memory to use.
const USABLE: u32 = 1;
/// An E820 type: keep off.
const RESERVED: u32 = 2;
/// End of the low memory; above it are the EBDA, the display and the ROMs.
const LOW_END: u64 = 0x9_f000;
/// The ROM at the end of the first MiB.
const ROM: u64 = 0xf_0000;
const HIGH_START: u64 = 0x10_0000;
/// The initramfs starts at a multiple of this.
const RAMDISK_ALIGN: u64 = 0x20_0000;
/// What else a kernel needs to boot and run a VM.
const WORKING_MEMORY: u64 = 64 << 20;
/// The most that the map made here describes.
const MEMORY_MAX: u64 = 1 << 31;

/// Everything that has to lie in memory when the kernel is entered.
#[derive(Debug)]
pub struct MemoryImage {
    /// Physical address and content; no two overlap.
    pub blobs: Vec<(u64, Vec<u8>)>,
    /// Where to jump to, in long mode, with the first 4 GiB identity-mapped.
    pub entry: u64,
    /// What RSI must be.
    pub boot_params: u64,
}

/// Lays kernel, initramfs and command line out in `memory_mib` of memory.
///
/// # Errors
/// The memory is too small for them, or the command line is too long.
pub fn lay_out(
    kernel: Vmlinux,
    initramfs: Vec<u8>,
    cmdline: &str,
    memory_mib: u32,
) -> Result<MemoryImage, Unavailable> {
    let memory = u64::from(memory_mib) << 20;
    let ramdisk_len = initramfs.len() as u64;
    let ramdisk = kernel.end.next_multiple_of(RAMDISK_ALIGN);
    if ramdisk + ramdisk_len + WORKING_MEMORY > memory || memory > MEMORY_MAX {
        return Err(Unavailable::new(
            format!(
                "{memory_mib} MiB cannot hold a kernel that ends at {:#x} and an initramfs of {ramdisk_len} bytes",
                kernel.end
            ),
            "give the lab's machine between 256 and 2048 MiB",
        ));
    }
    if cmdline.len() > COMMAND_LINE_MAX || cmdline.contains('\0') {
        return Err(Unavailable::new(
            format!(
                "the kernel's command line has {} bytes, the most is {COMMAND_LINE_MAX}",
                cmdline.len()
            ),
            "leave out what you have added to it",
        ));
    }
    let mut page = zero_page(kernel.setup_header, memory, ramdisk as u32, ramdisk_len as u32)
        .as_slice()
        .to_vec();
    page.extend(cmdline.bytes());
    page.push(0);
    let mut blobs = vec![(BOOT_PARAMS, page)];
    blobs.extend(kernel.segments);
    blobs.push((ramdisk, initramfs));
    Ok(MemoryImage { blobs, entry: kernel.entry, boot_params: BOOT_PARAMS })
}

fn zero_page(
    kernel: setup_header,
    memory: u64,
    ramdisk_image: u32,
    ramdisk_size: u32,
) -> boot_params {
    let hdr = setup_header {
        vid_mode: NO_VID_MODE,
        type_of_loader: UNKNOWN_LOADER,
        loadflags: kernel.loadflags | LOADED_HIGH,
        ramdisk_image,
        ramdisk_size,
        cmd_line_ptr: COMMAND_LINE as u32,
        ..kernel
    };
    let range = |addr, end, kind| boot_e820_entry { addr, size: end - addr, r#type: kind };
    let map = [
        range(0, LOW_END, USABLE),
        range(ROM, HIGH_START, RESERVED),
        range(HIGH_START, memory, USABLE),
    ];
    let mut page = boot_params { hdr, e820_entries: map.len() as u8, ..boot_params::default() };
    page.e820_table[..map.len()].copy_from_slice(&map);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Vmlinux {
        Vmlinux {
            setup_header: setup_header {
                version: 0x20f,
                loadflags: 0x80,
                ..setup_header::default()
            },
            segments: vec![(0x100_0000, vec![1; 10])],
            entry: 0x100_0000,
            end: 0x3f0_0000,
        }
    }

    #[test]
    fn blobs_keep_apart_and_the_page_points_at_them() {
        let image = lay_out(kernel(), vec![7; 5000], "quiet", 256).unwrap();
        let mut ranges: Vec<_> =
            image.blobs.iter().map(|(at, bytes)| (*at, *at + bytes.len() as u64)).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let (page, text) = image.blobs[0].1.split_at(size_of::<boot_params>());
        assert_eq!(text, b"quiet\0");
        let page: &boot_params = boot_params::from_slice(page).unwrap();
        let setup_header { version, loadflags, ramdisk_image, ramdisk_size, cmd_line_ptr, .. } =
            page.hdr;
        assert_eq!((version, loadflags), (0x20f, 0x81), "the kernel's own header is kept");
        assert_eq!((ramdisk_image, ramdisk_size, cmd_line_ptr), (0x400_0000, 5000, 0x20_1000));
        let map: Vec<(u64, u64, u32)> = page.e820_table[..3]
            .iter()
            .map(|range| (range.addr, range.size, range.r#type))
            .collect();
        assert_eq!(map, [(0, 0x9_f000, 1), (0xf_0000, 0x1_0000, 2), (0x10_0000, 255 << 20, 1)]);
        assert_eq!(page.e820_entries, 3);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(lay_out(kernel(), vec![0; 90 << 20], "", 200).is_err());
        assert!(lay_out(kernel(), Vec::new(), "", 1).is_err());
        assert!(lay_out(kernel(), Vec::new(), &"x".repeat(2048), 256).is_err());
    }
}
