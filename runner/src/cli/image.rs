//! Options of `image`.

use std::path::PathBuf;

use clap::Args;

/// What `image` writes.
#[derive(Debug, Args)]
#[group(id = "form", required = true, multiple = false)]
pub struct ImageForm {
    /// Write an ELF file, for `qemu -kernel`, GRUB's `multiboot2`, and loaders of PVH kernels.
    #[arg(long, value_name = "FILE")]
    pub elf: Option<PathBuf>,
    /// Write an EFI application for UEFI, by any way that it starts one: a disk, a shell, PXE.
    #[arg(long, value_name = "FILE")]
    pub efi: Option<PathBuf>,
    /// Write a bootable CD for BIOS and UEFI.
    #[arg(long, value_name = "FILE")]
    pub iso: Option<PathBuf>,
    /// Write a disk for BIOS and UEFI, or a USB stick, with the options in a text file on it. FILE's
    /// ending chooses the format: `.qcow2`, `.vhd` (fixed), else raw.
    #[arg(long, value_name = "FILE")]
    pub disk: Option<PathBuf>,
    /// Write what a BIOS boots by PXE.
    #[arg(long, value_name = "FILE")]
    pub pxe: Option<PathBuf>,
    /// Write the ELF file and a script that boots it from a running Linux, by kexec.
    #[arg(long, value_name = "DIR")]
    pub kexec: Option<PathBuf>,
}

/// Options of `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(flatten)]
    pub form: ImageForm,
    /// The options that the image boots with, as in `profile=quick filter=filter.basic.*
    /// serial=com2 end=reset`. docs/usage.md lists them all.
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "elf")]
    pub cmdline: String,
}
