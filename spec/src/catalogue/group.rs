//! Groups: the cases that are reported as one line of the log.

use core::fmt;

use crate::catalogue::glob;
use crate::catalogue::kind::Kind;
use crate::catalogue::name::Name;
use crate::catalogue::options::{Options, Span};
use crate::catalogue::plan::Profile;
use crate::manual::enlightened;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::scene::case::SceneGroup;
use crate::smp::case::Smp;
use crate::walk::action::Action;
use crate::walk::case::WalkGroup;
use crate::walk::host::Need;

/// Cases that belong together, of one of the five kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Filters against stimuli: `filter.FAMILY.SETTING`, as in `filter.basic.long`.
    Walk(WalkGroup),
    /// Filters against accesses that L0 must intercept and L2 must not notice: `host.NEED`, as in
    /// `host.touch`.
    Host(Need),
    /// Filters while the VMM acts: `action.NAME`, as in `action.restore`.
    Action(&'static Action),
    /// Filters against scenes: `ACT.ENVIRONMENT`, as in `access.long`.
    Scene(SceneGroup),
    /// Filters on two processors at once: `smp.NAME`, as in `smp.filters`.
    Smp(Smp),
}

/// Does the same with a group or a case of any kind.
macro_rules! whichever_kind {
    ($of:ident, $value:expr, $inner:ident => $done:expr) => {
        match $value {
            $of::Walk($inner) => $done,
            $of::Host($inner) => $done,
            $of::Action($inner) => $done,
            $of::Scene($inner) => $done,
            $of::Smp($inner) => $done,
        }
    };
}
pub(crate) use whichever_kind;

impl Group {
    /// How many places there are for them. Some are empty.
    pub const PLACES: usize = SMPS + SMPS + Smp::NUMBERS;

    /// All groups in the order in which they run. Those with an enlightened VMCS run together: they
    /// need a VM of their own. Those with two processors come last: with a second one the VMM does
    /// not move the guest.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::of_span(Span::ALL)
    }

    /// Some of them.
    pub fn of_span(span: Span) -> impl Iterator<Item = Self> {
        (span.from..span.until).filter_map(Self::at)
    }

    /// Its place in that order.
    #[must_use]
    pub fn place(self) -> Option<usize> {
        (0..Self::PLACES).find(|&place| Self::at(place) == Some(self))
    }

    /// The group at a place of that order, if there is one.
    fn at(place: usize) -> Option<Self> {
        let (number, enlightened) =
            if place < SMPS { (place, false) } else { (place - SMPS, true) };
        let is_one_of_two = |group: &Self| group.enlightened().is_some() == enlightened;
        Self::numbered(number).filter(|group| matches!(group, Self::Smp(_)) || is_one_of_two(group))
    }

    /// Whether L1's VMCS is an enlightened one, and how it is used.
    #[must_use]
    pub const fn enlightened(&self) -> Option<enlightened::Use> {
        match self {
            Self::Walk(group) => group.setting.enlightened,
            Self::Scene(group) => group.environment.enlightened,
            Self::Host(_) | Self::Action(_) | Self::Smp(_) => None,
        }
    }

    /// The group of a number, if there is one.
    fn numbered(number: usize) -> Option<Self> {
        match number {
            ..HOSTS => WalkGroup::numbered(number).map(Self::Walk),
            HOSTS..ACTIONS => Need::numbered(number - HOSTS).map(Self::Host),
            ACTIONS..SCENES => <&Action>::numbered(number - ACTIONS).map(Self::Action),
            SCENES..SMPS => SceneGroup::numbered(number - SCENES).map(Self::Scene),
            SMPS.. => Smp::numbered(number - SMPS).map(Self::Smp),
        }
    }

    /// The groups that run with these options. In the quick profile `*` stands for all groups
    /// except those that take long. Any other pattern selects these too.
    pub fn selected(options: Options<'_>) -> impl Iterator<Item = Self> {
        let quick = options.profile == Profile::Quick;
        let (every, excludes) = (options.filter.is_empty(), !options.exclude.is_empty());
        Self::of_span(options.groups).filter(move |group| {
            let long = quick && group.is_long();
            let selects = |pattern| group.matches(pattern) && !(pattern == "*" && long);
            let selected = if every { !long } else { options.filter.iter().any(selects) };
            selected && !(excludes && options.exclude.match_group(Name::of(group).as_str()))
        })
    }

    /// Whether the group takes a host much longer than others, or is one of many alike.
    fn is_long(self) -> bool {
        whichever_kind!(Self, self, group => group.is_long())
    }

    /// Whether a pattern selects the group.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        glob::matches(pattern, Name::of(self).as_str())
    }

    /// The group of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.contains(['*', '?']) {
            return None;
        }
        Self::all().find(|group| group.matches(name))
    }

    /// All filters that the group tries in a profile, in the order in which L1 sets them.
    #[must_use]
    pub fn filters(self, profile: Profile) -> impl ExactSizeIterator<Item = Filter> {
        let count = whichever_kind!(Self, self, group => group.filter_count(profile));
        (0..count).map(move |number| self.filter(profile, number))
    }

    /// One of [`Group::filters`].
    fn filter(self, profile: Profile, number: usize) -> Filter {
        whichever_kind!(Self, self, group => group.filter(profile, number))
    }

    /// How many cases the group has in a profile.
    #[must_use]
    pub fn case_count(self, profile: Profile, maxphyaddr: Maxphyaddr) -> usize {
        whichever_kind!(Self, self, group => group.case_count(profile, maxphyaddr))
    }
}

