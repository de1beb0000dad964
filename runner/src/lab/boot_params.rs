//! The zero page: what Linux is told about the machine when it is entered.
//!
//! Offsets are those of the Linux kernel's Documentation/arch/x86/zero-page.rst and boot.rst (6.12).
//! The layout made here, for a ROM that enters the kernel in long mode with RSI at [`BOOT_PARAMS`]:
//!
//! | address | what |
//! |---|---|
//! | 0x20_0000 | the zero page |
//! | 0x20_1000 | the command line |
//! | as in vmlinux | the kernel's segments |
//! | the next 2 MiB behind the kernel | the initramfs |
//!
//! Everything lies close together, from 1 MiB on: the less of the memory is filled, the less has to be loaded.

use super::vmlinux::{SETUP_HEADER, Vmlinux};
use crate::vmm::Unavailable;

/// Physical address of the zero page.
pub const BOOT_PARAMS: u64 = 0x20_0000;
/// Physical address of the command line, right behind the zero page so that both are one blob.
const COMMAND_LINE: u64 = BOOT_PARAMS + PAGE as u64;
/// The longest command line that every x86 kernel takes.
const COMMAND_LINE_MAX: usize = 2047;
const PAGE: usize = 0x1000;

/// `e820_entries`.
const E820_ENTRIES: usize = 0x1e8;
/// `e820_table`: 20 bytes each, address, length, type.
const E820_TABLE: usize = 0x2d0;
/// `vid_mode`; 0xffff: leave the display alone.
const VID_MODE: usize = 0x1fa;
/// `type_of_loader`; 0xff: a loader without an assigned number.
const TYPE_OF_LOADER: usize = 0x210;
/// `loadflags`; bit 0: the kernel is above 1 MiB.
const LOADFLAGS: usize = 0x211;
/// `ramdisk_image`, `ramdisk_size`.
const RAMDISK: usize = 0x218;
/// `cmd_line_ptr`.
const CMD_LINE_PTR: usize = 0x228;

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
/// What a kernel needs besides to boot and run a VM.
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
        return Err(Unavailable {
            why: format!(
                "{memory_mib} MiB cannot hold a kernel that ends at {:#x} and an initramfs of {ramdisk_len} bytes",
                kernel.end
            ),
            mend: "give the lab's machine between 256 and 2048 MiB".into(),
        });
    }
    if cmdline.len() > COMMAND_LINE_MAX || cmdline.contains('\0') {
        return Err(Unavailable {
            why: format!("the kernel's command line has {} bytes, the most is {COMMAND_LINE_MAX}", cmdline.len()),
            mend: "leave out what you have added to it".into(),
        });
    }
    let mut page = zero_page(&kernel.setup_header, memory, ramdisk as u32, ramdisk_len as u32);
    page.extend(cmdline.bytes());
    page.push(0);
    let mut blobs = vec![(BOOT_PARAMS, page)];
    blobs.extend(kernel.segments);
    blobs.push((ramdisk, initramfs));
    Ok(MemoryImage { blobs, entry: kernel.entry, boot_params: BOOT_PARAMS })
}

fn zero_page(setup_header: &[u8], memory: u64, ramdisk: u32, ramdisk_len: u32) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[SETUP_HEADER..SETUP_HEADER + setup_header.len()].copy_from_slice(setup_header);
    put(&mut page, VID_MODE, &0xffff_u16.to_le_bytes());
    page[TYPE_OF_LOADER] = 0xff;
    page[LOADFLAGS] |= 1;
    put(&mut page, RAMDISK, &ramdisk.to_le_bytes());
    put(&mut page, RAMDISK + 4, &ramdisk_len.to_le_bytes());
    put(&mut page, CMD_LINE_PTR, &(COMMAND_LINE as u32).to_le_bytes());
    let map = [(0, LOW_END, USABLE), (ROM, HIGH_START - ROM, RESERVED), (HIGH_START, memory - HIGH_START, USABLE)];
    page[E820_ENTRIES] = map.len() as u8;
    for (i, (address, length, kind)) in map.into_iter().enumerate() {
        let at = E820_TABLE + 20 * i;
        put(&mut page, at, &address.to_le_bytes());
        put(&mut page, at + 8, &length.to_le_bytes());
        put(&mut page, at + 16, &kind.to_le_bytes());
    }
    page
}

/// Offsets are constants of this file, all within the page.
fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Vmlinux {
        Vmlinux {
            setup_header: vec![0x11; 0x77],
            segments: vec![(0x100_0000, vec![1; 10])],
            entry: 0x100_0000,
            end: 0x3f0_0000,
        }
    }

    #[test]
    fn blobs_keep_apart_and_the_page_points_at_them() {
        let image = lay_out(kernel(), vec![7; 5000], "quiet", 256).unwrap();
        let mut ranges: Vec<_> = image.blobs.iter().map(|(at, bytes)| (*at, *at + bytes.len() as u64)).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let page = &image.blobs[0].1;
        assert_eq!(&page[PAGE..], b"quiet\0");
        assert_eq!(page[RAMDISK..RAMDISK + 8], [0x400_0000_u32.to_le_bytes(), 5000_u32.to_le_bytes()].concat());
        assert_eq!(page[CMD_LINE_PTR..CMD_LINE_PTR + 4], 0x20_1000_u32.to_le_bytes());
        assert_eq!(page[E820_ENTRIES], 3);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(lay_out(kernel(), vec![0; 90 << 20], "", 200).is_err());
        assert!(lay_out(kernel(), Vec::new(), "", 1).is_err());
        assert!(lay_out(kernel(), Vec::new(), &"x".repeat(2048), 256).is_err());
    }
}
