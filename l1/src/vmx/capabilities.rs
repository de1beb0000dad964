//! The VMX capability MSRs. SDM vol. 3D, appendix A, "VMX Capability Reporting Facility".
#![allow(unsafe_code, reason = "reads MSRs")]

use core::fmt;

use x86_64::registers::model_specific::Msr;

use super::controls::{Controls, EntryControls, ExitControls, ProcessorBased};

const IA32_VMX_BASIC: u32 = 0x480;
const IA32_VMX_PINBASED_CTLS: u32 = 0x481;
const IA32_VMX_PROCBASED_CTLS: u32 = 0x482;
const IA32_VMX_EXIT_CTLS: u32 = 0x483;
const IA32_VMX_ENTRY_CTLS: u32 = 0x484;
const IA32_VMX_CR0_FIXED0: u32 = 0x486;
const IA32_VMX_CR0_FIXED1: u32 = 0x487;
const IA32_VMX_CR4_FIXED0: u32 = 0x488;
const IA32_VMX_CR4_FIXED1: u32 = 0x489;
/// The TRUE variants follow 12 MSRs behind, if bit 55 of IA32_VMX_BASIC is 1.
const TO_TRUE: u32 = 0x48d - 0x481;
/// The memory type of a VMCS that the processor wants: write-back.
const WRITE_BACK: u64 = 6;

/// What is missing to test a host.
#[derive(Clone, Copy, Debug)]
pub enum Missing {
    /// CPUID does not report VMX.
    Vmx,
    /// IA32_FEATURE_CONTROL is locked without VMXON; its value.
    FeatureControl(u64),
    /// A VMCS wants another memory type or more than a page; the value of IA32_VMX_BASIC.
    Region(u64),
    /// A control that must be 1 cannot be, or one that must be 0; its name.
    Control(&'static str),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vmx => f.write_str("the CPU offers no VMX (CPUID.1:ECX[5] is 0): turn on nested virtualization"),
            Self::FeatureControl(value) => {
                write!(f, "VMX is locked off (IA32_FEATURE_CONTROL is {value:x}): let the firmware or VMM turn it on")
            }
            Self::Region(basic) => write!(f, "a VMCS of an unknown kind is wanted (IA32_VMX_BASIC is {basic:x})"),
            Self::Control(name) => write!(f, "VMX does not offer {name}"),
        }
    }
}

/// What VMX offers, and the controls made of it.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The revision with which VMXON region and VMCS begin.
    pub revision: u32,
    /// The controls that L1 uses.
    pub controls: Controls,
    /// The pin-based controls that may be 1.
    pin_based_may: u32,
    cr0: Fixed,
    cr4: Fixed,
}

/// Bits of a control register in VMX operation: those that must be 1, and those that may.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    must: u64,
    may: u64,
}

impl Fixed {
    fn read(fixed0: u32, fixed1: u32) -> Self {
        Self { must: rdmsr(fixed0), may: rdmsr(fixed1) }
    }

    fn allows(self, value: u64) -> bool {
        value & self.must == self.must && value & !self.may == 0
    }
}

/// A control field: its bits that must be 1 (low half of the MSR) and may be (high half).
#[derive(Clone, Copy)]
struct Allowed(u64);

impl Allowed {
    /// The value with `wanted` and what must be 1, if `wanted` may be and `unwanted` need not.
    fn value(self, wanted: u32, unwanted: u32) -> Option<u32> {
        let (must, may) = (self.0 as u32, (self.0 >> 32) as u32);
        (wanted & !may == 0 && must & unwanted == 0).then_some(must | wanted)
    }
}

impl Capabilities {
    /// Reads the MSRs. CPUID must report VMX.
    pub fn read() -> Result<Self, Missing> {
        let basic = rdmsr(IA32_VMX_BASIC);
        let size = basic >> 32 & 0x1fff;
        if size > 4096 || basic >> 50 & 0xf != WRITE_BACK {
            return Err(Missing::Region(basic));
        }
        let step = if basic >> 55 & 1 == 1 { TO_TRUE } else { 0 };
        let allowed = |msr: u32| Allowed(rdmsr(msr + step));

        let pin_based = allowed(IA32_VMX_PINBASED_CTLS);
        let processor_based = allowed(IA32_VMX_PROCBASED_CTLS);
        let exit = allowed(IA32_VMX_EXIT_CTLS);
        let entry = allowed(IA32_VMX_ENTRY_CTLS);
        let exit_wanted = ExitControls::HOST_64_BIT | ExitControls::LOAD_EFER;
        let entry_wanted = EntryControls::GUEST_IA32E | EntryControls::LOAD_EFER;
        // L2 never accesses CR3, so whether that exits makes no difference.
        let unwanted = ProcessorBased::UNCONDITIONAL_IO_EXITING;

        let controls = Controls {
            pin_based: pin_based.value(0, 0).ok_or(Missing::Control("pin-based controls"))?,
            processor_based: processor_based
                .value(0, unwanted.bits())
                .ok_or(Missing::Control("L2's I/O without exits"))?,
            exit: exit
                .value(exit_wanted.bits(), 0)
                .ok_or(Missing::Control("exits to 64-bit mode that load IA32_EFER"))?,
            entry: entry
                .value(entry_wanted.bits(), 0)
                .ok_or(Missing::Control("entries to IA-32e mode that load IA32_EFER"))?,
        };
        Ok(Self {
            revision: basic as u32 & 0x7fff_ffff,
            controls,
            pin_based_may: (pin_based.0 >> 32) as u32,
            cr0: Fixed::read(IA32_VMX_CR0_FIXED0, IA32_VMX_CR0_FIXED1),
            cr4: Fixed::read(IA32_VMX_CR4_FIXED0, IA32_VMX_CR4_FIXED1),
        })
    }

    /// Whether VMX operation allows these values of CR0 and CR4.
    pub fn allows(&self, cr0: u64, cr4: u64) -> bool {
        self.cr0.allows(cr0) && self.cr4.allows(cr4)
    }

    /// Whether all of these pin-based controls may be 1.
    pub fn allows_pins(&self, pins: u32) -> bool {
        pins & !self.pin_based_may == 0
    }

    /// CR0 and CR4 with the bits that VMX operation wants set.
    pub fn fixed(&self, cr0: u64, cr4: u64) -> (u64, u64) {
        (cr0 | self.cr0.must, cr4 | self.cr4.must)
    }
}

fn rdmsr(msr: u32) -> u64 {
    // SAFETY: a processor with VMX has the capability MSRs; the TRUE ones only with bit 55 of the first,
    // which the caller looks at.
    unsafe { Msr::new(msr).read() }
}
