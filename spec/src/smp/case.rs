//! Groups and cases on two processors.

use core::fmt;

use super::shootdown::{Shot, State};
use super::together::Together;
use crate::catalogue::kind::Kind;
use crate::catalogue::plan::{Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::paging::{Maxphyaddr, Mode};
use crate::manual::pfec::Pfec;
use crate::walk::setting::BASE;

crate::listed! {
    /// What two processors do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Smp {
        /// Accesses under two filters at a time.
        Filters => "filters", "two processors, two L1s with different filters at the same time",
        /// A change of page tables of which the other processor must learn.
        Shootdown => "shootdown",
            "two processors: one changes page tables that the other uses and invalidates by INVLPG",
    }
    /// The part of a group's name after `smp.`.
    pub fn name;
    /// One line for `maskmatch list`.
    pub fn what;
}

/// All except writes, in the inverse form.
const QUICK: [Filter; 1] = [Filter::new(false, 2, 2)];

/// Every class of filter, or in the quick profile that one.
const fn filters(profile: Profile) -> &'static [Filter] {
    if matches!(profile, Profile::Quick) { &QUICK } else { &QUICK_BASIC }
}

/// One access of one of the two processors. It also says which group it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmpProbe {
    /// Of `smp.filters`.
    Together(Together),
    /// Of `smp.shootdown`.
    Shot(Shot),
}

impl fmt::Display for SmpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together(together) => together.fmt(f),
            Self::Shot(shot) => shot.fmt(f),
        }
    }
}

/// One access of one processor, in a group `smp.NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmpCase {
    /// The access.
    pub probe: SmpProbe,
    /// L1's filter: on processor 0 of `smp.filters`, on processor 1 of `smp.shootdown`.
    pub filter: Filter,
}

impl SmpCase {
    /// Its group.
    #[must_use]
    pub const fn group(&self) -> Smp {
        match self.probe {
            SmpProbe::Together(_) => Smp::Filters,
            SmpProbe::Shot(_) => Smp::Shootdown,
        }
    }

    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match self.probe {
            SmpProbe::Together(together) => together.stimulus.pfec(BASE, maxphyaddr),
            SmpProbe::Shot(shot) => shot.change.pfec(State::New, maxphyaddr),
        }
    }
}

impl SmpProbe {
    /// Whether it must end on a processor with only the SMEP and SMAP of `offered` as it must on
    /// one with both.
    #[must_use]
    pub fn is_same_on(&self, offered: Mode, maxphyaddr: Maxphyaddr) -> bool {
        match self {
            Self::Together(together) => together.stimulus.is_same_on(offered, BASE, maxphyaddr),
            Self::Shot(shot) => shot.change.is_same_on(offered, maxphyaddr),
        }
    }
}

impl Kind for Smp {
    type Case = SmpCase;

    const NUMBERS: usize = Self::ALL.len();

    fn numbered(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }

    fn is_long(self) -> bool {
        true
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
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = SmpCase> {
        let together =
            (self == Self::Filters).then(|| Together::all(maxphyaddr).map(SmpProbe::Together));
        let shots = (self == Self::Shootdown).then(|| Shot::all(maxphyaddr).map(SmpProbe::Shot));
        let probes = together.into_iter().flatten().chain(shots.into_iter().flatten());
        probes.map(move |probe| SmpCase { probe, filter })
    }
}
