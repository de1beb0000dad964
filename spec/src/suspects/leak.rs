//! L0's own filter in vmcs02, whose faults L1 gets, or its own MASK and MATCH with L1's EB.PF. L0's
//! need is not known, so it is fitted to what was seen.

use super::evidence::{Codes, Evidence, fixed_up};
use crate::manual::filter::Filter;

/// What is known of L0's filter, if it leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fit {
    /// Codes that it must make exit.
    inside: u32,
    /// Codes that it must not make exit.
    outside: u32,
    /// Something was seen that no filter of L0 explains.
    refuted: bool,
}

impl Fit {
    /// Takes in codes that only L0's filter decides about, in place of L1's.
    const fn in_place(&mut self, exited: u32, stayed: u32) {
        self.inside |= exited;
        self.outside |= stayed;
    }

    /// Takes in codes that L0's MASK and MATCH decide about: with EB.PF = 0, those that they do not
    /// match exit.
    const fn turned(&mut self, eb_pf: bool, exited: u32, stayed: u32) {
        if eb_pf {
            self.in_place(exited, stayed);
        } else {
            self.in_place(stayed, exited);
        }
    }

    /// Takes in codes of which L1's filter makes those exit that are in `wanted`, and L0's others.
    const fn beside(&mut self, exited: u32, stayed: u32, wanted: u32) {
        self.inside |= exited & !wanted;
        self.outside |= stayed & !wanted;
        self.refuted |= stayed & wanted != 0;
    }

    /// Whether there is such a filter of L0. One that asks for all or none does not count: those
    /// are other hypotheses.
    fn exists(&self) -> bool {
        !self.refuted
            && self.inside != 0
            && self.outside != 0
            && (0..32).any(|mask| {
                (0..32).any(|matching| {
                    let set = Filter::new(true, mask, matching).basic_exits();
                    let fits = |set: u32| self.inside & !set == 0 && self.outside & set == 0;
                    fits(set) || fits(!set)
                })
            })
    }
}

/// The ways in which L0's filter may leak: in place of L1's or in addition to it, with the guest's
/// MAXPHYADDR equal to the processor's or below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leak {
    in_place: Fit,
    in_place_narrow: Fit,
    beside: Fit,
    beside_narrow: Fit,
    mask_match: Fit,
    mask_match_narrow: Fit,
}

impl Leak {
    /// Takes in one walk.
    pub(super) const fn observe(&mut self, now: Filter, evidence: &Evidence) {
        let wanted = now.basic_exits();
        let (exited, stayed) = (evidence.exited, evidence.stayed);
        // The processor raises each fault as it must be seen.
        let (all_exited, all_stayed) = (seen(exited), seen(stayed));
        self.in_place.in_place(all_exited, all_stayed);
        self.beside.beside(all_exited, all_stayed, wanted);
        self.mask_match.turned(now.eb_pf, all_exited, all_stayed);
        // The filter meets what the processor raises. What L0 makes goes to L1 as L1's filter says.
        let (met_exited, met_stayed) =
            (exited.as_seen | exited.uncorrected, stayed.as_seen | stayed.uncorrected);
        self.in_place_narrow.in_place(met_exited, met_stayed);
        self.beside_narrow.beside(met_exited, met_stayed, wanted);
        self.mask_match_narrow.turned(now.eb_pf, met_exited, met_stayed);
        let wrongly_made = exited.made & !wanted | stayed.made & wanted != 0;
        self.in_place_narrow.refuted |= wrongly_made;
        self.beside_narrow.refuted |= wrongly_made;
        self.mask_match_narrow.refuted |= wrongly_made;
    }

    /// Whether L0's MASK and MATCH with L1's EB.PF explain everything that was seen.
    pub(super) fn explains_mask_match(&self) -> bool {
        self.mask_match.exists() || self.mask_match_narrow.exists()
    }

    /// Whether a leak explains everything that was seen.
    pub(super) fn explains(&self) -> bool {
        [self.in_place, self.in_place_narrow, self.beside, self.beside_narrow]
            .iter()
            .any(Fit::exists)
    }
}

/// All codes as they must be seen.
const fn seen(codes: Codes) -> u32 {
    codes.as_seen | codes.made | fixed_up(codes.uncorrected)
}
