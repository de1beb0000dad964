//! One group's turn: what it has of the machine, and how it may end.

use core::fmt;

use spec::catalogue::options::Options;
use spec::channel::Status;
use spec::manual::filter::Filter;

use crate::machine::cpu::Cpu;
use crate::machine::log::log;
use crate::tally::Tried;
use crate::vmx::VmFail;
use crate::walk::broken::EntryFailed;
use crate::walk::walker::Walker;

/// Why groups could not be run.
#[derive(Clone, Copy, Debug)]
pub enum Failed {
    /// No group has the name that was asked for.
    NoSuchGroup,
    /// The processor does not have the stimulus of the case that was asked for.
    NoSuchStimulus,
    /// The VM entry failed.
    Entry(EntryFailed),
    /// The VMM does not give the guest its first state back.
    Ask(Status),
    /// What the group asks the VMM for does not exist here.
    Refused(Status),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup => {
                f.write_str("the option filter= selects no group; `maskmatch list` shows them")
            }
            Self::NoSuchStimulus => {
                f.write_str("the option case= names an access that this CPU cannot make")
            }
            Self::Entry(failed) => failed.fmt(f),
            Self::Refused(status) => status.fmt(f),
            Self::Ask(status) => write!(f, "the guest does not get its first state back: {status}"),
        }
    }
}

impl From<EntryFailed> for Failed {
    fn from(failed: EntryFailed) -> Self {
        Self::Entry(failed)
    }
}

impl From<VmFail> for Failed {
    fn from(fail: VmFail) -> Self {
        Self::Entry(fail.into())
    }
}

/// Why a group has nothing to try, if its cases were left out one by one.
pub const EXCLUDED: &str = "the option exclude= leaves out all of its cases";

/// Why a group has nothing to try, if the outcome of all of its cases depends on them.
pub const UNPROTECTED: &str = "the CPU lacks SMEP or SMAP (IA32_VMX_CR4_FIXED1[20], [21])";

/// What became of a group.
pub enum Ran {
    /// Its cases were tried; the tally has what came of them.
    Tried,
    /// It cannot run here, as the log says.
    Skipped,
}

/// What a group has while it runs.
pub struct Turn<'a> {
    /// The group's number in the log.
    pub number: usize,
    /// What is to run, and how much of it.
    pub options: &'a Options<'a>,
    /// The processor.
    pub cpu: &'a Cpu,
    /// L2 that walks, and VMX.
    pub walker: &'a mut Walker,
    /// What came of the cases so far.
    pub tally: Tried<'a>,
}

impl Turn<'_> {
    /// The filters of the group, or only one, with a heartbeat now and then.
    pub fn filters(
        &self,
        only: Option<Filter>,
        heartbeat: usize,
    ) -> impl Iterator<Item = Filter> + use<> {
        let group = self.tally.group;
        let planned = group.filters(self.options.profile);
        let count = if only.is_some() { 1 } else { planned.len() };
        let planned = planned.take(if only.is_some() { 0 } else { count });
        only.into_iter().chain(planned).enumerate().map(move |(at, filter)| {
            if at % heartbeat == 0 {
                log().progress(&group, at, count);
            }
            filter
        })
    }

    /// Logs why the group cannot run.
    pub fn skip(&self, reason: &dyn fmt::Display) -> Ran {
        log().skip(self.number, &self.tally.group, reason);
        Ran::Skipped
    }
}
