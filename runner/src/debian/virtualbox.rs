//! VirtualBox from the newest suite of Debian's archive, with the libraries of that suite.
//!
//! It is in the archive's part `contrib`, which a mirror may lack. Of what its package depends on, only
//! libraries are fetched, and of these not what only windows need.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::{Apt, CONTRIB};
use super::{NEWEST, Scratch, lock, not_put, own_suite, put, sums, unpack};
use crate::vmm::Unavailable;

/// VirtualBox itself, and the sources of its kernel module.
const PACKAGES: [&str; 2] = ["virtualbox", "virtualbox-dkms"];
/// Libraries of windows, sound and web services, by how their packages' names begin. No part that runs
/// here needs them.
const NOT_NEEDED: [&str; 11] = [
    "libgl",
    "libgsoap",
    "libogg",
    "libpng",
    "libsdl",
    "libvnc",
    "libvorbis",
    "libvpx",
    "libx11",
    "libxt",
    "libpython",
];
/// Its folder, below the root of the unpacked packages.
pub const FOLDER: &str = "usr/lib/virtualbox";
/// The libraries, likewise, and the loader that finds them.
pub const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
pub const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
/// The sources of the kernel module.
const SOURCES: &str = "usr/src";
/// What of VirtualBox's folder is kept.
const KEPT: [&str; 7] =
    ["VBoxRT.so", "VBoxVMM.so", "VBoxDD.so", "VBoxDD2.so", "VBoxDDU.so", "VMMR0.r0", "VBoxDDR0.r0"];
/// The file with its version.
const VERSION: &str = "version";

/// VirtualBox in the cache.
#[derive(Debug, Clone)]
pub struct VirtualBox {
    /// Its version, as in `7.2.22`.
    pub version: String,
    /// The root of the unpacked packages.
    pub root: PathBuf,
    /// The sources of its kernel module.
    pub sources: PathBuf,
}

/// VirtualBox, from the cache or fetched into it; with `refresh` always fetched. `progress` gets a
/// word about what takes time.
///
/// # Errors
/// The archive does not have it, or its packages cannot be had or unpacked.
pub fn obtain(
    refresh: bool,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<VirtualBox, Unavailable> {
    let folders = cache.join("virtualbox");
    let root = folders.join(NEWEST);
    let whole = sums::check(&root);
    match &whole {
        Ok(()) if !refresh => return found(root),
        Err(why) if root.is_dir() => {
            progress(&format!("VirtualBox in {} is fetched again: {why}", root.display()));
        }
        _ => {}
    }
    let io = |error: io::Error| not_put(&folders, &error);
    // Held until it is dropped: another run may do the same.
    let _lock = lock(&folders).map_err(io)?;
    if whole.is_err() && !refresh && sums::check(&root).is_ok() {
        return found(root);
    }
    progress(&format!("fetching the package index of Debian {NEWEST} with contrib"));
    let apt = Apt::of_parts(&folders.join("apt"), NEWEST, &own_suite()?, &CONTRIB)?;
    let Some(version) = apt.field(PACKAGES[0], "Version") else {
        return Err(Unavailable::new(
            format!("this machine's Debian mirror has no package {} in contrib", PACKAGES[0]),
            "use a mirror that has contrib of Debian sid, or leave out --host virtualbox",
        ));
    };
    let mut packages = libraries(&apt.depends_of_all(PACKAGES[0], &is_library)?);
    packages.extend(PACKAGES.map(String::from));
    let count = packages.len();
    progress(&format!("downloading VirtualBox {version} in {count} packages"));
    let scratch = Scratch::below(&folders);
    let (debs, done) = (scratch.0.join("debs"), scratch.0.join("root"));
    for folder in [&debs, &done] {
        fs::create_dir_all(folder).map_err(io)?;
    }
    apt.download(&packages, &debs)?;
    for deb in fs::read_dir(&debs).map_err(io)?.flatten() {
        unpack(&deb.path(), &done)?;
    }
    thin(&done).map_err(io)?;
    fs::write(done.join(VERSION), upstream(&version)).map_err(io)?;
    sums::write(&done).and_then(|()| put(&done, &root)).map_err(io)?;
    found(root)
}

/// What is in a folder that is whole.
fn found(root: PathBuf) -> Result<VirtualBox, Unavailable> {
    let version = fs::read_to_string(root.join(VERSION)).unwrap_or_default();
    let sources = root.join(SOURCES).join(format!("virtualbox-{version}"));
    if !sources.is_dir() {
        let why = format!("{} has no sources of VirtualBox's kernel module", root.display());
        return Err(Unavailable::new(why, "add --refresh"));
    }
    Ok(VirtualBox { version, root, sources })
}

/// `7.2.22-dfsg-2` is 7.2.22.
fn upstream(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

/// Whether a package has a library that may be needed.
fn is_library(package: &str) -> bool {
    (package.starts_with("lib") || package.starts_with("zlib"))
        && !NOT_NEEDED.iter().any(|start| package.starts_with(start))
}

/// The packages with libraries, each once.
fn libraries(packages: &[String]) -> Vec<String> {
    let mut libraries: Vec<String> =
        packages.iter().filter(|package| is_library(package)).cloned().collect();
    libraries.sort();
    libraries.dedup();
    libraries
}

/// Removes what no machine needs: it would be checked at each use.
fn thin(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root.join(FOLDER))?.flatten() {
        let path = entry.path();
        let is_kept = path.file_name().is_some_and(|name| KEPT.iter().any(|kept| name == *kept));
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)?;
        } else if !is_kept {
            fs::remove_file(path)?;
        }
    }
    for folder in ["usr/share", "etc"] {
        match fs::remove_dir_all(root.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_of_the_vmm_are_fetched() {
        let names = ["python3", "libc6", "libsdl2-2.0-0", "zlib1g", "libc6", "libglx0", "systemd"];
        assert_eq!(libraries(&names.map(String::from)), ["libc6", "zlib1g"]);
        assert_eq!(upstream("7.2.22-dfsg-2"), "7.2.22");
    }

    #[test]
    fn what_is_there_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache.path().join("virtualbox/sid");
        fs::create_dir_all(root.join("usr/src/virtualbox-7.2.22")).unwrap();
        fs::write(root.join(VERSION), "7.2.22").unwrap();
        sums::write(&root).unwrap();
        let mut quiet = |_: &str| panic!("nothing takes time");
        let found = obtain(false, cache.path(), &mut quiet).unwrap();
        assert_eq!(found.version, "7.2.22");
        fs::remove_dir_all(found.sources).unwrap();
        assert!(obtain(false, cache.path(), &mut quiet).unwrap_err().mend.contains("--refresh"));
    }

    #[test]
    fn what_no_machine_needs_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(FOLDER).join(name);
        fs::create_dir_all(path("components")).unwrap();
        for name in ["VBoxVMM.so", "VBoxSVC"] {
            fs::write(path(name), name).unwrap();
        }
        thin(root.path()).unwrap();
        assert!(path("VBoxVMM.so").is_file());
        assert!(!path("VBoxSVC").exists() && !path("components").exists());
    }
}
