//! QEMU for the lab's initramfs: its executable, the shared libraries it loads and the firmware it
//! reads. Each file keeps its path.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::initramfs::Extra;
use super::libraries::{answer, extra, inside, libraries, read};
use crate::vmm::Unavailable;
use crate::vmm::qemu::Qemu;

/// What QEMU reads on the pc machine before it enters a PVH kernel: firmware, a ROM that loads the
/// kernel.
const FIRMWARE: [&str; 2] = ["bios-256k.bin", "pvh.bin"];

/// QEMU, ready to be packed into the initramfs.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its version.
    pub version: String,
    /// Its path, here and inside.
    pub program: String,
    /// The program and all that it needs.
    pub files: Vec<Extra>,
}

/// Collects what this QEMU needs inside.
///
/// # Errors
/// A file is missing or cannot be read, or QEMU or its loader does not say which.
pub fn pack(qemu: &Qemu) -> Result<Packed, Unavailable> {
    // QEMU looks for its data from where it really is.
    let program = &fs::canonicalize(qemu.program())
        .map_err(|error| Unavailable::failed("find QEMU", error))?;
    let elf = read(program)?;
    let mut files = libraries(program, &elf, "apt-get install --reinstall qemu-system-x86")?;
    files.push(extra(program, true, elf));
    let folders =
        answer(Command::new(program).args(["-L", "help"]), "ask QEMU for its data folders")?;
    for name in FIRMWARE {
        let found = folders
            .lines()
            .map(|folder| Path::new(folder.trim()).join(name))
            .find(|path| path.is_file());
        let path = found.ok_or_else(|| {
            Unavailable::new(
                format!("QEMU's {name} is missing"),
                "apt-get install --reinstall qemu-system-data seabios",
            )
        })?;
        files.push(extra(&path, false, read(&path)?));
    }
    Ok(Packed { version: qemu.version().into(), program: format!("/{}", inside(program)), files })
}

#[cfg(test)]
mod tests {
    use super::{FIRMWARE, pack};
    use crate::vmm::qemu::{Accel, Qemu};

    /// On a machine that has QEMU: the closure holds its loader, its libraries and the firmware.
    #[test]
    fn what_qemu_needs_is_complete() {
        let Ok(qemu) = Qemu::find(Accel::Tcg) else { return };
        let packed = pack(&qemu).unwrap();
        let has = |end: &str| {
            packed.files.iter().any(|file| file.path.ends_with(end) && !file.bytes.is_empty())
        };
        for name in
            FIRMWARE.into_iter().chain(["qemu-system-x86_64", "libc.so.6", "ld-linux-x86-64.so.2"])
        {
            assert!(has(name), "{name}");
        }
        assert!(
            packed
                .files
                .iter()
                .all(|file| !file.path.starts_with('/') && !file.path.contains(".."))
        );
    }
}
