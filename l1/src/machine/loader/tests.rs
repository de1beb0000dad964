use std::vec::Vec;

use super::*;
use crate::fake::begin;
use crate::machine::global::Global;
use crate::machine::page::{Page, physical};

/// What a loader leaves: what it points at is in its second page.
static LEFT: Global<[Page; 2]> = Global::new([Page::EMPTY; 2]);
const SECOND: usize = Page::SIZE as usize;

/// Puts bytes at an offset, and says at which physical address they are.
fn put(offset: usize, bytes: &[u8]) -> u64 {
    let at = LEFT.get().cast::<u8>().wrapping_add(offset);
    // SAFETY: the tests put less than a page at the start of either; `begin` gives them turns.
    unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    physical(at)
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Boots by PVH with areas of a memory map: start, size, type.
fn pvh(version: u32, areas: &[(u64, u64, u32)], command_line: &[u8]) -> Boot {
    let map = areas.iter().flat_map(|&(start, size, kind)| [start, size, kind.into()]);
    let map = put(0x100, &words(&map.collect::<Vec<_>>()));
    let text =
        if command_line.is_empty() { 0 } else { put(SECOND, &[command_line, b"\0"].concat()) };
    let head = u64::from(pvh::MAGIC) | u64::from(version) << 32;
    let info = put(0, &words(&[head, 0, 0, text, 0, map, areas.len() as u64]));
    read(0x2bad_b002, info as u32)
}

/// Boots by multiboot2 with the same.
fn multiboot2(areas: &[(u64, u64, u32)], command_line: &[u8]) -> Boot {
    let tag = |kind: u32, body: &[u8]| {
        let mut tag = [kind.to_le_bytes(), (8 + body.len() as u32).to_le_bytes()].concat();
        tag.extend(body);
        tag.resize(tag.len().next_multiple_of(8), 0);
        tag
    };
    let mut map = words(&[24]);
    map.extend(areas.iter().flat_map(|&(start, size, kind)| words(&[start, size, kind.into()])));
    let tags = [tag(1, &[command_line, b"\0"].concat()), tag(6, &map), tag(0, &[])].concat();
    let info = put(0, &[words(&[8 + tags.len() as u64]), tags].concat());
    read(MULTIBOOT2_MAGIC, info as u32)
}

const MIB: u64 = 1 << 20;
const RAM: u32 = 1;
const RESERVED: u32 = 2;

#[test]
fn memory_is_what_is_usable_whatever_its_order_and_holes() {
    let _turn = begin();
    let low = (0, 0x9_f000, RAM);
    let bios = (0xf_0000, 0x1_0000, RESERVED);
    let high = (MIB, 63 * MIB, RAM);
    let above = (1 << 32, MIB, RAM);
    let kib = (0x9_f000 + 64 * MIB) / 1024;
    for areas in [[low, bios, high, above], [above, high, bios, low], [high, low, above, bios]] {
        for boot in [pvh(1, &areas, b""), multiboot2(&areas, b"")] {
            assert_eq!(
                (boot.memory_kib(), boot.free_end()),
                (kib, 64 * MIB),
                "{}",
                boot.protocol()
            );
        }
    }
}

#[test]
fn free_memory_ends_with_the_area_that_holds_the_image() {
    let _turn = begin();
    let end = |areas: &[(u64, u64, u32)]| {
        let ends = [pvh(1, areas, b"").free_end(), multiboot2(areas, b"").free_end()];
        assert_eq!(ends[0], ends[1]);
        ends[0]
    };
    assert_eq!(end(&[(0, 2 * MIB, RAM)]), 0, "it ends where the image begins");
    assert_eq!(end(&[(2 * MIB, 2 * MIB, RAM)]), 4 * MIB, "it begins there");
    assert_eq!(end(&[(2 * MIB + 1, 2 * MIB, RAM)]), 0);
    assert_eq!(end(&[(0, 4 * MIB, RESERVED)]), 0);
    assert_eq!(
        end(&[(MIB, u64::MAX, RAM)]),
        4096 * MIB,
        "L1 reaches no more, and it does not wrap"
    );
    let hole = (16 * MIB, MIB, RESERVED);
    for areas in [[(MIB, 63 * MIB, RAM), hole], [hole, (MIB, 63 * MIB, RAM)]] {
        assert_eq!(end(&areas), 16 * MIB, "areas overlap");
    }
    assert_eq!(end(&[]), 0);
}

#[test]
fn what_a_loader_leaves_out_of_reach_is_not_read() {
    let _turn = begin();
    let far = 5 << 32;
    let head = u64::from(pvh::MAGIC) | 1 << 32;
    for (text, map, entries) in
        [(far, far, 1), (MAPPED - 1, MAPPED - 8, 1), (u64::MAX, u64::MAX - 7, 1), (0, 8, u64::MAX)]
    {
        let info = put(0, &words(&[head, 0, 0, text, far, map, entries])) as u32;
        let boot = read(0, info);
        assert_eq!((boot.protocol(), boot.rsdp(), boot.memory_kib()), ("pvh", Some(far), 0));
        assert_eq!(boot.command_line(), "");
    }
}

#[test]
fn multiboot2_tags_that_lie_end_the_list() {
    let _turn = begin();
    let line = [1, 0, 0, 0, 10, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 0];
    for (size, lie) in [(0_u32, true), (7, true), (0x1000_0000, true), (u32::MAX, true), (8, false)]
    {
        let odd = [0xff, 0, 0, 0].into_iter().chain(size.to_le_bytes());
        let tags: Vec<u8> = odd.chain(line).collect();
        let info = put(0, &[words(&[8 + tags.len() as u64]), tags].concat());
        let read = read(MULTIBOOT2_MAGIC, info as u32);
        assert_eq!(read.command_line(), if lie { "" } else { "ab" }, "{size:x}");
    }
    // All of it would end above 4 GiB.
    let info = put(0, &words(&[u64::from(u32::MAX)]));
    assert_eq!(read(MULTIBOOT2_MAGIC, info as u32).memory_kib(), 0);
    // Entries of no size.
    let map = [8 + 8 + 16 + 24, 0, 6, 16 + 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let map: Vec<u8> = map.into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(read(MULTIBOOT2_MAGIC, put(0, &map) as u32).memory_kib(), 0);
}

#[test]
fn multiboot2_has_a_copy_of_the_rsdp() {
    let _turn = begin();
    for kinds in [&[14][..], &[15], &[14, 15], &[15, 14]] {
        let tags = kinds.iter().flat_map(|&kind: &u32| {
            let size: u32 = if kind == 14 { 20 } else { 36 };
            let mut tag = [kind.to_le_bytes(), (8 + size).to_le_bytes()].concat();
            tag.resize((8 + size as usize).next_multiple_of(8), kind as u8);
            tag
        });
        let tags: Vec<u8> = tags.chain([0, 0, 0, 0, 8, 0, 0, 0]).collect();
        let info = put(0, &[words(&[8 + tags.len() as u64]), tags].concat());
        let rsdp = read(MULTIBOOT2_MAGIC, info as u32).rsdp().unwrap();
        // SAFETY: it is in `LEFT`.
        let first = unsafe { mapped::<u8>(rsdp).read() };
        assert_eq!(u32::from(first), *kinds.iter().max().unwrap(), "{kinds:?}");
    }
}

#[test]
fn the_command_line_is_copied_as_far_as_it_can_be() {
    let _turn = begin();
    for boot in [pvh(1, &[], b"profile=quick"), multiboot2(&[], b"profile=quick")] {
        assert_eq!(boot.command_line(), "profile=quick");
    }
    // A line that is too long stays too long.
    let long = [b'a'; MAX_COMMAND_LINE + 9];
    assert_eq!(pvh(1, &[], &long).command_line().len(), MAX_COMMAND_LINE + 1);
    assert_eq!(pvh(1, &[], b"bench\xff more").command_line(), "bench\x7f more");
    assert_eq!(pvh(1, &[], b"").command_line(), "");
}

#[test]
fn pvh_is_known_by_its_magic_and_has_a_map_from_version_1_on() {
    let _turn = begin();
    let boot = pvh(0, &[(MIB, 3 * MIB, RAM)], b"bench");
    assert_eq!((boot.protocol(), boot.memory_kib(), boot.command_line()), ("pvh", 0, "bench"));
    let info = put(0, &words(&[u64::from(pvh::MAGIC + 1), 0, 0, 0, 0, 0, 0])) as u32;
    for info in [info, 0, info + 2] {
        assert_eq!(read(0, info).protocol(), "unknown");
    }
}
