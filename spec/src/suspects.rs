//! What a wrong host seems to do: hypotheses that are checked against every fault of a group.

mod evidence;
mod fixup;
mod leak;
#[cfg(test)]
mod tests;

use core::fmt;

pub use evidence::{Codes, Evidence, Raised, Reported};

use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;
use fixup::Fixup;
use leak::Leak;

crate::listed! {
    /// A way to get L1's filter wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Hypothesis {
        /// MASK and MATCH are taken as 0, EB.PF is L1's.
        ClearedMaskMatch => "cleared-mask-match", "behaves as MASK = MATCH = 0 with L1's EB.PF",
        /// MATCH is taken as 0, MASK and EB.PF are L1's.
        ClearedMatch => "cleared-match", "behaves as MATCH = 0 with L1's MASK and EB.PF",
        /// MASK and MATCH are exchanged.
        Swapped => "swapped-mask-match", "behaves as with MASK and MATCH exchanged",
        /// EB.PF = 0 is taken as "no page fault exits", whatever MASK and MATCH say.
        InverseIgnored => "inverse-ignored",
            "behaves as if EB.PF = 0 let every fault through, without the inverse comparison",
        /// L2 runs on L1's MASK and MATCH with EB.PF set for L0: faults that L1 asks for by the
        /// inverse form reach L0 only where it corrects their error code.
        L0NeedDropped => "l0-need-dropped",
            "runs L2 on L1's MASK and MATCH with EB.PF = 1: the merge leaves out what L0 itself needs",
        /// vmcs02 holds L0's own filter, in place of L1's or in addition, and L1 gets the faults
        /// that L0 asked for.
        L0FilterLeaked => "l0-filter-leaked",
            "gives L1 the faults that L0's own filter asks for, in place of L1's own or in addition",
        /// vmcs02 holds L0's own MASK and MATCH, with L1's EB.PF.
        L0MaskMatch => "l0-mask-match", "runs L2 on L0's own MASK and MATCH with L1's EB.PF",
        /// L1 gets every fault that the processor raises. Those that L0 makes go where they belong.
        RawFaults => "raw-faults",
            "gives L1 every fault that the processor raises, before L0 corrects its error code",
        /// The error code from before L0 sets RSVD in it decides about exits, or is reported to L1.
        CodeBeforeFixup => "code-before-fixup",
            "uses the error code from before L0 sets RSVD, to decide about the exit or in what it reports to L1",
        /// EB.PF is taken as 1.
        EbAlwaysSet => "eb-always-set", "behaves as EB.PF = 1 with L1's MASK and MATCH",
        /// EB.PF is taken as 0.
        EbAlwaysClear => "eb-always-clear", "behaves as EB.PF = 0 with L1's MASK and MATCH",
        /// The filter of the previous entry is still in force.
        StaleFilter => "stale-filter", "behaves as with the whole filter of the previous VM entry",
        /// MASK and MATCH of the previous entry are still in force, EB.PF is L1's.
        StaleMaskMatch => "stale-mask-match", "behaves as with MASK and MATCH of the previous VM entry",
        /// EB.PF of the previous entry is still in force, MASK and MATCH are L1's.
        StaleEb => "stale-eb", "behaves as with EB.PF of the previous VM entry",
        /// MASK and MATCH are those of the last entry with EB.PF = 1, EB.PF is L1's.
        MaskMatchWithEb => "mask-match-with-eb",
            "behaves as with MASK and MATCH of the last VM entry with EB.PF = 1",
        /// MATCH is cut to the bits in MASK, so that it can always be met.
        MatchWithinMask => "match-within-mask", "behaves as if MATCH had no bits outside MASK",
        /// Only the low 5 bits of MASK and MATCH count.
        Low5 => "low-5-bits", "compares only the low 5 bits of MASK and MATCH",
        /// Only the low 8 bits of MASK and MATCH count.
        Low8 => "low-8-bits", "compares only the low 8 bits of MASK and MATCH",
        /// Only the low 16 bits of MASK and MATCH count.
        Low16 => "low-16-bits", "compares only the low 16 bits of MASK and MATCH",
        /// Every page fault exits to L1.
        AllExit => "all-exit", "gives every fault to L1",
        /// No page fault exits to L1.
        NoneExits => "none-exits", "gives no fault to L1",
    }
    /// The word in logs.
    pub fn name;
    /// What the host seems to do, in one sentence.
    pub fn meaning;
}

