//! Options of `check`.

use std::path::PathBuf;

use clap::Args;

use super::known::KnownArgs;
use super::results::ResultArgs;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The log; `-` for standard input.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// What the image ran on, as in 'kvm 6.1 ept=0' or 'bochs 2.7'; may be repeated: the host, and
    /// the emulator below it. By default, what the log's header says.
    #[arg(long, value_name = "PRODUCT")]
    pub host: Vec<String>,
    #[command(flatten)]
    pub known: KnownArgs,
    #[command(flatten)]
    pub results: ResultArgs,
}
