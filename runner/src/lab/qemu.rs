//! QEMU for the lab's initramfs: its executable, the shared libraries it loads and the firmware it
//! reads.
//!
//! Each file keeps its path, so the loader and QEMU find inside what they find here. The loader
//! itself says which libraries those are: only it knows its cache, the search paths in each
//! library, and its variants for newer processors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use object::LittleEndian;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

use super::initramfs::Extra;
use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, ask};
use crate::vmm::qemu::Qemu;

/// What QEMU reads on the pc machine before it enters a PVH kernel: firmware, a ROM that loads the
/// kernel.
const FIRMWARE: [&str; 2] = ["bios-256k.bin", "pvh.bin"];
/// The loader's cache of where the libraries are. A system may do without it.
const LOADER_CACHE: &str = "/etc/ld.so.cache";
/// How long QEMU or its loader may take to answer a question.
const LIMIT: Duration = Duration::from_secs(20);

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
    let mut libraries: BTreeSet<PathBuf> = BTreeSet::new();
    if let Some(loader) = interpreter(&elf) {
        let listed =
            answer(Command::new(&loader).arg("--list").arg(program), "list QEMU's libraries")?;
        libraries.extend(parse_list(&listed).map_err(|missing| {
            Unavailable::new(
                format!("QEMU lacks the library {missing}"),
                "apt-get install --reinstall qemu-system-x86",
            )
        })?);
        libraries.insert(loader);
    }
    let mut files = vec![extra(program, true, elf)];
    for library in &libraries {
        files.push(extra(library, true, read(library)?));
    }
    if let Ok(cache) = fs::read(LOADER_CACHE) {
        files.push(extra(Path::new(LOADER_CACHE), false, cache));
    }
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

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unavailable> {
    fs::read(path).map_err(|error| Unavailable::failed(format!("read {}", path.display()), error))
}

pub(super) fn extra(path: &Path, executable: bool, bytes: Vec<u8>) -> Extra {
    Extra { path: inside(path), executable, bytes }
}

/// The path in the archive: without leading slash, and without `..`, which QEMU has in its data
/// folders.
fn inside(path: &Path) -> String {
    let mut words: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(word) => words.push(word.to_string_lossy().into_owned()),
            Component::ParentDir => drop(words.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    words.join("/")
}

/// The loader that a dynamic executable names; `None` if it is static, or no 64-bit ELF.
fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    let header = FileHeader64::<LittleEndian>::parse(elf).ok()?;
    let segments = header.program_headers(LittleEndian, elf).ok()?;
    let segment = segments.iter().find(|segment| segment.p_type(LittleEndian) == PT_INTERP)?;
    let name = segment.data(LittleEndian, elf).ok()?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
    name.starts_with('/').then(|| name.into())
}

/// The files in the loader's list of libraries.
///
/// # Errors
/// The name of a library that the loader does not find.
pub(super) fn parse_list(list: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for line in list.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place.starts_with("not found") {
            return Err(name.into());
        }
        // The address follows. What the kernel maps by itself is no file.
        let path = place.rsplit_once(" (").map_or(place, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

/// What a program prints.
pub(super) fn answer(command: &mut Command, what: &str) -> Result<String, Unavailable> {
    let said =
        ask(command.env("LC_ALL", "C"), LIMIT).map_err(|error| Unavailable::failed(what, error))?;
    match said.ended {
        Ended::Exited(status) if status.success() => Ok(said.out),
        Ended::Exited(status) => Err(Unavailable::failed(what, status)),
        Ended::TimedOut => {
            Err(Unavailable::failed(what, format!("no end after {} s", LIMIT.as_secs())))
        }
        Ended::Stopped => Err(Unavailable::failed(what, "it was stopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRMWARE, inside, interpreter, pack, parse_list};
    use crate::vmm::qemu::{Accel, Qemu};
    use std::path::{Path, PathBuf};

    #[test]
    fn the_list_is_read() {
        let list = "\tlinux-vdso.so.1 (0x00007fea9998c000)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007fea9987b000)\n\
                    \tlibodd.so => /opt/a (b)/libodd.so (0x1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fea9998e000)\n\
                    \tstatically linked\n";
        let want = [
            "/lib/x86_64-linux-gnu/libz.so.1",
            "/opt/a (b)/libodd.so",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse_list(list), Ok(want.map(PathBuf::from).to_vec()));
        assert_eq!(parse_list("\tlibz.so.1 => not found\n"), Err("libz.so.1".into()));
    }

    #[test]
    fn paths_inside_are_plain() {
        assert_eq!(inside(Path::new("/usr/bin/../share/qemu/pvh.bin")), "usr/share/qemu/pvh.bin");
        assert_eq!(inside(Path::new("/../../etc/x")), "etc/x");
    }

    #[test]
    fn only_dynamic_executables_have_a_loader() {
        assert_eq!(interpreter(b"#!/bin/sh"), None);
        assert_eq!(interpreter(crate::payload::L1_ELF), None);
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(interpreter(&shell).is_none_or(|loader| loader.is_file()));
    }

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
