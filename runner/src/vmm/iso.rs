//! A bootable ISO image of maskmatch, for any VMM and for real machines: GRUB and the image,
//! entered by multiboot2.
//!
//! GRUB does not use the serial port, so COM1 carries only the log.

use crate::debian::setup::{self, ensure};
use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, ask, quote};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Making the image takes seconds. If it takes minutes, something is wrong.
const LIMIT: Duration = Duration::from_mins(5);

/// Writes the ISO image to `out`.
///
/// # Errors
/// A tool is missing and cannot be installed, or it fails.
pub fn write_iso(elf: &[u8], cmdline: &str, out: &Path) -> Result<(), Unavailable> {
    ensure(&[setup::ISO])?;
    let failed = |error: io::Error| Unavailable::failed("prepare the ISO image's files", error);
    let directory = tempfile::Builder::new().prefix("maskmatch-iso-").tempdir().map_err(failed)?;
    let root = directory.path();
    fs::create_dir_all(root.join("boot/grub")).map_err(failed)?;
    fs::write(root.join("boot/maskmatch.elf"), elf).map_err(failed)?;
    fs::write(root.join("boot/grub/grub.cfg"), grub_config(cmdline)?).map_err(failed)?;
    let said = ask(Command::new("grub-mkrescue").arg("-o").arg(out).arg(root), LIMIT)
        .map_err(|error| Unavailable::failed("start grub-mkrescue", error))?;
    match said.ended {
        Ended::Exited(status) if status.success() => Ok(()),
        Ended::Exited(status) => Err(Unavailable::failed(
            "make the ISO image",
            format!("grub-mkrescue ended with {status}: {}", said.err.last_line()),
        )),
        _ => Err(Unavailable::failed("make the ISO image", "grub-mkrescue does not end")),
    }
}

/// GRUB's configuration: boots at once.
fn grub_config(cmdline: &str) -> Result<String, Unavailable> {
    if cmdline.contains(['\n', '\0']) {
        return Err(Unavailable::new("a command line for GRUB must be one line", ""));
    }
    // Word by word: GRUB puts its own quotes around an argument with a space in it.
    let words: Vec<String> = cmdline.split_whitespace().map(quote).collect();
    let arguments = words.join(" ");
    Ok(format!(
        "set timeout=0\n\
         terminal_input console\n\
         terminal_output console\n\
         menuentry maskmatch {{\n\
         \tmultiboot2 /boot/maskmatch.elf {arguments}\n\
         \tboot\n\
         }}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::grub_config;

    #[test]
    fn the_command_line_reaches_grub_word_by_word() {
        let config = grub_config("filter=a.*  profile=quick; x").unwrap();
        assert!(
            config.contains("multiboot2 /boot/maskmatch.elf 'filter=a.*' 'profile=quick;' x\n")
        );
        assert!(config.contains("timeout=0"));
        assert!(!config.contains("serial"));
        assert!(grub_config("a\nboot").is_err());
    }
}
