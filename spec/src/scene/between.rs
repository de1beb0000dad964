//! What L1 does between two plays of a scene, after which the filter must be in force as it was,
//! or as it was changed: a host that keeps a copy of the filter must bring it up to date, and must
//! not lose it.

use super::own::Own;
use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;

/// The VM-instruction errors of VMLAUNCH with a launched VMCS and VMRESUME with a clear one. SDM vol.
/// 3C, "VM Instruction Error Numbers".
pub const LAUNCHED: u16 = 4;
/// See [`LAUNCHED`].
pub const NOT_LAUNCHED: u16 = 5;
/// How often a scene plays at most until the VMM has moved the VM at an entry.
pub const PLAYS_FOR_MOVE: u32 = 1 << 14;

/// One field of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterField {
    /// EB.PF.
    Bitmap,
    /// MASK.
    Mask,
    /// MATCH.
    Match,
}

/// What comes between the first play and the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The first play is under a filter that wants the fault and differs in one field. L1 writes
    /// that field and no other of the VMCS, and resumes: the instruction meets the fault again.
    Rewrite(FilterField),
    /// One bit of the upper half of MASK or MATCH is set or cleared, and nothing else written,
    /// before L1 resumes. Where it is MATCH's, MASK has the bit in both plays: with it set the
    /// filter matches no error code.
    Upper {
        /// MASK or MATCH.
        field: FilterField,
        /// The bit's number, from 16 on.
        bit: u8,
        /// Whether the second play has it.
        set: bool,
    },
    /// As [`Between::Rewrite`] on an enlightened VMCS, but its clean fields say that nothing was
    /// changed: the old filter may hold or the new one. Then they say that all was changed, and the
    /// scene plays again.
    Unannounced(FilterField),
    /// As [`Between::Rewrite`], but before L1 resumes L2, the VMM moves the VM: it saves it while L1
    /// runs, which has written that field and not entered L2.
    Moved(FilterField),
    /// The VMM moves the VM when L1 has entered L2 and no instruction of L2 was executed: the scene
    /// plays again until the VMM has seen that, or for [`PLAYS_FOR_MOVE`] times.
    MovedAtEntry,
    /// The scene plays on another VMCS, whose filter decides the other way.
    OtherVmcs,
    /// The same on an ordinary VMCS, where the first one is an enlightened one. L1 uses VMCLEAR before
    /// it changes from one to the other.
    OrdinaryVmcs,
    /// The scene plays on another VMCS, whose filter decides the other way, and then on the two of
    /// them in turn. Where an exit left L2 at the instruction, L1 writes nothing at all
    /// before it enters that VMCS again, and else only what the delivery changed.
    InTurn,
    /// VMCLEAR, VMPTRLD, and VMLAUNCH in place of VMRESUME.
    Clear,
    /// An entry by the instruction that the VMCS's launch state forbids: VMLAUNCH, or after VMCLEAR
    /// and VMPTRLD VMRESUME. It fails, and the next one is as if it had not been tried.
    WrongEntry {
        /// Whether the VMCS was cleared.
        cleared: bool,
    },
    /// An entry that exits for another reason.
    OtherExit,
    /// An entry with an event in whose delivery a page fault exits: IDT-vectoring information is
    /// valid.
    VectoredExit,
    /// L1 takes page faults of its own.
    OwnFaults,
    /// L1's CR0.WP and CR4.SMEP go off and on again.
    OwnRegisters,
    /// L2's CR0.WP and CR4.SMEP go off for one entry, and on again.
    GuestRegisters,
    /// L1 executes a VMX instruction of its own with an operand in memory.
    Own(Own),
    /// L1 sends itself an NMI after the exit by one: it must wait until L1 has done an IRET.
    Nmi,
}

