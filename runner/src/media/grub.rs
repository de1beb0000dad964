//! GRUB for a BIOS, with the image in it: one file, which `grub-mkimage` makes.
//!
//! GRUB does not use the serial port, so COM1 carries only the log.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cpio::newc::{Builder, trailer};

use crate::debian::setup::{GRUB, ensure};
use crate::payload::L1_ELF;
use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, ask, quote_words};

/// GRUB's parts for a BIOS.
pub const FOLDER: &str = "/usr/lib/grub/i386-pc";
/// Making a file takes a second. If it takes minutes, something is wrong.
const LIMIT: Duration = Duration::from_mins(5);
/// What a file has in any case: it boots the image from an archive in memory.
const MODULES: [&str; 4] = ["memdisk", "newc", "normal", "multiboot2"];
/// What finds the options on a disk.
const DISK_MODULES: [&str; 4] = ["biosdisk", "part_gpt", "fat", "configfile"];

/// How a BIOS starts it, by GRUB's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From a disk, by the boot sector.
    Disk,
    /// From a CD.
    Cd,
    /// From the network, by PXE.
    Network,
}

/// GRUB with the image. `options` is a line of GRUB's script, before which `first` runs. `prefix` is
/// where GRUB looks for files.
///
/// # Errors
/// GRUB is missing and cannot be installed, or it fails.
pub fn image(
    start: Start,
    prefix: &str,
    first: &str,
    options: &str,
) -> Result<Vec<u8>, Unavailable> {
    ensure(&[GRUB])?;
    let failed = |error: io::Error| Unavailable::failed("prepare GRUB's files", error);
    let directory = tempfile::Builder::new().prefix("maskmatch-grub-").tempdir().map_err(failed)?;
    let path = |name: &str| directory.path().join(name);
    let script = format!("{first}multiboot2 (memdisk)/maskmatch.elf {options}\nboot\n");
    let files: [(&str, &[u8]); 2] = [("maskmatch.elf", L1_ELF), ("boot.cfg", script.as_bytes())];
    fs::write(path("archive"), archive(&files).map_err(failed)?).map_err(failed)?;
    fs::write(path("early.cfg"), "normal (memdisk)/boot.cfg\n").map_err(failed)?;
    let (format, modules) = match start {
        Start::Disk => ("i386-pc", &DISK_MODULES[..]),
        Start::Cd => ("i386-pc-eltorito", &[][..]),
        Start::Network => ("i386-pc-pxe", &[][..]),
    };
    let mut command = Command::new("grub-mkimage");
    command.current_dir(directory.path()).args(["-d", FOLDER, "-O", format, "-o", "out"]);
    command.args(["-c", "early.cfg", "-m", "archive", "-p", prefix]).args(MODULES).args(modules);
    run(&mut command)?;
    fs::read(path("out")).map_err(failed)
}

/// The options as GRUB's script has them.
///
/// # Errors
/// They are more than a line.
pub fn words(options: &str) -> Result<String, Unavailable> {
    if options.contains(['\n', '\0']) {
        return Err(Unavailable::usage("a command line for GRUB must be one line", ""));
    }
    // Word by word: GRUB puts its own quotes around an argument with a space in it.
    Ok(quote_words(options))
}

/// Runs a tool that makes a file.
///
/// # Errors
/// It cannot be started, fails, or does not end.
pub fn run(command: &mut Command) -> Result<(), Unavailable> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said =
        ask(command, LIMIT).map_err(|error| Unavailable::failed(format!("start {name}"), error))?;
    let why = match said.ended {
        Ended::Exited(status) if status.success() => return Ok(()),
        Ended::Exited(status) => format!("{name} ended with {status}: {}", said.err.last_line()),
        _ => format!("{name} does not end"),
    };
    Err(Unavailable::failed("make the image", why))
}

/// An archive that GRUB reads.
fn archive(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let entry = Builder::new(name).mode(0o100_644);
        let mut writer = entry.write(&mut archive, content.len() as u32);
        io::Write::write_all(&mut writer, content)?;
        writer.finish()?;
    }
    trailer(archive)
}

/// A file of GRUB's.
///
/// # Errors
/// It cannot be read.
pub fn part(name: &str) -> Result<Vec<u8>, Unavailable> {
    let path = Path::new(FOLDER).join(name);
    fs::read(&path).map_err(|error| Unavailable::failed(format!("read {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_command_line_reaches_grub_word_by_word() {
        assert_eq!(
            words("filter=a.*  profile=quick; x").unwrap(),
            "'filter=a.*' 'profile=quick;' x"
        );
        assert!(words("a\nboot").is_err());
    }
}
