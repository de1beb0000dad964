//! Options about what is written besides the report, of every command with a verdict.

use std::path::PathBuf;

use clap::{Args, ColorChoice};

use crate::results::publish::Outputs;

/// What is written besides the report. Where one is standard output, the report goes to stderr.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Results (as FILE, `-` is standard output)")]
pub struct ResultArgs {
    /// Whether verdicts in the report are coloured.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Write the results as JSON, in the form that `list --schema` prints.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the results as JUnit XML: a suite for each host and parameter set, a case for each
    /// group.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the results as TAP on standard output; known deviations are `# TODO`.
    #[arg(long)]
    pub tap: bool,
    /// Write the results as one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// A folder of earlier results, from --json: the page shows them, and what changed.
    #[arg(long, value_name = "DIR", requires = "html")]
    pub history: Option<PathBuf>,
}

impl ResultArgs {
    /// What is to be written, with the raw log.
    pub fn outputs(self, log: Option<PathBuf>) -> Outputs {
        let Self { color, json, junit, tap, html, history } = self;
        Outputs { color, log, json, junit, tap, html, history }
    }
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The results before: a file from --json, or a folder of such files, of which the newest of
    /// each host counts.
    pub before: PathBuf,
    /// The results after.
    pub after: PathBuf,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A folder of results from --json, or one file.
    pub from: PathBuf,
    #[command(flatten)]
    pub results: ResultArgs,
}
