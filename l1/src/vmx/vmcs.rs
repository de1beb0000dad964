//! The current VMCS: VMCLEAR, VMPTRLD, VMREAD, VMWRITE.
#![allow(unsafe_code, reason = "VMX instructions")]

use core::arch::asm;
use core::fmt;

use super::Field;

/// A VMX instruction that failed. SDM vol. 3C, section 30.2, "Conventions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmFail {
    /// VMfailInvalid: there is no current VMCS, or the operand is wrong.
    Invalid,
    /// VMfailValid: the VM-instruction error field says why, section 30.4.
    Valid,
}

impl fmt::Display for VmFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("failed without an error number"),
            Self::Valid => write!(f, "failed with VM-instruction error {}", vmread(Field::InstructionError)),
        }
    }
}

/// What CF and ZF say of a VMX instruction.
pub fn outcome(carry: u8, zero: u8) -> Result<(), VmFail> {
    match (carry, zero) {
        (0, 0) => Ok(()),
        (0, _) => Err(VmFail::Valid),
        _ => Err(VmFail::Invalid),
    }
}

/// A VMCS, cleared once and current from then on until another is made so.
pub struct Vmcs {
    address: u64,
    launched: bool,
}

impl Vmcs {
    /// Clears the VMCS at a physical address and makes it current. The region must begin with the revision.
    pub(super) fn load(address: u64) -> Result<Self, VmFail> {
        let mut vmcs = Self { address, launched: false };
        vmcs.clear()?;
        vmcs.make_current()?;
        Ok(vmcs)
    }

    /// Clears the VMCS: it keeps its fields, is not current, and its next entry is by VMLAUNCH.
    pub fn clear(&mut self) -> Result<(), VmFail> {
        let (carry, zero): (u8, u8);
        // SAFETY: VMX operation was entered, and the address is that of a page for this use.
        unsafe {
            asm!("vmclear [{0}]", "setc {1}", "setz {2}", in(reg) &raw const self.address,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        self.launched = false;
        outcome(carry, zero)
    }

    /// Makes the VMCS current: [`vmread`], [`vmwrite`] and VM entries are its from now on.
    pub fn make_current(&self) -> Result<(), VmFail> {
        let (carry, zero): (u8, u8);
        // SAFETY: VMX operation was entered, and the address is that of a region that `load` cleared.
        unsafe {
            asm!("vmptrld [{0}]", "setc {1}", "setz {2}", in(reg) &raw const self.address,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        outcome(carry, zero)
    }

    /// Whether the next entry is by VMRESUME; VMLAUNCH is for the first.
    pub fn launched(&self) -> bool {
        self.launched
    }

    /// How an entry went: whether an exit came, and RFLAGS if it did not.
    pub fn entered(&mut self, exited: bool, flags: u64) -> Result<(), VmFail> {
        if !exited {
            return Err(if flags & 1 == 1 { VmFail::Invalid } else { VmFail::Valid });
        }
        self.launched = true;
        Ok(())
    }
}

/// Reads a field of the current VMCS, 0 if that fails.
pub fn vmread(field: Field) -> u64 {
    let value: u64;
    // SAFETY: in VMX operation VMREAD has no effect but on its destination and the flags.
    unsafe {
        asm!("vmread {0}, {1}", inout(reg) 0u64 => value, in(reg) u64::from(field as u32), options(nomem, nostack));
    }
    value
}

/// Reads the field of an encoding, which need not be one.
pub fn read_encoding(encoding: u32) -> Result<u64, VmFail> {
    let (value, carry, zero): (u64, u8, u8);
    // SAFETY: as in `vmread`.
    unsafe {
        asm!("vmread {0}, {1}", "setc {2}", "setz {3}", inout(reg) 0u64 => value, in(reg) u64::from(encoding),
            lateout(reg_byte) carry, lateout(reg_byte) zero, options(nomem, nostack));
    }
    outcome(carry, zero).map(|()| value)
}

/// Writes a field of the current VMCS.
///
/// # Panics
/// If the processor refuses: the fields written are those of every processor with VMX.
pub fn vmwrite(field: Field, value: u64) {
    if let Err(fail) = try_vmwrite(field, value) {
        panic!("VMWRITE of field {:x} {fail}", field as u32);
    }
}

fn try_vmwrite(field: Field, value: u64) -> Result<(), VmFail> {
    let (carry, zero): (u8, u8);
    // SAFETY: in VMX operation; what a VM entry makes of the value is that entry's matter.
    unsafe {
        asm!("vmwrite {0}, {1}", "setc {2}", "setz {3}", in(reg) u64::from(field as u32), in(reg) value,
            lateout(reg_byte) carry, lateout(reg_byte) zero, options(nomem, nostack));
    }
    outcome(carry, zero)
}
