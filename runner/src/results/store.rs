//! Files of results: written whole or not at all, read with a sentence about what is wrong.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::document::{Results, SCHEMA};
use crate::escape::in_json;
use crate::files;
use crate::output;
use crate::verdict::exit_code::Stop;

/// No file of results is larger: exhaustive results of all hosts have a few MiB.
const MAX_FILE: u64 = 256 << 20;

/// The text of a file of results.
pub fn text(results: &Results) -> String {
    // Strings, numbers and maps by string: nothing here can fail to be written.
    in_json(&serde_json::to_string_pretty(results).unwrap_or_default()).into_owned() + "\n"
}

/// Writes a file so that a reader sees the old one or the new one, never a part; `-` is standard
/// output.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Stop> {
    if files::is_standard_output(path) {
        return output::print(|out| out.write_all(text.as_bytes()));
    }
    replace(path, text.as_bytes()).map_err(|error| Stop::file("write", path, &error))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a link leads to is replaced, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.into());
    let old = path.metadata().ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A device or a pipe.
        return fs::write(path, bytes);
    }
    let mode = old.map_or(0o666, |old| old.permissions().mode());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let temporary = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder.unwrap_or(Path::new(".")));
    let mut temporary = match temporary {
        Ok(temporary) => temporary,
        // The file is ours to write, its folder is not.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return fs::write(path, bytes);
        }
        Err(error) => return Err(error),
    };
    temporary.write_all(bytes)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map(drop).map_err(|error| error.error)
}

/// Reads a file of results.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<Results, Stop> {
    let bytes = files::read(path, MAX_FILE).map_err(|error| Stop::file("read", path, &error))?;
    parse(&bytes).map_err(|why| Stop::usage(format!("{}: {why}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<Results, String> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => {
            return Err(format!(
                "it has results of form {schema}, and this maskmatch reads {SCHEMA}"
            ));
        }
        None => {
            return Err(
                "it has no results of maskmatch: give what `maskmatch run --json FILE` wrote"
                    .into(),
            );
        }
    }
    serde_json::from_value(value).map_err(|error| format!("the results in it are damaged: {error}"))
}

/// Reads the files of results in a folder and in those below it, the oldest first. Other files
/// whose names end with `.json` are passed over, with a sentence.
///
/// # Errors
/// The folder cannot be read, or has no results.
pub fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, Results)>, Stop> {
    let mut paths = Vec::new();
    find(folder, ".json", &mut paths).map_err(|error| Stop::file("read", folder, &error))?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(results) => found.push((path, results)),
            Err(stop) => output::remark(&format!("passed over: {stop}")),
        }
    }
    if found.is_empty() {
        return Err(Stop::usage(format!(
            "{} has no results: put what `maskmatch run --json FILE` writes there, as NAME.json",
            folder.display()
        )));
    }
    found.sort_by_key(|(_, results)| results.made);
    Ok(found)
}

/// Finds the files in a folder and in those below it whose names end so.
///
/// # Errors
/// A folder cannot be read.
pub fn find(folder: &Path, ending: &str, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            find(&entry, ending, paths)?;
        } else if entry.to_string_lossy().ends_with(ending) {
            paths.push(entry);
        }
    }
    Ok(())
}

/// Reads a file, or all files of a folder as one: of what has the same name, the newest counts.
///
/// # Errors
/// As [`read`] and [`read_folder`].
pub fn read_path(path: &Path) -> Result<Results, Stop> {
    if !path.is_dir() {
        return read(path);
    }
    let mut all = read_folder(path)?.into_iter().map(|(_, results)| results);
    // There is one at least.
    let Some(mut newest) = all.next_back() else { return read(path) };
    for older in all.rev() {
        let known = |name: &str| newest.results.iter().any(|result| result.name == name);
        let missing: Vec<_> =
            older.results.into_iter().filter(|result| !known(&result.name)).collect();
        newest.results.extend(missing);
    }
    Ok(Results::of(newest.made, newest.command, newest.results))
}

#[cfg(test)]
mod tests {
    use super::{parse, read_path, replace, text};
    use crate::results::of_run::document;
    use crate::verdict::result::{Origin, RunResult};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn results(l0: &str) -> String {
        let origin = Origin { l0: l0.into(), ..Origin::default() };
        text(&document(&[RunResult::skipped("why".into(), false, origin)]))
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut open = fs::File::open(&path).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Who has the old one open reads all of it.
        assert_eq!(std::io::read_to_string(&mut open).unwrap(), "old");
        assert!(replace(&folder.path().join("no/file"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_result_is_refused_with_a_sentence() {
        for (bytes, part) in [
            ("", "not JSON"),
            ("{}", "no results"),
            (r#"{"schema": 99}"#, "form 99"),
            (r#"{"schema": 1}"#, "damaged"),
        ] {
            let why = parse(bytes.as_bytes()).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(parse(results("x").as_bytes()).unwrap().results[0].name, "x");
    }

    #[test]
    fn of_a_folder_the_newest_of_each_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("a.json"), results("x")).unwrap();
        fs::write(folder.path().join("below/b.json"), results("y")).unwrap();
        let newer = results("x").replace("why", "newer");
        fs::write(folder.path().join("c.json"), newer).unwrap();
        fs::write(folder.path().join("other.json"), "{}").unwrap();
        let all = read_path(folder.path()).unwrap().results;
        let seen: Vec<_> =
            all.iter().map(|one| (one.name.as_str(), one.sentence.as_str())).collect();
        assert_eq!(seen, [("x", "newer"), ("y", "why")]);
    }
}
