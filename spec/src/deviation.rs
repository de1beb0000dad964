//! Known deviations: what a certain host does wrong, so that a run on it can go on to tell of the rest.
//!
//! A known deviation is counted and shown with its reason, never dropped. It is no failure on the
//! host that it belongs to, unless strictness is asked for; on any other it is one.

use core::fmt;

use crate::outcome::{Exit, RFLAGS_RF};

/// A host hypervisor (or emulator in its place) and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Bochs emulator.
    Bochs {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// Linux/KVM.
    Kvm,
    /// Any other.
    Other,
}

/// A known deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// Guest RFLAGS.RF is 0 after a VM exit by #PF.
    Rf0,
}

impl Deviation {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Rf0];

    /// The word on command lines and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rf0 => "rf0",
        }
    }

    /// The deviation of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deviation| deviation.name() == name)
    }

    /// What is wrong, where, and what the manual wants, in one sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Rf0 => {
                "Bochs before 2.8 saves RFLAGS.RF = 0 on a VM exit by #PF; SDM 27.3.3 (Saving RIP, RSP, RFLAGS, and SSP) wants 1"
            }
        }
    }

    /// Whether the deviation belongs to a host.
    #[must_use]
    pub fn belongs_to(self, host: Host) -> bool {
        match (self, host) {
            (Self::Rf0, Host::Bochs { major, minor }) => (major, minor) < (2, 8),
            (Self::Rf0, _) => false,
        }
    }
}

/// A set of known deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Deviations {
    rf0: bool,
}

impl Deviations {
    /// No deviation.
    pub const NONE: Self = Self { rf0: false };

    /// Those that belong to a host.
    #[must_use]
    pub fn of(host: Host) -> Self {
        Self { rf0: Deviation::Rf0.belongs_to(host) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether a deviation is in the set.
    #[must_use]
    pub fn contains(self, deviation: Deviation) -> bool {
        match deviation {
            Deviation::Rf0 => self.rf0,
        }
    }

    /// The set of names joined by commas, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn from_names(names: &str) -> Option<Self> {
        let mut set = Self::NONE;
        if names == NO_NAMES {
            return Some(set);
        }
        for name in names.split(',') {
            match Deviation::from_name(name)? {
                Deviation::Rf0 => set.rf0 = true,
            }
        }
        Some(set)
    }

    /// What a host with these deviations shows in place of the right exit.
    #[must_use]
    pub fn applied_to(self, exit: Exit) -> Exit {
        if self.rf0 { Exit { rflags: exit.rflags & !RFLAGS_RF, ..exit } } else { exit }
    }
}

/// How an empty set is written.
const NO_NAMES: &str = "none";

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for deviation in Deviation::ALL.into_iter().filter(|&d| self.contains(d)) {
            write!(f, "{joint}{}", deviation.name())?;
            joint = ",";
        }
        if joint.is_empty() { f.write_str(NO_NAMES) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Deviation, Deviations, Host};
    use crate::outcome::{Exit, RFLAGS_RF};
    use std::string::ToString;

    #[test]
    fn rf0_belongs_to_old_bochs_alone() {
        for (host, belongs) in [
            (Host::Bochs { major: 2, minor: 7 }, true),
            (Host::Bochs { major: 2, minor: 8 }, false),
            (Host::Bochs { major: 3, minor: 0 }, false),
            (Host::Kvm, false),
            (Host::Other, false),
        ] {
            assert_eq!(Deviation::Rf0.belongs_to(host), belongs, "{host:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        for set in [Deviations::NONE, Deviations::of(Host::Bochs { major: 2, minor: 7 })] {
            assert_eq!(Deviations::from_names(&set.to_string()), Some(set));
        }
        assert_eq!(Deviations::from_names("rf1"), None);
    }

    #[test]
    fn rf0_changes_rf_and_nothing_else() {
        let exit = Exit { info: 1, error_code: 2, qualification: 3, rip: 4, rflags: !0, idt_vectoring: 6, cr2: 7 };
        let set = Deviations::from_names("rf0").unwrap();
        assert_eq!(set.applied_to(exit), Exit { rflags: !RFLAGS_RF, ..exit });
        assert_eq!(Deviations::NONE.applied_to(exit), exit);
    }
}
