//! The multiboot2 information that a loader hands to an image, made on the host.
//!
//! It holds only what maskmatch's image and Xen read: the command line, the loader's name, the size of
//! the memory and its map, modules (Multiboot2 Specification 2.0, section 3.6 "Boot information format"). It is
//! written by hand, because the crate that reads it needs UEFI's types and a procedural macro to
//! write it.

use std::ops::Range;

const TAG_END: u32 = 0;
const TAG_CMDLINE: u32 = 1;
const TAG_LOADER_NAME: u32 = 2;
const TAG_MODULE: u32 = 3;
const TAG_BASIC_MEMORY: u32 = 4;
const TAG_MEMORY_MAP: u32 = 6;

/// Bytes of a memory-map entry.
const MAP_ENTRY_SIZE: u32 = 24;
/// A memory-map entry's type: usable RAM.
const MAP_RAM: u32 = 1;

/// End of the conventional memory below the legacy video memory.
pub const LOW_MEMORY_END: u64 = 0x9_f000;
/// Start of the memory above the legacy area.
pub const HIGH_MEMORY: u64 = 0x10_0000;

/// The ranges of usable RAM, as (start, length), of a PC with this much memory and no hole above 1
/// MiB.
pub fn usable_ram(memory_mib: u32) -> [(u64, u64); 2] {
    let high = (u64::from(memory_mib) << 20).saturating_sub(HIGH_MEMORY);
    [(0, LOW_MEMORY_END), (HIGH_MEMORY, high)]
}

/// The information for memory at an address that is a multiple of 8, with modules at these physical
/// addresses. A NUL ends the command line, since a reader would stop there anyway.
pub fn build(cmdline: &str, memory_mib: u32, modules: &[Range<u64>]) -> Vec<u8> {
    let ram = usable_ram(memory_mib);
    let [(_, low), (_, high)] = ram;
    let mut map = words(&[MAP_ENTRY_SIZE, 0]);
    for (start, length) in ram {
        map.extend(start.to_le_bytes());
        map.extend(length.to_le_bytes());
        map.extend(words(&[MAP_RAM, 0]));
    }
    // Total size and a reserved field. The size is filled in at the end.
    let mut info = words(&[0, 0]);
    add(&mut info, TAG_CMDLINE, &text(cmdline));
    add(&mut info, TAG_LOADER_NAME, &text("maskmatch"));
    add(&mut info, TAG_BASIC_MEMORY, &words(&[(low >> 10) as u32, (high >> 10) as u32]));
    add(&mut info, TAG_MEMORY_MAP, &map);
    for module in modules {
        // Its command line is empty.
        add(
            &mut info,
            TAG_MODULE,
            &[words(&[module.start as u32, module.end as u32]), text("")].concat(),
        );
    }
    add(&mut info, TAG_END, &[]);
    let size = (info.len() as u32).to_le_bytes();
    info[..4].copy_from_slice(&size);
    info
}

/// Adds a tag: type, size without padding, contents, padding to 8 bytes.
fn add(info: &mut Vec<u8>, kind: u32, contents: &[u8]) {
    info.extend(words(&[kind, 8 + contents.len() as u32]));
    info.extend(contents);
    info.resize(info.len().next_multiple_of(8), 0);
}

fn text(text: &str) -> Vec<u8> {
    text.bytes().take_while(|byte| *byte != 0).chain([0]).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::build;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The tags as a reader finds them: type and contents.
    fn tags(info: &[u8]) -> Vec<(u32, Vec<u8>)> {
        assert_eq!(word(info, 0) as usize, info.len());
        let mut at = 8;
        let mut tags = Vec::new();
        loop {
            let (kind, size) = (word(info, at), word(info, at + 4) as usize);
            tags.push((kind, info[at + 8..at + size].to_vec()));
            at = (at + size).next_multiple_of(8);
            if kind == 0 {
                assert_eq!(at, info.len());
                return tags;
            }
        }
    }

    #[test]
    fn an_image_reads_back_what_was_put_in() {
        let module = 0x40_0000..0x40_0123;
        let tags = tags(&build("filter=page.* quiet", 64, std::slice::from_ref(&module)));
        let of = |kind| &tags.iter().find(|tag| tag.0 == kind).unwrap().1;
        assert_eq!(of(1), b"filter=page.* quiet\0");
        assert_eq!(of(2), b"maskmatch\0");
        assert_eq!((word(of(4), 0), word(of(4), 4)), (636, 63 * 1024));
        assert_eq!((word(of(3), 0), word(of(3), 4), of(3).len()), (0x40_0000, 0x40_0123, 9));
        let map = of(6);
        assert_eq!(word(map, 0), 24, "size of an entry");
        assert_eq!(map.len(), 8 + 2 * 24);
        assert_eq!((word(map, 8), word(map, 16), word(map, 24)), (0, 0x9_f000, 1));
        assert_eq!((word(map, 32), word(map, 40), word(map, 48)), (0x10_0000, 63 << 20, 1));
    }

    #[test]
    fn an_empty_command_line_is_there_nevertheless() {
        assert!(tags(&build("", 64, &[])).contains(&(1, vec![0])));
        assert!(tags(&build("a\0b", 64, &[])).contains(&(1, b"a\0".to_vec())));
    }
}
