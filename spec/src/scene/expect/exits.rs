//! VM exits, and VM entries that fail: what they report.

use super::{
    BLOCKING_BY_MOV_SS, BLOCKING_BY_NMI, CR2_AT_START, DR7_AT_START, NMI_UNBLOCKED, VECTOR_PF,
};
use crate::manual::descriptor::{CODE_64, DATA, access_rights, with_dpl};
use crate::manual::pfec::Pfec;
use crate::scene::descriptor::handler;
use crate::scene::end::{EXIT_EXCEPTION, End, How, Word};
use crate::scene::event::{Event, EventType, Source};
use crate::scene::flaw::{Checked, Flaw};
use crate::scene::{FORCED_EMULATION_PREFIX, Fault, Feature, Intercepted, Scene, Stop};
use crate::walk::outcome::INTERRUPTION_INFO_PF;

impl Scene {
    /// The end where a VM exit comes at the first boundary between instructions, or at the second.
    /// One by the fault comes before that. What a delivery pushed is not looked at.
    #[expect(clippy::large_types_passed_by_value, reason = "it becomes the result")]
    pub(super) fn stopped(&self, end: End, Stop { reason, info, after }: Stop) -> End {
        let mut stopped = match end.how {
            _ if !after && self.event.is_none() => {
                let mut start = self.unchanged(end.how);
                self.frame(&mut start, self.rip);
                start.with(Word::Rflags, self.start_rflags()).with(Word::Cr2, CR2_AT_START)
            }
            How::Exit(_) | How::Failed(_) => return end,
            How::Done => end,
            How::Delivered(vector) => {
                const PUSHED: [Word; 5] =
                    [Word::ErrorCode, Word::Rsp, Word::Rflags, Word::Cs, Word::Ss];
                let kept = PUSHED.into_iter().fold(end, End::open);
                kept.with(Word::Rip, handler(vector))
            }
        };
        stopped.how = How::Exit(reason);
        stopped.set(Word::IdtInfo, 0);
        if info != 0 {
            stopped.set(Word::Info, info);
        }
        stopped
    }

    /// A VM exit by an exception of the instruction that L1 intercepts.
    pub(super) fn exit_by_event(&self, event: &Event) -> End {
        let mut end = self.unchanged(How::Exit(EXIT_EXCEPTION));
        self.frame(&mut end, self.rip + self.prefix());
        end.set(Word::Info, event.info());
        end.set(Word::IdtInfo, 0);
        end.set(Word::Cr2, CR2_AT_START);
        end.set_all(event.error_code.map(|code| (Word::ErrorCode, code.into())));
        self.finish(&mut end, self.at_end);
        end
    }

    /// Bytes of the forced-emulation prefix, after which RIP is when the instruction begins.
    pub(super) fn prefix(&self) -> u64 {
        if self.needs == Some(Feature::ForcedEmulation) {
            FORCED_EMULATION_PREFIX.len() as u64
        } else {
            0
        }
    }

    /// A VM exit by the instruction itself, the last of the scene's: nothing of it was done. RFLAGS.RF is saved as 0, even
    /// if it was 1, "Saving RIP, RSP, RFLAGS, and SSP"; the length is there, "Information for VM
    /// Exits Due to Instruction Execution".
    pub(super) fn exit_by_instruction(&self, intercepted: Intercepted) -> End {
        let before = self.fault.and_then(|fault| fault.rip);
        let rip = before.unwrap_or(self.rip + self.prefix());
        let mut end = self.unchanged(How::Exit(intercepted.reason));
        self.frame(&mut end, rip);
        end.set(Word::Rflags, self.start_rflags());
        end.set(Word::Cr2, CR2_AT_START);
        end.set(Word::IdtInfo, 0);
        end.set(Word::Length, self.rip + self.code.len() as u64 - rip);
        end.set_all(
            intercepted.qualification.map(|qualification| (Word::Qualification, qualification)),
        );
        self.finish(&mut end, self.at_fault);
        end
    }

    /// A VM entry that failed: nothing of L2's state changed, nor of the event that was to be
    /// injected.
    pub(super) fn refused(&self, flaw: &Flaw) -> End {
        let mut end = self.unchanged(How::Failed(flaw.number.into()));
        end.set(Word::Cr2, CR2_AT_START);
        end.set(Word::Rip, self.rip ^ flaw.of(Checked::Rip));
        end.set(Word::Rsp, self.start_rsp());
        end.set(Word::Rflags, self.start_rflags() ^ flaw.of(Checked::Rflags));
        end.set_all(flaw.qualification.map(|value| (Word::Qualification, value.into())));
        end
    }

    /// An exit by a fault of the instruction, or in the delivery of `event`.
    pub(super) fn exit(&self, fault: Fault, pfec: Pfec, event: Option<&Event>, cr2: u64) -> End {
        let unblocked = if self.nmi_unblocked { NMI_UNBLOCKED } else { 0 };
        let mut end = self.exit_state(fault, event);
        end.set(Word::Info, INTERRUPTION_INFO_PF | unblocked);
        end.set(Word::ErrorCode, pfec.bits().into());
        end.set(Word::Qualification, fault.address);
        end.set(Word::Cr2, cr2);
        self.finish(&mut end, self.at_fault);
        end
    }

    /// An exit by an exception other than #PF that comes in the delivery of #PF.
    pub(super) fn exit_in_pf(&self, fault: Fault, pfec: Pfec, exception: &Event) -> End {
        let page_fault = Event::new(Source::Raised, EventType::HardwareException, VECTOR_PF)
            .error_code(pfec.bits());
        let mut end = self.exit_state(fault, Some(&page_fault));
        end.set(Word::Info, exception.info());
        end.set(Word::Qualification, 0);
        end.set(Word::Cr2, fault.address);
        end.set_all(exception.error_code.map(|code| (Word::ErrorCode, code.into())));
        self.finish(&mut end, self.at_fault);
        end
    }

    /// What an exit by an exception reports beside the exception.
    pub(super) fn exit_state(&self, fault: Fault, event: Option<&Event>) -> End {
        // An exit directly by an exception leaves blocking by STI and by MOV SS as it was: "Saving
        // Non-Register State". There is none where an event led to the exit indirectly, wherever it
        // came from: "Architectural State Before a VM Exit".
        let blocking = if event.is_some() { 0 } else { self.interruptibility & !BLOCKING_BY_NMI };
        // Saved as clear but where blocking by MOV SS holds them back: "Saving Non-Register State".
        let pending = if blocking & BLOCKING_BY_MOV_SS == 0 { 0 } else { self.pending_debug };
        let mut end = self.unchanged(How::Exit(EXIT_EXCEPTION));
        self.frame(&mut end, fault.rip.unwrap_or(self.rip));
        end.set(Word::IdtInfo, event.map_or(0, Event::info));
        end.set(Word::Interruptibility, blocking | self.nmi_blocking());
        end.set(Word::Activity, 0);
        end.set(Word::PendingDebug, pending);
        end.set(Word::Dr7, DR7_AT_START);
        end.set(Word::Debugctl, 0);
        let rights = |descriptor| access_rights(with_dpl(descriptor, self.cpl));
        end.set_all([(Word::CsAccess, rights(CODE_64)), (Word::SsAccess, rights(DATA))]);
        if let Some(event) = event {
            end.set_all(event.error_code.map(|code| (Word::IdtError, code.into())));
            end.set_all(event.is_software().then_some((Word::Length, event.length)));
        }
        end
    }
}
