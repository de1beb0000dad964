//! Bochs of another Debian suite, with the libraries of that suite: newer ones have processors with
//! 5-level paging and protection keys for supervisor pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{Scratch, is_name, lock, not_put, own_suite, put, sums, unpack};
use crate::vmm::Unavailable;

/// The packages; what they depend on comes with them. `bochs-term` keeps the graphical display
/// library away.
const PACKAGES: [&str; 2] = ["bochs", "bochs-term"];
/// The program, below the root of the unpacked packages.
pub const PROGRAM: &str = "usr/bin/bochs-bin";

/// The root of a suite's unpacked packages, from the cache or fetched into it; with `refresh`
/// always fetched. `progress` gets a word about what takes time.
///
/// # Errors
/// There is no such suite, or its packages cannot be had or unpacked.
pub fn obtain(
    suite: &str,
    refresh: bool,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    if !is_name(suite) {
        return Err(Unavailable::usage(
            format!("'{suite}' names no Debian suite"),
            "give --bochs a suite like sid, or the path of a program",
        ));
    }
    let folders = cache.join("bochs");
    let root = folders.join(suite);
    let whole = sums::check(&root);
    match &whole {
        Ok(()) if !refresh => return Ok(root),
        Err(why) if root.is_dir() => {
            progress(&format!("Bochs in {} is fetched again: {why}", root.display()));
        }
        _ => {}
    }
    let io = |error: io::Error| not_put(&folders, &error);
    // Held until it is dropped: another run may do the same.
    let _lock = lock(&folders).map_err(io)?;
    if whole.is_err() && !refresh && sums::check(&root).is_ok() {
        return Ok(root);
    }
    progress(&format!("fetching the package index of Debian {suite}"));
    let apt = Apt::open(&folders.join("apt").join(suite), suite, &own_suite()?, false)?;
    progress(&format!("downloading bochs of Debian {suite} with its libraries"));
    let scratch = Scratch::below(&folders);
    let done = scratch.0.join("root");
    fs::create_dir_all(&done).map_err(io)?;
    for deb in apt.download_with_dependencies(&PACKAGES)? {
        unpack(&deb, &done)?;
        // The unpacked files are all that is needed.
        fs::remove_file(&deb).map_err(io)?;
    }
    if !done.join(PROGRAM).is_file() {
        return Err(Unavailable::new(
            format!("the packages of Debian {suite} hold no {PROGRAM}"),
            "give --bochs another suite, or the path of a program",
        ));
    }
    sums::write(&done).and_then(|()| put(&done, &root)).map_err(io)?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_sentences_and_what_is_there_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["", "../x", "a b", ".x"] {
            let odd = obtain(name, false, cache.path(), &mut |_| {});
            assert!(odd.unwrap_err().why.contains("names no Debian suite"));
        }
        let root = cache.path().join("bochs/sid");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join(PROGRAM), "").unwrap();
        sums::write(&root).unwrap();
        let found = obtain("sid", false, cache.path(), &mut |_| panic!("nothing takes time"));
        assert_eq!(found.unwrap(), root);
    }
}
