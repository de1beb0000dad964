//! What walks show of a host's decisions: which faults caused a VM exit, and with which error code.
//!
//! Where L0 shows its guest a MAXPHYADDR below the processor's, it has to set RSVD in error codes
//! itself. So what the processor raised is kept apart from what L1 and L2 must see.

use crate::manual::filter::Filter;
use crate::manual::paging::{Level, Mode};
use crate::manual::pfec::Pfec;
use crate::walk::action::uncorrected_pfec;
use crate::walk::outcome::Observed;
use crate::walk::page::PAGES;
use crate::walk::stimulus::{Stimulus, is_corrected};

/// What a processor makes of an access that must fault, if the guest's MAXPHYADDR is below its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The fault that must be seen.
    AsSeen,
    /// A fault with this error code, which L0 corrects: bit MAXPHYADDR of the last entry is none of
    /// an address to the processor, and the access is refused for another reason.
    Uncorrected(Pfec),
    /// None: bit MAXPHYADDR is one of an address to the processor, which finds no memory there. L0
    /// makes the fault.
    Nothing,
}

impl Raised {
    /// What the processor makes of an access that must fault.
    #[must_use]
    pub fn of(stimulus: &Stimulus, mode: Mode) -> Self {
        if !is_corrected(stimulus) {
            return Self::AsSeen;
        }
        match uncorrected_pfec(stimulus, mode) {
            Some(pfec) if PAGES[stimulus.page].level == Level::Pte => Self::Uncorrected(pfec),
            _ => Self::Nothing,
        }
    }
}

/// Error codes by what the processor made of the faults; bit `n` of a set stands for basic code
/// `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    /// Faults that the processor raised as they must be seen.
    pub as_seen: u32,
    /// Faults that L0 makes, by the error code that must be seen.
    pub made: u32,
    /// Faults that L0 corrects, by the error code of the processor.
    pub uncorrected: u32,
}

/// The codes with P and RSVD: each uncorrected code becomes one of these.
const P_AND_RSVD: u32 = 0xaa00_aa00;

/// The uncorrected codes that become one of a set.
const fn before_fixup(set: u32) -> u32 {
    let set = set & P_AND_RSVD;
    set >> 8 | set >> 9
}

/// What uncorrected codes become.
pub(super) const fn fixed_up(set: u32) -> u32 {
    (set << 8 | set << 9) & P_AND_RSVD
}

impl Codes {
    /// The same decision for all faults whose seen code is in a set.
    pub(super) const fn by_seen(set: u32) -> Self {
        Self { as_seen: set, made: set, uncorrected: before_fixup(set) }
    }

    /// Adds a fault that must be seen with this code. It leaves out codes with bits other than the
    /// basic five.
    pub fn add(&mut self, code: Pfec, raised: Raised) {
        let (set, code) = match raised {
            Raised::AsSeen => (&mut self.as_seen, code),
            Raised::Nothing => (&mut self.made, code),
            Raised::Uncorrected(before) => (&mut self.uncorrected, before),
        };
        *set |= code.basic_index().map_or(0, |index| 1 << index);
    }

    /// Whether a fault is among them.
    #[must_use]
    pub fn contains(self, code: Pfec, raised: Raised) -> bool {
        let mut one = Self::default();
        one.add(code, raised);
        one != Self::default() && one.and(self) == one
    }

    const fn and(self, other: Self) -> Self {
        Self {
            as_seen: self.as_seen & other.as_seen,
            made: self.made & other.made,
            uncorrected: self.uncorrected & other.uncorrected,
        }
    }

    const fn not(self) -> Self {
        Self { as_seen: !self.as_seen, made: !self.made, uncorrected: !self.uncorrected }
    }

    const fn is_empty(self) -> bool {
        self.as_seen | self.made | self.uncorrected == 0
    }
}

/// Which error codes were reported for faults that L0 has to correct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The corrected one.
    pub corrected: bool,
    /// The one from before the correction.
    pub uncorrected: bool,
}

impl Reported {
    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            corrected: self.corrected | other.corrected,
            uncorrected: self.uncorrected | other.uncorrected,
        }
    }

    pub(super) const fn both(self) -> bool {
        self.corrected && self.uncorrected
    }
}

