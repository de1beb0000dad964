//! Files that the user names: those that are read must be files of a sane size, and those that are
//! written are tried before anything runs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::verdict::exit_code::Stop;

/// Whether the user named standard output, as `-`.
pub fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a file of at most `limit` bytes. Devices and pipes, which may have no end, are refused.
///
/// # Errors
/// It cannot be read, is no file, or is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Before it is opened: a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// Checks the files that a run is to write: each can be written, and no two are the same.
///
/// # Errors
/// One cannot, or two are.
pub fn check_results(paths: &[&Path]) -> Result<(), Stop> {
    let mut places: Vec<PathBuf> = Vec::new();
    if paths.iter().filter(|path| is_standard_output(path)).count() > 1 {
        return Err(Stop::usage("only one result can go to standard output: give others a file"));
    }
    for path in paths.iter().filter(|path| !is_standard_output(path)) {
        if check_writable(path)? {
            let place = place(path);
            if places.contains(&place) {
                return Err(Stop::usage(format!(
                    "{} is named twice: give each result a file of its own",
                    path.display()
                )));
            }
            places.push(place);
        }
    }
    Ok(())
}

/// Checks that a file can be written, and says whether it is a file, not a device or a pipe. Its
/// content stays. If it is new, it is removed again.
fn check_writable(path: &Path) -> Result<bool, Stop> {
    let is_new = match path.metadata() {
        // The reader of a pipe would take this for the end.
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => return Ok(false),
        found => found.is_err(),
    };
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Stop::file("write", path, &error))?;
    if is_new {
        // One that stays is empty, and is written later.
        let _ = fs::remove_file(path);
    }
    Ok(true)
}

/// Where a file is or will be, by whichever way it is named.
fn place(path: &Path) -> PathBuf {
    let new = || {
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(new).unwrap_or_else(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::{check_results, read};
    use std::path::Path;

    #[test]
    fn files_are_tried_before_anything_runs_and_kept_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let check = |path: &Path| check_results(&[path]);
        assert!(check(&path).is_ok() && !path.exists());
        std::fs::write(&path, "kept").unwrap();
        assert!(check(&path).is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        assert!(check(folder.path()).is_err());
        assert!(check(&path.join("below")).is_err());
        assert!(check(Path::new("/dev/null")).is_ok());
    }

    #[test]
    fn two_results_are_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, link) = (folder.path().join("one"), folder.path().join("link"));
        let detour = folder.path().join("../").join(folder.path().file_name().unwrap()).join("one");
        assert!(check_results(&[&one, &folder.path().join("two")]).is_ok());
        assert!(check_results(&[&one, &detour]).is_err());
        std::fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert!(check_results(&[&one, &link]).is_err());
        assert!(check_results(&[Path::new("-"), &one]).is_ok());
        assert!(check_results(&[Path::new("-"), Path::new("-")]).is_err());
        let null = Path::new("/dev/null");
        assert!(check_results(&[null, null]).is_ok());
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).is_err());
        for odd in [Path::new("/dev/zero"), folder.path(), Path::new("/nonexistent")] {
            assert!(read(odd, 1 << 20).is_err(), "{}", odd.display());
        }
    }
}
