//! The boot ROM as Bochs loads it, and the parameter block that the runner gives it.
//!
//! The block lies at the start of the blob that Bochs puts into RAM at 1 MiB; the layout is
//! documented in the ROM's source, and the ROM's own header says which address and mark it was
//! built for.

use crate::vmm::Unavailable;
use crate::vmm::elf::Image;

/// The size of the image, which ends at 1 MiB.
pub const ROM_SIZE: usize = 0x1_0000;
/// Where the blob starts, with the parameter block.
pub const BLOB_ADDRESS: u64 = 0x10_0000;
/// The first line on port 0xe9: what the guest itself writes there follows.
pub const STARTED: &[u8] = b"maskmatch-rom: started\n";
/// The ROM's word for a damaged blob.
pub const DAMAGED: &[u8] = b"maskmatch-rom: damaged\n";

const ROM_ADDRESS: u64 = 0xf_0000;
/// Where ACPI tables begin, in the part of memory where their root is looked for.
pub const TABLES: u64 = 0xf_8000;
const HEADER: usize = 0xffe0;
const RESET_VECTOR: usize = 0xfff0;
const MAGIC: [u8; 4] = *b"MMRP";
const END_MARK: [u8; 4] = *b"MMRE";
/// What is between the ROM's parts: `hlt`.
const FILL: u8 = 0xf4;

/// How the ROM hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As a multiboot2 loader: 32-bit protected mode, EBX = `info`.
    Multiboot2 {
        /// Physical address of the first instruction.
        entry: u64,
        /// Physical address of the multiboot2 information.
        info: u64,
    },
    /// By Linux' 64-bit boot protocol: long mode, RSI = `boot_params`. The ROM's page tables are at
    /// 0x1000 to 0x6fff.
    Linux64 {
        /// Physical address of `startup_64`.
        entry: u64,
        /// Physical address of the zero page.
        boot_params: u64,
    },
}

/// Makes the 64 KiB image of the ROM's ELF file.
///
/// # Errors
/// This code does not understand the ROM in the file.
pub fn rom_image(elf: &[u8]) -> Result<Vec<u8>, Unavailable> {
    let wrong = |what: &str| {
        Unavailable::new(format!("the boot ROM in this executable is unusable: {what}"), "")
    };
    let image = Image::parse(elf)?;
    let Some((start, end)) = image.span() else { return Err(wrong("it is empty")) };
    if start < ROM_ADDRESS || end > ROM_ADDRESS + ROM_SIZE as u64 {
        return Err(wrong("it lies outside the 64 KiB below 1 MiB"));
    }
    let mut rom = vec![FILL; ROM_SIZE];
    let at = (start - ROM_ADDRESS) as usize;
    let flat = image.flatten(FILL);
    rom[at..at + flat.len()].copy_from_slice(&flat);
    if rom[HEADER..HEADER + 4] != MAGIC
        || rom[HEADER + 4..HEADER + 8] != (BLOB_ADDRESS as u32).to_le_bytes()
    {
        return Err(wrong("its header names another parameter block"));
    }
    if rom[RESET_VECTOR] != 0xea {
        return Err(wrong("there is no far jump at the reset vector"));
    }
    Ok(rom)
}

/// The parameter block, for a blob that ends at `end`.
pub fn parameters(entry: Entry, end: u32) -> Vec<u8> {
    let (kind, address, argument) = match entry {
        Entry::Multiboot2 { entry, info } => (1, entry, info),
        Entry::Linux64 { entry, boot_params } => (2, entry, boot_params),
    };
    let mut block = MAGIC.to_vec();
    for word in [kind, address as u32, argument as u32, end] {
        block.extend(word.to_le_bytes());
    }
    block
}

/// The image with ACPI tables in it, which it has room for.
pub fn with_tables(rom: &[u8], tables: &[u8]) -> Vec<u8> {
    let (mut image, at) = (rom.to_vec(), (TABLES - ROM_ADDRESS) as usize);
    image[at..at + tables.len()].copy_from_slice(tables);
    image
}

/// What the blob's last bytes must be.
pub const fn end_mark() -> [u8; 4] {
    END_MARK
}

#[cfg(test)]
mod tests {
    use super::{Entry, HEADER, RESET_VECTOR, ROM_SIZE, parameters, rom_image};
    use crate::payload;
    use crate::vmm::elf::tests::file;

    #[test]
    fn the_reset_vector_jumps_into_segment_f000() {
        let rom = rom_image(payload::ROM_ELF).unwrap();
        assert_eq!(rom.len(), ROM_SIZE);
        let [opcode, low, high, segment_low, segment_high] = rom[RESET_VECTOR..RESET_VECTOR + 5]
        else {
            unreachable!("the slice has five bytes")
        };
        assert_eq!((opcode, segment_low, segment_high), (0xea, 0x00, 0xf0));
        let target = usize::from(u16::from_le_bytes([low, high]));
        assert_eq!(rom[target], 0xfa, "the first instruction is cli");
        assert!(target < HEADER);
    }

    #[test]
    fn other_files_are_no_rom() {
        assert!(rom_image(b"").is_err());
        assert!(rom_image(&file(0x20_0000, 0x20_0000, b"abc", 3)).is_err(), "elsewhere");
        assert!(
            rom_image(&file(0xf_0000, 0xf_0000, &vec![0; 0x1_0000], 0x1_0000)).is_err(),
            "no header"
        );
        assert!(
            rom_image(&file(0xf_0000, 0xf_0000, &vec![0; 0x1_0000], 0x1_0001)).is_err(),
            "too large"
        );
    }

    #[test]
    fn the_parameter_block_is_five_words() {
        let block =
            parameters(Entry::Linux64 { entry: 0x100_0000, boot_params: 0x11_0000 }, 0x200_0000);
        assert_eq!(block, *b"MMRP\x02\0\0\0\0\0\0\x01\0\0\x11\0\0\0\0\x02");
    }
}
