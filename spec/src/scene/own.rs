//! VMX instructions that L1 executes itself, with an operand in memory, on a page under test. Those
//! whose page is bad raise #PF in L1 and change nothing. SDM vol. 3C, "VMX Instructions".

use super::RIP;
use super::end::{End, How, Word};
use super::expect::VECTOR_PF;
use crate::manual::paging::{Access, Maxphyaddr, Privilege};
use crate::walk::action::own_pfec;
use crate::walk::outcome::{RFLAGS_RF, WALK_RFLAGS};
use crate::walk::page::{PAGES, PageIndex};
use crate::walk::stimulus::Stimulus;

crate::listed! {
    /// An instruction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum OwnInstruction {
        /// VMREAD of MASK, to memory.
        Vmread,
        /// VMWRITE of MASK, from memory: the value that it has.
        Vmwrite,
        /// VMPTRLD of the VMCS that is current.
        Vmptrld,
        /// VMPTRST.
        Vmptrst,
        /// VMCLEAR of another VMCS.
        Vmclear,
        /// INVEPT of a single context.
        Invept,
        /// INVVPID of a single context.
        Invvpid,
    }
}

/// CF, PF, AF, ZF, SF, OF, which VMX instructions clear where they succeed. SDM vol. 3C,
/// "Conventions".
const CLEARED: u64 = 0x8d5;

/// An instruction with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The instruction.
    pub instruction: OwnInstruction,
    /// The page of its operand, by the number of its row in [`PAGES`].
    pub page: u8,
}

impl Own {
    /// What it does to its operand.
    const fn access(self) -> Access {
        match self.instruction {
            OwnInstruction::Vmread | OwnInstruction::Vmptrst => Access::Write,
            _ => Access::Read,
        }
    }

    /// Linear address of the operand: where writes go in the frame that all pages lead to.
    #[must_use]
    pub fn address(self) -> u64 {
        self.stimulus(Access::Write).address()
    }

    const fn stimulus(self, access: Access) -> Stimulus {
        Stimulus { privilege: Privilege::Supervisor, access, page: self.page as PageIndex }
    }

    /// Whether a processor with this address width can have the page.
    #[must_use]
    pub const fn exists(self, maxphyaddr: Maxphyaddr) -> bool {
        PAGES[self.page as PageIndex].exists(maxphyaddr)
    }

    /// What must be seen of it. RIP is [`RIP`] for that of the instruction; [`Word::Memory`] is 0
    /// if the operand is what it must be.
    #[must_use]
    pub fn expect(self, maxphyaddr: Maxphyaddr) -> End {
        match own_pfec(&self.stimulus(self.access()), maxphyaddr) {
            Some(pfec) => End::new(How::Delivered(VECTOR_PF))
                .with(Word::ErrorCode, pfec.bits().into())
                .with(Word::Cr2, self.address())
                .with(Word::Rip, RIP)
                .with(Word::Rflags, WALK_RFLAGS | RFLAGS_RF),
            None => {
                End::new(How::Done).with(Word::Rflags, WALK_RFLAGS & !CLEARED).with(Word::Memory, 0)
            }
        }
    }
}
