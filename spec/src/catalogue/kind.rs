//! What each kind of group says about itself; the kinds are in [`crate::walk`], [`crate::scene`]
//! and [`crate::smp`].

use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;

/// A group of one kind: which filters it tries, and which accesses.
pub trait Kind: Copy {
    /// A case of such a group.
    type Case;

    /// How many numbers [`Kind::numbered`] takes.
    const NUMBERS: usize;

    /// The group of a number, in the order in which they run, if there is one.
    fn numbered(number: usize) -> Option<Self>;

    /// All groups of the kind.
    fn all() -> impl Iterator<Item = Self> {
        (0..Self::NUMBERS).filter_map(Self::numbered)
    }

    /// Whether the group takes a host much longer than others, or is one of many alike.
    fn is_long(self) -> bool {
        false
    }

    /// How many filters a profile tries.
    fn filter_count(self, profile: Profile) -> usize;

    /// One of the filters, which are numbered in the order in which L1 sets them.
    fn filter(self, profile: Profile, number: usize) -> Filter;

    /// The cases that a profile can try with a filter.
    fn cases_with(
        self,
        filter: Filter,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = Self::Case>;

    /// The cases that a profile tries, in the order in which L1 tries them.
    fn cases(self, profile: Profile, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Self::Case> {
        let filters =
            (0..self.filter_count(profile)).map(move |number| self.filter(profile, number));
        filters.flat_map(move |filter| self.cases_with(filter, profile, maxphyaddr))
    }

    /// How many [`Kind::cases`] there are.
    fn case_count(self, profile: Profile, maxphyaddr: Maxphyaddr) -> usize {
        self.filter_count(profile) * self.cases_with(Filter::NEVER, profile, maxphyaddr).count()
    }
}
