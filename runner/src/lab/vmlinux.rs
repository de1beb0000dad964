//! A bzImage taken apart: its setup header and the vmlinux packed inside it.
//!
//! Decompressing is what a kernel's boot in an emulator spends most of its time on, so it is done outside, once:
//! the unpacked vmlinux is kept beside the kernel. The kernel is then entered at its 64-bit entry point with its
//! segments already where they belong (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
//!
//! On return from [`open`]: every segment lies within its file, and below 4 GiB in memory.

use std::fs;
use std::path::Path;

use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, pod};

use super::decompress;
use crate::vmm::Unavailable;

/// Where the setup header starts in a bzImage, and in the zero page that is made of it.
pub const SETUP_HEADER: usize = 0x1f1;
/// The longest setup header that the zero page has room for.
const SETUP_HEADER_END: usize = 0x290;
/// "HdrS": the setup header is there.
const MAGIC: usize = 0x202;
/// The byte that says where the header ends, counted from 0x202.
const JUMP_LENGTH: usize = 0x201;
/// The boot protocol's version.
const VERSION: usize = 0x206;
/// Where the release text stands, counted from 0x200.
const KERNEL_VERSION: usize = 0x20e;
/// Offset and length of the packed vmlinux, counted from the end of the setup sectors (protocol 2.08).
const PAYLOAD: usize = 0x248;
/// More than any kernel unpacks to.
const LIMIT: usize = 512 << 20;

/// A kernel ready to be put into memory.
#[derive(Debug)]
pub struct Vmlinux {
    /// The bzImage's bytes from [`SETUP_HEADER`] on.
    pub setup_header: Vec<u8>,
    /// Physical address and content of each segment.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Physical address of the 64-bit entry point.
    pub entry: u64,
    /// The first physical address behind the kernel, its zeroed memory included.
    pub end: u64,
}

/// Reads a bzImage; `unpacked` is where its vmlinux is kept for the next time.
///
/// # Errors
/// The file cannot be read or is not an x86-64 bzImage that this understands.
pub fn open(image: &Path, unpacked: Option<&Path>) -> Result<Vmlinux, Unavailable> {
    let wrong = |why: String| Unavailable {
        why: format!("{} cannot be booted: {why}", image.display()),
        mend: "name a Linux x86-64 bzImage with --kernel-image, or a Debian kernel with --kernel".into(),
    };
    let bytes = fs::read(image).map_err(|error| wrong(error.to_string()))?;
    let header = Header::parse(&bytes).map_err(wrong)?;
    let kept = unpacked.and_then(|path| fs::read(path).ok()).filter(|elf| elf.len() == header.unpacked_size);
    let elf = if let Some(elf) = kept {
        elf
    } else {
        let elf = header.unpack().map_err(wrong)?;
        if let Some(path) = unpacked {
            keep(path, &elf);
        }
        elf
    };
    let (segments, entry, end) = segments(&elf).map_err(wrong)?;
    Ok(Vmlinux { setup_header: header.setup.to_vec(), segments, entry, end })
}

/// The release in a bzImage's header.
///
/// # Errors
/// A clause that says why `bzimage` is none.
pub fn release(bzimage: &[u8]) -> Result<String, String> {
    Header::parse(bzimage).map(|header| header.release)
}

/// Keeping is a convenience: a folder that cannot be written to costs time, nothing else.
fn keep(path: &Path, elf: &[u8]) {
    let part = path.with_extension(format!("part{}", std::process::id()));
    if fs::write(&part, elf).and_then(|()| fs::rename(&part, path)).is_err() {
        let _ = fs::remove_file(&part);
    }
}

/// What a bzImage's first sectors say.
struct Header<'a> {
    setup: &'a [u8],
    release: String,
    payload: &'a [u8],
    unpacked_size: usize,
}

