//! The end of a command that has a verdict: text, files, exit code.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ColorChoice;

use super::document::Results;
use super::{html, junit, of_run, store, tap};
use crate::color;
use crate::files;
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::result::{RunResult, overall};

/// What a command writes besides its report. `-` is standard output; the report then goes to
/// standard error.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Whether the report is coloured.
    pub color: ColorChoice,
    /// The raw serial log.
    pub log: Option<PathBuf>,
    /// The results as JSON.
    pub json: Option<PathBuf>,
    /// The results as JUnit XML.
    pub junit: Option<PathBuf>,
    /// Whether the results go to standard output as TAP.
    pub tap: bool,
    /// The results as a page.
    pub html: Option<PathBuf>,
    /// A folder of earlier results, for the page.
    pub history: Option<PathBuf>,
}

/// Standard output, among files.
const STANDARD_OUTPUT: &str = "-";

impl Outputs {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let tap = self.tap.then_some(Path::new(STANDARD_OUTPUT));
        let files = [&self.log, &self.json, &self.junit, &self.html];
        files.into_iter().flatten().map(PathBuf::as_path).chain(tap)
    }

    /// Checks that all can be written, before anything runs.
    ///
    /// # Errors
    /// One cannot, or two are the same.
    pub fn check(&self) -> Result<(), Stop> {
        let paths: Vec<&Path> = self.paths().collect();
        files::check_results(&paths)?;
        match &self.history {
            Some(folder) if !folder.is_dir() => {
                Err(Stop::usage(format!("--history: {} is not a folder", folder.display())))
            }
            _ => Ok(()),
        }
    }

    /// Whether standard output is one of them.
    fn takes_standard_output(&self) -> bool {
        self.paths().any(files::is_standard_output)
    }

    /// Prints the report and writes what was asked for.
    ///
    /// # Errors
    /// A file or standard output cannot be written. All that can be written is.
    pub fn publish(&self, report: &str, results: &[RunResult]) -> Result<Exit, Stop> {
        let mut wrong: Vec<String> =
            results.iter().filter_map(|result| result.log_error.clone()).collect();
        let log = self.log.as_deref().map_or(Ok(()), |path| write_logs(path, results));
        let mut written = self.write(report, &of_run::document(results));
        written.push(log);
        wrong.extend(written.into_iter().filter_map(|written| Some(written.err()?.why)));
        if wrong.is_empty() {
            Ok(overall(results).into())
        } else {
            Err(Stop::usage(wrong.join("; ")))
        }
    }

    /// Prints the report and writes all files but the log.
    pub fn write(&self, report: &str, results: &Results) -> Vec<Result<(), Stop>> {
        let mut written = Vec::new();
        if self.takes_standard_output() {
            output::apart(report);
        } else {
            let paint = color::is_on(self.color).then_some(color::painted as fn(&str) -> String);
            written.push(output::report(report, paint));
        }
        if let Some(path) = &self.json {
            written.push(store::write(path, &store::text(results)));
        }
        if let Some(path) = &self.junit {
            written.push(junit::text(results).and_then(|text| store::write(path, &text)));
        }
        if self.tap {
            written.push(store::write(Path::new(STANDARD_OUTPUT), &tap::text(results)));
        }
        if let Some(path) = &self.html {
            let earlier = self.history.as_deref().map_or(Ok(Vec::new()), store::read_folder);
            let page = earlier.map(|earlier| {
                // The run itself may have been written there by now.
                let earlier = earlier.into_iter().map(|(_, one)| one);
                let earlier: Vec<_> = earlier.filter(|one| one.made != results.made).collect();
                html::page(results, &earlier)
            });
            written.push(page.and_then(|page| store::write(path, &page)));
        }
        written
    }
}

/// A single raw log is FILE. Of several, each is FILE.N, counted from 1 in the order of the
/// results; on standard output they follow each other, as `check` reads them.
fn write_logs(path: &Path, results: &[RunResult]) -> Result<(), Stop> {
    let kept: Vec<&[u8]> = results.iter().filter_map(|result| result.raw.as_deref()).collect();
    if files::is_standard_output(path) {
        return output::print(|out| kept.iter().try_for_each(|raw| out.write_all(raw)));
    }
    for (number, raw) in (1..).zip(&kept) {
        let mut name = path.as_os_str().to_owned();
        if kept.len() > 1 {
            name.push(format!(".{number}"));
        }
        let path = Path::new(&name);
        fs::write(path, raw).map_err(|error| Stop::file("write", path, &error))?;
    }
    Ok(())
}