/// Where the numbers of each kind begin.
const HOSTS: usize = WalkGroup::NUMBERS;
const ACTIONS: usize = HOSTS + Need::NUMBERS;
const SCENES: usize = ACTIONS + <&Action>::NUMBERS;
const SMPS: usize = SCENES + SceneGroup::NUMBERS;

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Walk(group) => write!(f, "filter.{}.{}", group.family.name(), group.setting.name),
            Self::Host(need) => write!(f, "host.{}", need.name()),
            Self::Action(action) => write!(f, "action.{}", action.name),
            Self::Scene(group) => write!(f, "{}.{}", group.act.name(), group.environment.name),
            Self::Smp(smp) => write!(f, "smp.{}", smp.name()),
        }
    }
}

/// An iterator for each kind, all over the same type.
pub(crate) enum OneOf<W, H, A, S, M> {
    Walk(W),
    Host(H),
    Action(A),
    Scene(S),
    Smp(M),
}

impl<T, W, H, A, S, M> Iterator for OneOf<W, H, A, S, M>
where
    W: Iterator<Item = T>,
    H: Iterator<Item = T>,
    A: Iterator<Item = T>,
    S: Iterator<Item = T>,
    M: Iterator<Item = T>,
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        whichever_kind!(Self, self, items => items.next())
    }
}

#[cfg(test)]
mod tests {
    use super::Group;
    use crate::catalogue::options::Options;
    use std::collections::HashSet;
    use std::string::ToString;
    use std::vec::Vec;

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
    fn spans_share_out_what_is_selected() {
        let names = |line: &str| -> Vec<_> {
            let groups = Group::selected(Options::parse(line).unwrap());
            groups.map(|group| group.to_string()).collect()
        };
        let all = names("profile=quick exclude=host.apic");
        let parts = ["0x0,0x1", "0x1,0x28", "0x28,0xffffffff"]
            .map(|span| names(&std::format!("profile=quick exclude=host.apic groups={span}")));
        assert_eq!(parts.concat(), all);
        assert!(parts.iter().all(|part| !part.is_empty()) && parts[0] == all[..1]);
        assert!(names("filter=host.* groups=0x0,0x1").is_empty());
    }

    #[test]
    fn patterns_select() {
        let count = |line: &str| Group::selected(Options::parse(line).unwrap()).count();
        assert_eq!(count("profile=standard"), Group::all().count());
        assert_eq!(count("profile=standard filter=*"), Group::all().count());
        assert_eq!(
            count("profile=quick filter=filter.basic.*"),
            count("profile=quick filter=filter.high.*")
        );
        assert_eq!(count("profile=quick filter=host.*"), 4);
        assert_eq!(count("profile=quick filter=host.* filter=smp.*"), 6);
        assert_eq!(count("profile=quick filter=host.* exclude=host.apic exclude=host.touch:*"), 3);
        assert_eq!(count("filter=nothing"), 0);
        assert_eq!(count("profile=quick"), Group::all().filter(|group| !group.is_long()).count());
        assert_eq!(count("profile=quick filter=smp.*"), 2);
    }
}
