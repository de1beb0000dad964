//! Xen's hypervisor from Debian's archive, without its tools.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::kernel::{by_version, is_version};
use super::{NEWEST, Scratch, is_name, lock, not_put, own_suite, put, unpack};
use crate::vmm::Unavailable;

/// What is around the version in the packages' names.
const PACKAGE: (&str, &str) = ("xen-hypervisor-", "-amd64");
/// Which suite was released with which version.
const SERIES: &[(&str, &str)] = &[("4.17", "bookworm"), ("4.20", "trixie")];

/// The hypervisor of a suite or a version, from the cache or fetched into it; with `refresh` always
/// fetched. `progress` gets a word about what takes time.
///
/// # Errors
/// There is no such suite or version, or its package cannot be had or unpacked.
pub fn obtain(
    name: &str,
    refresh: bool,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    let mend = "give --kernel a Debian suite like bookworm or a version of Xen like 4.17, or --xen-image FILE";
    if !is_name(name) {
        return Err(Unavailable::new(format!("'{name}' names no Xen"), mend));
    }
    let folders = cache.join("xen");
    let kept = || image_in(&folders.join(name)).filter(|_| !refresh);
    if let Some(image) = kept() {
        return Ok(image);
    }
    // Held until it is dropped: another run may do the same.
    let _lock = lock(&folders).map_err(|error| not_put(&folders, &error))?;
    if let Some(image) = kept() {
        return Ok(image);
    }
    let own = own_suite()?;
    let (suite, version) = if name.starts_with(|c: char| c.is_ascii_digit()) {
        (
            SERIES
                .iter()
                .find(|(series, _)| is_version(name, series))
                .map_or(NEWEST, |(_, suite)| suite),
            name,
        )
    } else {
        (name, "")
    };
    progress(&format!("fetching the package index of Debian {suite}"));
    // An old suite's security archive may be gone: the suite itself stays.
    let open = |updates| Apt::open(&folders.join("apt").join(suite), suite, &own, updates);
    let apt = open(true).or_else(|_| open(false))?;
    let names = apt.names(PACKAGE.0)?;
    let Some(package) = newest(&names, version) else {
        return Err(Unavailable::new(format!("Debian {suite} has no Xen {version}"), mend));
    };
    progress(&format!("downloading {package} of Debian {suite}"));
    let scratch = Scratch::below(&folders);
    fetch(&apt, package, &scratch.0, &folders.join(name))
}

/// The hypervisor in a folder: `xen-4.17-amd64.gz`.
fn image_in(folder: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
    files.find(|file| file.extension().is_some_and(|extension| extension == "gz"))
}

/// The package with the highest version that is `version` or a version of it.
fn newest<'a>(names: &'a [String], version: &str) -> Option<&'a str> {
    let of = |name: &str| name.strip_prefix(PACKAGE.0)?.strip_suffix(PACKAGE.1).map(String::from);
    let versions = names.iter().filter_map(|name| Some((name.as_str(), of(name)?)));
    let fitting = versions.filter(|(_, of)| is_version(of, version));
    fitting.max_by(|(_, a), (_, b)| by_version(a, b)).map(|(name, _)| name)
}

/// Downloads a package and puts its hypervisor into a folder.
fn fetch(apt: &Apt, package: &str, scratch: &Path, folder: &Path) -> Result<PathBuf, Unavailable> {
    let io = |error: io::Error| not_put(folder, &error);
    let (debs, root, done) = (scratch.join("debs"), scratch.join("root"), scratch.join("done"));
    for folder in [&debs, &root, &done] {
        fs::create_dir_all(folder).map_err(io)?;
    }
    apt.download(&[package.to_string()], &debs)?;
    for deb in fs::read_dir(&debs).map_err(io)?.flatten() {
        unpack(&deb.path(), &root)?;
    }
    let image = image_in(&root.join("boot"));
    let Some((image, name)) = image.as_ref().and_then(|image| Some((image, image.file_name()?)))
    else {
        return Err(Unavailable::new(
            format!("{package} holds no hypervisor"),
            "give --xen-image FILE",
        ));
    };
    fs::rename(image, done.join(name)).map_err(io)?;
    put(&done, folder).map_err(io)?;
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_of_a_version_is_taken() {
        let names =
            ["xen-hypervisor-common", "xen-hypervisor-4.9-amd64", "xen-hypervisor-4.20-amd64"]
                .map(String::from);
        assert_eq!(newest(&names, ""), Some("xen-hypervisor-4.20-amd64"));
        assert_eq!(newest(&names, "4.9"), Some("xen-hypervisor-4.9-amd64"));
        assert_eq!((newest(&names, "4.2"), newest(&names[..1], "")), (None, None));
    }

    #[test]
    fn odd_names_are_sentences_and_what_is_there_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["", "../x", "a b", ".x"] {
            let odd = obtain(name, false, cache.path(), &mut |_| {});
            assert!(odd.unwrap_err().why.contains("names no Xen"));
        }
        let image = cache.path().join("xen/sid/xen-4.20-amd64.gz");
        fs::create_dir_all(image.parent().unwrap()).unwrap();
        fs::write(&image, "").unwrap();
        let found = obtain("sid", false, cache.path(), &mut |_| panic!("nothing takes time"));
        assert_eq!(found.unwrap(), image);
    }
}