impl Between {
    /// In words, for `maskmatch explain`.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Rewrite(FilterField::Bitmap) => {
                "L1 writes the exception bitmap and nothing else, and resumes L2"
            }
            Self::Rewrite(FilterField::Mask) => "L1 writes MASK and nothing else, and resumes L2",
            Self::Rewrite(FilterField::Match) => "L1 writes MATCH and nothing else, and resumes L2",
            Self::Moved(_) => {
                "L1 writes a field of the filter and nothing else, the VMM saves the VM and restores it in another, and L1 resumes L2"
            }
            Self::MovedAtEntry => {
                "L1 enters L2 for the scene until the VMM has saved the VM between a VM entry and L2's first instruction, and restored it in another"
            }
            Self::Upper { field: FilterField::Mask, set: true, .. } => {
                "L1 sets one bit of MASK's upper half, and resumes L2"
            }
            Self::Upper { field: FilterField::Mask, .. } => {
                "L1 clears one bit of MASK's upper half, and resumes L2"
            }
            Self::Upper { set: true, .. } => {
                "L1 sets one bit of MATCH's upper half, which MASK has, and resumes L2"
            }
            Self::Upper { .. } => {
                "L1 clears one bit of MATCH's upper half, which MASK has, and resumes L2"
            }
            Self::Unannounced(_) => {
                "L1 writes a field of the filter, says in the clean fields that it changed nothing, and resumes L2: either filter may hold; it says that all was changed, and enters L2 for the scene again"
            }
            Self::OrdinaryVmcs => {
                "L1 does the same on an ordinary VMCS whose filter decides otherwise, and comes back"
            }
            Self::OtherVmcs => {
                "L1 does the same on another VMCS whose filter decides otherwise, and comes back"
            }
            Self::InTurn => {
                "L1 does the same on another VMCS whose filter decides otherwise, and then enters the two in turn, with nothing written that is not to be"
            }
            Self::Clear => "L1 does VMCLEAR, VMPTRLD and VMLAUNCH",
            Self::WrongEntry { cleared: false } => {
                "L1 does VMLAUNCH, which fails as the VMCS is launched, and enters L2 by VMRESUME"
            }
            Self::WrongEntry { .. } => {
                "L1 does VMCLEAR, VMPTRLD and VMRESUME, which fails as the VMCS is clear, and enters L2 by VMLAUNCH"
            }
            Self::OtherExit => "L1 enters L2 for a VMCALL, and then for the scene again",
            Self::VectoredExit => {
                "L1 injects #UD with no IDT mapped, a page fault exits in its delivery, and L1 enters L2 for the scene again"
            }
            Self::OwnFaults => "L1 takes page faults of its own, and enters L2 again",
            Self::OwnRegisters => {
                "L1 changes its own CR0.WP and CR4.SMEP and sets them back, and enters L2 again"
            }
            Self::Own(_) => "L1 executes its own instruction, and enters L2 for the scene again",
            Self::Nmi => {
                "L1 sends itself an NMI, which must wait for L1's IRET, and enters L2 for the scene again"
            }
            Self::GuestRegisters => {
                "L2 runs once with CR0.WP and CR4.SMEP off, and then the scene again"
            }
        }
    }
}

impl Filter {
    /// The filter with [`Between::Upper`]'s bit set or clear.
    #[must_use]
    pub(super) const fn with_upper(self, field: FilterField, bit: u8, set: bool) -> Self {
        let others = !(1 << bit);
        let (mask, matching) = (self.mask & others, self.matching & others);
        let bit = if set { 1 << bit } else { 0 };
        match field {
            FilterField::Mask => Self { mask: mask | bit, matching, ..self },
            FilterField::Match | FilterField::Bitmap => {
                Self { mask: mask | !others, matching: matching | bit, ..self }
            }
        }
    }

    /// A filter that differs from this one in a field at most and wants a fault, if there is one.
    #[must_use]
    pub fn wanting_but_for(self, field: FilterField, pfec: Pfec) -> Option<Self> {
        let code = pfec.bits();
        let other = match field {
            FilterField::Bitmap => Self { eb_pf: !self.eb_pf, ..self },
            // A MASK of MATCH lets through to EB.PF = 1 what has its bits; a MASK that cuts all, or
            // nothing, differs.
            FilterField::Mask if self.eb_pf => Self { mask: self.matching, ..self },
            FilterField::Mask if self.matching != 0 => Self { mask: 0, ..self },
            FilterField::Mask => Self { mask: u32::MAX, ..self },
            FilterField::Match if self.eb_pf => Self { matching: code & self.mask, ..self },
            FilterField::Match => Self { matching: !(code & self.mask), ..self },
        };
        [other, self].into_iter().find(|filter| filter.exits(pfec))
    }
}

#[cfg(test)]
mod tests {
    use super::FilterField::{Bitmap, Mask, Match};
    use crate::manual::filter::Filter;
    use crate::manual::pfec::Pfec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_field_differs_and_the_fault_is_wanted(eb: bool, mask in 0..64u32, matching in 0..64u32, code in 0..64u32) {
            let (filter, pfec) = (Filter::new(eb, mask, matching), Pfec::from_bits_retain(code));
            for field in [Bitmap, Mask, Match] {
                let found = filter.wanting_but_for(field, pfec);
                if let Some(other) = found {
                    prop_assert!(other.exits(pfec));
                    prop_assert!(field == Bitmap || other.eb_pf == filter.eb_pf);
                    prop_assert!(field == Mask || other.mask == filter.mask);
                    prop_assert!(field == Match || other.matching == filter.matching);
                }
                // None is missed, by trying them all.
                let any = match field {
                    Bitmap => true,
                    Mask => (0..64).any(|mask| Filter { mask, ..filter }.exits(pfec)),
                    Match => (0..128).any(|matching| Filter { matching, ..filter }.exits(pfec)),
                };
                prop_assert_eq!(found.is_some(), any);
            }
        }
    }

    #[test]
    fn a_bit_of_the_upper_half_of_match_decides_and_one_of_mask_does_not() {
        let (filter, pfec) = (Filter::new(true, 1, 1), Pfec::from_bits_retain(1));
        let exits = |field, bit, set| filter.with_upper(field, bit, set).exits(pfec);
        for bit in [16, 31] {
            assert_eq!([false, true].map(|set| exits(Match, bit, set)), [true, false], "{bit}");
            assert_eq!([false, true].map(|set| exits(Mask, bit, set)), [true, true], "{bit}");
        }
        assert_eq!(filter.with_upper(Match, 31, true), Filter::new(true, 0x8000_0001, 0x8000_0001));
        assert_eq!(filter.with_upper(Mask, 16, true), Filter::new(true, 0x1_0001, 1));
    }
}
