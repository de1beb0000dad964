//! VMX: what the processor offers, and being in VMX operation with one vmcs12.
#![allow(unsafe_code, reason = "VMX instructions")]

mod capabilities;
mod controls;
pub mod entry;
mod field;
mod filter;
mod invalidate;
mod vmcs;

pub use capabilities::{Capabilities, Missing};
pub use controls::{Controls, PinBased, ProcessorBased, Secondary};
pub use field::Field;
pub use filter::{FilterFields, bitmap};
pub use invalidate::{invept, invvpid, invvpid_of};
pub use vmcs::{VmFail, Vmcs, read_encoding, vmread, vmwrite};

use core::arch::asm;
use core::fmt;

use spec::scene::environment::Environment;
use x86_64::registers::control::{Cr0, Cr4};

use crate::machine::global::Global;

/// The basic exit reason of VMCALL. SDM vol. 3D, appendix C, "VMX Basic Exit Reasons".
pub const REASON_VMCALL: u64 = 18;

/// A region of one page that software may not touch while the processor uses it.
#[repr(C, align(4096))]
struct Region([u32; 1024]);

/// Of each processor.
static VMXON_REGIONS: [Global<Region>; 2] = [const { Global::new(Region([0; 1024])) }; 2];
/// Of each processor, for [`crate::smp`].
static SMP_VMCS_REGIONS: [Global<Region>; 2] = [const { Global::new(Region([0; 1024])) }; 2];
/// Of each processor.
static VMCS_REGIONS: [Global<Region>; 2] = [const { Global::new(Region([0; 1024])) }; 2];
static STAGE_VMCS_REGIONS: [Global<Region>; 2] = [const { Global::new(Region([0; 1024])) }; 2];

/// Being in VMX root operation with a current VMCS.
pub struct Vmx {
    /// vmcs12, current and clear when [`Vmx::enter`] returns it.
    pub vmcs: Vmcs,
    /// The controls that the processor allows, ready to be written.
    pub controls: Controls,
    capabilities: Capabilities,
}

/// Why VMX operation could not be entered.
#[derive(Clone, Copy, Debug)]
pub enum EnterFailed {
    /// CR0 or CR4 has a bit that VMX operation does not allow.
    ControlRegister,
    /// VMXON failed.
    Vmxon(VmFail),
    /// VMCLEAR or VMPTRLD failed.
    Vmcs(VmFail),
}

impl fmt::Display for EnterFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlRegister => f.write_str("CR0 or CR4 of L1 has a bit that VMX operation does not allow"),
            Self::Vmxon(fail) => write!(f, "VMXON {fail}"),
            Self::Vmcs(fail) => write!(f, "VMCLEAR or VMPTRLD {fail}"),
        }
    }
}

impl Vmx {
    /// Enters VMX operation and makes vmcs12 current. CR4.VMXE must be set.
    pub fn enter(capabilities: &Capabilities) -> Result<Self, EnterFailed> {
        Self::enter_on(0, capabilities)
    }

    /// The same on a processor: 0 or 1.
    pub fn enter_on(processor: usize, capabilities: &Capabilities) -> Result<Self, EnterFailed> {
        if !capabilities.allows(Cr0::read_raw(), Cr4::read_raw()) {
            return Err(EnterFailed::ControlRegister);
        }
        let vmxon_region = prepare(&VMXON_REGIONS[processor], capabilities.revision);
        let vmcs_region = prepare(&VMCS_REGIONS[processor], capabilities.revision);
        let (carry, zero): (u8, u8);
        // SAFETY: CR0, CR4 and IA32_FEATURE_CONTROL were checked; the region is a page of its own that
        // begins with the revision.
        unsafe {
            asm!("vmxon [{0}]", "setc {1}", "setz {2}", in(reg) &raw const vmxon_region,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        vmcs::outcome(carry, zero).map_err(EnterFailed::Vmxon)?;
        let vmcs = Vmcs::load(vmcs_region).map_err(EnterFailed::Vmcs)?;
        Ok(Self { vmcs, controls: capabilities.controls, capabilities: *capabilities })
    }

    /// One of two more VMCSs, clear and current: those of [`crate::scene::stage`]. Called once for each number, 0 and 1.
    pub fn stage_vmcs(&self, number: usize) -> Result<Vmcs, VmFail> {
        Vmcs::load(prepare(&STAGE_VMCS_REGIONS[number], self.capabilities.revision))
    }

    /// The controls for an environment of the stage, or what is missing for it.
    pub fn controls_for(&self, environment: &Environment) -> Result<Controls, Missing> {
        self.capabilities.controls_for(environment)
    }

    /// Whether EPT entries may allow execution alone.
    pub fn has_execute_only(&self) -> bool {
        self.capabilities.has_execute_only()
    }

    /// See [`Capabilities::processor_based`].
    pub fn processor_based(&self, primary: ProcessorBased, secondary: Secondary) -> Option<(u32, u32)> {
        self.capabilities.processor_based(primary, secondary)
    }

    /// See [`Capabilities::entry_with_cet`].
    pub fn entry_with_cet(&self) -> Option<u32> {
        self.capabilities.entry_with_cet()
    }

    /// See [`Capabilities::interrupt_exiting`].
    pub fn interrupt_exiting(&self) -> Option<(u32, u32)> {
        self.capabilities.interrupt_exiting()
    }

    /// This processor's VMCS for [`crate::smp`], clear and current.
    pub fn smp_vmcs(&self, processor: usize) -> Result<Vmcs, VmFail> {
        Vmcs::load(prepare(&SMP_VMCS_REGIONS[processor], self.capabilities.revision))
    }

    /// Makes each VM entry of the current VMCS, which has [`Vmx::controls`], end by the VMX-preemption timer after so
    /// many ticks of the time stamp counter, if the processor has the timer. SDM section 25.5.1, "VMX-Preemption
    /// Timer".
    pub fn limit_time(&self, ticks: u32) {
        let timer = PinBased::PREEMPTION_TIMER.bits();
        if self.allows_pins(timer) {
            vmwrite(Field::PinBasedControls, vmread(Field::PinBasedControls) | u64::from(timer));
            vmwrite(Field::PreemptionTimer, (ticks >> self.capabilities.preemption_timer_shift()).into());
        }
    }

    /// Leaves VMX operation. Other VMCSs than [`Vmx::vmcs`] must be clear.
    pub fn leave(mut self) {
        // One that cannot be cleared is gone with VMXOFF all the same.
        let _ = self.vmcs.clear();
        // SAFETY: this processor is in VMX root operation.
        unsafe { asm!("vmxoff", options(nostack)) };
    }

    /// CR0 and CR4 with the bits that VMX operation wants, for L2.
    pub fn fixed(&self, cr0: u64, cr4: u64) -> (u64, u64) {
        self.capabilities.fixed(cr0, cr4)
    }

    /// Whether all of these pin-based controls may be 1.
    pub fn allows_pins(&self, pins: u32) -> bool {
        self.capabilities.allows_pins(pins)
    }
}

/// Writes the revision into a region and returns its physical address.
fn prepare(region: &Global<Region>, revision: u32) -> u64 {
    let region = region.get();
    // SAFETY: the processor does not use the region yet; L1 maps memory one to one.
    unsafe { (*region).0[0] = revision };
    region as u64
}
