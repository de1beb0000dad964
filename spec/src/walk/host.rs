//! L0's own need: accesses that L0 must intercept and L2 must not notice.
//!
//! L0 intercepts page faults for itself: to fill shadow page tables, to emulate devices, to track
//! what is written. None of that may show. Whatever filter L1 has, the access completes, and
//! neither L1 nor L2 sees a fault. SDM vol. 3C, "Other Causes of VM Exits": a #PF that the guest's
//! own paging does not cause is not the guest's.
//!
//! The need to correct error codes, where the guest's MAXPHYADDR is below the processor's, shows in
//! the groups `filter.*`: their pages with reserved bits have bit MAXPHYADDR as the guest sees it.

use core::fmt;

use crate::catalogue::kind::Kind;
use crate::catalogue::plan::{Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Maxphyaddr, Privilege};
use crate::walk::stimulus::loop_number;

crate::listed! {
    /// Why L0 must intercept an access.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Need {
        /// Memory that nobody has accessed yet: L0 must map it.
        Touch => "touch", "memory that was never accessed before: L0 must map it",
        /// Memory whose writes L0 tracks (dirty logging). L0 must find the page in its log after each
        /// walk that wrote there. Linux, `Documentation/virt/kvm/api.rst`, KVM_GET_DIRTY_LOG.
        Dirty => "dirty", "memory whose writes L0 tracks, and finds in its log",
        /// The local APIC's page: L0 emulates it.
        Apic => "apic", "the local APIC, which L0 emulates",
        /// A device's page: L0 passes the access to the VMM.
        Device => "device", "a device of the VMM, to which L0 passes accesses",
    }
    /// The need's part of a group's name.
    pub fn name;
    /// One line for `maskmatch list`.
    pub fn what;
}

/// Whether an access is the first to its page in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// The first.
    First,
    /// The second, to the next eight bytes.
    Again,
}

/// One access to a page of a [`Need`], written as `WHO-ACCESS-ROUND`, as in `user-write-again`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAccess {
    /// Why L0 must intercept it.
    pub need: Need,
    /// Made at CPL 0 or CPL 3.
    pub privilege: Privilege,
    /// Read, write or fetch.
    pub access: Access,
    /// Which access to the page it is.
    pub round: Round,
}

/// One access under one filter, in a group `host.NEED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCase {
    /// The access, which has the need.
    pub access: HostAccess,
    /// L1's filter.
    pub filter: Filter,
}

/// The fewest that could swallow a fault of L0: never in both forms, not present, L0's own.
const QUICK: [Filter; 4] =
    [Filter::NEVER, Filter::new(false, 0, 0), Filter::new(true, 1, 0), Filter::new(true, 9, 1)];

/// Those that could swallow L0's faults: every class of filter, or in the quick profile the few
/// that say most.
const fn filters(profile: Profile) -> &'static [Filter] {
    if matches!(profile, Profile::Quick) { &QUICK } else { &QUICK_BASIC }
}

impl Need {
    /// The kinds of access that make sense.
    const fn kinds(self) -> &'static [Access] {
        match self {
            Self::Touch => &[Access::Read, Access::Write, Access::Fetch],
            Self::Dirty | Self::Apic | Self::Device => &[Access::Read, Access::Write],
        }
    }

    /// All accesses in the order of the walk.
    pub fn accesses(self) -> impl Iterator<Item = HostAccess> {
        [Privilege::Supervisor, Privilege::User].into_iter().flat_map(move |privilege| {
            self.kinds().iter().flat_map(move |&access| {
                [Round::First, Round::Again].map(|round| HostAccess {
                    need: self,
                    privilege,
                    access,
                    round,
                })
            })
        })
    }
}

impl Kind for Need {
    type Case = HostCase;

    const NUMBERS: usize = Self::ALL.len();

    fn numbered(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }

    fn filter_count(self, profile: Profile) -> usize {
        filters(profile).len()
    }

    fn filter(self, profile: Profile, number: usize) -> Filter {
        filters(profile)[number]
    }

    fn cases_with(
        self,
        filter: Filter,
        _: Profile,
        _: Maxphyaddr,
    ) -> impl Iterator<Item = HostCase> {
        self.accesses().map(move |access| HostCase { access, filter })
    }
}

impl HostAccess {
    /// The number of L2's loop that makes the access.
    #[must_use]
    pub fn loop_number(&self) -> usize {
        loop_number(self.privilege, self.access, self.is_narrow())
    }

    /// Whether it is 4 bytes wide instead of 8, as devices need it.
    #[must_use]
    pub const fn is_narrow(&self) -> bool {
        matches!(self.need, Need::Apic | Need::Device)
    }
}

impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round = match self.round {
            Round::First => "first",
            Round::Again => "again",
        };
        write!(f, "{}-{}-{round}", self.privilege, self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::Need;
    use crate::walk::layout::MAX_SLOTS;
    use std::collections::HashSet;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn accesses_are_unique_and_in_the_order_of_the_walk() {
        for need in Need::ALL {
            let all: Vec<_> = need.accesses().collect();
            assert!(all.len() <= MAX_SLOTS);
            let names: HashSet<_> = all.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), all.len());
            assert!(all.iter().map(super::HostAccess::loop_number).collect::<Vec<_>>().is_sorted());
        }
    }
}