impl<'a> Header<'a> {
    fn parse(image: &'a [u8]) -> Result<Self, String> {
        let cut = || String::from("it ends inside its own header");
        if image.get(MAGIC..MAGIC + 4).ok_or_else(cut)? != b"HdrS" {
            return Err("it is not a Linux bzImage".into());
        }
        let version = half(image, VERSION).ok_or_else(cut)?;
        if version < 0x208 {
            return Err(format!("its boot protocol {version:#x} is older than 2.08"));
        }
        let setup_end = (MAGIC + usize::from(image[JUMP_LENGTH])).min(SETUP_HEADER_END);
        let setup = image.get(SETUP_HEADER..setup_end).ok_or_else(cut)?;
        let text = image.get(0x200 + usize::from(half(image, KERNEL_VERSION).ok_or_else(cut)?)..).ok_or_else(cut)?;
        let release: Vec<u8> = text.iter().copied().take(256).take_while(u8::is_ascii_graphic).collect();
        // Zero setup sectors mean four, for history's sake.
        let sectors = match image[SETUP_HEADER] {
            0 => 4,
            n => usize::from(n),
        };
        let start = word(image, PAYLOAD).ok_or_else(cut)? + (sectors + 1) * 512;
        let end = start + word(image, PAYLOAD + 4).ok_or_else(cut)?;
        let payload = image.get(start..end).ok_or_else(cut)?;
        let size_at = payload.len().checked_sub(4).ok_or_else(cut)?;
        let unpacked_size = word(payload, size_at).ok_or_else(cut)?;
        Ok(Self { setup, release: String::from_utf8_lossy(&release).into(), payload, unpacked_size })
    }

    fn unpack(&self) -> Result<Vec<u8>, String> {
        let elf = decompress::unpack(self.payload, self.unpacked_size.min(LIMIT))?;
        if elf.len() == self.unpacked_size {
            Ok(elf)
        } else {
            Err(format!("it unpacks to {} bytes and says {}", elf.len(), self.unpacked_size))
        }
    }
}

/// The loadable segments, the entry point and the end of the kernel's memory.
type Layout = (Vec<(u64, Vec<u8>)>, u64, u64);

fn segments(elf: &[u8]) -> Result<Layout, String> {
    let wrong = |error: object::Error| format!("its vmlinux is not understood: {error}");
    // The parser wants its input aligned, which a Vec<u8> only is by luck; it says so if not.
    let (header, _) = pod::from_bytes::<FileHeader64<LittleEndian>>(elf).map_err(|()| "its vmlinux is cut off")?;
    if !header.is_supported() {
        return Err("what it unpacks to is not a 64-bit little-endian ELF".into());
    }
    let endian = LittleEndian;
    let mut segments = Vec::new();
    let mut end = 0;
    for segment in header.program_headers(endian, elf).map_err(wrong)? {
        if segment.p_type(endian) != PT_LOAD {
            continue;
        }
        let data = segment.data(endian, elf).map_err(|()| "a segment of its vmlinux lies outside of the file")?;
        let address = segment.p_paddr(endian);
        let behind = address.checked_add(segment.p_memsz(endian)).filter(|end| *end < 1 << 32);
        end = end.max(behind.ok_or("a segment of its vmlinux lies beyond 4 GiB")?);
        if !data.is_empty() {
            segments.push((address, data.to_vec()));
        }
    }
    let entry = header.e_entry(endian);
    // A vmlinux names its entry by its physical address; a virtual one would be 0xffffffff8....
    if !segments.iter().any(|(address, data)| (*address..*address + data.len() as u64).contains(&entry)) {
        return Err(format!("its entry point {entry:#x} lies in none of its segments"));
    }
    Ok((segments, entry, end))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?.try_into().ok().map(|four| u32::from_le_bytes(four) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage of one setup sector around `payload`.
    fn bzimage(payload: &[u8], size: u32) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[SETUP_HEADER] = 1;
        image[JUMP_LENGTH] = 0x66;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x180_u16.to_le_bytes());
        image[0x380..0x390].copy_from_slice(b"6.1.0-x (someone");
        image[PAYLOAD + 4..PAYLOAD + 8].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
        image.extend(payload);
        image.extend(size.to_le_bytes());
        image
    }

    #[test]
    fn a_header_is_read() {
        let image = bzimage(b"abc", 99);
        let header = Header::parse(&image).unwrap();
        assert_eq!((header.release.as_str(), header.payload.len(), header.unpacked_size), ("6.1.0-x", 7, 99));
        assert_eq!(header.setup.len(), 0x202 + 0x66 - SETUP_HEADER);
    }

    #[test]
    fn a_wrong_size_is_noticed() {
        let packed = zstd::stream::encode_all(&b"hello"[..], 1).unwrap();
        assert_eq!(Header::parse(&bzimage(&packed, 5)).unwrap().unpack().unwrap(), b"hello");
        assert!(Header::parse(&bzimage(&packed, 6)).unwrap().unpack().is_err());
        assert!(Header::parse(&bzimage(&packed, 4)).unwrap().unpack().is_err());
    }

    #[test]
    fn nonsense_is_an_error_at_every_length() {
        let image = bzimage(b"abc", 9);
        for length in 0..image.len() {
            assert!(Header::parse(&image[..length]).is_err());
        }
        assert!(segments(b"\x7fELF").is_err());
        assert!(segments(&[0; 200]).is_err());
    }
}
