//! What Bochs is to boot: the guest's RAM as it is at reset, and where to enter it.

use crate::vmm::bochs::rom::{BLOB_ADDRESS, Entry, end_mark, parameters};
use crate::vmm::elf::Image;
use crate::vmm::{Boot, Unavailable, multiboot2_info};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The lowest address that a blob may have: below it lies the ROM's parameter block.
pub const LOWEST_BLOB: u64 = BLOB_ADDRESS + PAGE;

const PAGE: u64 = 4096;

/// Bochs' smallest. The emulated UART needs a fixed time for a character, which is `ips / 11520`
/// instructions. The fewer, the cheaper the log.
const IPS: u32 = 1_000_000;

/// Where an image's multiboot2 information is put: after the ROM's parameter block, below the
/// image.
const INFO_ADDRESS: u64 = 0x10_1000;

/// Which of the guest's ports is its serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// COM1 at 0x3f8, with the time that a real one takes.
    Com1,
    /// Port 0xe9: a character costs the guest one `out`. What comes on COM1 then is
    /// [`crate::vmm::Sink::console`]'s.
    PortE9,
}

/// A machine to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The guest's RAM.
    pub memory_mib: u32,
    /// Its processors. All except one wait for SIPI.
    pub processors: u32,
    /// How many instructions are a second for the guest's clocks. Bochs takes at least 1,000,000.
    pub ips: u32,
    /// What is in RAM at reset: physical address, at least [`LOWEST_BLOB`], and content. Blobs do
    /// not overlap.
    pub blobs: Vec<(u64, Vec<u8>)>,
    /// Where it starts.
    pub entry: Entry,
    /// What the sink gets.
    pub serial: Serial,
    /// ACPI tables, if it has any, as they are from [`TABLES`](super::rom::TABLES) on.
    pub tables: Vec<u8>,
}

impl Machine {
    /// The machine that a multiboot2 image boots in.
    ///
    /// # Errors
    /// The image is none.
    pub fn of_image(boot: &Boot) -> Result<Self, Unavailable> {
        let image = Image::parse(boot.elf)?;
        let Some((start, _)) = image.span() else {
            return Err(Unavailable::new("the ELF image has nothing to load", ""));
        };
        Ok(Self {
            memory_mib: boot.memory_mib,
            processors: boot.processors,
            ips: IPS,
            blobs: vec![
                (INFO_ADDRESS, multiboot2_info::build(boot.cmdline, boot.memory_mib, &[])),
                (start, image.flatten(0)),
            ],
            entry: Entry::Multiboot2 { entry: image.entry, info: INFO_ADDRESS },
            serial: Serial::Com1,
            tables: Vec::new(),
        })
    }

    /// Writes the file that Bochs loads at [`BLOB_ADDRESS`]: one piece with holes between the
    /// blobs, since Bochs loads only one piece correctly.
    ///
    /// # Errors
    /// The blobs do not fit the memory or each other; or, in the inner result, the file cannot be
    /// written.
    pub fn write_ram(&self, file: &File) -> Result<io::Result<()>, Unavailable> {
        let end = self.end()?;
        let write = || -> io::Result<()> {
            file.write_all_at(&parameters(self.entry, end as u32), 0)?;
            for (address, bytes) in &self.blobs {
                file.write_all_at(bytes, address - BLOB_ADDRESS)?;
            }
            let mark = end_mark();
            file.write_all_at(&mark, end - BLOB_ADDRESS - mark.len() as u64)
        };
        Ok(write())
    }

    /// Checks the blobs. Returns the first address after all of them and the end mark,
    /// page-aligned.
    fn end(&self) -> Result<u64, Unavailable> {
        let wrong = |what: String| Unavailable::new(what, "");
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (address, bytes) in &self.blobs {
            let end = address
                .checked_add(bytes.len() as u64)
                .ok_or_else(|| wrong("a blob wraps around".into()))?;
            ranges.push((*address, end));
        }
        ranges.sort_unstable();
        let mut free_from = LOWEST_BLOB;
        for (start, end) in ranges {
            if start < free_from {
                return Err(wrong(format!(
                    "what is at {start:#x} overlaps what ends at {free_from:#x}"
                )));
            }
            free_from = end;
        }
        // The mark needs its own space.
        let end = (free_from + end_mark().len() as u64).next_multiple_of(PAGE);
        let memory = u64::from(self.memory_mib) << 20;
        if end > memory || end > u64::from(u32::MAX) {
            return Err(wrong(format!(
                "the image ends at {end:#x}, the guest's memory at {memory:#x}"
            )));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Machine, Serial};
    use std::io::Read;

    fn machine(blobs: &[(u64, &[u8])]) -> Machine {
        Machine {
            memory_mib: 4,
            processors: 1,
            ips: 1_000_000,
            blobs: blobs.iter().map(|(address, bytes)| (*address, bytes.to_vec())).collect(),
            entry: Entry::Multiboot2 { entry: 0x20_0000, info: 0x10_1000 },
            serial: Serial::Com1,
            tables: Vec::new(),
        }
    }

    #[test]
    fn the_ram_file_has_each_blob_at_its_place_and_the_mark_at_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        machine(&[(0x20_0000, b"code"), (0x10_1000, b"info")]).write_ram(&file).unwrap().unwrap();
        let mut ram = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut ram).unwrap();
        assert_eq!(ram.len(), 0x10_1000);
        assert_eq!(&ram[..4], b"MMRP");
        assert_eq!(&ram[0x1000..0x1004], b"info");
        assert_eq!(&ram[0x10_0000..0x10_0004], b"code");
        assert_eq!(&ram[0x10_0ffc..], b"MMRE");
        assert_eq!(
            ram[16..20],
            0x20_1000u32.to_le_bytes(),
            "the end that the ROM touches pages up to"
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ends_at = |blobs: &[(u64, &[u8])]| machine(blobs).end().ok();
        assert_eq!(
            ends_at(&[(0x20_0000, &[1; 4096])]),
            Some(0x20_2000),
            "the mark gets a page of its own"
        );
        assert_eq!(ends_at(&[(0x10_0800, b"in the parameter block")]), None);
        assert_eq!(ends_at(&[(0x20_0000, b"abc"), (0x20_0002, b"abc")]), None, "overlap");
        assert_eq!(ends_at(&[(0x40_0000, b"above 4 MiB")]), None);
        assert_eq!(ends_at(&[(u64::MAX, b"wraps")]), None);
    }
}
