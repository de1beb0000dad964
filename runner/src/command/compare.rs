//! `compare`: what changed from one run to another.

use crate::cli::CompareArgs;
use crate::output;
use crate::results::{compare, store};
use crate::verdict::exit_code::{Exit, Stop};

/// Compares and prints.
///
/// # Errors
/// Results cannot be read, or standard output cannot be written.
pub fn compare(arguments: &CompareArgs) -> Result<Exit, Stop> {
    let (before, after) =
        (store::read_path(&arguments.before)?, store::read_path(&arguments.after)?);
    let comparison = compare::compare(&before, &after);
    output::text(&comparison.text())?;
    Ok(if comparison.worse.is_empty() { Exit::Pass } else { Exit::Fail })
}
