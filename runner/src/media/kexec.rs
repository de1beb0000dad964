//! The way from a running Linux into the image.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::payload::L1_ELF;
use crate::vmm::process::quote_words;

/// Writes the image and a script that boots it into a folder, which is made if it is not there.
///
/// # Errors
/// They cannot be written.
pub fn write(options: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("maskmatch.elf"), L1_ELF)?;
    let path = folder.join("kexec.sh");
    fs::write(&path, script(options))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))
}

fn script(options: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Leaves this Linux for maskmatch's image at once: what runs is not stopped, and nothing but\n\
         # this machine's reset brings it back. The log comes out of the first serial port (COM1).\n\
         # It needs root and Debian's kexec-tools. A kernel under lockdown (Secure Boot) refuses it.\n\
         # Options of the image can be given in place of those below.\n\
         set -e\n\
         cd \"$(dirname \"$0\")\"\n\
         [ $# -gt 0 ] || set -- {}\n\
         kexec --load --type=multiboot2-x86 --command-line=\"$*\" maskmatch.elf\n\
         sync\n\
         kexec --exec\n",
        quote_words(options)
    )
}

#[cfg(test)]
mod tests {
    use super::script;
    use crate::payload::L1_ELF;
    use crate::vmm::elf::Image;

    #[test]
    fn kexec_takes_the_segments() {
        let segments = Image::parse(L1_ELF).unwrap().segments;
        assert!(segments.iter().all(|segment| segment.address % 4096 == 0));
    }

    #[test]
    fn the_options_are_words_of_a_shell() {
        assert!(script("filter=a.*  x").contains("set -- 'filter=a.*' x\n"));
    }
}
