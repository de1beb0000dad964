//! Text to standard output, where a reader that goes away (`maskmatch list | head`) is no error.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::escape::for_terminal;
use crate::verdict::exit_code::{Exit, Stop};

/// Writes through `body`, buffered. A closed pipe ends it early, which is no error.
///
/// # Errors
/// Standard output cannot be written for another reason, such as a full disk.
pub fn print(
    body: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
) -> Result<(), Stop> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = body(&mut out).and_then(|()| out.flush());
    // What is left in the buffer has no reader: dropping it would try once more.
    let (_, _) = out.into_parts();
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Stop {
            exit: Exit::Usage,
            why: format!("cannot write to standard output: {error}"),
        }),
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

/// Writes a report as [`text`], painted.
///
/// # Errors
/// As [`print()`].
pub fn report(report: &str, paint: Option<fn(&str) -> String>) -> Result<(), Stop> {
    let harmless = for_terminal(report);
    match paint {
        Some(paint) => print(|out| out.write_all(paint(&harmless).as_bytes())),
        None => print(|out| out.write_all(harmless.as_bytes())),
    }
}

/// Writes a report to stderr, where standard output has something else.
pub fn apart(text: &str) {
    // A closed stderr does not change the result.
    let _ = io::stderr().write_all(for_terminal(text).as_bytes());
}

/// Writes one line to stderr, apart from the result.
pub fn remark(line: &str) {
    // A closed stderr does not change the result.
    let _ = writeln!(io::stderr(), "maskmatch: {}", for_terminal(line));
}

/// A table without lines; columns from `numbers` on are aligned to the right.
pub fn table(
    header: Vec<String>,
    rows: impl IntoIterator<Item = Vec<String>>,
    numbers: usize,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}
