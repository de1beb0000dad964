//! What a loader needs of an ELF file: its segments at their physical addresses, and its entry.
//!
//! The file is not trusted. What does not fit together is an error, never a panic.

use crate::vmm::Unavailable;
use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};

/// No image that is booted here is larger. A bad header must not ask for all memory.
const MAX_SPAN: u64 = 1 << 30;

/// A part of the file that belongs in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Physical address.
    pub address: u64,
    /// What the file has of it.
    pub bytes: &'a [u8],
    /// Its size in memory. What the file does not have is zero.
    pub size: u64,
}

/// An image's entry and segments, the latter in the order of their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Physical address of the entry.
    pub entry: u64,
    /// The loadable segments.
    pub segments: Vec<Segment<'a>>,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// The file is no sound static ELF64 for x86-64.
    pub fn parse(file: &'a [u8]) -> Result<Self, Unavailable> {
        let read = Self::read::<FileHeader64<LittleEndian>>(file, elf::EM_X86_64);
        read.map_err(|error| Unavailable::failed("read the ELF image", error))
    }

    /// Reads the headers of a 32-bit file.
    ///
    /// # Errors
    /// The file is no sound static ELF32 for x86.
    pub fn parse_32(file: &'a [u8]) -> Result<Self, String> {
        Self::read::<FileHeader32<LittleEndian>>(file, elf::EM_386)
    }

    fn read<H: FileHeader<Endian = LittleEndian>>(
        file: &'a [u8],
        machine: elf::Machine,
    ) -> Result<Self, String> {
        let header = H::parse(file).map_err(|error| error.to_string())?;
        let endian = header.endian().map_err(|error| error.to_string())?;
        if header.e_machine(endian) != machine {
            return Err("it is for another processor".into());
        }
        let mut segments = Vec::new();
        for segment in header.program_headers(endian, file).map_err(|error| error.to_string())? {
            if segment.p_type(endian) != PT_LOAD {
                continue;
            }
            let bytes =
                segment.data(endian, file).map_err(|()| "a segment lies outside the file")?;
            let (address, size): (u64, u64) =
                (segment.p_paddr(endian).into(), segment.p_memsz(endian).into());
            if size < bytes.len() as u64 || address.checked_add(size).is_none() {
                return Err("a segment's sizes do not fit together".into());
            }
            if size > 0 {
                segments.push(Segment { address, bytes, size });
            }
        }
        segments.sort_by_key(|segment| segment.address);
        let image = Self { entry: header.e_entry(endian).into(), segments };
        match image.span() {
            Some((start, end)) if end - start <= MAX_SPAN => Ok(image),
            Some(_) => Err("its segments lie more than 1 GiB apart".into()),
            None => Err("it has nothing to load".into()),
        }
    }

    /// The first address of the image, and the first one past it.
    pub fn span(&self) -> Option<(u64, u64)> {
        let start = self.segments.first()?.address;
        let end = self.segments.iter().map(|segment| segment.address + segment.size).max()?;
        Some((start, end))
    }

    /// The image as it is in memory, from its first address on. Gaps hold `fill`.
    pub fn flatten(&self, fill: u8) -> Vec<u8> {
        let Some((start, end)) = self.span() else { return Vec::new() };
        let mut flat = vec![fill; (end - start) as usize];
        for segment in &self.segments {
            let at = (segment.address - start) as usize;
            let (filled, zero) =
                flat[at..at + segment.size as usize].split_at_mut(segment.bytes.len());
            filled.copy_from_slice(segment.bytes);
            zero.fill(0);
        }
        flat
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Image;

    /// A file with one segment, of which `bytes` are in the file.
    pub(crate) fn file(entry: u64, address: u64, bytes: &[u8], size: u64) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        file.extend(entry.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
        file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
        for word in [120, address, address, bytes.len() as u64, size, 1] {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
        file
    }

    /// An ELF file with a PVH note whose entry is `code`, at 2 MiB.
    pub(crate) fn pvh(code: &[u8]) -> Vec<u8> {
        let mut image = file(0x20_0000, 0x20_0000, code, code.len() as u64);
        // A second program header would overlap the code. So the note goes after it, and the header
        // grows.
        let note_at = 64 + 2 * 56;
        let mut note = Vec::new();
        for word in [4u32, 4, 18] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"Xen\0");
        note.extend(0x20_0000u32.to_le_bytes());
        let mut header = Vec::new();
        header.extend([4, 0, 0, 0, 4, 0, 0, 0]);
        for word in [note_at as u64, 0, 0, note.len() as u64, note.len() as u64, 4] {
            header.extend(word.to_le_bytes());
        }
        let code = image.split_off(64 + 56);
        image[56] = 2;
        let code_at = (note_at + note.len()) as u64;
        image[64 + 8..64 + 16].copy_from_slice(&code_at.to_le_bytes());
        image.extend(header);
        image.extend(note);
        image.extend(code);
        image
    }

    #[test]
    fn what_the_file_lacks_is_zero() {
        let file = file(0x20_0004, 0x20_0000, b"abc", 6);
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.entry, 0x20_0004);
        assert_eq!(image.span(), Some((0x20_0000, 0x20_0006)));
        assert_eq!(image.flatten(0xf4), b"abc\0\0\0");
    }

    #[test]
    fn crooked_files_are_errors() {
        assert!(Image::parse(b"").is_err());
        assert!(Image::parse(b"\x7fELF").is_err());
        assert!(
            Image::parse(&file(0, 0x1000, b"abc", 2)).is_err(),
            "larger in the file than in memory"
        );
        assert!(
            Image::parse(&file(0, 0x1000, b"abc", 1 << 40)).is_err(),
            "larger than any machine"
        );
        assert!(Image::parse(&file(0, u64::MAX, b"abc", 3)).is_err(), "wraps around");
        let mut cut = file(0, 0x1000, b"abc", 3);
        cut.pop();
        assert!(Image::parse(&cut).is_err());
    }
}
