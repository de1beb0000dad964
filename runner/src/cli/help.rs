//! Options of `completions`, `man` and `with`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder; it is made if it is missing.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Options of `with`.
#[derive(Debug, Args)]
pub struct WithArgs {
    /// The name of a table; without one, all names are shown.
    pub name: Option<String>,
    /// More options. Of one that takes a single value, this one counts.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    pub more: Vec<String>,
}
