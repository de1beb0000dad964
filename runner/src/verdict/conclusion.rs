//! From a log that came to its end to what the user gets: verdict, report, JSON, exit code.

use std::path::Path;

use spec::deviation::Deviations;
use spec::log::Verdict;

use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::Findings;
use crate::verdict::json::{self, Measured};
use crate::verdict::judge::{Judgement, Source, judge};
use crate::verdict::missed::Played;
use crate::verdict::report::Report;
use crate::vmm::Unavailable;

/// Where a log came from, for the report.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The host, as the verdict line calls it; empty if nobody knows.
    pub l0: String,
    /// Options that choose this host again, with a space in front.
    pub options: String,
    /// Deviations that the host is known for.
    pub expected: Deviations,
    /// What was to be played.
    pub played: Played,
}

/// All that is known when a run, or the reading of a log, is over.
pub struct Conclusion {
    /// What the log tells.
    pub findings: Findings,
    /// The verdict.
    pub judgement: Judgement,
    /// Why the log ends where it ends.
    pub source: Source,
    /// Whether known deviations are failures.
    pub strict: bool,
    /// Where the log came from.
    pub origin: Origin,
    /// What was measured beside the log.
    pub measured: Measured,
}

impl Conclusion {
    /// Judges what was read.
    pub fn new(
        (findings, stopped): (Findings, Option<String>),
        source: Source,
        strict: bool,
        origin: Origin,
        measured: Measured,
    ) -> Self {
        let judgement = judge(&findings, stopped.as_deref(), &source, strict);
        Self { findings, judgement, source, strict, origin, measured }
    }

    /// Nothing could be booted: a skip, in JSON too, for those who wait for a result.
    pub fn unavailable(why: &Unavailable, strict: bool) -> Self {
        Self {
            findings: Findings::default(),
            judgement: Judgement { verdict: Verdict::Skip, sentence: why.to_string() },
            source: Source::File,
            strict,
            origin: Origin::default(),
            measured: Measured::default(),
        }
    }

    /// Prints the report and writes the JSON.
    ///
    /// # Errors
    /// A file or standard output cannot be written; the report is printed all the same.
    pub fn publish(&self, json: Option<&Path>) -> Result<Exit, Stop> {
        output::text(&self.report())?;
        if let Some(path) = json {
            self.write_json(path)?;
        }
        Ok(self.judgement.verdict.into())
    }

    /// The report, its last line the verdict.
    pub fn report(&self) -> String {
        let Self { findings, judgement, strict, origin, .. } = self;
        let Origin { l0, options, expected, played } = origin;
        Report { findings, judgement, strict: *strict, l0, options, expected: *expected, played: *played }.text()
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), Stop> {
        let Self { findings, judgement, source, strict, origin, measured } = self;
        json::Document::new(findings, judgement, source, *strict, &origin.l0, *measured).write(path)
    }
}
