//! The verdict on a whole log.

use core::fmt;

crate::listed! {
    /// What a whole log says. The worst of several is the greatest.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Verdict {
        /// Every group that ran passed, and at least one ran.
        Pass => "pass",
        /// Nothing could run: the host or the CPU lacks something.
        Skip => "skip",
        /// The host is wrong.
        Fail => "fail",
        /// maskmatch is wrong.
        Error => "error",
        /// There is no complete log.
        Crash => "crash",
    }
    /// The word in reports.
    pub fn name;
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
