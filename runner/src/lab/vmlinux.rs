//! A bzImage taken apart: its setup header and the vmlinux packed inside it.
//!
//! A kernel's boot in an emulator spends most of its time on decompressing. So that is done
//! outside, once: the unpacked vmlinux is kept next to the kernel. The kernel is then entered at
//! its 64-bit entry point with its segments already where they belong
//! (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
//!
//! On return from [`open`]: every segment lies within its file, and below 4 GiB in memory.

use std::fs;
use std::mem::offset_of;
use std::path::Path;

use linux_loader::loader::bootparam::{boot_params, setup_header};
use vm_memory::ByteValued;

use super::decompress;
use crate::files;
use crate::vmm::Unavailable;
use crate::vmm::elf::Image;

/// Where the setup header starts in a bzImage.
const SETUP_HEADER: usize = offset_of!(boot_params, hdr);
/// "HdrS": the setup header is there.
const MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// Where the header's jump is, which shows where it ends.
const JUMP_BASE: usize = 0x202;
/// Where the header has the offset of the release text.
const RELEASE_BASE: usize = 0x200;
/// The boot protocol that says where the packed vmlinux is.
const OLDEST: u16 = 0x208;
const SECTOR: usize = 512;
/// More than any kernel unpacks to.
const LIMIT: usize = 512 << 20;

/// A kernel ready to be put into memory.
#[derive(Debug)]
pub struct Vmlinux {
    /// The bzImage's setup header.
    pub setup_header: setup_header,
    /// Physical address and content of each segment.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Physical address of the 64-bit entry point.
    pub entry: u64,
    /// The first physical address after the kernel, its zeroed memory included.
    pub end: u64,
}

/// Reads a bzImage. `unpacked` is where its vmlinux is, if it is kept.
///
/// # Errors
/// The file cannot be read or is not an x86-64 bzImage that this understands.
pub fn open(image: &Path, unpacked: Option<&Path>) -> Result<Vmlinux, Unavailable> {
    let wrong = |why: String| {
        Unavailable::new(
            format!("{} cannot be booted: {why}", image.display()),
            "name a Linux x86-64 bzImage with --kernel-image, or a Debian kernel with --kernel",
        )
    };
    let bytes = read(image).map_err(wrong)?;
    let header = Header::parse(&bytes).map_err(wrong)?;
    let elf = match unpacked {
        Some(path) => fs::read(path).map_err(|error| error.to_string()),
        None => header.unpack(),
    };
    let elf = elf.map_err(wrong)?;
    let (segments, entry, end) = segments(&elf).map_err(wrong)?;
    Ok(Vmlinux { setup_header: header.setup, segments, entry, end })
}

/// The release in a bzImage's header.
///
/// # Errors
/// A clause that says why the file is none.
pub fn release(image: &Path) -> Result<String, String> {
    Header::parse(&read(image)?).map(|header| header.release)
}

/// The vmlinux in a bzImage.
///
/// # Errors
/// A clause that says why it cannot be booted.
pub fn unpack(image: &Path) -> Result<Vec<u8>, String> {
    let elf = Header::parse(&read(image)?)?.unpack()?;
    segments(&elf).map(|_| elf)
}

fn read(image: &Path) -> Result<Vec<u8>, String> {
    files::read(image, LIMIT as u64).map_err(|error| error.to_string())
}

/// What a bzImage's first sectors say.
struct Header<'a> {
    setup: setup_header,
    release: String,
    payload: &'a [u8],
    unpacked_size: usize,
}

impl<'a> Header<'a> {
    fn parse(image: &'a [u8]) -> Result<Self, String> {
        let cut = || String::from("it ends inside its own header");
        let whole =
            image.get(SETUP_HEADER..SETUP_HEADER + size_of::<setup_header>()).ok_or_else(cut)?;
        let [_, jump] = image[offset_of!(boot_params, hdr.jump)..][..2] else { return Err(cut()) };
        // What is beyond the header's end is code.
        let length = (JUMP_BASE + usize::from(jump) - SETUP_HEADER).min(whole.len());
        let mut setup = setup_header::default();
        setup.as_mut_slice()[..length].copy_from_slice(&whole[..length]);
        let version = setup.version;
        if setup.header != MAGIC {
            return Err("it is not a Linux bzImage".into());
        }
        if version < OLDEST {
            return Err(format!("its boot protocol {version:#x} is older than 2.08"));
        }
        let text = image.get(RELEASE_BASE + usize::from(setup.kernel_version)..).ok_or_else(cut)?;
        let release: Vec<u8> =
            text.iter().copied().take(256).take_while(u8::is_ascii_graphic).collect();
        // Zero setup sectors mean four, for historical reasons.
        let sectors = if setup.setup_sects == 0 { 4 } else { usize::from(setup.setup_sects) };
        let start = (sectors + 1) * SECTOR + setup.payload_offset as usize;
        let payload = image.get(start..start + setup.payload_length as usize).ok_or_else(cut)?;
        let size = payload.last_chunk().ok_or_else(cut)?;
        let unpacked_size = u32::from_le_bytes(*size) as usize;
        Ok(Self {
            setup,
            release: String::from_utf8_lossy(&release).into(),
            payload,
            unpacked_size,
        })
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
    let image = Image::parse(elf).map_err(|error| error.why)?;
    let end = image.span().map(|(_, end)| end).filter(|end| *end < 1 << 32);
    let end = end.ok_or("a segment of its vmlinux lies beyond 4 GiB")?;
    let entry = image.entry;
    // A vmlinux names its entry by its physical address; a virtual one would be 0xffffffff8....
    if !image
        .segments
        .iter()
        .any(|part| (part.address..part.address + part.bytes.len() as u64).contains(&entry))
    {
        return Err(format!("its entry point {entry:#x} lies in none of its segments"));
    }
    let filled = image.segments.iter().filter(|part| !part.bytes.is_empty());
    Ok((filled.map(|part| (part.address, part.bytes.to_vec())).collect(), entry, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to the field before kernel_info_offset.
    const LENGTH: u8 = 0x66;

    /// A bzImage of one setup sector around `payload`, whose header ends before its last field.
    fn bzimage(payload: &[u8], size: u32) -> Vec<u8> {
        let header = setup_header {
            setup_sects: 1,
            jump: u16::from_le_bytes([0xeb, LENGTH]),
            header: MAGIC,
            version: 0x20f,
            kernel_version: 0x180,
            payload_length: payload.len() as u32 + 4,
            kernel_info_offset: 0xc0de,
            ..setup_header::default()
        };
        let mut image = vec![0; 1024];
        image[SETUP_HEADER..][..size_of::<setup_header>()].copy_from_slice(header.as_slice());
        image[0x380..0x390].copy_from_slice(b"6.1.0-x (someone");
        image.extend(payload);
        image.extend(size.to_le_bytes());
        image
    }

    #[test]
    fn a_header_is_read() {
        let image = bzimage(b"abc", 99);
        let header = Header::parse(&image).unwrap();
        assert_eq!(
            (header.release.as_str(), header.payload.len(), header.unpacked_size),
            ("6.1.0-x", 7, 99)
        );
        let (version, beyond) = (header.setup.version, header.setup.kernel_info_offset);
        assert_eq!((version, beyond), (0x20f, 0), "code after the header is none of it");
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
