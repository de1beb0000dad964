//! What a wrong host seems to do: hypotheses that are held against every fault of a group.

use core::fmt;

use crate::filter::Filter;

/// A way to get L1's filter wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypothesis {
    /// MASK and MATCH are taken as 0, EB.PF is L1's.
    ClearedMaskMatch,
    /// MASK and MATCH are exchanged.
    Swapped,
    /// EB.PF = 0 is taken as "no page fault exits", whatever MASK and MATCH say.
    InverseIgnored,
    /// L2 runs on L1's MASK and MATCH with EB.PF set for L0: faults that L1 wants by the inverse form reach
    /// L0 only where it corrects their error code.
    L0NeedDropped,
    /// EB.PF is taken as 1.
    EbAlwaysSet,
    /// EB.PF is taken as 0.
    EbAlwaysClear,
    /// The filter of the entry before is still in force.
    StaleFilter,
    /// MASK and MATCH of the entry before are still in force, EB.PF is L1's.
    StaleMaskMatch,
    /// MATCH is cut to the bits in MASK, so that it can always be met.
    MatchWithinMask,
    /// Only the low 16 bits of MASK and MATCH count.
    Low16,
    /// Only the low 8 bits of MASK and MATCH count.
    Low8,
    /// Only the low 5 bits of MASK and MATCH count.
    Low5,
    /// Every page fault exits to L1.
    AllExit,
    /// No page fault exits to L1.
    NoneExits,
}

impl Hypothesis {
    /// All of them, the more telling ones first.
    pub const ALL: [Self; 14] = [
        Self::ClearedMaskMatch,
        Self::Swapped,
        Self::InverseIgnored,
        Self::L0NeedDropped,
        Self::EbAlwaysSet,
        Self::EbAlwaysClear,
        Self::StaleFilter,
        Self::StaleMaskMatch,
        Self::MatchWithinMask,
        Self::Low5,
        Self::Low8,
        Self::Low16,
        Self::AllExit,
        Self::NoneExits,
    ];

    /// The word in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClearedMaskMatch => "cleared-mask-match",
            Self::Swapped => "swapped-mask-match",
            Self::InverseIgnored => "inverse-ignored",
            Self::L0NeedDropped => "l0-need-dropped",
            Self::EbAlwaysSet => "eb-always-set",
            Self::EbAlwaysClear => "eb-always-clear",
            Self::StaleFilter => "stale-filter",
            Self::StaleMaskMatch => "stale-mask-match",
            Self::MatchWithinMask => "match-within-mask",
            Self::Low5 => "low-5-bits",
            Self::Low8 => "low-8-bits",
            Self::Low16 => "low-16-bits",
            Self::AllExit => "all-exit",
            Self::NoneExits => "none-exits",
        }
    }

    /// The hypothesis of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hypothesis| hypothesis.name() == name)
    }

    /// What the host seems to do, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ClearedMaskMatch => "behaves as MASK = MATCH = 0 with L1's EB.PF",
            Self::Swapped => "behaves as with MASK and MATCH exchanged",
            Self::InverseIgnored => "behaves as if EB.PF = 0 let every fault through, without the inverse comparison",
            Self::L0NeedDropped => {
                "runs L2 on L1's MASK and MATCH with EB.PF = 1: the merge leaves out what L0 itself needs"
            }
            Self::EbAlwaysSet => "behaves as EB.PF = 1 with L1's MASK and MATCH",
            Self::EbAlwaysClear => "behaves as EB.PF = 0 with L1's MASK and MATCH",
            Self::StaleFilter => "behaves as with the whole filter of the VM entry before",
            Self::StaleMaskMatch => "behaves as with MASK and MATCH of the VM entry before",
            Self::MatchWithinMask => "behaves as if MATCH had no bits outside MASK",
            Self::Low5 => "compares only the low 5 bits of MASK and MATCH",
            Self::Low8 => "compares only the low 8 bits of MASK and MATCH",
            Self::Low16 => "compares only the low 16 bits of MASK and MATCH",
            Self::AllExit => "gives every fault to L1",
            Self::NoneExits => "gives no fault to L1",
        }
    }

    /// The basic codes that exit on such a host (bit `n` for code `n`), and on which this VM entry's
    /// filter is `now` and that of the entry before was `before`.
    #[must_use]
    pub const fn basic_exits(self, now: Filter, before: Filter) -> u32 {
        match self {
            Self::ClearedMaskMatch => Filter::new(now.eb_pf, 0, 0).basic_exits(),
            Self::Swapped => Filter::new(now.eb_pf, now.matching, now.mask).basic_exits(),
            Self::InverseIgnored => {
                if now.eb_pf {
                    now.basic_exits()
                } else {
                    0
                }
            }
            Self::L0NeedDropped => {
                // Error codes with RSVD (bit 3) are L0's to make where the guest's MAXPHYADDR is smaller.
                const WITH_RSVD: u32 = 0xff00_ff00;
                now.basic_exits() & (Filter::new(true, now.mask, now.matching).basic_exits() | WITH_RSVD)
            }
            Self::EbAlwaysSet => Filter::new(true, now.mask, now.matching).basic_exits(),
            Self::EbAlwaysClear => Filter::new(false, now.mask, now.matching).basic_exits(),
            Self::StaleFilter => before.basic_exits(),
            Self::StaleMaskMatch => Filter::new(now.eb_pf, before.mask, before.matching).basic_exits(),
            Self::MatchWithinMask => Filter::new(now.eb_pf, now.mask, now.matching & now.mask).basic_exits(),
            Self::Low16 => low_bits(now, 0xffff),
            Self::Low8 => low_bits(now, 0xff),
            Self::Low5 => low_bits(now, 0x1f),
            Self::AllExit => u32::MAX,
            Self::NoneExits => 0,
        }
    }
}

