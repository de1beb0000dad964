//! Being in VMX operation: from VMXON to VMXOFF.
#![allow(unsafe_code, reason = "VMXON, VMXOFF")]

use core::arch::asm;
use core::fmt;

use spec::manual::paging::Mode;
use spec::scene::environment::Environment;
use spec::walk::setting::BASE;
use x86_64::registers::control::{Cr0, Cr4, Cr4Flags};

use crate::vmx::capabilities::{Capabilities, Missing};
use crate::vmx::controls::{Controls, ProcessorBased, Secondary};
use crate::vmx::vmcs::{Region, VmFail, Vmcs, outcome};

/// Of each processor.
static VMXON_REGIONS: [Region; 2] = [const { Region::new() }; 2];

/// Being in VMX root operation.
pub struct Vmx {
    /// The controls that the processor allows, ready to be written.
    pub controls: Controls,
    capabilities: Capabilities,
    processor: usize,
    is_enlightened: bool,
}

/// Why VMX operation could not be entered.
#[derive(Clone, Copy, Debug)]
pub enum EnterFailed {
    /// CR0 or CR4 has a bit that VMX operation does not allow.
    ControlRegister,
    /// VMXON failed.
    Vmxon(VmFail),
}

impl fmt::Display for EnterFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlRegister => {
                f.write_str("CR0 or CR4 of L1 has a bit that VMX operation does not allow")
            }
            Self::Vmxon(fail) => write!(f, "VMX operation cannot be entered: {fail}"),
        }
    }
}

impl Vmx {
    /// Enters VMX operation on this processor, 0 or 1. CR4.VMXE must be set.
    pub fn enter(processor: usize, capabilities: &Capabilities) -> Result<Self, EnterFailed> {
        if !capabilities.allows(Cr0::read_raw(), Cr4::read_raw()) {
            return Err(EnterFailed::ControlRegister);
        }
        let region = VMXON_REGIONS[processor].prepare(capabilities.revision);
        let (carry, zero): (u8, u8);
        // SAFETY: CR0 and CR4 were checked above, IA32_FEATURE_CONTROL when the capabilities were
        // read; the region is this processor's own page and begins with the revision.
        unsafe {
            asm!("vmxon [{0}]", "setc {1}", "setz {2}", in(reg) &raw const region,
                lateout(reg_byte) carry, lateout(reg_byte) zero, options(nostack));
        }
        outcome("vmxon-failed", carry, zero).map_err(EnterFailed::Vmxon)?;
        let controls = capabilities.controls;
        Ok(Self { controls, capabilities: *capabilities, processor, is_enlightened: false })
    }

    /// The same operation with enlightened VMCSs, which the first processor has when L0 offers them,
    /// with what it then offers beside.
    pub fn enlightened(&self, capabilities: &Capabilities) -> Self {
        let controls = capabilities.controls;
        Self { controls, capabilities: *capabilities, is_enlightened: true, ..*self }
    }

    /// Whether its VMCSs are enlightened ones.
    pub fn is_enlightened(&self) -> bool {
        self.is_enlightened
    }

    /// A VMCS in a region, clear and current. The region must hold none that is active.
    pub fn load(&self, region: &'static Region) -> Result<Vmcs, VmFail> {
        if self.is_enlightened {
            return Ok(Vmcs::enlighten(region.address()));
        }
        self.load_ordinary(region)
    }

    /// As [`load`](Self::load), but an ordinary VMCS, whatever the others are.
    pub fn load_ordinary(&self, region: &'static Region) -> Result<Vmcs, VmFail> {
        Vmcs::load(region.prepare(self.capabilities.revision), self.processor)
    }

    /// BASE's mode with the SMEP and SMAP that L2 can have here: CR4's bits that VMX operation
    /// allows, of a processor that has them.
    pub fn offered(&self) -> Mode {
        let may = |bit: Cr4Flags| self.capabilities.allows_in_cr4(bit.bits());
        Mode {
            smep: may(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
            smap: may(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
            ..BASE.mode
        }
    }

    /// See [`Capabilities::allows_activity`].
    pub fn allows_activity(&self, state: u64) -> bool {
        self.capabilities.allows_activity(state)
    }

    /// Leaves VMX operation. VMCSs must be clear.
    #[expect(clippy::unused_self, reason = "after this there is no VMX operation to be in")]
    pub fn leave(self) {
        // SAFETY: this processor is in VMX root operation, since there is a `Vmx`, which is gone
        // after this.
        unsafe { asm!("vmxoff", options(nostack)) };
    }

    /// See [`Capabilities::controls_for`].
    pub fn controls_for(&self, environment: &Environment) -> Result<Controls, Missing> {
        self.capabilities.controls_for(environment)
    }

    /// See [`Capabilities::has_code_by_vector`].
    pub fn has_code_by_vector(&self) -> bool {
        self.capabilities.has_code_by_vector()
    }

    /// See [`Capabilities::has_execute_only`].
    pub fn has_execute_only(&self) -> bool {
        self.capabilities.has_execute_only()
    }

    /// See [`Capabilities::processor_based`].
    pub fn processor_based(
        &self,
        primary: ProcessorBased,
        secondary: Secondary,
    ) -> Option<(u32, u32)> {
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

    /// See [`Capabilities::allows_pins`].
    pub fn allows_pins(&self, pins: u32) -> bool {
        self.capabilities.allows_pins(pins)
    }

    /// See [`Capabilities::preemption_timer_shift`].
    pub fn preemption_timer_shift(&self) -> u32 {
        self.capabilities.preemption_timer_shift()
    }

    /// See [`Capabilities::fixed`].
    pub fn fixed(&self, cr0: u64, cr4: u64) -> (u64, u64) {
        self.capabilities.fixed(cr0, cr4)
    }
}
