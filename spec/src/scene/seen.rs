//! What was seen at the end of a scene, where the manual leaves some of it undefined, and where a host saves RF = 0.

use super::Scene;
use super::end::{EXIT_EPT_VIOLATION, EXIT_EXCEPTION, End, Ends, How, Word};
use super::ept::QUALIFICATION_OPTIONAL;
use super::expect::{NMI_UNBLOCKED, VECTOR_PF};
use crate::walk::outcome::{IDT_VECTORING_VALID, RFLAGS_RF};

/// Bit 31 of interruption information.
const INTERRUPTION_VALID: u64 = 1 << 31;

impl End {
    /// Clears of what was read what the manual leaves undefined: everything of an interruption or IDT-vectoring
    /// information that is not valid, bit 12 of an IDT-vectoring information that is, and then bit 12 of the
    /// interruption information; bits of the qualification of EPT violations. Sections 27.2.1, 27.2.2, 27.2.4.
    pub fn clear_undefined(&mut self) {
        if self.how == How::Exit(EXIT_EPT_VIOLATION) {
            let undefined = QUALIFICATION_OPTIONAL
                | if self.words[Word::IdtInfo as usize] & IDT_VECTORING_VALID != 0 { NMI_UNBLOCKED } else { 0 };
            self.words[Word::Qualification as usize] &= !undefined;
        }
        let info = &mut self.words[Word::Info as usize];
        if *info & INTERRUPTION_VALID == 0 {
            *info = 0;
        }
        let idt = &mut self.words[Word::IdtInfo as usize];
        if *idt & IDT_VECTORING_VALID == 0 {
            *idt = 0;
        } else {
            *idt &= !NMI_UNBLOCKED;
            self.words[Word::Info as usize] &= !NMI_UNBLOCKED;
        }
    }

    /// Clears of what was read the bits of the faulting address that a scene leaves open.
    pub fn clear_open_address(&mut self, scene: &Scene) {
        match self.how {
            How::Exit(EXIT_EXCEPTION) => self.words[Word::Qualification as usize] &= !scene.address_open,
            How::Delivered(VECTOR_PF) => self.words[Word::Cr2 as usize] &= !scene.address_open,
            How::Exit(_) | How::Delivered(_) | How::Done => {}
        }
    }

    /// The end on a host that saves RF = 0 on a VM exit.
    #[must_use]
    pub fn with_rf_clear(mut self) -> Self {
        self.words[Word::Rflags as usize] = self.rflags_with_rf_clear();
        self
    }

    /// RFLAGS of that end.
    const fn rflags_with_rf_clear(&self) -> u64 {
        self.word(Word::Rflags) & if matches!(self.how, How::Exit(_)) { !RFLAGS_RF } else { u64::MAX }
    }

    /// Whether what was seen is what must be on such a host.
    #[must_use]
    pub fn admits_with_rf_clear(&self, seen: &Self) -> bool {
        let rflags = Word::Rflags.bit();
        let flags_fit = self.fixed & rflags == 0 || self.rflags_with_rf_clear() == seen.word(Word::Rflags);
        self.how == seen.how && flags_fit && self.differing(seen) & !rflags == 0
    }
}

impl Ends {
    /// Whether what was seen is what must be on a host that saves RF = 0 on a VM exit.
    #[must_use]
    pub fn admits_with_rf_clear(&self, seen: &Self) -> bool {
        self.each_admits(seen, End::admits_with_rf_clear)
    }
}
