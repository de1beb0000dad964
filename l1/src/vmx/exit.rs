//! What a VM exit reports.

use spec::walk::outcome::{Exit, IDT_VECTORING_VALID};
use x86_64::registers::control::Cr2;

use crate::vmx::field::Field;
use crate::vmx::vmcs::vmread;

/// Basic exit reasons. SDM vol. 3D, "VMX Basic Exit Reasons".
pub const REASON_INTERRUPT: u64 = 1;
/// See [`REASON_INTERRUPT`].
pub const REASON_INIT: u64 = 3;
/// See [`REASON_INTERRUPT`].
pub const REASON_VMCALL: u64 = 18;

/// What is reported of the exit by exception that came.
pub fn current_exit() -> Exit {
    Exit {
        info: vmread(Field::ExitInterruptionInfo),
        error_code: vmread(Field::ExitInterruptionErrorCode),
        qualification: vmread(Field::ExitQualification),
        rip: vmread(Field::GuestRip),
        rflags: vmread(Field::GuestRflags),
        idt_vectoring: vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID,
        cr2: Cr2::read_raw(),
    }
}
