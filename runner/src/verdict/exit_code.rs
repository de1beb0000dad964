//! How `maskmatch` ends: every exit code, and errors that end it early.

use std::fmt;
use std::process::ExitCode;

use spec::log::Verdict;

use crate::vmm::Unavailable;

/// The exit codes. `git bisect run` and CI read them, so a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The verdict is pass, or a command that gives no verdict did its work.
    Pass = 0,
    /// The verdict is fail: the host is wrong.
    Fail = 1,
    /// The command line, or a file that it names, cannot be used.
    Usage = 2,
    /// Nothing could be run: a tool or a feature is missing.
    Nothing = 3,
    /// The guest crashed, hung or ran into the time limit, or the log is damaged.
    Crash = 4,
    /// maskmatch itself is wrong.
    Error = 5,
    /// With `--bisect`: all that is neither pass nor fail. `git bisect run` leaves the commit out.
    NoVerdict = 125,
}

/// How a run ends with `--bisect`.
///
/// # Errors
/// As the run: only the exit code is another.
pub fn for_bisect(ended: Result<Exit, Stop>) -> Result<Exit, Stop> {
    match ended {
        Ok(exit @ (Exit::Pass | Exit::Fail)) => Ok(exit),
        Ok(_) => Ok(Exit::NoVerdict),
        Err(stop) => Err(Stop { exit: Exit::NoVerdict, ..stop }),
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Skip => Self::Nothing,
            Verdict::Error => Self::Error,
            Verdict::Crash => Self::Crash,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends before its work is done: a sentence for stderr and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong and what to do, in one sentence.
    pub why: String,
}

impl Stop {
    /// The user asked for something that cannot be.
    pub fn usage(why: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, why: why.into() }
    }

    /// A file that the user named cannot be used.
    pub fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::usage(format!("cannot {what} {}: {error}", path.display()))
    }
}

impl From<Unavailable> for Stop {
    fn from(unavailable: Unavailable) -> Self {
        let exit = if unavailable.is_usage { Exit::Usage } else { Exit::Nothing };
        Self { exit, why: unavailable.to_string() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Stop, for_bisect};

    #[test]
    fn what_is_no_verdict_leaves_a_commit_out() {
        assert_eq!(for_bisect(Ok(Exit::Pass)), Ok(Exit::Pass));
        assert_eq!(for_bisect(Ok(Exit::Fail)), Ok(Exit::Fail));
        for exit in [Exit::Nothing, Exit::Crash, Exit::Error] {
            assert_eq!(for_bisect(Ok(exit)), Ok(Exit::NoVerdict));
        }
        let stop = for_bisect(Err(Stop::usage("why"))).unwrap_err();
        assert_eq!((stop.exit, stop.why.as_str()), (Exit::NoVerdict, "why"));
    }
}
