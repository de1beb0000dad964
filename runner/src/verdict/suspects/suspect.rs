//! A hypothesis with all that it leaves open, played through the walks of a group.

use spec::log::CRC32;
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

use super::hypothesis::{Entry, Hypothesis, Memory};
use super::plan::{Fault, Plan, Shown};

/// A way to be wrong in every detail: it says of each fault whether it exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// What the host does.
    pub hypothesis: Hypothesis,
    /// L0's own filter, if that has a part in it.
    l0: Filter,
    /// L0's own filter counts beside L1's, and not in its place.
    beside: bool,
    /// The guest's MAXPHYADDR is below the processor's, so that L0 corrects error codes and makes
    /// faults.
    is_narrow: bool,
}

impl Suspect {
    /// One of a hypothesis that leaves nothing open.
    pub const fn of(hypothesis: Hypothesis, is_narrow: bool) -> Self {
        Self { hypothesis, l0: Filter::NEVER, beside: false, is_narrow }
    }

    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let filters = l0_filters();
        for hypothesis in Hypothesis::ALL.into_iter().filter(|hypothesis| hypothesis.decides()) {
            let narrow = Self::of(hypothesis, true);
            if !hypothesis.is_by_l0() {
                all.push(Self { is_narrow: hypothesis.is_by_correction(), ..narrow });
                continue;
            }
            let is_subcube = |l0: &Filter| l0.eb_pf || hypothesis != Hypothesis::L0MaskMatch;
            for &l0 in filters.iter().filter(|l0| is_subcube(l0)) {
                for is_narrow in [false, true] {
                    all.push(Self { l0, is_narrow, ..narrow });
                    if hypothesis == Hypothesis::L0FilterLeaked {
                        all.push(Self { l0, is_narrow, beside: true, ..narrow });
                    }
                }
            }
        }
        all
    }

    /// What such a host shows in a group.
    pub fn plays(self, plan: &Plan) -> Shown {
        let mut shown = Shown::default();
        let mut digest = CRC32.digest();
        let mut entry = plan.start;
        let is_ordered = self.hypothesis == Hypothesis::MaskMatchAtExit;
        let faults = if is_ordered { &plan.in_order } else { &plan.faults };
        for (at, &now) in plan.filters.iter().enumerate() {
            let is_fresh = at == 0 && self.hypothesis.memory() == Memory::Group;
            let kept =
                if is_fresh { now } else { self.hypothesis.keeps(entry.kept, entry.now, now) };
            entry = Entry { now, before: entry.now, kept };
            if plan.broken.contains(&now) {
                entry = Entry { now: Filter::ALWAYS, before: Filter::ALWAYS, kept: Filter::ALWAYS };
                continue;
            }
            let (mut exited, mut had_exit) = (0u32, false);
            for fault in faults {
                let exits = self.exits(&entry, fault, had_exit);
                if exits {
                    had_exit = true;
                    shown.exits += fault.times;
                    exited |= fault.code.basic_index().map_or(0, |index| 1 << index);
                } else {
                    shown.delivered += fault.times;
                }
            }
            digest.update(&exited.to_le_bytes());
        }
        shown.digest = digest.finalize();
        shown
    }

    fn exits(self, entry: &Entry, fault: &Fault, had_exit: bool) -> bool {
        let met = if self.is_narrow { fault.raised.met(fault.code) } else { Some(fault.code) };
        self.hypothesis.exits(entry, fault.code, met, self.l0, had_exit)
            || self.beside && met.is_some_and(|met| entry.now.exits(met))
    }
}

/// Filters that L0 may have: each set of error codes once, except for all and none, which are other
/// hypotheses.
pub fn l0_filters() -> Vec<Filter> {
    let mut seen = vec![0, Pfec::POSSIBLE];
    // Those with EB.PF = 1 first: a set of codes with both forms counts as one of these.
    let all = (0..2048u32).map(|n| Filter::new(n < 1024, n & 31, n >> 5 & 31));
    let is_new = |filter: &Filter| {
        let set = filter.basic_exits() & Pfec::POSSIBLE;
        let is_new = !seen.contains(&set);
        seen.push(set);
        is_new
    };
    all.filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::l0_filters;
    use spec::manual::pfec::Pfec;
    use std::collections::HashSet;

    #[test]
    fn l0_s_filters_are_different_for_codes_that_there_are() {
        let sets = || l0_filters().into_iter().map(|l0| l0.basic_exits() & Pfec::POSSIBLE);
        assert_eq!(sets().collect::<HashSet<_>>().len(), l0_filters().len());
        assert!(sets().all(|set| set != 0 && set != Pfec::POSSIBLE));
        assert_eq!(Pfec::POSSIBLE.count_ones(), 18);
        // Each code alone, and all but that one.
        for code in (0..32).map(|code| 1u32 << code).filter(|code| code & Pfec::POSSIBLE != 0) {
            assert!(
                sets().any(|set| set == code) && sets().any(|set| set == Pfec::POSSIBLE & !code)
            );
        }
    }
}
