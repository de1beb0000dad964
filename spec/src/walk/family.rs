//! Families of filters, which the groups `filter.*` try.

use crate::catalogue::plan::{EVERY_NAMED, Profile, QUICK_BASIC, every_named};
use crate::manual::filter::Filter;

crate::listed! {
    /// Filters that belong together and are reported as one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Family {
        /// Always and never, each in both forms, for the fields that are reported of each stimulus.
        Each => "each",
        /// EB.PF, MASK and MATCH over [`crate::manual::pfec::Pfec::BASIC`]: 2,048 filters; in
        /// [`Profile::Exhaustive`] also over PK and SS: 32,768.
        Basic => "basic",
        /// Filters that use the other 27 bits, which no basic fault sets.
        High => "high",
    }
    /// The family's part of a group's name.
    pub fn name;
}

impl Family {
    /// How many filters the family has in a profile.
    #[must_use]
    pub fn len(self, profile: Profile) -> usize {
        match (self, profile) {
            (Self::Each, Profile::Quick) => QUICK_EACH.len(),
            (Self::Each, _) => EACH.len(),
            (Self::Basic, Profile::Quick) => QUICK_BASIC.len(),
            (Self::Basic, Profile::Standard) => 2 * 32 * 32,
            (Self::Basic, Profile::Exhaustive) => EVERY_NAMED,
            (Self::High, Profile::Quick) => 2 * QUICK_HIGH_BITS.len() * HIGH_SHAPES,
            (Self::High, Profile::Standard) => STANDARD_HIGH,
            (Self::High, Profile::Exhaustive) => STANDARD_HIGH + 2 * 32 * 32,
        }
    }

    /// The filter at `index`, which must be below [`Family::len`].
    #[must_use]
    pub fn filter(self, profile: Profile, index: usize) -> Filter {
        match (self, profile) {
            (Self::Each, Profile::Quick) => QUICK_EACH[index],
            (Self::Each, _) => EACH[index],
            (Self::Basic, Profile::Quick) => QUICK_BASIC[index],
            (Self::Basic, Profile::Standard) => {
                Filter::new(index & 1 == 1, (index >> 1 & 31) as u32, (index >> 6) as u32)
            }
            (Self::Basic, Profile::Exhaustive) => every_named(index),
            (Self::High, Profile::Quick) => {
                high_bit(QUICK_HIGH_BITS[index / (2 * HIGH_SHAPES)], index)
            }
            (Self::High, Profile::Standard | Profile::Exhaustive) => standard_high(index),
        }
    }

    /// All filters of the family in a profile, in the order in which L1 sets them.
    pub fn filters(self, profile: Profile) -> impl Iterator<Item = Filter> {
        (0..self.len(profile)).map(move |index| self.filter(profile, index))
    }
}

/// Always and never, direct and inverse.
const EACH: [Filter; 4] =
    [Filter::ALWAYS, Filter::NEVER, Filter::new(false, 0, 1), Filter::new(false, 0, 0)];

/// Always in one form, never in the other.
const QUICK_EACH: [Filter; 2] = [Filter::ALWAYS, Filter::new(false, 0, 0)];

/// How one bit above the basic ones can stand in MASK and MATCH.
const HIGH_SHAPES: usize = 5;
/// The bits above the basic five.
const HIGH_BITS: usize = 27;
/// MASK of all ones against each basic code, then against all ones, and MATCH of all ones without
/// MASK.
const ALL_ONES: usize = 2 * (32 + 2);
const STANDARD_HIGH: usize = 2 * HIGH_BITS * HIGH_SHAPES + ALL_ONES;
/// PK, SGX and the highest bit: one of each part that a host may cut off.
const QUICK_HIGH_BITS: [u32; 3] = [5, 15, 31];

/// One bit in MASK, MATCH or both, with and without P.
fn high_bit(bit: u32, index: usize) -> Filter {
    let bit = 1 << bit;
    let (mask, matching) =
        [(bit, 0), (bit, bit), (0, bit), (bit | 1, 1), (bit | 1, bit | 1)][index / 2 % HIGH_SHAPES];
    Filter::new(index & 1 == 1, mask, matching)
}

fn standard_high(index: usize) -> Filter {
    let bits = 2 * HIGH_BITS * HIGH_SHAPES;
    let eb_pf = index & 1 == 1;
    if index < bits {
        return high_bit((5 + index / (2 * HIGH_SHAPES)) as u32, index);
    }
    if index < STANDARD_HIGH {
        let at = ((index - bits) / 2) as u32;
        return match at {
            0..32 => Filter::new(eb_pf, u32::MAX, at),
            32 => Filter::new(eb_pf, u32::MAX, u32::MAX),
            _ => Filter::new(eb_pf, 0, u32::MAX),
        };
    }
    let pair = (index - STANDARD_HIGH) / 2;
    Filter::new(eb_pf, 1 << (pair % 32), 1 << (pair / 32))
}

#[cfg(test)]
mod tests {
    use super::Family;
    use crate::catalogue::plan::Profile;
    use crate::manual::filter::Filter;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn the_basic_family_is_complete() {
        let all: HashSet<Filter> = Family::Basic.filters(Profile::Standard).collect();
        assert_eq!(all.len(), 2048);
        for mask in 0..32 {
            for matching in 0..32 {
                assert!(all.contains(&Filter::new(false, mask, matching)));
                assert!(all.contains(&Filter::new(true, mask, matching)));
            }
        }
    }

    #[test]
    fn the_exhaustive_basic_family_is_complete_over_seven_bits() {
        let all: HashSet<Filter> = Family::Basic.filters(Profile::Exhaustive).collect();
        assert_eq!(all.len(), 2 * 128 * 128);
        assert!(all.iter().all(|filter| filter.mask < 128 && filter.matching < 128));
    }

    #[test]
    fn the_high_family_has_every_single_bit_on_either_side() {
        let all: HashSet<Filter> = Family::High.filters(Profile::Standard).collect();
        for bit in (5..32).map(|n| 1u32 << n) {
            for eb in [false, true] {
                for (mask, matching) in [(bit, 0), (bit, bit), (0, bit)] {
                    assert!(all.contains(&Filter::new(eb, mask, matching)));
                }
            }
        }
        for eb in [false, true] {
            assert!(all.contains(&Filter::new(eb, u32::MAX, u32::MAX)));
            assert!(all.contains(&Filter::new(eb, 0, u32::MAX)));
        }
        assert_eq!(all.len(), Family::High.len(Profile::Standard), "no filter twice");
    }

    #[test]
    fn no_family_repeats_itself_within_a_profile() {
        for family in Family::ALL {
            for profile in [Profile::Quick, Profile::Standard] {
                let all: Vec<Filter> = family.filters(profile).collect();
                let unique: HashSet<Filter> = all.iter().copied().collect();
                assert_eq!(all.len(), unique.len(), "{} {}", family.name(), profile.name());
            }
        }
    }

    #[test]
    fn families_grow_with_the_profile() {
        for family in Family::ALL {
            assert!(
                family.len(Profile::Quick) < family.len(Profile::Standard)
                    || family == Family::Each
            );
            assert!(family.len(Profile::Standard) <= family.len(Profile::Exhaustive));
        }
    }
}
