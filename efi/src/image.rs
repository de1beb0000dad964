//! The image as its ELF headers describe it: `linker/l1.ld` gives it one segment.

/// Where the image belongs and begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// The 32-bit entry.
    pub entry: u32,
    /// Where the segment goes.
    pub address: u32,
    /// What the file has of it.
    pub bytes: &'a [u8],
    /// Its size in memory.
    pub size: u32,
}

impl<'a> Image<'a> {
    /// Reads the headers of an ELF64 whose first program header is its only loadable segment.
    #[must_use]
    pub fn of_elf(elf: &'a [u8]) -> Option<Self> {
        let word = |at: usize| -> Option<u32> {
            let bytes = elf.get(at..at.checked_add(8)?)?;
            u64::from_le_bytes(bytes.try_into().ok()?).try_into().ok()
        };
        // Elf64_Ehdr.e_entry and e_phoff; Elf64_Phdr.p_offset, p_paddr, p_filesz, p_memsz.
        let header = word(32)? as usize;
        let segment = |field: usize| word(header.checked_add(field)?);
        let start = segment(8)? as usize;
        let end = start.checked_add(segment(32)? as usize)?;
        let (address, size) = (segment(24)?, segment(40)?);
        address.checked_add(size)?;
        Some(Self { entry: word(24)?, address, bytes: elf.get(start..end)?, size })
    }

    /// The first address after it.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.address) + u64::from(self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::Image;

    #[test]
    fn the_segment_is_where_the_headers_say() {
        let mut elf = vec![0; 130];
        let mut put = |at: usize, word: u64| elf[at..at + 8].copy_from_slice(&word.to_le_bytes());
        put(24, 0x20_0040);
        put(32, 64);
        for (at, word) in [(8, 120), (24, 0x20_0000), (32, 10), (40, 0x1000)] {
            put(64 + at, word);
        }
        let image = Image::of_elf(&elf).expect("it is one");
        assert_eq!((image.entry, image.address, image.end()), (0x20_0040, 0x20_0000, 0x20_1000));
        assert_eq!(image.bytes.len(), 10);
        assert_eq!(Image::of_elf(&elf[..129]), None, "the segment is cut off");
        assert_eq!(Image::of_elf(&[]), None);
    }
}
