//! Cases and the ids that replay them.

use core::fmt;

use crate::catalogue::group::{Group, OneOf, whichever_kind};
use crate::catalogue::kind::Kind;
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;
use crate::scene::case::SceneCase;
use crate::smp::case::SmpCase;
use crate::tally::displays_as;
use crate::walk::action::case::ActionCase;
use crate::walk::case::WalkCase;
use crate::walk::host::HostCase;

/// One filter against one access in a group's setting.
///
/// Its id is `GROUP:ACCESS:FILTER`, as in `filter.basic.long:user-write-np-pte:1,1f,6`. An id keeps
/// its meaning in later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// An access of L2 on a walk.
    Walk(WalkCase),
    /// An access of L2 that L0 must intercept and L2 must not notice.
    Host(HostCase),
    /// Something that an action of the VMM must not disturb.
    Action(ActionCase),
    /// One instruction or event.
    Scene(SceneCase),
    /// An access on one of two processors.
    Smp(SmpCase),
}

impl Group {
    /// The cases that a profile tries, in the order in which L1 tries them.
    pub fn cases(self, profile: Profile, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Case> {
        match self {
            Self::Walk(group) => OneOf::Walk(group.cases(profile, maxphyaddr).map(Case::Walk)),
            Self::Host(need) => OneOf::Host(need.cases(profile, maxphyaddr).map(Case::Host)),
            Self::Action(action) => {
                OneOf::Action(action.cases(profile, maxphyaddr).map(Case::Action))
            }
            Self::Scene(group) => OneOf::Scene(group.cases(profile, maxphyaddr).map(Case::Scene)),
            Self::Smp(smp) => OneOf::Smp(smp.cases(profile, maxphyaddr).map(Case::Smp)),
        }
    }

    /// The cases that a profile can try with a filter: one for each access of the group.
    pub fn cases_with(
        self,
        filter: Filter,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = Case> {
        match self {
            Self::Walk(group) => {
                OneOf::Walk(group.cases_with(filter, profile, maxphyaddr).map(Case::Walk))
            }
            Self::Host(need) => {
                OneOf::Host(need.cases_with(filter, profile, maxphyaddr).map(Case::Host))
            }
            Self::Action(action) => {
                OneOf::Action(action.cases_with(filter, profile, maxphyaddr).map(Case::Action))
            }
            Self::Scene(group) => {
                OneOf::Scene(group.cases_with(filter, profile, maxphyaddr).map(Case::Scene))
            }
            Self::Smp(smp) => {
                OneOf::Smp(smp.cases_with(filter, profile, maxphyaddr).map(Case::Smp))
            }
        }
    }
}

impl Case {
    /// Where the case is reported.
    #[must_use]
    pub const fn group(&self) -> Group {
        match self {
            Self::Walk(case) => Group::Walk(case.group),
            Self::Host(case) => Group::Host(case.access.need),
            Self::Action(case) => Group::Action(case.action),
            Self::Scene(case) => Group::Scene(case.group),
            Self::Smp(case) => Group::Smp(case.group()),
        }
    }

    /// The access, as it is written in the id.
    #[must_use]
    pub fn access(&self) -> &dyn fmt::Display {
        match self {
            Self::Walk(case) => &case.stimulus,
            Self::Host(case) => &case.access,
            Self::Action(case) => &case.probe,
            Self::Scene(case) => &case.id,
            Self::Smp(case) => &case.probe,
        }
    }

    /// L1's filter.
    #[must_use]
    pub const fn filter(&self) -> Filter {
        whichever_kind!(Self, self, case => case.filter)
    }

    /// The same access under another filter.
    #[must_use]
    pub const fn with_filter(mut self, filter: Filter) -> Self {
        whichever_kind!(Self, &mut self, case => case.filter = filter);
        self
    }

    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match self {
            Self::Walk(case) => case.pfec(maxphyaddr),
            Self::Host(_) => None,
            Self::Action(case) => case.pfec(maxphyaddr),
            Self::Scene(case) => case.pfec(maxphyaddr),
            Self::Smp(case) => case.pfec(maxphyaddr),
        }
    }

    /// The case of an id.
    ///
    /// The filter may be any, not only one of the group's plan. Whether the processor has the
    /// access does not matter.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let mut parts = id.split(':');
        let (group, access, filter) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        if parts.next().is_some() {
            return None;
        }
        // 36 bits: the narrowest address width has every stimulus.
        let mut cases = Group::from_name(group)?.cases_with(filter, Profile::Exhaustive, 36);
        cases.find(|case| displays_as(case.access(), access))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group(), self.access(), self.filter())
    }
}

#[cfg(test)]
mod tests {
    use super::Case;
    use crate::catalogue::group::Group;
    use crate::catalogue::plan::Profile;
    use crate::manual::filter::Filter;
    use std::string::ToString;

    #[test]
    fn every_id_finds_its_case() {
        for group in Group::all() {
            for case in group.cases_with(Filter::new(true, 0x1f, 0x0b), Profile::Exhaustive, 40) {
                assert_eq!(Case::from_id(&case.to_string()), Some(case));
            }
        }
    }

    #[test]
    fn a_group_has_as_many_cases_as_it_counts() {
        for profile in [Profile::Quick, Profile::Standard] {
            for group in Group::all() {
                for maxphyaddr in [36, 39, 46, 48, 52] {
                    let cases = group.cases(profile, maxphyaddr).count();
                    assert_eq!(
                        group.case_count(profile, maxphyaddr),
                        cases,
                        "{group} {profile:?} {maxphyaddr}"
                    );
                }
                assert_eq!(group.filters(profile).len(), group.filters(profile).count(), "{group}");
            }
        }
    }

    #[test]
    fn wrong_ids_are_none() {
        for id in [
            "",
            "filter.basic.long",
            "filter.basic.long:user-read-user",
            "filter.basic.long:user-read-user:1,1f",
            "filter.basic.long:user-read-use:1,1f,3",
            "filter.basic.long:user-read-user:1,1f,3:",
            "filter.*:user-read-user:1,1f,3",
            "host.touch:user-read-user:1,1f,3",
            "host.dirty:user-fetch-first:1,1f,3",
        ] {
            assert_eq!(Case::from_id(id), None, "{id}");
        }
    }
}
