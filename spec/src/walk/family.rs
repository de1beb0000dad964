//! Families of filters, which the groups `filter.*` try.

use super::meaning::{MEANINGS, SPELLINGS, meaning, spelling};
use crate::catalogue::plan::{EVERY_NAMED, Profile, QUICK_BASIC, every_named};
use crate::manual::filter::Filter;
use crate::walk::setting::Setting;

crate::listed! {
    /// Filters that belong together and are reported as one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Family {
        /// Always and never, each in both forms, for the fields that are reported of each stimulus.
        Each => "each",
        /// EB.PF, MASK and MATCH over [`crate::manual::pfec::Pfec::BASIC`]: one filter of each
        /// meaning, 206; in [`Profile::Exhaustive`] all, and over PK and SS too: 32,768.
        Basic => "basic",
        /// All 2,048 filters over [`crate::manual::pfec::Pfec::BASIC`], for one stimulus of each
        /// error code. In [`Profile::Exhaustive`] `basic` has them, and this has a sample.
        Spelling => "spelling",
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
            (Self::Basic, Profile::Standard) => MEANINGS,
            (Self::Basic, Profile::Exhaustive) => EVERY_NAMED,
            (Self::Spelling, _) => SPELLINGS,
            (Self::High, Profile::Quick) => 2 * QUICK_HIGH_BITS.len() * HIGH_SHAPES,
            (Self::High, Profile::Standard) => STANDARD_HIGH,
            (Self::High, Profile::Exhaustive) => STANDARD_HIGH + 2 * 32 * 32,
        }
    }

    /// The filter at `index`, which must be below [`Family::len`].
    #[must_use]
    pub fn filter(self, setting: &Setting, profile: Profile, index: usize) -> Filter {
        match (self, profile) {
            (Self::Each, Profile::Quick) => QUICK_EACH[index],
            (Self::Each, _) => EACH[index],
            (Self::Basic, Profile::Quick) => QUICK_BASIC[index],
            (Self::Basic, Profile::Standard) => meaning(setting.number(), index),
            (Self::Basic, Profile::Exhaustive) => every_named(index),
            (Self::Spelling, _) => spelling(index),
            (Self::High, Profile::Quick) => {
                high_bit(QUICK_HIGH_BITS[index / (2 * HIGH_SHAPES)], index)
            }
            (Self::High, Profile::Standard | Profile::Exhaustive) => standard_high(index),
        }
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
    use crate::walk::setting::BASE;
    use std::collections::HashSet;
    use std::vec::Vec;

    fn filters(family: Family, profile: Profile) -> Vec<Filter> {
        (0..family.len(profile)).map(|index| family.filter(BASE, profile, index)).collect()
    }

    fn set(family: Family, profile: Profile) -> HashSet<Filter> {
        filters(family, profile).into_iter().collect()
    }

    #[test]
    fn every_spelling_is_complete() {
        let all = set(Family::Spelling, Profile::Standard);
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
        let all = set(Family::Basic, Profile::Exhaustive);
        assert_eq!(all.len(), 2 * 128 * 128);
        assert!(all.iter().all(|filter| filter.mask < 128 && filter.matching < 128));
    }

    #[test]
    fn the_high_family_has_every_single_bit_on_either_side() {
        let all = set(Family::High, Profile::Standard);
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
                let (all, unique) = (filters(family, profile), set(family, profile));
                assert_eq!(all.len(), unique.len(), "{} {}", family.name(), profile.name());
            }
        }
    }

    #[test]
    fn families_grow_with_the_profile() {
        for family in Family::ALL {
            assert!(
                family.len(Profile::Quick) < family.len(Profile::Standard)
                    || matches!(family, Family::Each | Family::Spelling)
            );
            assert!(family.len(Profile::Standard) <= family.len(Profile::Exhaustive));
        }
    }
}