/// What one walk, or a part of one, shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Codes with which a fault caused a VM exit.
    pub exited: Codes,
    /// Codes with which a fault caused no VM exit.
    pub stayed: Codes,
    /// What L1 got for faults that L0 corrects.
    pub to_l1: Reported,
    /// What L2 got for them.
    pub to_l2: Reported,
    /// An error code is wrong in another way.
    pub wrong_code: bool,
}

impl Evidence {
    /// What a walk over these faults shows if everything is right.
    #[must_use]
    pub const fn right(codes: Codes, filter: Filter) -> Self {
        let wanted = Codes::by_seen(filter.basic_exits());
        let (exited, stayed) = (codes.and(wanted), codes.and(wanted.not()));
        Self {
            exited,
            stayed,
            to_l1: Reported { corrected: exited.uncorrected != 0, uncorrected: false },
            to_l2: Reported { corrected: stayed.uncorrected != 0, uncorrected: false },
            wrong_code: false,
        }
    }

    /// Adds what was seen of a fault that must have this code.
    pub fn add(&mut self, code: Pfec, raised: Raised, got: &Observed) {
        if got.exits != 0 { &mut self.exited } else { &mut self.stayed }.add(code, raised);
        let exit = got.exit.map(|exit| exit.error_code);
        let delivery = got.delivery.map(|delivery| delivery.error_code);
        for (told, reported) in [(exit, &mut self.to_l1), (delivery, &mut self.to_l2)] {
            let Some(told) = told else { continue };
            match raised {
                Raised::Uncorrected(before) if told == u64::from(before.bits()) => {
                    reported.uncorrected = true;
                }
                Raised::Uncorrected(_) if told == u64::from(code.bits()) => {
                    reported.corrected = true;
                }
                _ => self.wrong_code |= told != u64::from(code.bits()),
            }
        }
    }

    /// Whether a host on which exactly these faults exit shows something else.
    #[must_use]
    pub(super) const fn contradicts(&self, exits: Codes) -> bool {
        !self.exited.and(exits.not()).is_empty() || !self.stayed.and(exits).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Codes, P_AND_RSVD, Raised, before_fixup, fixed_up};
    use crate::manual::pfec::Pfec;
    use crate::walk::setting::{BASE, SETTINGS};
    use crate::walk::stimulus::Stimulus;
    use std::string::ToString;

    #[test]
    fn sets_are_mapped_as_single_codes_are() {
        for code in (0..32).filter(|code| code & 8 == 0) {
            let corrected = code | 9;
            assert_eq!(fixed_up(1 << code), 1 << corrected);
            assert_eq!(before_fixup(1 << corrected), 1 << (corrected & !8) | 1 << (corrected & !9));
        }
        assert_eq!(before_fixup(!P_AND_RSVD), 0);
        assert_eq!(before_fixup(u32::MAX), 0x00ff_00ff);
    }

    #[test]
    fn what_l0_corrects_becomes_the_code_that_must_be_seen() {
        let mut seen = Codes::default();
        for setting in SETTINGS {
            for stimulus in Stimulus::all(setting, 36) {
                let Some(code) = stimulus.pfec(setting, 36) else { continue };
                let raised = Raised::of(&stimulus, setting.mode);
                seen.add(code, raised);
                assert!(seen.contains(code, raised));
                if let Raised::Uncorrected(before) = raised {
                    assert_eq!(before.union(Pfec::P | Pfec::RSVD), code, "{stimulus}");
                }
            }
        }
        assert!(seen.as_seen != 0 && seen.made != 0 && seen.uncorrected != 0);
    }

    #[test]
    fn the_last_entry_alone_can_be_refused_for_another_reason() {
        let raised = |name: &str| {
            let stimulus = Stimulus::all(BASE, 36).find(|stimulus| stimulus.to_string() == name);
            Raised::of(&stimulus.expect(name), BASE.mode)
        };
        assert_eq!(
            raised("user-write-rsvd-ro-pte"),
            Raised::Uncorrected(Pfec::P | Pfec::WR | Pfec::US)
        );
        assert_eq!(raised("user-read-rsvd-ro-pte"), Raised::Nothing);
        assert_eq!(raised("super-read-rsvd-low-pde"), Raised::Nothing);
        assert_eq!(raised("user-write-rsvd-top-pte"), Raised::AsSeen);
        assert_eq!(raised("user-read-np-pte"), Raised::AsSeen);
    }
}
