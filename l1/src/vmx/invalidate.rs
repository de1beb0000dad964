//! INVEPT and INVVPID. SDM vol. 3C, "Invalidating Cached Translation Information".
#![allow(unsafe_code, reason = "VMX instructions")]

use core::arch::asm;

#[cfg(not(test))]
use spec::manual::ept::invept_descriptor;
use spec::manual::ept::{SINGLE_CONTEXT, invvpid_descriptor};

use crate::vmx::vmcs::{VmFail, outcome};

#[cfg(test)]
pub use crate::fake::invept_of;

/// Invalidates what is cached of an EPT pointer. INVEPT must have its single-context type.
pub fn invept(ept_pointer: u64) -> Result<(), VmFail> {
    invept_of(SINGLE_CONTEXT, ept_pointer)
}

/// INVEPT of a type that the processor has, for an EPT pointer.
#[cfg(not(test))]
pub fn invept_of(kind: u64, ept_pointer: u64) -> Result<(), VmFail> {
    let descriptor = invept_descriptor(ept_pointer);
    let (carry, zero): (u8, u8);
    // SAFETY: the instruction reads the 16 bytes of the descriptor and makes the processor forget
    // translations, which L1's and L2's tables give anew. Outside VMX operation it raises #UD,
    // which ends L1 with an error.
    unsafe {
        asm!("invept {0}, [{1}]", "setc {2}", "setz {3}", in(reg) kind, in(reg) &raw const descriptor,
            lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
    }
    outcome("invept-failed", carry, zero)
}

/// Invalidates what is cached of a VPID. INVVPID must have its single-context type.
pub fn invvpid(vpid: u16) -> Result<(), VmFail> {
    invvpid_of(SINGLE_CONTEXT, vpid, 0)
}

/// INVVPID of a type that the processor has, for a VPID and a linear address.
pub fn invvpid_of(kind: u64, vpid: u16, linear: u64) -> Result<(), VmFail> {
    let descriptor = invvpid_descriptor(vpid, linear);
    let (carry, zero): (u8, u8);
    // SAFETY: as in `invept`.
    unsafe {
        asm!("invvpid {0}, [{1}]", "setc {2}", "setz {3}", in(reg) kind, in(reg) &raw const descriptor,
            lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
    }
    outcome("invvpid-failed", carry, zero)
}
