//! Text to standard output, where a reader that goes away (`maskmatch list | head`) is no error;
//! and whether files can be written.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::escape::for_terminal;
use crate::verdict::exit_code::{Exit, Stop};

/// Writes through `body`, buffered. A closed pipe ends it early, which is no error.
///
/// # Errors
/// Standard output cannot be written for another reason, such as a full disk.
pub fn print(body: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>) -> Result<(), Stop> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = body(&mut out).and_then(|()| out.flush());
    // What is left in the buffer has no reader: dropping it would try once more.
    let (_, _) = out.into_parts();
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Stop { exit: Exit::Usage, why: format!("cannot write to standard output: {error}") })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a whole text, see [`print()`]. What a terminal would obey in it is shown.
///
/// # Errors
/// As [`print()`].
pub fn text(text: &str) -> Result<(), Stop> {
    print(|out| out.write_all(for_terminal(text).as_bytes()))
}

/// Writes one line to stderr, apart from the result.
pub fn remark(line: &str) {
    // A closed stderr does not change the result.
    let _ = writeln!(io::stderr(), "maskmatch: {}", for_terminal(line));
}

/// A table without lines; columns from `numbers` on are aligned to the right.
pub fn table(header: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>, numbers: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}

/// Checks that a file can be written. Its content stays. If it is new, it is removed again.
///
/// # Errors
/// It cannot.
pub fn check_writable(path: &Path) -> Result<(), Stop> {
    let is_new = match path.metadata() {
        // The reader of a pipe would take this for the end.
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => return Ok(()),
        found => found.is_err(),
    };
    File::options().append(true).create(true).open(path).map_err(|error| Stop::file("write", path, &error))?;
    if is_new {
        // One that stays is empty, and is written later.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_writable;

    #[test]
    fn files_are_tried_before_anything_runs_and_kept_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(check_writable(&path).is_ok() && !path.exists());
        std::fs::write(&path, "kept").unwrap();
        assert!(check_writable(&path).is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&path.join("below")).is_err());
        assert!(check_writable("/dev/null".as_ref()).is_ok());
    }
}
