//! Options about known deviations, of `run`, `check` and `gather`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::files;
use crate::verdict::exit_code::Stop;
use crate::verdict::known::Tables;

/// No table of known deviations is larger.
const MAX_TABLE: u64 = 1 << 20;

/// What is known of hosts.
#[derive(Clone, Debug, Default, Args)]
pub struct KnownArgs {
    /// Known deviations of the host are failures, and so are those that had to show and did not.
    #[arg(long)]
    pub strict: bool,
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
            let text = files::read(path, MAX_TABLE)
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(|error| Stop::file("read", path, &error))?;
            tables.add_file(&path.display().to_string(), &text).map_err(Stop::usage)?;
        }
        Ok(Arc::new(tables))
    }
}
