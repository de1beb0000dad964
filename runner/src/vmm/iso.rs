//! A bootable ISO image of maskmatch, for any VMM and for real machines: GRUB and the image, entered by
//! multiboot2.
//!
//! GRUB keeps off the serial port, so that COM1 carries the log alone.

use crate::debian::setup::{self, ensure};
use crate::vmm::Flow;
use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, Tail, quote, run};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Takes seconds; something is wrong if it takes minutes.
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
    let mut said = Tail::default();
    let mut command = Command::new("grub-mkrescue");
    command.arg("-o").arg(out).arg(root);
    let ended = run(&mut command, Vec::new(), LIMIT, &mut |_, bytes| {
        said.add(bytes);
        Flow::Continue
    });
    match ended {
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(Unavailable::failed(
            "make the ISO image",
            format!("grub-mkrescue ended with {status}: {}", said.last_line()),
        )),
        Ok(_) => Err(Unavailable::failed("make the ISO image", "grub-mkrescue does not end")),
        Err(error) => Err(Unavailable::failed("start grub-mkrescue", error)),
    }
}

/// GRUB's configuration: boots at once.
fn grub_config(cmdline: &str) -> Result<String, Unavailable> {
    if cmdline.contains(['\n', '\0']) {
        return Err(Unavailable::new("a command line for GRUB must be one line", ""));
    }
    // Word by word: GRUB puts quotes of its own around an argument that has a space in it.
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
        assert!(config.contains("multiboot2 /boot/maskmatch.elf 'filter=a.*' 'profile=quick;' x\n"));
        assert!(config.contains("timeout=0"));
        assert!(!config.contains("serial"));
        assert!(grub_config("a\nboot").is_err());
    }
}
