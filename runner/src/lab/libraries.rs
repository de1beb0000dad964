//! The shared libraries of a program that goes into the lab's initramfs.
//!
//! Each file keeps its path, so the loader finds inside what it finds here. The loader itself says
//! which libraries those are: only it knows its cache, the search paths in each library, and its
//! variants for newer processors.

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

/// The loader's cache of where the libraries are. A system may do without it.
const LOADER_CACHE: &str = "/etc/ld.so.cache";
/// How long a program may take to answer a question.
const LIMIT: Duration = Duration::from_secs(20);

/// The loader and all libraries of a program; nothing if it is static. `mend` says what to do if one
/// is missing.
///
/// # Errors
/// A file is missing or cannot be read, or the loader does not say which they are.
pub fn libraries(program: &Path, elf: &[u8], mend: &str) -> Result<Vec<Extra>, Unavailable> {
    let Some(loader) = interpreter(elf) else { return Ok(Vec::new()) };
    let what = format!("list the libraries of {}", program.display());
    let listed = answer(Command::new(&loader).arg("--list").arg(program), &what)?;
    let listed = parse_list(&listed).map_err(|missing| {
        Unavailable::new(format!("{} lacks the library {missing}", program.display()), mend)
    })?;
    let paths: BTreeSet<PathBuf> = listed.into_iter().chain([loader]).collect();
    let files = paths.iter().map(|path| Ok(extra(path, true, read(path)?)));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    if let Ok(cache) = fs::read(LOADER_CACHE) {
        files.push(extra(Path::new(LOADER_CACHE), false, cache));
    }
    Ok(files)
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unavailable> {
    fs::read(path).map_err(|error| Unavailable::failed(format!("read {}", path.display()), error))
}

/// A file of the archive.
pub(super) fn extra(path: &Path, executable: bool, bytes: Vec<u8>) -> Extra {
    Extra { path: inside(path), executable, bytes }
}

/// The path in the archive: without leading slash, and without `..`, which QEMU has in its data
/// folders.
pub(super) fn inside(path: &Path) -> String {
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
    use super::{inside, interpreter, libraries, parse_list};
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

    #[test]
    fn a_dynamic_program_brings_its_loader_and_libc() {
        let env = Path::new("/usr/bin/env");
        let files = libraries(env, &std::fs::read(env).unwrap(), "").unwrap();
        for name in ["ld-linux-x86-64.so.2", "libc.so.6"] {
            assert!(
                files.iter().any(|file| file.path.ends_with(name) && file.executable),
                "{name}"
            );
        }
        assert!(libraries(env, crate::payload::L1_ELF, "").unwrap().is_empty());
    }
}
