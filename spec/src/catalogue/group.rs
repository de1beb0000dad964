//! Groups: the cases that are reported as one line of the log.

use core::fmt;

use crate::catalogue::glob;
use crate::catalogue::plan::{Family, Profile};
use crate::manual::filter::Filter;
use crate::scene::Act;
use crate::scene::environment::{ENVIRONMENTS, Environment};
use crate::smp::Smp;
use crate::walk::action::{ACTIONS, Action};
use crate::walk::host::Wish;
use crate::walk::setting::{SETTINGS, Setting};

/// Cases that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A family of filters against all stimuli of a setting: `filter.FAMILY.SETTING`, as in
    /// `filter.basic.long`.
    Filter {
        /// The filters.
        family: Family,
        /// What stays fixed around the stimuli, and so which stimuli there are.
        setting: &'static Setting,
    },
    /// All classes of filters against accesses that L0 must see for itself: `host.WISH`, as in `host.touch`.
    Host(Wish),
    /// Classes of filters against the scenes of an act in an environment: `ACT.ENVIRONMENT`, as in `access.long`.
    Scene {
        /// The scenes.
        act: Act,
        /// What stays fixed around them.
        environment: &'static Environment,
    },
    /// All classes of filters behind something that the VMM does while L2 is active: `action.NAME`, as in
    /// `action.restore`.
    Action(&'static Action),
    /// All classes of filters on two processors at once: `smp.NAME`, as in `smp.filters`.
    Smp(Smp),
}

impl Group {
    /// All groups in the order in which they run.
    pub fn all() -> impl Iterator<Item = Self> {
        Family::ALL
            .into_iter()
            .flat_map(|family| SETTINGS.iter().map(move |setting| Self::Filter { family, setting }))
            .chain(Wish::ALL.into_iter().map(Self::Host))
            .chain(ACTIONS.iter().map(Self::Action))
            // By environment: to set one up takes L1 longer than a few scenes.
            .chain(ENVIRONMENTS.iter().flat_map(|environment| {
                let fitting = Act::ALL.into_iter().filter(|act| act.scenes_in(environment).next().is_some());
                fitting.map(|act| Self::Scene { act, environment })
            }))
            // The last: with a second processor the VMM does not move the guest.
            .chain(Smp::ALL.into_iter().map(Self::Smp))
    }

    /// The groups that a pattern selects, see [`glob::matches`]. In the quick profile `*` stands for all but those that
    /// take long; any other pattern selects these too.
    pub fn selected(pattern: &str, profile: Profile) -> impl Iterator<Item = Self> {
        let short = profile == Profile::Quick && pattern == "*";
        Self::all().filter(move |group| group.matches(pattern) && !(short && group.is_long()))
    }

    /// Whether the group takes a host much longer than others, or is one of many alike.
    fn is_long(&self) -> bool {
        match self {
            Self::Action(action) => action.is_long(),
            Self::Smp(_) => true,
            Self::Scene { act, environment } => act.is_rare_in(environment),
            Self::Filter { .. } | Self::Host(_) => false,
        }
    }

    /// Whether a pattern selects the group.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        let mut name = Name::default();
        // The longest name fits, as a test shows.
        let _ = fmt::write(&mut name, format_args!("{self}"));
        glob::matches(pattern, name.as_str())
    }

    /// The group of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.contains(['*', '?']) {
            return None;
        }
        Self::all().find(|group| group.matches(name))
    }

    /// How many filters the group tries in a profile.
    #[must_use]
    pub fn filter_count(&self, profile: Profile) -> usize {
        match self {
            Self::Filter { family, setting } => family.len_around(setting, profile),
            Self::Host(_) => Wish::filters(profile).len(),
            Self::Scene { act, .. } => act.filter_count(profile),
            Self::Action(action) => action.filters(profile).len(),
            Self::Smp(_) => Smp::filters(profile).len(),
        }
    }

    /// The filter at `index`, which must be below [`Group::filter_count`].
    #[must_use]
    pub fn filter(&self, profile: Profile, index: usize) -> Filter {
        match self {
            Self::Filter { family, setting } => family.filter_around(setting, profile, index),
            Self::Host(_) => Wish::filters(profile)[index],
            Self::Scene { act, .. } => act.filter(profile, index),
            Self::Action(action) => action.filters(profile)[index],
            Self::Smp(_) => Smp::filters(profile)[index],
        }
    }

    /// All filters that the group tries in a profile, in the order in which L1 sets them.
    pub fn filters(self, profile: Profile) -> impl Iterator<Item = Filter> {
        (0..self.filter_count(profile)).map(move |index| self.filter(profile, index))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { family, setting } => write!(f, "filter.{}.{}", family.name(), setting.name),
            Self::Host(wish) => write!(f, "host.{}", wish.name()),
            Self::Scene { act, environment } => write!(f, "{}.{}", act.name(), environment.name),
            Self::Action(action) => write!(f, "action.{}", action.name),
            Self::Smp(smp) => write!(f, "smp.{}", smp.name()),
        }
    }
}

/// A name in memory without allocation.
#[derive(Default)]
struct Name {
    bytes: [u8; 32],
    len: usize,
}

impl Name {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Group;
    use crate::catalogue::plan::Profile;
    use std::collections::HashSet;
    use std::string::ToString;

    #[test]
    fn names_are_unique_and_find_their_group() {
        let names: HashSet<_> = Group::all().map(|group| group.to_string()).collect();
        assert_eq!(names.len(), Group::all().count());
        for group in Group::all() {
            assert!(group.to_string().len() <= 32);
            assert_eq!(Group::from_name(&group.to_string()), Some(group));
        }
        assert_eq!(Group::from_name("filter.*"), None);
        assert_eq!(Group::from_name("filter.basic"), None);
    }

    #[test]
    fn patterns_select() {
        let count = |pattern, profile| Group::selected(pattern, profile).count();
        assert_eq!(count("*", Profile::Standard), Group::all().count());
        assert_eq!(count("filter.basic.*", Profile::Quick), count("filter.high.*", Profile::Quick));
        assert_eq!(count("host.*", Profile::Quick), 4);
        assert_eq!(count("nothing", Profile::Quick), 0);
        assert_eq!(count("*", Profile::Quick), Group::all().filter(|group| !group.is_long()).count());
        assert_eq!(count("smp.*", Profile::Quick), 2);
    }

    #[test]
    fn filters_are_as_many_as_counted() {
        for group in Group::all() {
            for profile in Profile::ALL {
                assert_eq!(group.filters(profile).count(), group.filter_count(profile));
            }
        }
    }
}
