//! What the loader says: command line and memory, by multiboot2 or PVH.
#![allow(unsafe_code, reason = "reads what the loader left in memory")]

use spec::catalogue::options::MAX_COMMAND_LINE;
use spec::pvh::{self, Memory, StartInfo};

use crate::machine::acpi::number;
use crate::machine::page::{mapped, physical};

/// Where L1 is loaded, see `linker/l1.ld`.
const IMAGE_START: u64 = 2 << 20;
/// What [`crate::machine::boot`] maps.
const MAPPED: u64 = 4 << 30;
/// EAX in a multiboot2 boot, and types of tags. Multiboot2 Specification 2.0, "Boot information
/// format".
const MULTIBOOT2_MAGIC: u32 = 0x36d7_6289;
const COMMAND_LINE: u64 = 1;
const MEMORY_MAP: u64 = 6;
const RSDP_OLD: u64 = 14;
const RSDP_NEW: u64 = 15;

/// A byte more than an option may end at, so that a line that is too long shows.
const ROOM: usize = MAX_COMMAND_LINE + 1;
/// Stands for what is not ASCII. No option has it.
const NOT_ASCII: u8 = 0x7f;

/// What was handed over, copied out of the loader's memory.
pub struct Boot {
    protocol: &'static str,
    memory_bytes: u64,
    free_end: u64,
    /// Where the first area above the image begins that is not usable.
    ceiling: u64,
    rsdp: Option<u64>,
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

    /// The end of the usable memory that L1 lies in and reaches, 0 if the loader did not say.
    pub fn free_end(&self) -> u64 {
        self.free_end.min(self.ceiling)
    }

    /// The address of ACPI's RSDP, if the loader says one; 0 if it says that there is none.
    pub fn rsdp(&self) -> Option<u64> {
        self.rsdp
    }

    /// Takes an area of the memory map. Areas come in any order, and may overlap.
    fn area(&mut self, start: u64, size: u64, is_usable: bool) {
        if !is_usable {
            if start > IMAGE_START {
                self.ceiling = self.ceiling.min(start);
            }
            return;
        }
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

    /// Copies text up to a 0.
    fn copy_command_line(&mut self, text: &[u8]) {
        let text = text.iter().take_while(|&&byte| byte != 0);
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
        ceiling: MAPPED,
        rsdp: None,
        command_line: [0; ROOM],
        command_line_len: 0,
    };
    if magic == MULTIBOOT2_MAGIC {
        boot.protocol = "multiboot2";
        read_multiboot2(&mut boot, info);
    } else if info != 0 && info.is_multiple_of(4) {
        read_pvh(&mut boot, info);
    }
    boot
}

fn read_multiboot2(boot: &mut Boot, info: u32) {
    // Its size, and a word that is reserved.
    let Some(size) = reach::<u32>(info.into(), 1) else { return };
    // SAFETY: the loader's magic says that EBX points at multiboot2 information, whose first word is
    // its size, and `reach` that L1 can read there; nothing has written there since.
    let size = unsafe { size.read() } as usize;
    let Some(all) = reach::<u8>(info.into(), size) else { return };
    // SAFETY: as above.
    let mut rest = unsafe { core::slice::from_raw_parts(all, size) }.get(8..).unwrap_or_default();
    // Tags begin at multiples of 8, with their type and size.
    while let Some(size) = Some(number(rest, 4, 4) as usize).filter(|&size| size >= 8)
        && let Some((tag, more)) = rest.split_at_checked(size)
    {
        let body = &tag[8..];
        match number(tag, 0, 4) {
            COMMAND_LINE => boot.copy_command_line(body),
            MEMORY_MAP => {
                let entry = number(body, 0, 4) as usize;
                for area in body.get(8..).unwrap_or_default().chunks_exact(entry.max(24)) {
                    boot.area(
                        number(area, 0, 8),
                        number(area, 8, 8),
                        number(area, 16, 4) == Memory::RAM.into(),
                    );
                }
            }
            // The longer copy of the RSDP comes from newer tables.
            RSDP_OLD if boot.rsdp.is_none() => boot.rsdp = Some(physical(body.as_ptr())),
            RSDP_NEW => boot.rsdp = Some(physical(body.as_ptr())),
            _ => {}
        }
        rest = more.get(size.wrapping_neg() % 8..).unwrap_or_default();
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
    boot.rsdp = Some(info.rsdp_paddr);
    if let Some(text) = reach::<u8>(info.cmdline_paddr, ROOM) {
        // SAFETY: with PVH's magic the field is the physical address of a string (`start_info.h`),
        // and `reach` says that L1 can read there; nothing has written there since.
        let text = unsafe { core::slice::from_raw_parts(text, ROOM) };
        boot.copy_command_line(text);
    }
    // Version 0 ends before the memory map.
    let entries = if info.version >= 1 { info.memmap_entries as usize } else { 0 };
    if let Some(map) = reach::<Memory>(info.memmap_paddr, entries) {
        // SAFETY: with PVH's magic and version 1 the two fields are the physical address and the
        // number of entries (`start_info.h`), and `reach` says that L1 can read there; nothing has
        // written there since.
        let map = unsafe { core::slice::from_raw_parts(map, entries) };
        for area in map {
            boot.area(area.addr, area.size, area.r#type == Memory::RAM);
        }
    }
}

/// Where L1 reads so many values at a physical address: not at 0, and below 4 GiB.
fn reach<T>(at: u64, count: usize) -> Option<*const T> {
    let end = at.checked_add(count.checked_mul(size_of::<T>())? as u64)?;
    (at != 0 && at.is_multiple_of(align_of::<T>() as u64) && end <= MAPPED)
        .then(|| mapped::<T>(at).cast_const())
}

/// Physical memory that the firmware or a loader has filled, for [`crate::machine::acpi`]. L1's own
/// is not theirs.
pub fn firmware_memory(at: u64, length: usize) -> Option<&'static [u8]> {
    unsafe extern "C" {
        static l1_end: u8;
    }
    let memory = reach::<u8>(at, length)?;
    let is_image = at < (&raw const l1_end) as u64 && at + length as u64 > IMAGE_START;
    // SAFETY: `reach` says that L1 can read there. Nothing writes there: the rest of L1 writes only
    // to the image, whose own memory it is not, until the tables were read.
    (!is_image).then(|| unsafe { core::slice::from_raw_parts(memory, length) })
}

#[cfg(test)]
mod tests;
