//! A disk for BIOS and UEFI, with the options in a text file on a FAT volume.
//!
//! GPT has two partitions: GRUB's, which the boot sector starts, and UEFI's, which both read the
//! options from.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::{GptConfig, partition_types};

use super::grub::{self, Start};
use super::{efi, fat, qcow2, vhd};
use crate::vmm::Unavailable;

/// Bytes of the disk. Azure wants a multiple of 1 MiB, and VHD a product of [`vhd::GEOMETRY`].
pub const SIZE: usize = 17 << 20;
const SECTOR: usize = 512;
/// First sectors and lengths of the partitions. GPT has 34 sectors before them and 33 after.
const GRUB: (u64, u64) = (64, 2048 - 64);
const EFI: (u64, u64) = (2048, (SIZE / SECTOR) as u64 - 2048 - 34);
/// The file that a user can edit; `efi` has its name too.
const OPTIONS: &str = "maskmatch.txt";

/// Where GRUB's first sector has the number of the next one, to be loaded.
const BOOT_NEXT: usize = 0x5c;
/// Where it decides whether the BIOS' drive number can be trusted: two bytes that become `nop`.
const BOOT_DRIVE_CHECK: usize = 0x66;
const NOP: u8 = 0x90;
/// Where the first sector of GRUB's image has the number of the next one.
const IMAGE_NEXT: usize = 0x1f4;

/// How the file holds the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Raw,
    Qcow2,
    Vhd,
}

impl Format {
    /// By the file's ending.
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("qcow2") => Self::Qcow2,
            Some("vhd") => Self::Vhd,
            _ => Self::Raw,
        }
    }
}

/// The disk as a file of the format that the path's ending names.
///
/// # Errors
/// GRUB is missing and cannot be installed, or it fails.
pub fn file(options: &str, path: &Path) -> Result<Vec<u8>, Unavailable> {
    let failed = |error: Box<dyn Error>| Unavailable::failed("make the disk", error);
    let script = "source $prefix/maskmatch.txt\n";
    let core = grub::image(Start::Disk, "(,gpt2)", script, "$options")?;
    let disk = disk(&grub::part("boot.img")?, core, &text(options)?).map_err(failed)?;
    Ok(match Format::of(path) {
        Format::Raw => disk,
        Format::Qcow2 => qcow2::of(&disk),
        Format::Vhd => vhd::of(disk),
    })
}

/// The file with the options, which is a script of GRUB's.
fn text(options: &str) -> Result<String, Unavailable> {
    if options.contains(['\'', '\n', '\0']) {
        return Err(Unavailable::usage(
            "the options for a disk must be one line without quotes",
            "",
        ));
    }
    Ok(format!(
        "# The options of maskmatch's image, between the quotes. docs/usage.md lists them.\n\
         options='{options}'\n"
    ))
}

/// The disk's bytes.
fn disk(boot: &[u8], mut core: Vec<u8>, options: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = vec![0; SIZE];
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(Cursor::new(&mut bytes[..]), None)?;
    let parts = [("GRUB", GRUB, partition_types::BIOS), ("EFI", EFI, partition_types::EFI)];
    for (id, (name, (first, length), kind)) in (1..).zip(parts) {
        table.add_partition_at(name, id, first, length, kind, 0)?;
    }
    table.write()?;

    let mut code = [0; 440];
    code.copy_from_slice(&boot[..440]);
    code[BOOT_NEXT..][..8].copy_from_slice(&GRUB.0.to_le_bytes());
    code[BOOT_DRIVE_CHECK..][..2].fill(NOP);
    let mut record = ProtectiveMBR::with_lb_size((SIZE / SECTOR - 1) as u32);
    record.set_bootcode(code);
    bytes[..SECTOR].copy_from_slice(&record.to_bytes());

    core[IMAGE_NEXT..][..8].copy_from_slice(&(GRUB.0 + 1).to_le_bytes());
    let mut put = |(first, length): (u64, u64), content: &[u8]| {
        assert!(content.len() <= length as usize * SECTOR, "a partition is too small");
        bytes[first as usize * SECTOR..][..content.len()].copy_from_slice(content);
    };
    put(GRUB, &core);
    let files: [(&[&str], &[u8]); 2] =
        [(&efi::DEFAULT_PATH, &efi::application("")), (&[OPTIONS], options.as_bytes())];
    put(EFI, &fat::volume(EFI.1 as usize * SECTOR, &files)?);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::{EFI, GRUB, SECTOR, disk, text};
    use gpt::GptConfig;
    use gpt::disk::LogicalBlockSize;

    #[test]
    fn a_bios_finds_grub_and_uefi_the_application_and_both_the_options() {
        let mut made =
            disk(&[0x5a; 512], vec![0xa5; 600], &text("profile=quick").unwrap()).unwrap();
        assert_eq!(made[510..512], [0x55, 0xaa]);
        assert_eq!((made[0x5c], made[0x66], made[0x68]), (64, 0x90, 0x5a));
        let core = &made[GRUB.0 as usize * SECTOR..];
        assert_eq!((core[0], core[0x1f4], core[0x1fc]), (0xa5, 65, 0xa5));

        let config = GptConfig::new().logical_block_size(LogicalBlockSize::Lb512);
        let table =
            config.open_from_device(Cursor::new(&mut made[..])).expect("both tables are sound");
        assert_eq!(table.partitions().len(), 2);
        let volume = &made[EFI.0 as usize * SECTOR..][..EFI.1 as usize * SECTOR];
        let mut volume = volume.to_vec();
        let files = fatfs::FileSystem::new(Cursor::new(&mut volume), fatfs::FsOptions::new());
        let files = files.expect("a volume");
        let read = |path: &str| {
            let mut content = Vec::new();
            files.root_dir().open_file(path).unwrap().read_to_end(&mut content).unwrap();
            content
        };
        assert!(read("EFI/BOOT/BOOTX64.EFI").starts_with(b"MZ"));
        assert!(String::from_utf8(read("maskmatch.txt")).unwrap().contains("'profile=quick'"));
    }

    #[test]
    fn options_that_the_file_cannot_have_are_refused() {
        assert!(text("on='x").is_err());
        assert!(text("a\nb").is_err());
    }
}
