//! Options about known deviations, of `run` and `check`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::verdict::exit_code::Stop;
use crate::verdict::known::Tables;

/// What is known of hosts.
#[derive(Clone, Debug, Default, Args)]
pub struct KnownArgs {
    /// Known deviations of your own, in the form of runner/known/*.toml; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub known: Vec<PathBuf>,
    /// Leave out the known deviations that are built in.
    #[arg(long)]
    pub no_known: bool,
}

impl KnownArgs {
    /// Reads the tables.
    ///
    /// # Errors
    /// A file cannot be read, or is not a table.
    pub fn tables(&self) -> Result<Arc<Tables>, Stop> {
        let mut tables = if self.no_known { Tables::none() } else { Tables::built_in() };
        for path in &self.known {
            let text = fs::read_to_string(path).map_err(|error| Stop::file("read", path, &error))?;
            tables.add_file(&path.display().to_string(), &text).map_err(Stop::usage)?;
        }
        Ok(Arc::new(tables))
    }
}
