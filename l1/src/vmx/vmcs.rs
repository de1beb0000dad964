//! The current VMCS: VMCLEAR, VMPTRLD, VMREAD, VMWRITE.
#![allow(unsafe_code, reason = "VMX instructions")]

use core::arch::asm;
use core::fmt;

use crate::machine::global::Global;
use crate::machine::page::Page;
use crate::vmx::enlightened;
use crate::vmx::field::Field;

/// A VMX instruction that failed, written as `invvpid-failed,error=1c`. SDM vol. 3C, "Conventions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmFail {
    /// The word by which cases that end so are counted.
    pub word: &'static str,
    /// After VMfailValid the VM-instruction error ("VM Instruction Error Numbers"); VMfailInvalid
    /// has none.
    pub error: Option<u64>,
}

impl VmFail {
    fn new(word: &'static str, valid: bool) -> Self {
        Self { word, error: valid.then(|| vmread(Field::InstructionError)) }
    }
}

impl fmt::Display for VmFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)?;
        self.error.map_or(Ok(()), |error| write!(f, ",error={error:x}"))
    }
}

const RFLAGS_CF: u64 = 1 << 0;

/// What CF and ZF say of a VMX instruction. `word` is that of its failure.
pub fn outcome(word: &'static str, carry: u8, zero: u8) -> Result<(), VmFail> {
    if carry == 0 && zero == 0 { Ok(()) } else { Err(VmFail::new(word, carry == 0)) }
}

/// The memory of a VMCS, or that which VMXON needs: a page that software may not touch while the
/// processor uses it.
pub struct Region(Global<Page>);

impl Region {
    /// A region for [`Vmx::load`](super::Vmx::load).
    pub const fn new() -> Self {
        Self(Global::new(Page::EMPTY))
    }

    /// Its physical address.
    pub(super) fn address(&self) -> u64 {
        self.0.get() as u64
    }

    /// Writes the revision and returns the physical address.
    pub(super) fn prepare(&self, revision: u32) -> u64 {
        let region = self.0.get();
        // SAFETY: the page is only in this region; the processor does not use it, since it holds
        // no active VMCS and VMXON comes once on each processor. Bits 30:0 are the revision, bit 31
        // is 0, the rest VMCLEAR's to fill.
        unsafe { (*region).0[0] = revision.into() };
        self.address()
    }
}

/// A VMCS, cleared once and current from then on until another is made so.
pub struct Vmcs {
    address: u64,
    launched: bool,
    processor: usize,
    is_enlightened: bool,
}

impl Vmcs {
    /// Clears the VMCS at a physical address and makes it current on this processor. The region
    /// must begin with the revision.
    pub(super) fn load(address: u64, processor: usize) -> Result<Self, VmFail> {
        let mut vmcs = Self { address, launched: false, processor, is_enlightened: false };
        vmcs.clear()?;
        vmcs.make_current()?;
        Ok(vmcs)
    }

    /// Makes an enlightened VMCS of a page and makes it current on the first processor.
    pub(super) fn enlighten(address: u64) -> Self {
        enlightened::prepare(address);
        enlightened::make_current(address);
        Self { address, launched: false, processor: 0, is_enlightened: true }
    }

    /// Whether it is an enlightened one.
    pub(super) fn is_enlightened(&self) -> bool {
        self.is_enlightened
    }

