//! `image`: the test image as a file, for any VMM and for bare metal.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use spec::catalogue::options::Options;

use crate::cli::ImageArgs;
use crate::interrupt;
use crate::media::grub::{self, Start};
use crate::media::{disk, efi, iso, kexec};
use crate::output::remark;
use crate::payload;
use crate::request::check_exclusions;
use crate::verdict::exit_code::{Exit, Stop};
use crate::vmm::Unavailable;

/// Writes the image.
///
/// # Errors
/// The image does not take the command line, the file cannot be written, or a tool is missing.
pub fn image(arguments: &ImageArgs) -> Result<Exit, Stop> {
    let options = Options::parse(&arguments.cmdline).map_err(|bad| Stop::usage(bad.to_string()))?;
    check_exclusions(options.exclude)?;
    interrupt::watch()
        .map_err(|error| Stop::from(Unavailable::failed("watch for signals", error)))?;
    let options = arguments.cmdline.as_str();
    let form = &arguments.form;
    let path = if let Some(path) = &form.elf {
        save(path, || Ok(payload::L1_ELF.into()))?
    } else if let Some(path) = &form.efi {
        save(path, || Ok(efi::application(options)))?
    } else if let Some(path) = &form.iso {
        // Reports an error of the file itself before it looks for tools.
        File::create(path).map_err(|error| Stop::file("write", path, &error))?;
        iso::write(options, path)?;
        path
    } else if let Some(path) = &form.disk {
        save(path, || disk::file(options, path))?
    } else if let Some(path) = &form.pxe {
        save(path, || grub::image(Start::Network, "(memdisk)", "", &grub::words(options)?))?
    } else if let Some(folder) = &form.kexec {
        kexec::write(options, folder).map_err(|error| Stop::file("write", folder, &error))?;
        folder
    } else {
        return Err(Stop::usage("say what to write: --elf FILE, or one of the other forms"));
    };
    remark(&format!("wrote {}; its log comes out of the first serial port (COM1)", path.display()));
    Ok(Exit::Pass)
}

/// Writes a file, which is tried before its content is made.
fn save(
    path: &Path,
    content: impl FnOnce() -> Result<Vec<u8>, Unavailable>,
) -> Result<&Path, Stop> {
    let failed = |error: io::Error| Stop::file("write", path, &error);
    let mut file = File::create(path).map_err(failed)?;
    file.write_all(&content()?).map_err(failed)?;
    Ok(path)
}