impl Hypothesis {
    /// The hypothesis of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hypothesis| hypothesis.name() == name)
    }

    /// The faults that exit on such a host, where this VM entry's filter is `now`. `None` if this
    /// depends on L0's own filter, or on an earlier entry that is not known.
    #[must_use]
    pub const fn exits(self, now: Filter, earlier: Earlier) -> Option<Codes> {
        let before = earlier.before;
        let seen = match self {
            Self::L0FilterLeaked | Self::L0MaskMatch => return None,
            Self::RawFaults => {
                let wanted = Codes::by_seen(now.basic_exits());
                return Some(Codes { as_seen: u32::MAX, uncorrected: u32::MAX, ..wanted });
            }
            Self::MaskMatchWithEb => match (now.eb_pf, earlier.with_eb) {
                (true, _) => now.basic_exits(),
                (false, Some(with_eb)) => {
                    Filter::new(false, with_eb.mask, with_eb.matching).basic_exits()
                }
                (false, None) => return None,
            },
            Self::CodeBeforeFixup => return Some(Fixup::exits(now)),
            Self::L0NeedDropped => {
                // The processor compares what it raises with vmcs02. Then L0 compares what must be
                // seen with vmcs12.
                let met = Filter::new(true, now.mask, now.matching).basic_exits();
                let wanted = Codes::by_seen(now.basic_exits());
                return Some(Codes {
                    as_seen: wanted.as_seen & met,
                    made: wanted.made,
                    uncorrected: wanted.uncorrected & met,
                });
            }
            Self::ClearedMaskMatch => Filter::new(now.eb_pf, 0, 0).basic_exits(),
            Self::ClearedMatch => Filter::new(now.eb_pf, now.mask, 0).basic_exits(),
            Self::Swapped => Filter::new(now.eb_pf, now.matching, now.mask).basic_exits(),
            Self::InverseIgnored => {
                if now.eb_pf {
                    now.basic_exits()
                } else {
                    0
                }
            }
            Self::EbAlwaysSet => Filter::new(true, now.mask, now.matching).basic_exits(),
            Self::EbAlwaysClear => Filter::new(false, now.mask, now.matching).basic_exits(),
            Self::StaleFilter => before.basic_exits(),
            Self::StaleMaskMatch => {
                Filter::new(now.eb_pf, before.mask, before.matching).basic_exits()
            }
            Self::StaleEb => Filter::new(before.eb_pf, now.mask, now.matching).basic_exits(),
            Self::MatchWithinMask => {
                Filter::new(now.eb_pf, now.mask, now.matching & now.mask).basic_exits()
            }
            Self::Low16 => low_bits(now, 0xffff),
            Self::Low8 => low_bits(now, 0xff),
            Self::Low5 => low_bits(now, 0x1f),
            Self::AllExit => u32::MAX,
            Self::NoneExits => 0,
        };
        Some(Codes::by_seen(seen))
    }

    /// Whether a fault that must be seen with this code distinguishes such a host from a right one,
    /// if the previous VM entry had the same filter.
    #[must_use]
    pub fn shows(self, filter: Filter, code: Pfec, raised: Raised) -> bool {
        let right = filter.exits(code);
        match self.exits(filter, Earlier { before: filter, with_eb: Some(filter) }) {
            // L0's filter may ask for any fault that L1's does not, or leave out any in its place.
            None => !right || self == Self::L0MaskMatch,
            Some(exits) => {
                exits.contains(code, raised) != right
                    || self == Self::CodeBeforeFixup
                        && right
                        && matches!(raised, Raised::Uncorrected(_))
            }
        }
    }
}

