//! The checksums of a folder in the cache: written when it is made, checked whenever it is used.
//!
//! They are in the folder's file [`NAME`], as `sha256sum` writes them.

use std::fmt::Write;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The file of the checksums.
const NAME: &str = "SHA256SUMS";
/// How much of a file is read at a time.
const PIECE: usize = 1 << 16;

/// Writes the checksums of all files below `folder`.
///
/// # Errors
/// A file cannot be read, or this one cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy();
        let _ = writeln!(text, "{}  {name}", sum(&file)?);
    }
    fs::write(folder.join(NAME), text)
}

/// Checks that all files of `folder` are as they were.
///
/// # Errors
/// A clause that says which is not.
pub fn check(folder: &Path) -> Result<(), String> {
    let text = fs::read_to_string(folder.join(NAME))
        .map_err(|error| format!("its {NAME} cannot be read: {error}"))?;
    if text.is_empty() {
        return Err(format!("its {NAME} is empty"));
    }
    for line in text.lines() {
        let (wanted, name) =
            line.split_once("  ").ok_or_else(|| format!("its {NAME} is damaged"))?;
        match sum(&folder.join(name)) {
            Ok(sum) if sum == wanted => {}
            Ok(_) => return Err(format!("its {name} is damaged")),
            Err(error) => return Err(format!("its {name} cannot be read: {error}")),
        }
    }
    Ok(())
}

fn sum(file: &Path) -> io::Result<String> {
    let (mut hash, mut file, mut buffer) = (Sha256::new(), fs::File::open(file)?, vec![0; PIECE]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(hex_digit)
        .collect())
}

fn hex_digit(value: u8) -> Option<char> {
    char::from_digit(value.into(), 16)
}

/// Adds all files below `folder`. What a link names is found under its own name.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            find(&path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(check(folder.path()).unwrap_err().contains(NAME));
        fs::create_dir(path("sub")).unwrap();
        let whole = || {
            [("one", "1"), ("sub/two", "22")]
                .map(|(name, text)| fs::write(path(name), text).unwrap())
        };
        whole();
        write(folder.path()).unwrap();
        assert_eq!(check(folder.path()), Ok(()));
        let known = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  one\n";
        assert!(fs::read_to_string(path(NAME)).unwrap().starts_with(known));
        fs::write(path("sub/two"), "2").unwrap();
        assert_eq!(check(folder.path()), Err("its sub/two is damaged".into()));
        whole();
        fs::remove_file(path("one")).unwrap();
        assert!(check(folder.path()).unwrap_err().contains("its one cannot be read"));
        whole();
        fs::write(path(NAME), "").unwrap();
        assert!(check(folder.path()).is_err());
    }
}
