//! Why the tool ends before its work is done.

use std::fmt::Display;
use std::path::Path;

/// One sentence and the exit code.
pub struct Stop {
    /// The exit code.
    pub code: u8,
    /// What is wrong, and what to do.
    pub why: String,
}

impl Stop {
    /// Nothing can be concluded from what follows.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { code: 1, why: why.into() }
    }

    /// The command line names something that is not there.
    pub fn usage(why: impl Into<String>) -> Self {
        Self { code: 2, why: why.into() }
    }

    /// A tool, a package, a file or the lab is missing.
    pub fn missing(why: impl Into<String>) -> Self {
        Self { code: 3, why: why.into() }
    }

    /// A file cannot be read or written.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::missing(format!(
            "{}: {error}; check its permissions and the free space",
            path.display()
        ))
    }
}
