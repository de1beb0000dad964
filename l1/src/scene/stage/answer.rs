//! What L1 does about a VM exit of a scene before it enters L2 again.

use spec::manual::paging::Maxphyaddr;
use spec::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, EXIT_EXCEPTION};
use spec::scene::environment::Environment;
use spec::scene::event::EventType;
use spec::scene::expect::{BLOCKING_BY_NMI, NMI_UNBLOCKED};
use spec::scene::place::Place;
use spec::scene::{Answer, Scene};
use spec::walk::outcome::{IDT_VECTORING_VALID, INTERRUPTION_INFO_PF};

use super::{deep, ept, memory};
use crate::machine::cpu::write_cr2;
use crate::vmx::{Field, VmFail, vmread, vmwrite};

/// Does what the scene says about its exit.
pub(super) fn answer(
    scene: &Scene,
    environment: &Environment,
    maxphyaddr: Maxphyaddr,
) -> Result<(), VmFail> {
    let reason = vmread(Field::ExitReason) as u16;
    match scene.answer {
        Answer::Retry | Answer::Reinject
            if matches!(reason, EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION) =>
        {
            ept::spoil(None, maxphyaddr)?;
        }
        Answer::Retry | Answer::Reinject => {
            deep::mend(environment.ept);
            if let Some(place) = Place::of(vmread(Field::ExitQualification)) {
                memory::mend(scene, environment, place, maxphyaddr);
            }
        }
        Answer::Nothing
        | Answer::Reflect
        | Answer::Again(_)
        | Answer::Resume
        | Answer::Spoil(_)
        | Answer::GoOn => {}
    }
    match scene.answer {
        Answer::Nothing | Answer::Again(_) | Answer::Resume | Answer::Spoil(_) | Answer::GoOn => {}
        // An IRET that comes again must find NMIs blocked. SDM vol. 3C, "Information About NMI
        // Unblocking Due to IRET".
        Answer::Retry => {
            let idt_vectoring = vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID != 0;
            let by_exception = reason == EXIT_EXCEPTION;
            if by_exception
                && !idt_vectoring
                && vmread(Field::ExitInterruptionInfo) & NMI_UNBLOCKED != 0
            {
                vmwrite(Field::GuestInterruptibility, BLOCKING_BY_NMI);
            }
        }
        Answer::Reinject => {
            let info = vmread(Field::IdtVectoringInfo) & !NMI_UNBLOCKED;
            if info & IDT_VECTORING_VALID != 0 {
                // With virtual NMIs, an NMI cannot be injected while they are blocked, and its
                // delivery blocks them.
                if info >> 8 & 7 == EventType::Nmi as u64 {
                    vmwrite(Field::GuestInterruptibility, 0);
                }
                inject(
                    info,
                    vmread(Field::IdtVectoringErrorCode),
                    vmread(Field::ExitInstructionLength),
                );
            }
        }
        Answer::Reflect => {
            write_cr2(vmread(Field::ExitQualification));
            inject(INTERRUPTION_INFO_PF, vmread(Field::ExitInterruptionErrorCode), 0);
        }
    }
    Ok(())
}

/// Injects an event at the next VM entry.
pub(super) fn inject(info: u64, error_code: u64, length: u64) {
    vmwrite(Field::EntryInterruptionInfo, info);
    vmwrite(Field::EntryExceptionErrorCode, error_code);
    vmwrite(Field::EntryInstructionLength, length);
}
