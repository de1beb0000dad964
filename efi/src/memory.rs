//! EFI's memory map as PVH has it.

use uefi::boot::{MemoryDescriptor, MemoryType, PAGE_SIZE};

use crate::pvh::Memory;

/// What a range is once the boot services are gone.
fn kind(ty: MemoryType) -> u32 {
    match ty {
        MemoryType::CONVENTIONAL
        | MemoryType::LOADER_CODE
        | MemoryType::LOADER_DATA
        | MemoryType::BOOT_SERVICES_CODE
        | MemoryType::BOOT_SERVICES_DATA => Memory::RAM,
        MemoryType::ACPI_RECLAIM => Memory::ACPI_TABLES,
        MemoryType::ACPI_NON_VOLATILE => Memory::ACPI_NVS,
        _ => Memory::RESERVED,
    }
}

/// Writes the map into `room`, neighbours of a kind as one. Returns how many entries it has; what
/// finds no room is left out.
pub fn translate<'a>(
    descriptors: impl Iterator<Item = &'a MemoryDescriptor>,
    room: &mut [Memory],
) -> usize {
    let (mut used, full) = (0, room.len());
    for descriptor in descriptors {
        let entry = Memory {
            addr: descriptor.phys_start,
            size: descriptor.page_count * PAGE_SIZE as u64,
            r#type: kind(descriptor.ty),
            reserved: 0,
        };
        match room[..used].last_mut() {
            Some(last) if last.r#type == entry.r#type && last.addr + last.size == entry.addr => {
                last.size += entry.size;
            }
            _ if used < full => {
                room[used] = entry;
                used += 1;
            }
            _ => {}
        }
    }
    used
}

/// Whether the range from `start` to `end` is usable memory.
#[must_use]
pub fn usable(map: &[Memory], start: u64, end: u64) -> bool {
    map.iter().any(|entry| {
        entry.r#type == Memory::RAM && entry.addr <= start && end <= entry.addr + entry.size
    })
}

#[cfg(test)]
mod tests {
    use uefi::boot::{MemoryAttribute, MemoryDescriptor, MemoryType};

    use super::{translate, usable};
    use crate::pvh::Memory;

    fn descriptor(ty: MemoryType, start: u64, page_count: u64) -> MemoryDescriptor {
        let (phys_start, att) = (start, MemoryAttribute::empty());
        MemoryDescriptor { ty, padding: 0, phys_start, virt_start: 0, page_count, att }
    }

    #[test]
    fn neighbours_are_one_and_what_firmware_keeps_is_not_memory() {
        let map = [
            descriptor(MemoryType::CONVENTIONAL, 0, 0x10),
            descriptor(MemoryType::BOOT_SERVICES_DATA, 0x1_0000, 0x10),
            descriptor(MemoryType::LOADER_CODE, 0x10_0000, 0x100),
            descriptor(MemoryType::RUNTIME_SERVICES_DATA, 0x20_0000, 1),
            descriptor(MemoryType::ACPI_RECLAIM, 0x20_1000, 1),
        ];
        let empty = Memory { addr: 0, size: 0, r#type: 0, reserved: 0 };
        let mut room = [empty; 4];
        assert_eq!(translate(map.iter(), &mut room), 4);
        let seen = room.map(|entry| (entry.addr, entry.size, entry.r#type));
        let want = [
            (0, 0x2_0000, 1),
            (0x10_0000, 0x10_0000, 1),
            (0x20_0000, 0x1000, 2),
            (0x20_1000, 0x1000, 3),
        ];
        assert_eq!(seen, want);
        assert!(usable(&room, 0x10_0000, 0x20_0000));
        assert!(!usable(&room, 0x1f_f000, 0x20_1000), "firmware has its last page");
        assert!(!usable(&room, 0x1_0000, 0x11_0000), "there is a hole in it");
        assert_eq!(translate(map.iter(), &mut room[..1]), 1, "the rest is left out");
    }
}