const fn low_bits(filter: Filter, bits: u32) -> u32 {
    Filter::new(filter.eb_pf, filter.mask & bits, filter.matching & bits).basic_exits()
}

/// The filters of earlier VM entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// That of the previous entry.
    pub before: Filter,
    /// That of the last one with EB.PF = 1, if it is known.
    pub with_eb: Option<Filter>,
}

/// The word in logs where each fault went to the right party, but something else is wrong.
pub const FILTER_HONOURED: &str = "filter-honoured";
/// The word in logs where L2 got an exception, or L1 an exit, that nothing in L2 can cause.
pub const L2_STUCK: &str = "l2-does-not-run";

/// The hypotheses that still explain all that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspects {
    /// Bit `n`: the hypothesis `n` of [`Hypothesis::ALL`] explains which faults exit.
    possible: u32,
    /// A fault was intercepted, or was not, against the rule.
    filter_wrong: bool,
    /// L2 did not get through a walk, or its start.
    stuck: bool,
    /// The last filter with EB.PF = 1.
    with_eb: Option<Filter>,
    leak: Leak,
    fixup: Fixup,
}

impl Default for Suspects {
    fn default() -> Self {
        Self::all()
    }
}

impl Suspects {
    /// Nothing was seen yet: every hypothesis is possible.
    #[must_use]
    pub fn all() -> Self {
        Self {
            possible: (1 << Hypothesis::ALL.len()) - 1,
            filter_wrong: false,
            stuck: false,
            with_eb: None,
            leak: Leak::default(),
            fixup: Fixup::default(),
        }
    }

    /// Takes in one walk.
    pub fn observe(&mut self, now: Filter, before: Filter, evidence: &Evidence) {
        self.filter_wrong |= evidence.contradicts(Codes::by_seen(now.basic_exits()));
        self.leak.observe(now, evidence);
        self.fixup.observe(now, evidence);
        let earlier = Earlier { before, with_eb: self.with_eb };
        let mut left = self.possible;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            if Hypothesis::ALL[at]
                .exits(now, earlier)
                .is_some_and(|exits| evidence.contradicts(exits))
            {
                self.possible &= !(1 << at);
            }
        }
        if now.eb_pf {
            self.with_eb = Some(now);
        }
    }

    /// L2 did not get through a walk, or its start. No filter by itself is to blame for that.
    pub const fn stuck(&mut self) {
        self.stuck = true;
    }

    /// Whether L2 did not get through.
    #[must_use]
    pub const fn is_stuck(self) -> bool {
        self.stuck
    }

    /// The hypotheses that explain every walk taken in, those that failed and those that passed.
    /// There are none if all walks honoured the filter and L1 got the right error codes.
    pub fn iter(self) -> impl Iterator<Item = Hypothesis> {
        Hypothesis::ALL
            .into_iter()
            .enumerate()
            .filter(move |&(at, hypothesis)| match hypothesis {
                Hypothesis::L0FilterLeaked => self.filter_wrong && self.leak.explains(),
                Hypothesis::L0MaskMatch => self.filter_wrong && self.leak.explains_mask_match(),
                Hypothesis::CodeBeforeFixup => self.fixup.explains(),
                _ => self.filter_wrong && self.possible >> at & 1 == 1,
            })
            .map(|(_, hypothesis)| hypothesis)
    }
}

impl fmt::Display for Suspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fallback = match (self.iter().next(), self.filter_wrong) {
            (None, true) => Some("unknown"),
            (None, false) if !self.stuck => Some(FILTER_HONOURED),
            _ => None,
        };
        let words =
            self.iter().map(Hypothesis::name).chain(fallback).chain(self.stuck.then_some(L2_STUCK));
        for (at, word) in words.enumerate() {
            write!(f, "{}{word}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
