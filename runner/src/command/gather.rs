//! `gather`: the verdict on the parts of a run, which several machines may have done.

use crate::cli::GatherArgs;
use crate::results::record;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::report;

/// Reads the records, joins them and reports.
///
/// # Errors
/// A record cannot be read, they do not belong together, or an option is wrong.
pub fn gather(arguments: GatherArgs) -> Result<Exit, Stop> {
    let outputs = arguments.results.outputs(None);
    outputs.check()?;
    let tables = arguments.known.tables()?;
    let results = record::gather(&arguments.folders, &tables, arguments.known.strict)?;
    outputs.publish(&report::text(&results), &results)
}
