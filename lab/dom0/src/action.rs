//! Does what the guest asks for, see [`spec::channel`], so far as Xen's interface has it.

use dom0::abi::Errno;
use dom0::abi::dm::{InjectEvent, InjectMsi, RelocateMemory};
use dom0::abi::domctl::{SendTrigger, SetDebugging, ShadowOp};
use spec::channel::{Ask, EVENT_ADDRESS, EVENT_PFEC, INTERRUPT_VECTOR, Status, Step};

use crate::guest::Guest;
use crate::hypercall::dm;

/// The vector of #PF.
const PAGE_FAULT: u8 = 14;
/// The address of a message to the local APIC with ID 0.
const MSI_TO_APIC_0: u64 = 0xfee0_0000;
/// The page at 4 GiB, where the guest has nothing.
const ELSEWHERE: u64 = 1 << 20;

impl Guest {
    /// Does what a code asks for.
    pub fn act(&mut self, code: u32) -> Status {
        let Some(ask) = Ask::from_code(code) else {
            return Status::Refused { step: Step::Know, errno: 0 };
        };
        match self.does(ask) {
            Some(Ok(())) => Status::Done,
            Some(Err(Errno(errno))) => Status::Refused { step: Step::Offer, errno },
            None => Status::Refused { step: Step::Offer, errno: 0 },
        }
    }

    /// Does it. `None` means that Xen has nothing of the kind.
    fn does(&mut self, ask: Ask) -> Option<Result<(), Errno>> {
        let Self { control, domain, .. } = *self;
        let trigger = |trigger| control.domctl(domain, SendTrigger { trigger, vcpu: 0 }).map(drop);
        let debug = |enable| control.domctl(domain, SetDebugging { enable }).map(drop);
        Some(match ask {
            Ask::DirtyLogOn => self.log_writes(true),
            Ask::DirtyLogOff => self.log_writes(false),
            Ask::RearmDirtyLog => self.log_writes(true).and_then(|()| self.shadow(ShadowOp::CLEAN)),
            Ask::Nmi => trigger(SendTrigger::NMI),
            Ask::Init => trigger(SendTrigger::INIT),
            Ask::PendingFault => self.fault(),
            Ask::Interrupt => self.interrupt(),
            Ask::InterruptAndFault => self.interrupt().and_then(|()| self.fault()),
            Ask::RemoveMemory => {
                self.relocate_memory(0, ELSEWHERE).and_then(|()| self.relocate_memory(ELSEWHERE, 0))
            }
            Ask::DebugOn => debug(1),
            Ask::DebugOff => debug(0),
            // Xen says why: it takes a CPU policy only for a domain that has not run yet.
            Ask::Narrow
            | Ask::Widen
            | Ask::MoveNarrow
            | Ask::MoveWide
            | Ask::MoveThenNarrow
            | Ask::MoveThenWiden => control.give_all_features(domain),
            // Exits are served as they come, and the second vCPU is there from the start.
            Ask::PlainExits | Ask::SecondProcessor => Ok(()),
            _ => return None,
        })
    }

    /// Begins or ends logging writes to memory, if that is not so already.
    fn log_writes(&mut self, on: bool) -> Result<(), Errno> {
        if self.logs_writes != on {
            self.shadow(if on { ShadowOp::ENABLE_LOGDIRTY } else { ShadowOp::OFF })?;
            self.logs_writes = on;
        }
        Ok(())
    }

    fn shadow(&self, op: u32) -> Result<(), Errno> {
        self.control.domctl(self.domain, ShadowOp { op, ..ShadowOp::default() }).map(drop)
    }

    /// Moves all memory from one page on to another.
    fn relocate_memory(&self, src_gfn: u64, dst_gfn: u64) -> Result<(), Errno> {
        let size = self.memory.pages();
        dm(self.domain, RelocateMemory { size, pad: 0, src_gfn, dst_gfn }).map(drop)
    }

    /// Makes a page fault for the first vCPU.
    fn fault(&self) -> Result<(), Errno> {
        let fault = InjectEvent {
            vector: PAGE_FAULT,
            r#type: InjectEvent::EXCEPTION,
            error_code: EVENT_PFEC.bits(),
            cr2: EVENT_ADDRESS,
            ..InjectEvent::default()
        };
        dm(self.domain, fault).map(drop)
    }

    /// Sends an interrupt to the first vCPU.
    fn interrupt(&self) -> Result<(), Errno> {
        let message = InjectMsi {
            data: INTERRUPT_VECTOR.into(),
            addr: MSI_TO_APIC_0,
            ..InjectMsi::default()
        };
        dm(self.domain, message).map(drop)
    }
}
