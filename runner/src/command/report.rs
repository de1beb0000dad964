//! `report`: the results of many runs as a table, and as everything that a run can write.

use std::fmt::Write;

use crate::cli::ReportArgs;
use crate::output;
use crate::results::document::{GroupResult, HostResult, Results};
use crate::results::publish::Outputs;
use crate::results::store;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::judge::thousands;

/// Reads, prints and writes. The exit code is that of the worst verdict.
///
/// # Errors
/// Results cannot be read, or something cannot be written.
pub fn report(arguments: ReportArgs) -> Result<Exit, Stop> {
    let outputs = arguments.results.outputs(None);
    outputs.check()?;
    let results = store::read_path(&arguments.from)?;
    let is_folder = arguments.from.is_dir();
    let history = outputs.history.clone().or(is_folder.then(|| arguments.from.clone()));
    let outputs = Outputs { history, ..outputs };
    let written = outputs.write(&text(&results), &results);
    let wrong: Vec<String> = written.into_iter().filter_map(|one| Some(one.err()?.why)).collect();
    if wrong.is_empty() {
        Ok(spec::log::Verdict::from(results.verdict).into())
    } else {
        Err(Stop::usage(wrong.join("; ")))
    }
}

/// A line for each result, and the verdict.
fn text(results: &Results) -> String {
    let header = ["host", "made", "verdict", "groups", "cases", "failed", "known", "processor"];
    let rows = results.results.iter().map(|result| {
        let sum = |of: fn(&GroupResult) -> Option<u64>| {
            thousands(result.groups.iter().filter_map(of).sum())
        };
        vec![
            result.name.clone(),
            result.made.format("%Y-%m-%d %H:%M").to_string(),
            result.verdict.word().to_string(),
            result.groups.len().to_string(),
            sum(|group| group.cases),
            sum(|group| group.failed),
            sum(|group| group.known),
            sum(|group| group.known_of_processor),
        ]
    });
    let mut text = output::table(header.map(String::from).into(), rows, 3);
    let _ = writeln!(text, "maskmatch: {}: {}", results.verdict.word(), sentence(&results.results));
    text
}

fn sentence(results: &[HostResult]) -> String {
    match results {
        [one] => one.sentence.clone(),
        many => format!("the worst of {} results", many.len()),
    }
}
