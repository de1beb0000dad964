//! The initramfs: a newc archive in memory, not compressed, because unpacking would cost more than
//! it saves.

use std::io::{self, Write};

use cpio::newc::{Builder, trailer};
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, pod};

use super::job::{self, Guest, Job, KvmJob};
use super::modules::{KVM_INTEL, Module, parameters};
use super::params::ParamSet;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
/// Major and minor number of /dev/console, which the kernel opens for init before anything is
/// mounted.
const CONSOLE: (u32, u32) = (5, 1);
/// Offsets in an ELF64 header: where the section headers are, how many, which one holds the names.
const E_SHOFF: usize = 0x28;
const E_SHNUM: usize = 0x3c;

/// A file that goes into the archive.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Its path, without a leading slash; folders are made as needed.
    pub path: String,
    /// Whether it can be executed.
    pub executable: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Builds the archive for KVM: `modules` as [`super::modules::gather`] returns them, `files` as of
/// [`pack`].
///
/// # Errors
/// As [`pack`].
pub fn build<'a>(
    modules: &[Module],
    sets: &[ParamSet],
    always: Vec<(String, String)>,
    guest: Guest,
    files: impl Iterator<Item = &'a Extra>,
) -> io::Result<Vec<u8>> {
    let path = |module: &Module| format!("lib/modules/{}.ko", module.name);
    let loadable = || modules.iter().filter(|module| module.elf.is_some());
    let inside = |module: &Module| format!("/{}", path(module));
    let job = KvmJob {
        modules: loadable().filter(|module| module.name != KVM_INTEL).map(inside).collect(),
        kvm_intel: loadable().find(|module| module.name == KVM_INTEL).map(inside),
        known_params: parameters(modules).into_iter().map(|(name, _)| name).collect(),
        always,
        sets: sets.to_vec(),
        guest,
    };
    let modules =
        modules.iter().filter_map(|module| Some((path(module), false, module.elf.as_deref()?)));
    let files = files.map(|file| (file.path.clone(), file.executable, &file.bytes[..]));
    pack(&Job::Kvm(job), modules.chain(files))
}

/// Builds an archive with a job, and files, `init` among them: path without a leading slash, whether
/// it can be executed, content.
///
/// # Errors
/// A file is too large for the format.
pub fn pack<'a>(
    job: &Job,
    files: impl Iterator<Item = (String, bool, &'a [u8])>,
) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "tmp"] {
        archive.folder(folder)?;
    }
    archive.entry("dev/console", CHARACTER_DEVICE, CONSOLE, &[])?;
    archive.file(job::PATH.trim_start_matches('/'), FILE, &serde_json::to_vec(job)?)?;
    for (path, executable, bytes) in files {
        archive.file(&path, if executable { EXECUTABLE } else { FILE }, bytes)?;
    }
    archive.finish()
}

/// The archive so far, and the folders in it.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    folders: Vec<String>,
}

impl Archive {
    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let header = Builder::new(path).mode(mode).rdev_major(major).rdev_minor(minor).nlink(1);
        let mut writer = header.write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    /// Makes a folder and those above it, once.
    fn folder(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() || self.folders.iter().any(|known| known == path) {
            return Ok(());
        }
        self.folder(path.rsplit_once('/').map_or("", |(above, _)| above))?;
        self.folders.push(path.into());
        self.entry(path, DIRECTORY, (0, 0), &[])
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.folder(path.rsplit_once('/').map_or("", |(above, _)| above))?;
        self.entry(path, mode, (0, 0), content)
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        trailer(&mut self.bytes)?;
        Ok(self.bytes)
    }
}

/// The part of an executable that the kernel and the loader map, without section headers, symbols and
/// debug information: a debug build would otherwise cost the lab more than the kernel itself.
///
/// # Errors
/// It is no 64-bit ELF, or cut off.
pub fn loadable(elf: &[u8]) -> io::Result<Vec<u8>> {
    let wrong = |why: &str| io::Error::other(format!("maskmatch cannot be the lab's init: {why}"));
    let (header, _) =
        pod::from_bytes::<FileHeader64<LittleEndian>>(elf).map_err(|()| wrong("it is cut off"))?;
    if !header.is_supported() {
        return Err(wrong("it is not a 64-bit ELF"));
    }
    let segments = header
        .program_headers(LittleEndian, elf)
        .map_err(|_| wrong("its program headers are damaged"))?;
    let ends =
        segments.iter().filter(|segment| segment.p_type(LittleEndian) == PT_LOAD).map(|segment| {
            let (start, length) = segment.file_range(LittleEndian);
            start.saturating_add(length)
        });
    let end = ends.max().ok_or_else(|| wrong("it has no segments"))?;
    let mut bytes = elf.get(..end as usize).ok_or_else(|| wrong("it is cut off"))?.to_vec();
    bytes.get_mut(E_SHOFF..E_SHOFF + 8).ok_or_else(|| wrong("it is cut off"))?.fill(0);
    bytes.get_mut(E_SHNUM..E_SHNUM + 4).ok_or_else(|| wrong("it is cut off"))?.fill(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_their_files() {
        let mut archive = Archive::default();
        archive.file("lib/modules/a.ko", FILE, b"a").unwrap();
        archive.file("lib/modules/b.ko", FILE, b"bb").unwrap();
        archive.file("init", EXECUTABLE, b"i").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = &bytes[..];
        let mut names = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_string(), reader.entry().file_size()));
            rest = reader.finish().unwrap();
        }
        let want = [
            ("lib", 0),
            ("lib/modules", 0),
            ("lib/modules/a.ko", 1),
            ("lib/modules/b.ko", 2),
            ("init", 1),
        ];
        assert_eq!(names, want.map(|(name, size)| (name.to_string(), size)));
    }

    #[test]
    fn what_is_no_executable_is_refused() {
        assert!(loadable(b"#!/bin/sh").is_err());
        assert!(loadable(&[0; 100]).is_err());
    }
}