const fn low_bits(filter: Filter, bits: u32) -> u32 {
    Filter::new(filter.eb_pf, filter.mask & bits, filter.matching & bits).basic_exits()
}

/// The word in logs where each fault went to the right party, and something else is wrong.
pub const FILTER_HONOURED: &str = "filter-honoured";

/// The hypotheses that still explain all that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspects {
    possible: u16,
    /// A fault was intercepted, or not, against the rule.
    filter_wrong: bool,
}

impl Default for Suspects {
    fn default() -> Self {
        Self::all()
    }
}

impl Suspects {
    /// Nothing was seen yet: every hypothesis is possible.
    #[must_use]
    pub const fn all() -> Self {
        Self { possible: (1 << Hypothesis::ALL.len()) - 1, filter_wrong: false }
    }

    /// Takes in one walk: of the basic codes in `seen`, those in `exited` caused a VM exit.
    pub fn observe(&mut self, now: Filter, before: Filter, seen: u32, exited: u32) {
        self.filter_wrong |= (now.basic_exits() ^ exited) & seen != 0;
        let mut left = self.possible;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            if (Hypothesis::ALL[at].basic_exits(now, before) ^ exited) & seen != 0 {
                self.possible &= !(1 << at);
            }
        }
    }

    /// The hypotheses that explain every walk taken in, those that failed and those that passed. None, if
    /// the filter was honoured in all of them.
    pub fn iter(self) -> impl Iterator<Item = Hypothesis> {
        let possible = if self.filter_wrong { self.possible } else { 0 };
        Hypothesis::ALL.into_iter().enumerate().filter(move |(at, _)| possible >> at & 1 == 1).map(|(_, h)| h)
    }
}

impl fmt::Display for Suspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.filter_wrong {
            return f.write_str(FILTER_HONOURED);
        }
        let mut joint = "";
        for hypothesis in self.iter() {
            write!(f, "{joint}{}", hypothesis.name())?;
            joint = ",";
        }
        if joint.is_empty() { f.write_str("unknown") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hypothesis, Suspects};
    use crate::filter::Filter;
    use crate::pfec::Pfec;
    use crate::plan::{Family, Profile};
    use crate::setting::BASE;
    use crate::stimulus::Stimulus;
    use std::vec::Vec;

    /// The basic codes that the stimuli raise.
    fn seen() -> u32 {
        Stimulus::all(BASE, 40)
            .filter_map(|s| s.pfec(BASE, 40))
            .filter_map(Pfec::basic_index)
            .fold(0, |set, n| set | 1 << n)
    }

    /// A synthetic host that gets filters wrong in one way, run through both families.
    fn suspects_of(host: impl Fn(Filter, Filter) -> u32, profile: Profile) -> Vec<Hypothesis> {
        let mut suspects = Suspects::all();
        for family in Family::ALL {
            let mut before = Filter::NEVER;
            for filter in family.filters(profile) {
                suspects.observe(filter, before, seen(), host(filter, before));
                before = filter;
            }
        }
        suspects.iter().collect()
    }

    #[test]
    fn each_wrong_host_is_named_and_no_other() {
        for profile in [Profile::Quick, Profile::Standard] {
            for hypothesis in Hypothesis::ALL {
                let named = suspects_of(|now, before| hypothesis.basic_exits(now, before), profile);
                assert_eq!(named, [hypothesis], "{}", profile.name());
            }
        }
    }

    #[test]
    fn a_healthy_host_is_never_suspected() {
        for profile in [Profile::Quick, Profile::Standard] {
            assert_eq!(suspects_of(|now, _| now.basic_exits(), profile), []);
        }
    }

    #[test]
    fn a_host_that_honours_filters_is_not_suspected_of_what_a_group_cannot_tell() {
        // All basic filters look the same to a host that compares five bits alone.
        let mut suspects = Suspects::all();
        for filter in Family::Basic.filters(Profile::Standard) {
            suspects.observe(filter, Filter::NEVER, seen(), filter.basic_exits());
        }
        assert_eq!(suspects.iter().count(), 0);
        assert_eq!(std::format!("{suspects}"), super::FILTER_HONOURED);
    }

    #[test]
    fn names_round_trip() {
        for hypothesis in Hypothesis::ALL {
            assert_eq!(Hypothesis::from_name(hypothesis.name()), Some(hypothesis));
        }
    }
}
