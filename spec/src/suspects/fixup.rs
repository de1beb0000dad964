//! A host that uses the error code from before it sets RSVD.

use super::evidence::{Codes, Evidence, Reported};
use crate::manual::filter::Filter;

/// What is known of the error codes that L0 has to correct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fixup {
    /// A decision did not follow the corrected code.
    not_by_corrected: bool,
    /// A decision did not follow the uncorrected code.
    not_by_uncorrected: bool,
    /// Something else is wrong too.
    wrong_elsewhere: bool,
    to_l1: Reported,
    to_l2: Reported,
}

impl Fixup {
    /// Which faults exit if the uncorrected code decides.
    pub(super) const fn exits(now: Filter) -> Codes {
        let wanted = now.basic_exits();
        Codes { uncorrected: wanted, ..Codes::by_seen(wanted) }
    }

    /// Takes in one walk.
    pub(super) const fn observe(&mut self, now: Filter, evidence: &Evidence) {
        let wanted = Codes::by_seen(now.basic_exits());
        let corrected = Evidence {
            exited: only_uncorrected(evidence.exited),
            stayed: only_uncorrected(evidence.stayed),
            ..*evidence
        };
        let others = Evidence {
            exited: without_uncorrected(evidence.exited),
            stayed: without_uncorrected(evidence.stayed),
            ..*evidence
        };
        self.not_by_corrected |= corrected.contradicts(wanted);
        self.not_by_uncorrected |= corrected.contradicts(Self::exits(now));
        self.wrong_elsewhere |= others.contradicts(wanted) || evidence.wrong_code;
        self.to_l1 = self.to_l1.or(evidence.to_l1);
        self.to_l2 = self.to_l2.or(evidence.to_l2);
    }

    /// Whether the uncorrected code decides about exits, or is reported to L1, and nothing else is
    /// wrong. L2 may get either code, but always the same one. Otherwise some faults reach it
    /// without L0, which is another hypothesis.
    pub(super) const fn explains(self) -> bool {
        let decides = self.not_by_corrected && !self.not_by_uncorrected;
        let told = self.to_l1.uncorrected && !(self.not_by_corrected && self.not_by_uncorrected);
        (decides || told) && !self.wrong_elsewhere && !self.to_l1.both() && !self.to_l2.both()
    }
}

const fn only_uncorrected(codes: Codes) -> Codes {
    Codes { as_seen: 0, made: 0, ..codes }
}

const fn without_uncorrected(codes: Codes) -> Codes {
    Codes { uncorrected: 0, ..codes }
}
