//! Why a walk did not get to its end, or was not entered.

use core::fmt;

use spec::channel::Status;
use spec::manual::filter::Filter;

use crate::machine::expected::{STRAY_WORD, Stray};
use crate::machine::log::log;
use crate::vmx::VmFail;
use crate::vmx::exit::{LastExit, REASON_INIT};

/// How a walk ended, if not at its end.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// L2 got an exception that it did not expect; its vector.
    Vector(u64),
    /// L2 exited for another reason than a #PF or its VMCALL, or by more exceptions than there are
    /// accesses.
    Exit(LastExit),
    /// L0 delivered an event to L1 that was L2's.
    Stray(Stray),
    /// L2 did not get from the VMM what it asked for, and walked no slot.
    Refused(Status),
    /// An INIT signal was to end the walk, and did not.
    NoInit,
    /// The VM was to move in the middle of a walk, and did not.
    NotMoved,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(vector) => write!(f, "{},vector={vector:x}", self.word()),
            Self::Exit(exit) => write!(f, "{},{exit}", self.word()),
            Self::Stray(stray) => stray.fmt(f),
            Self::NoInit | Self::NotMoved => f.write_str(self.word()),
            Self::Refused(status) => write!(f, "{},status={:x}", self.word(), status.word()),
        }
    }
}

impl Broken {
    /// The word by which such walks are counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Vector(_) => "unexpected-vector",
            Self::Exit(_) => "unexpected-exit",
            Self::Stray(_) => STRAY_WORD,
            Self::NoInit => "no-exit-by-init",
            Self::NotMoved => "not-moved",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether an INIT signal ended it.
    pub fn is_init(self) -> bool {
        matches!(self, Self::Exit(LastExit { reason: REASON_INIT, .. }))
    }
}

/// L2 cannot be entered: no case can be judged after it. L1 writes to vmcs12 only what the
/// capability MSRs allow, so this is the host's fault.
#[derive(Clone, Copy, Debug)]
pub enum EntryFailed {
    /// The VM entry itself failed.
    Entry(VmFail),
    /// L2 was entered at its start and did not call back.
    Start(Broken),
}

impl fmt::Display for EntryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(fail) => fail.fmt(f),
            Self::Start(broken) => write!(f, "L2 does not get through its start: {broken}"),
        }
    }
}

impl From<VmFail> for EntryFailed {
    fn from(fail: VmFail) -> Self {
        Self::Entry(fail)
    }
}

impl EntryFailed {
    /// Logs as a failing case that L2 does not get through its start, or to its next walk. `filter`
    /// is vmcs12's.
    pub fn log(self, group: &dyn fmt::Display, filter: Filter) {
        let (what, got): (_, &dyn fmt::Display) = match &self {
            Self::Start(broken) => ("start", broken),
            Self::Entry(fail) => ("walk", fail),
        };
        log().fail(&format_args!("{group}:{what}:{filter}"), &format_args!("complete-{what}"), got);
    }

    /// The word by which it is counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Entry(fail) => fail.word,
            Self::Start(broken) => broken.word(),
        }
    }
}
