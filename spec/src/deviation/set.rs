//! Sets of known deviations.

use core::fmt;

use super::{Deviation, Host};
use crate::catalogue::case::Case;
use crate::scene::expect::NMI_UNBLOCKED;
use crate::walk::outcome::{Exit, Observed, RFLAGS_RF};

/// A set of known deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Deviations {
    bits: u64,
}

impl Deviations {
    /// No deviation.
    pub const NONE: Self = Self { bits: 0 };

    /// Those that belong to a host.
    #[must_use]
    pub fn of(host: Host) -> Self {
        Deviation::ALL.into_iter().filter(|deviation| deviation.belongs_to(host)).fold(Self::NONE, Self::with)
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, deviation: Deviation) -> Self {
        Self { bits: self.bits | deviation.bit() }
    }

    /// Those of either set: what a host in an emulator has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Whether a deviation is in the set.
    #[must_use]
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.bits & deviation.bit() != 0
    }

    /// Whether the two have no member in common.
    #[must_use]
    pub const fn is_disjoint(self, other: Self) -> bool {
        self.bits & other.bits == 0
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL.into_iter().filter(move |&deviation| self.contains(deviation))
    }

    /// The set of names joined by commas, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn from_names(names: &str) -> Option<Self> {
        if names == NO_NAMES {
            return Some(Self::NONE);
        }
        names.split(',').try_fold(Self::NONE, |set, name| Some(set.with(Deviation::from_name(name)?)))
    }

    /// What a host with these deviations shows in place of the right exit.
    #[must_use]
    pub fn applied_to(self, exit: Exit) -> Exit {
        if self.contains(Deviation::Rf0) { Exit { rflags: exit.rflags & !RFLAGS_RF, ..exit } } else { exit }
    }

    /// The member that makes the difference between what must be and what was, if one does.
    #[must_use]
    pub fn explaining(self, case: &Case, want: &Observed, got: &Observed) -> Option<Deviation> {
        self.iter().find(|deviation| deviation.explains(case, want, got)).or_else(|| {
            // An exit against the filter may have bit 12, too.
            let info = |exit: Exit| Exit { info: exit.info & !NMI_UNBLOCKED, ..exit };
            let got = Observed { exit: got.exit.map(info), ..*got };
            let both =
                [Deviation::ApfFlag, Deviation::NmiBlocked].into_iter().all(|deviation| self.contains(deviation));
            (both && Deviation::ApfFlag.explains(case, want, &got)).then_some(Deviation::ApfFlag)
        })
    }
}

impl Deviation {
    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// How an empty set is written.
const NO_NAMES: &str = "none";

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for deviation in self.iter() {
            write!(f, "{joint}{}", deviation.name())?;
            joint = ",";
        }
        if joint.is_empty() { f.write_str(NO_NAMES) } else { Ok(()) }
    }
}
