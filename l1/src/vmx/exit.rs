//! What a VM exit reports.

use core::fmt;

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
/// See [`REASON_INTERRUPT`].
pub const REASON_TIMER: u64 = 52;

/// The bit of the interruption information that says that it is valid.
const INFO_VALID: u64 = 1 << 31;

/// A VM exit for a reason that was not to come.
#[derive(Clone, Copy, Debug)]
pub struct LastExit {
    /// The exit reason.
    pub reason: u64,
    qualification: u64,
    info: u64,
    error_code: u64,
}

impl LastExit {
    /// What the current VMCS says of the last exit.
    pub fn read() -> Self {
        Self {
            reason: vmread(Field::ExitReason),
            qualification: vmread(Field::ExitQualification),
            info: vmread(Field::ExitInterruptionInfo),
            error_code: vmread(Field::ExitInterruptionErrorCode),
        }
    }
}

/// `reason=0,qual=a100,info=80000b0e,ec=4`. Where there was no event, the interruption information
/// is not valid, and is left out.
impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, qualification, info, error_code } = self;
        write!(f, "reason={reason:x},qual={qualification:x}")?;
        if *info & INFO_VALID == 0 { Ok(()) } else { write!(f, ",info={info:x},ec={error_code:x}") }
    }
}

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
