//! Cases and the ids that replay them.

use core::fmt;

use crate::catalogue::group::Group;
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;
use crate::scene::Scene;
use crate::scene::environment::Environment;
use crate::smp::SmpProbe;
use crate::walk::action::{Action, own_pfec};
use crate::walk::host::HostAccess;
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;

/// The access of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// To a page under test, in a group `filter.*` or `action.*`.
    Stimulus(Stimulus),
    /// L1's own to a page under test, behind L2's walk in a group `action.*`; written with `own-` in front.
    Own(Stimulus),
    /// No access: what the action itself brings to L2, in a group `action.*`; written `event`.
    Event,
    /// To a page that L0 must see to, in a group `host.*`.
    Host(HostAccess),
    /// A scene, in a group of an act.
    Scene(&'static Scene),
    /// On one of two processors, in a group `smp.*`.
    Smp(SmpProbe),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stimulus(stimulus) => stimulus.fmt(f),
            Self::Own(stimulus) => write!(f, "own-{stimulus}"),
            Self::Event => f.write_str("event"),
            Self::Host(access) => access.fmt(f),
            Self::Scene(scene) => f.write_str(scene.name),
            Self::Smp(probe) => probe.fmt(f),
        }
    }
}

/// One filter against one access in a group's setting.
///
/// Its id is `GROUP:ACCESS:FILTER`, as in `filter.basic.long:user-write-np-pte:1,1f,6`. An id keeps
/// its meaning in later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Where the case is reported, and its setting.
    pub group: Group,
    /// The access.
    pub probe: Probe,
    /// L1's wish.
    pub filter: Filter,
}

impl Group {
    /// The cases that a group tries in a profile: all of its accesses with all of its filters, but for scenes in the
    /// quick profile.
    pub fn cases(self, profile: Profile, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Case> {
        let scenes = if let Self::Scene { act, environment } = self { Some((act, environment)) } else { None };
        let played = scenes.into_iter().flat_map(move |(act, environment)| act.plays(environment, profile));
        let played = played.filter(move |(_, scene)| scene.exists(maxphyaddr));
        let filters = if scenes.is_some() { 0 } else { self.filter_count(profile) };
        let tried = (0..filters).flat_map(move |at| self.probes_in(profile, maxphyaddr).map(move |probe| (at, probe)));
        let all = played.map(|(at, scene)| (at, Probe::Scene(scene))).chain(tried);
        all.map(move |(at, probe)| Case { group: self, probe, filter: self.filter(profile, at) })
    }

    /// How many [`Group::cases`] there are.
    #[must_use]
    pub fn case_count(self, profile: Profile, maxphyaddr: Maxphyaddr) -> usize {
        // In the quick profile each scene has one filter.
        let one = matches!((self, profile), (Self::Scene { .. }, Profile::Quick));
        let filters = if one { 1 } else { self.filter_count(profile) };
        filters * self.probes_in(profile, maxphyaddr).count()
    }

    /// The accesses that a group tries with each filter, in any profile.
    pub fn probes(self, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Probe> {
        self.probes_in(Profile::Exhaustive, maxphyaddr)
    }

    /// The accesses that a group tries in a profile.
    pub fn probes_in(self, profile: Profile, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Probe> {
        let (filter, wish) = match self {
            Self::Filter { family, setting } => (Some((family, setting)), None),
            Self::Host(wish) => (None, Some(wish)),
            Self::Action(_) | Self::Scene { .. } | Self::Smp(_) => (None, None),
        };
        let action = if let Self::Action(action) = self { Some(action) } else { None };
        let act = if let Self::Scene { act, environment } = self { Some((act, environment)) } else { None };
        let smp = if let Self::Smp(smp) = self { Some(smp) } else { None };
        let stimuli =
            filter.into_iter().flat_map(move |(family, setting)| family.stimuli(setting, profile, maxphyaddr));
        let accesses = wish.into_iter().flat_map(crate::walk::host::Wish::accesses);
        let acted = action.into_iter().flat_map(move |_| Action::stimuli(maxphyaddr).map(Probe::Stimulus));
        let own = action.into_iter().flat_map(move |_| Action::own_stimuli(maxphyaddr).map(Probe::Own));
        let event = action.and_then(|action| action.event).map(|_| Probe::Event);
        let scenes = act.into_iter().flat_map(move |(act, environment)| act.scenes_of(environment, profile));
        let scenes = scenes.filter(move |scene| scene.exists(maxphyaddr));
        let filtered = stimuli.map(Probe::Stimulus).chain(accesses.map(Probe::Host));
        let smp = smp.into_iter().flat_map(move |smp| smp.probes(maxphyaddr)).map(Probe::Smp);
        filtered.chain(acted).chain(own).chain(event).chain(scenes.map(Probe::Scene)).chain(smp)
    }
}

impl Case {
    /// The scene and where it plays, if the case is one of a scene.
    #[must_use]
    pub const fn scene(&self) -> Option<(&'static Environment, &'static Scene)> {
        match (self.group, self.probe) {
            (Group::Scene { environment, .. }, Probe::Scene(scene)) => Some((environment, scene)),
            _ => None,
        }
    }

    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match (self.group, self.probe) {
            (Group::Filter { setting, .. }, Probe::Stimulus(stimulus)) => stimulus.pfec(setting, maxphyaddr),
            (Group::Scene { environment, .. }, Probe::Scene(scene)) => scene.pfec(environment, maxphyaddr),
            (Group::Action(_), Probe::Stimulus(stimulus)) => stimulus.pfec(BASE, maxphyaddr),
            (Group::Smp(_), Probe::Smp(probe)) => probe.pfec(maxphyaddr),
            (Group::Action(_), Probe::Own(stimulus)) => own_pfec(&stimulus, maxphyaddr),
            _ => None,
        }
    }

    /// The case of an id.
    ///
    /// The filter may be any, not just one that the group's plan has. Whether the processor has the
    /// access is not asked.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let mut parts = id.split(':');
        let (group, probe, filter) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let group = Group::from_name(group)?;
        // 36 bits: the narrowest address has every stimulus.
        let probe = group.probes(36).find(|known| displays_as(known, probe))?;
        Some(Self { group, probe, filter: filter.parse().ok()? })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group, self.probe, self.filter)
    }
}

/// Whether a value is written as exactly this text.
fn displays_as(value: &impl fmt::Display, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    fmt::write(&mut rest, format_args!("{value}")).is_ok() && rest.0.is_empty()
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
            for probe in group.probes(40) {
                let case = Case { group, probe, filter: Filter::new(true, 0x1f, 0x0b) };
                assert_eq!(Case::from_id(&case.to_string()), Some(case));
            }
        }
    }

    #[test]
    fn a_group_has_as_many_cases_as_it_counts() {
        for profile in [Profile::Quick, Profile::Standard] {
            for group in Group::all() {
                let cases = group.cases(profile, 40).count();
                assert_eq!(group.case_count(profile, 40), cases, "{group} {profile:?}");
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
