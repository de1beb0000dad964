//! `run`, `lab` and `replay`: find the hosts, boot, judge, report.

use crate::host::{self, Choice};
use crate::output;
use crate::request::Request;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::report;

/// Runs and reports. A host that cannot be used is a verdict: skip.
///
/// # Errors
/// The command line is wrong, or a file or standard output cannot be written.
pub fn run(choices: &[Choice], request: &Request) -> Result<Exit, Stop> {
    let results = host::run(choices, request)?;
    request.outputs.publish(&report::text(&results), &results)
}

/// Prints the jobs as JSON.
///
/// # Errors
/// The command line is wrong, a host is not available, or standard output cannot be written.
pub fn plan(choices: &[Choice], request: &Request) -> Result<Exit, Stop> {
    let plan = serde_json::json!({ "jobs": host::plan(choices, request)? });
    output::text(&format!("{plan:#}\n"))?;
    Ok(Exit::Pass)
}
