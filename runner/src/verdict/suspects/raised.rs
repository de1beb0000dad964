//! What the processor makes of an access, where that is not what must be seen.
//!
//! Where L0 shows its guest a MAXPHYADDR below the processor's, it has to set RSVD in error codes
//! itself.

use spec::manual::paging::{Level, Mode};
use spec::manual::pfec::Pfec;
use spec::walk::action::uncorrected_pfec;
use spec::walk::page::PAGES;
use spec::walk::stimulus::{Stimulus, is_corrected};

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
    pub fn of(stimulus: &Stimulus, mode: Mode) -> Self {
        if !is_corrected(stimulus) {
            return Self::AsSeen;
        }
        match uncorrected_pfec(stimulus, mode) {
            Some(pfec) if PAGES[stimulus.page].level == Level::Pte => Self::Uncorrected(pfec),
            _ => Self::Nothing,
        }
    }

    /// The error code that the processor raises in place of this one; `None` if L0 makes the fault.
    pub fn met(self, code: Pfec) -> Option<Pfec> {
        match self {
            Self::AsSeen => Some(code),
            Self::Uncorrected(before) => Some(before),
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Raised;
    use spec::manual::pfec::Pfec;
    use spec::walk::setting::{BASE, SETTINGS};
    use spec::walk::stimulus::Stimulus;

    #[test]
    fn what_l0_corrects_becomes_the_code_that_must_be_seen() {
        let mut kinds = [false; 3];
        for setting in SETTINGS {
            for stimulus in Stimulus::all(setting, 36) {
                let Some(code) = stimulus.pfec(setting, 36) else { continue };
                match Raised::of(&stimulus, setting.mode) {
                    Raised::AsSeen => kinds[0] = true,
                    Raised::Uncorrected(before) => {
                        kinds[1] = true;
                        assert_eq!(before.union(Pfec::P | Pfec::RSVD), code, "{stimulus}");
                    }
                    Raised::Nothing => kinds[2] = true,
                }
            }
        }
        assert_eq!(kinds, [true; 3]);
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
