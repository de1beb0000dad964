//! Options of `image`.

use std::path::PathBuf;

use clap::Args;

/// Options of `image`.
#[derive(Debug, Args)]
#[group(id = "form", required = true, multiple = false)]
pub struct ImageForm {
    /// Write an ELF file, for `qemu -kernel`, GRUB's `multiboot2`, and loaders of PVH kernels.
    #[arg(long, value_name = "FILE")]
    pub elf: Option<PathBuf>,
    /// Write a bootable CD or USB image with GRUB in it.
    #[arg(long, value_name = "FILE")]
    pub iso: Option<PathBuf>,
}

/// Options of `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(flatten)]
    pub form: ImageForm,
    /// The command line that the ISO image boots with, as in `profile=quick filter=filter.basic.*
    /// serial=com2 end=reset`. docs/usage.md lists all options of the image.
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "elf")]
    pub cmdline: String,
}
