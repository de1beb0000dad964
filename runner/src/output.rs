//! Text to standard output, where a reader that goes away (`maskmatch list | head`) is no error.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use crate::verdict::exit_code::{Exit, Stop};

/// Writes through `body`, buffered. A closed pipe ends it early and well.
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

/// Writes a whole text, see [`print()`].
///
/// # Errors
/// As [`print()`].
pub fn text(text: &str) -> Result<(), Stop> {
    print(|out| out.write_all(text.as_bytes()))
}

/// One line on stderr, beside the result.
pub fn remark(line: &str) {
    // A closed stderr takes nothing from the result.
    let _ = writeln!(io::stderr(), "maskmatch: {line}");
}
