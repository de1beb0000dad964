//! The machine that Xen is entered in, as a multiboot2 loader leaves it.
//!
//! | address | what |
//! |---|---|
//! | 0xf_8000, in the ROM | ACPI tables |
//! | 0x10_1000 | the multiboot2 information |
//! | as in the file, 2 MiB | Xen |
//! | the next 2 MiB after it | the first domain's kernel, then its module: what the guest is to run |

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::acpi;
use crate::payload;
use crate::vmm::bochs::machine::{LOWEST_BLOB, Machine, Serial};
use crate::vmm::bochs::rom::{Entry, TABLES};
use crate::vmm::elf::Image;
use crate::vmm::{Unavailable, multiboot2_info};

/// RAM of the machine.
const MEMORY_MIB: u32 = 192;
/// Instructions a second for Xen's clocks. The fewer, the more of them go by between two
/// interrupts of its timer, and the less it waits for devices.
const IPS: u32 = 10_000_000;
/// Xen drops the first word. No BIOS is there to be called, and no one reads a countdown. Bochs'
/// APIC virtualization fails VM entries from 3.0 on.
const COMMAND_LINE: &str = "xen console=com1 com1=115200,8n1 no-real-mode noreboot loglvl=warning guest_loglvl=warning \
                            dom0_mem=64M smt=0 spec-ctrl=no xpti=no apicv=off";
/// Modules begin at a multiple of this after Xen.
const ALIGN: u64 = 2 << 20;
const PAGE: u64 = 4096;
/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// More than any Xen unpacks to.
const LIMIT: u64 = 64 << 20;

/// What the first domain is to do.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The image's command line.
    pub line: &'a str,
    /// Whether each group has a domain of its own.
    pub isolate: bool,
    /// The guest's memory.
    pub memory_mib: u32,
}

/// Reads Xen's file, which may be packed.
pub fn read(path: &Path) -> Result<Vec<u8>, Unavailable> {
    let wrong = |why: String| {
        Unavailable::new(
            format!("{} cannot be booted: {why}", path.display()),
            "give --xen-image Xen's own xen or xen.gz",
        )
    };
    let mut file = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    if file.starts_with(&GZIP) {
        let mut unpacked = Vec::new();
        let read = GzDecoder::new(&file[..]).take(LIMIT).read_to_end(&mut unpacked);
        read.map_err(|error| wrong(error.to_string()))?;
        file = unpacked;
    }
    Image::parse_32(&file).map_err(wrong)?;
    Ok(file)
}

/// The machine for a Xen that [`read`] took.
pub fn machine(xen: &[u8], options: &str, job: &Job<'_>) -> Result<Machine, Unavailable> {
    let xen = Image::parse_32(xen).map_err(|why| Unavailable::new(why, ""))?;
    let (start, end) = xen.span().unwrap_or_default();
    let kernel = end.next_multiple_of(ALIGN);
    let module = module(job)?;
    let work = (kernel + payload::DOM0_ELF.len() as u64).next_multiple_of(PAGE);
    let modules =
        [kernel..kernel + payload::DOM0_ELF.len() as u64, work..work + module.len() as u64];
    let info = multiboot2_info::build(&format!("{COMMAND_LINE} {options}"), MEMORY_MIB, &modules);
    // Xen clears what its file does not have.
    let file = xen.segments.first().map_or(&[][..], |segment| segment.bytes);
    Ok(Machine {
        memory_mib: MEMORY_MIB,
        processors: 1,
        ips: IPS,
        blobs: vec![
            (LOWEST_BLOB, info),
            (start, file.to_vec()),
            (kernel, payload::DOM0_ELF.to_vec()),
            (work, module),
        ],
        entry: Entry::Multiboot2 { entry: xen.entry, info: LOWEST_BLOB },
        serial: Serial::PortE9,
        tables: acpi::tables(TABLES),
    })
}

/// What the first domain reads: lines of KEY=VALUE and a zero, then the image's bytes.
fn module(Job { line, isolate, memory_mib }: &Job<'_>) -> Result<Vec<u8>, Unavailable> {
    let image = Image::parse(payload::L1_ELF)?;
    let (address, _) = image.span().unwrap_or_default();
    let mut bytes = image.flatten(0);
    // Memory that Xen gives is zero.
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    let entry = image.entry;
    let text = format!(
        "image={line}\nisolate={isolate}\nmemory_mib={memory_mib}\naddress={address}\nentry={entry}\n\0"
    );
    Ok([text.into_bytes(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::{Job, machine, module, read};
    use std::io::Write;

    /// An ELF32 file with one segment at 2 MiB.
    fn xen() -> Vec<u8> {
        let mut file = b"\x7fELF\x01\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2, 0, 3, 0, 1, 0, 0, 0]);
        for word in [0x20_0000u32, 52, 0, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        for word in [1u32, 84, 0x20_0000, 0x20_0000, 4, 0x30_0000, 7, 1] {
            file.extend(word.to_le_bytes());
        }
        file.extend(b"code");
        file
    }

    #[test]
    fn modules_lie_after_what_xen_clears() {
        let job = Job { line: "profile=quick", isolate: false, memory_mib: 4 };
        let machine = machine(&xen(), "vpid=0", &job).unwrap();
        let at: Vec<u64> = machine.blobs.iter().map(|(at, _)| *at).collect();
        assert_eq!(at[..3], [0x10_1000, 0x20_0000, 0x60_0000]);
        assert_eq!(machine.blobs[1].1, b"code");
        let info = String::from_utf8_lossy(&machine.blobs[0].1).into_owned();
        assert!(info.contains("apicv=off vpid=0\0"));
    }

    #[test]
    fn a_module_is_text_and_the_image() {
        let module = module(&Job { line: "profile=quick", isolate: true, memory_mib: 8 }).unwrap();
        let text = b"image=profile=quick\nisolate=true\nmemory_mib=8\naddress=2097152\nentry=";
        assert!(module.starts_with(text));
        let image = module.iter().position(|byte| *byte == 0).unwrap() + 1;
        assert!(module[image..].starts_with(b"\x7fELF") && module.last() != Some(&0));
    }

    #[test]
    fn files_may_be_packed_and_others_are_sentences() {
        let mut packed = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&xen()).unwrap();
        packed.write_all(&encoder.finish().unwrap()).unwrap();
        assert_eq!(read(packed.path()).unwrap(), xen());
        let mut other = tempfile::NamedTempFile::new().unwrap();
        other.write_all(b"no Xen").unwrap();
        assert!(read(other.path()).unwrap_err().why.contains("cannot be booted"));
        assert!(read("/nowhere".as_ref()).is_err());
    }
}
