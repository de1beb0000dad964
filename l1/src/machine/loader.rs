//! What the loader says: command line and memory, by multiboot2 or PVH.
#![allow(unsafe_code, reason = "reads what the loader left in memory")]

use core::ffi::CStr;

use multiboot2::{BootInformation, BootInformationHeader, MaybeDynSized, MemoryAreaType};
use spec::catalogue::options::MAX_COMMAND_LINE;
use spec::pvh::{self, Memory, StartInfo};

use crate::machine::page::mapped;

/// Where L1 is loaded, see `linker/l1.ld`.
const IMAGE_START: u64 = 2 << 20;

/// A byte more than an option may end at, so that a line that is too long shows.
const ROOM: usize = MAX_COMMAND_LINE + 1;
/// Stands for what is not ASCII. No option has it.
const NOT_ASCII: u8 = 0x7f;

/// What was handed over, copied out of the loader's memory.
pub struct Boot {
    protocol: &'static str,
    memory_bytes: u64,
    free_end: u64,
    command_line: [u8; ROOM],
    command_line_len: usize,
}

impl Boot {
    /// The protocol's word in the log.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Usable memory in KiB, 0 if the loader did not say.
    pub fn memory_kib(&self) -> u64 {
        self.memory_bytes / 1024
    }

    /// The end of the usable memory that L1 lies in, 0 if the loader did not say.
    pub fn free_end(&self) -> u64 {
        self.free_end
    }

    fn usable(&mut self, start: u64, size: u64) {
        self.memory_bytes = self.memory_bytes.saturating_add(size);
        let end = start.saturating_add(size);
        if (start..end).contains(&IMAGE_START) {
            self.free_end = end;
        }
    }

    /// The command line, as ASCII.
    pub fn command_line(&self) -> &str {
        core::str::from_utf8(&self.command_line[..self.command_line_len]).unwrap_or_default()
    }

    fn copy_command_line(&mut self, text: &[u8]) {
        for (kept, &byte) in self.command_line.iter_mut().zip(text) {
            *kept = if byte.is_ascii() { byte } else { NOT_ASCII };
            self.command_line_len += 1;
        }
    }
}

/// Reads what the loader left at `info`.
pub fn read(magic: u32, info: u32) -> Boot {
    let mut boot = Boot {
        protocol: "unknown",
        memory_bytes: 0,
        free_end: 0,
        command_line: [0; ROOM],
        command_line_len: 0,
    };
    if magic == multiboot2::MAGIC {
        boot.protocol = "multiboot2";
        read_multiboot2(&mut boot, info);
    } else if info != 0 && info.is_multiple_of(4) {
        read_pvh(&mut boot, info);
    }
    boot
}

fn read_multiboot2(boot: &mut Boot, info: u32) {
    // SAFETY: the loader's magic says that EBX points at multiboot2 information, which nothing has
    // written since; the low 4 GiB are mapped.
    let Ok(info) = (unsafe { BootInformation::load(mapped::<BootInformationHeader>(info.into())) })
    else {
        return;
    };
    if let Some(tag) = info.command_line_tag() {
        let text = CStr::from_bytes_until_nul(tag.payload()).unwrap_or_default();
        boot.copy_command_line(text.to_bytes());
    }
    if let Some(map) = info.memory_map_tag() {
        for area in map.memory_areas().iter().filter(|area| area.typ() == MemoryAreaType::Available)
        {
            boot.usable(area.start_address(), area.size());
        }
    }
}

fn read_pvh(boot: &mut Boot, info: u32) {
    // SAFETY: the low 4 GiB are mapped, the address is not 0 and a multiple of 4 as `read` saw, and
    // any bytes are a value of the struct, whose fields of 64 bits are at offsets that a start of a
    // multiple of 8 aligns, as Xen gives it.
    let info = unsafe { &*mapped::<StartInfo>(info.into()) };
    if info.magic != pvh::MAGIC {
        return;
    }
    boot.protocol = "pvh";
    if info.command_line != 0 {
        // SAFETY: with PVH's magic the field is the physical address of a string that ends in 0
        // (`start_info.h`), below 4 GiB; nothing has written there since.
        let text = unsafe { CStr::from_ptr(mapped(info.command_line)) };
        boot.copy_command_line(text.to_bytes());
    }
    // Version 0 ends before the memory map.
    if info.version >= 1 && info.memory_map != 0 {
        // SAFETY: with PVH's magic and version 1 the two fields are the physical address and the
        // number of entries (`start_info.h`), below 4 GiB; nothing has written there since.
        let map = unsafe {
            core::slice::from_raw_parts(
                mapped::<Memory>(info.memory_map),
                info.memory_map_entries as usize,
            )
        };
        for area in map.iter().filter(|area| area.kind == Memory::RAM) {
            boot.usable(area.address, area.size);
        }
    }
}

#[cfg(test)]
mod tests;
