//! Puts the image and PVH's start information into guest memory: the VM's side of the boot
//! protocol.
//!
//! Everything that PVH hands over lies below 640 KiB, where no image is.

use crate::vmm::multiboot2_info::usable_ram;
use crate::vmm::{Boot, Unavailable};
use linux_loader::loader::KernelLoader;
use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_start_info};
use linux_loader::loader::elf::{Elf, PvhBootCapability};
use spec::pvh::{self, Memory};
use std::io::Cursor;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Version 1 of it has the memory map.
const START_VERSION: u32 = 1;

const START_INFO: u64 = 0x6000;
const MEMORY_MAP: u64 = 0x7000;
const CMDLINE: u64 = 0x2_0000;
const MAX_CMDLINE: usize = 0x1_0000;

/// Where a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The 32-bit entry that the PVH note names.
    pub entry: u64,
    /// What EBX holds: the address of the start information.
    pub start_info: u64,
}

/// Puts the image, the command line and the start information into `memory`.
///
/// # Errors
/// The image has no PVH note, or something does not fit.
pub fn load(memory: &GuestMemoryMmap, boot: &Boot) -> Result<Start, Unavailable> {
    let loaded = Elf::load(memory, None, &mut Cursor::new(boot.elf), None)
        .map_err(|error| Unavailable::failed("load the image", error))?;
    let PvhBootCapability::PvhEntryPresent(entry) = loaded.pvh_boot_cap else {
        return Err(Unavailable::new(
            "the image has no PVH note, by which the built-in VMM enters it",
            "",
        ));
    };
    if boot.cmdline.len() >= MAX_CMDLINE || boot.cmdline.contains('\0') {
        return Err(Unavailable::new(
            "the command line is longer than 64 KiB or has a NUL in it",
            "",
        ));
    }
    let put = || -> Result<(), vm_memory::GuestMemoryError> {
        memory.write_slice(boot.cmdline.as_bytes(), GuestAddress(CMDLINE))?;
        memory.write_slice(&[0], GuestAddress(CMDLINE + boot.cmdline.len() as u64))?;
        let map = usable_ram(boot.memory_mib);
        let mut at = MEMORY_MAP;
        for (addr, size) in map {
            memory.write_obj(
                hvm_memmap_table_entry { addr, size, type_: Memory::RAM, reserved: 0 },
                GuestAddress(at),
            )?;
            at += size_of::<hvm_memmap_table_entry>() as u64;
        }
        let info = hvm_start_info {
            magic: pvh::MAGIC,
            version: START_VERSION,
            cmdline_paddr: CMDLINE,
            memmap_paddr: MEMORY_MAP,
            memmap_entries: map.len() as u32,
            ..Default::default()
        };
        memory.write_obj(info, GuestAddress(START_INFO))
    };
    put().map_err(|error| Unavailable::failed("write to the guest's memory", error))?;
    Ok(Start { entry: entry.0, start_info: START_INFO })
}
