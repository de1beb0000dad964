//! A bootable CD: GRUB for a BIOS, the EFI application for UEFI.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::grub::{self, Start};
use super::{efi, fat};
use crate::debian::setup::{ISO, ensure};
use crate::vmm::Unavailable;

/// The volume for UEFI has this beside its file.
const SLACK: usize = 64 << 10;

/// Writes the ISO image to `out`.
///
/// # Errors
/// A tool is missing and cannot be installed, or it fails.
pub fn write(options: &str, out: &Path) -> Result<(), Unavailable> {
    ensure(&[ISO])?;
    let failed = |error: io::Error| Unavailable::failed("prepare the ISO image's files", error);
    let application = efi::application(options);
    let volume = fat::volume(
        (application.len() + SLACK).next_multiple_of(SLACK),
        &[(&efi::DEFAULT_PATH, &application)],
    );
    let bios = grub::image(Start::Cd, "(memdisk)", "", &grub::words(options)?)?;
    let directory = tempfile::Builder::new().prefix("maskmatch-iso-").tempdir().map_err(failed)?;
    fs::write(directory.path().join("bios.img"), bios).map_err(failed)?;
    fs::write(directory.path().join("efi.img"), volume.map_err(failed)?).map_err(failed)?;
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-V", "MASKMATCH", "-o"]).arg(out);
    command.args(["-b", "bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
    command.args(["-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"]).arg(directory.path());
    grub::run(&mut command)
}
