//! The end of a command that has a verdict: text, files, exit code.

use std::path::Path;

use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::json;
use crate::verdict::result::{RunResult, overall};

/// Prints the text and writes the files that were asked for.
///
/// # Errors
/// A file or standard output cannot be written; what came before it is written all the same.
pub fn publish(text: &str, results: &[RunResult], log: Option<&Path>, json: Option<&Path>) -> Result<Exit, Stop> {
    output::text(text)?;
    if let Some(path) = log {
        write_logs(path, results)?;
    }
    if let Some(path) = json {
        json::write(path, results)?;
    }
    Ok(overall(results).into())
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
