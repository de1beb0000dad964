//! The end of a command that has a verdict: text, files, exit code.

use std::path::Path;

use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::json;
use crate::verdict::result::{RunResult, overall};

/// Prints the text and writes the files that were asked for.
///
/// # Errors
/// A file or standard output cannot be written. All that can be written is.
pub fn publish(
    text: &str,
    results: &[RunResult],
    log: Option<&Path>,
    json: Option<&Path>,
) -> Result<Exit, Stop> {
    let mut wrong: Vec<String> =
        results.iter().filter_map(|result| result.log_error.clone()).collect();
    let written = [
        output::text(text),
        log.map_or(Ok(()), |path| write_logs(path, results)),
        json.map_or(Ok(()), |path| json::write(path, results)),
    ];
    wrong.extend(written.into_iter().filter_map(|written| Some(written.err()?.why)));
    if wrong.is_empty() { Ok(overall(results).into()) } else { Err(Stop::usage(wrong.join("; "))) }
}

/// A single raw log is FILE. Of several, each is FILE.N, counted from 1 in the order of the
/// results.
fn write_logs(path: &Path, results: &[RunResult]) -> Result<(), Stop> {
    let kept: Vec<&[u8]> = results.iter().filter_map(|result| result.raw.as_deref()).collect();
    for (number, raw) in (1..).zip(&kept) {
        let mut name = path.as_os_str().to_owned();
        if kept.len() > 1 {
            name.push(format!(".{number}"));
        }
        let path = Path::new(&name);
        std::fs::write(path, raw).map_err(|error| Stop::file("write", path, &error))?;
    }
    Ok(())
}