    /// Clears the VMCS: it keeps its fields, is not current, and its next entry is by VMLAUNCH.
    pub fn clear(&mut self) -> Result<(), VmFail> {
        let (carry, zero): (u8, u8);
        // SAFETY: VMX operation was entered, since `Vmx::load` made this; the address is that of a
        // `Region`.
        unsafe {
            asm!("vmclear [{0}]", "setc {1}", "setz {2}", in(reg) &raw const self.address,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        self.launched = false;
        outcome("vmclear-failed", carry, zero)
    }

    /// Makes the VMCS current: [`vmread`], [`vmwrite`] and VM entries are its from now on. Before an
    /// ordinary one is made so, no enlightened one may be active.
    pub fn make_current(&self) -> Result<(), VmFail> {
        if self.is_enlightened {
            enlightened::make_current(self.address);
            return Ok(());
        }
        enlightened::leave_current();
        let (carry, zero): (u8, u8);
        // SAFETY: VMX operation was entered, since `Vmx::load` made this; the address is that of a
        // `Region`, which `load` cleared.
        unsafe {
            asm!("vmptrld [{0}]", "setc {1}", "setz {2}", in(reg) &raw const self.address,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        outcome("vmptrld-failed", carry, zero)
    }

    /// Its physical address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The processor that it is active on.
    pub(super) fn processor(&self) -> usize {
        self.processor
    }

    /// Whether the next entry is by VMRESUME; VMLAUNCH is for the first.
    pub fn is_launched(&self) -> bool {
        self.launched
    }

    /// An entry by VMLAUNCH ended in an exit that says that it failed: the VMCS stays clear.
    pub fn stays_clear(&mut self) {
        self.launched = false;
    }

    /// How an entry went: `failed` is 0 if an exit came, and RFLAGS if none did.
    pub(super) fn entered(&mut self, failed: u64) -> Result<(), VmFail> {
        if failed != 0 {
            return Err(VmFail::new("entry-failed", failed & RFLAGS_CF == 0));
        }
        self.launched = true;
        if self.is_enlightened {
            enlightened::entered();
        }
        Ok(())
    }
}

#[cfg(test)]
pub use crate::fake::{read_encoding, vmread, vmwrite};

/// Reads a field of the current VMCS, 0 if that fails.
// As `vmwrite`, it takes less room as a call.
#[cfg(not(test))]
#[inline(never)]
pub fn vmread(field: Field) -> u64 {
    if let Some(vmcs) = enlightened::current() {
        return enlightened::read(vmcs, field as u32).unwrap_or(0);
    }
    let value: u64;
    // SAFETY: VMREAD has no effect but on its destination and the flags. Outside VMX operation it
    // raises #UD, which ends L1 with an error.
    unsafe {
        asm!("vmread {0}, {1}", inout(reg) 0u64 => value, in(reg) u64::from(field as u32), options(nomem, nostack));
    }
    value
}

/// Reads the field of an encoding, which need not be one.
#[cfg(not(test))]
pub fn read_encoding(encoding: u32) -> Result<u64, VmFail> {
    if let Some(vmcs) = enlightened::current() {
        return enlightened::read(vmcs, encoding)
            .ok_or(VmFail { word: "vmread-failed", error: None });
    }
    let (value, carry, zero): (u64, u8, u8);
    // SAFETY: as in `vmread`.
    unsafe {
        asm!("vmread {0}, {1}", "setc {2}", "setz {3}", inout(reg) 0u64 => value, in(reg) u64::from(encoding),
            lateout(reg_byte) carry, lateout(reg_byte) zero, options(nomem, nostack));
    }
    outcome("vmread-failed", carry, zero).map(|()| value)
}

/// Writes a field of the current VMCS.
///
/// # Panics
/// If the processor refuses: the fields written are those of every processor with VMX.
// Hundreds of places call it: in each, its code takes more room than the call.
#[cfg(not(test))]
#[inline(never)]
pub fn vmwrite(field: Field, value: u64) {
    if let Some(vmcs) = enlightened::current() {
        if !enlightened::write(vmcs, field as u32, value) {
            refused(field);
        }
        return;
    }
    // SAFETY: VMWRITE changes the current VMCS and the flags. A value that no VM entry takes makes
    // the entry fail; one that leads exits astray is written only by `vmcs12` and `enter`, which
    // say where to.
    unsafe {
        asm!("vmwrite {0}, {1}", "jbe {2}", in(reg) u64::from(field as u32), in(reg) value,
            label { refused(field) }, options(nomem, nostack));
    }
}

/// CF or ZF was set: there is no current VMCS, and so no error number, or it has no such field.
#[cfg(not(test))]
#[cold]
fn refused(field: Field) -> ! {
    let fail = VmFail::new("vmwrite-failed", vmread(Field::InstructionError) != 0);
    panic!("VMWRITE of field {:x}: {fail}", field as u32);
}
