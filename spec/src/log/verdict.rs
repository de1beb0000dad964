//! The verdict on a whole log.

use core::fmt;

/// What a whole log says. The worst of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every group that ran passed, and at least one ran.
    Pass,
    /// Nothing could run: the host or the CPU lacks something.
    Skip,
    /// The host is wrong.
    Fail,
    /// maskmatch is wrong.
    Error,
    /// There is no complete log.
    Crash,
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Crash => "crash",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
