//! The VMX capability MSRs. SDM vol. 3D, "VMX Capability Reporting Facility".
#![allow(unsafe_code, reason = "reads MSRs")]

use core::fmt;

use spec::manual::ept::SINGLE_CONTEXT;
use spec::scene::environment::{Environment, Ept};
#[cfg(not(test))]
use x86_64::registers::model_specific::Msr;

#[cfg(test)]
use crate::fake::Msr;
use crate::machine::cpu::Cpu;
use crate::vmx::controls::{
    Controls, EntryControls, ExitControls, PinBased, ProcessorBased, Secondary,
};

const IA32_FEATURE_CONTROL: u32 = 0x3a;
/// Lock bit, and VMXON outside SMX operation. SDM vol. 3C, "Enabling and Entering VMX Operation".
const FEATURE_CONTROL_LOCK: u64 = 1 << 0;
const FEATURE_CONTROL_VMXON: u64 = 1 << 2;
const IA32_VMX_BASIC: u32 = 0x480;
const IA32_VMX_PINBASED_CTLS: u32 = 0x481;
const IA32_VMX_PROCBASED_CTLS: u32 = 0x482;
const IA32_VMX_EXIT_CTLS: u32 = 0x483;
const IA32_VMX_ENTRY_CTLS: u32 = 0x484;
const IA32_VMX_MISC: u32 = 0x485;
const IA32_VMX_CR0_FIXED0: u32 = 0x486;
const IA32_VMX_CR0_FIXED1: u32 = 0x487;
const IA32_VMX_CR4_FIXED0: u32 = 0x488;
const IA32_VMX_CR4_FIXED1: u32 = 0x489;
const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48b;
const IA32_VMX_EPT_VPID_CAP: u32 = 0x48c;
/// Number of the bit of IA32_VMX_MISC for the activity state HLT; those of shutdown and
/// wait-for-SIPI follow.
const ACTIVITY_HLT: u64 = 6;
/// Bits of IA32_VMX_EPT_VPID_CAP. SDM vol. 3D, "VPID and EPT Capabilities".
const EXECUTE_ONLY: u64 = 1 << 0;
const EPT_WALK_4: u64 = 1 << 6;
const EPT_WRITE_BACK: u64 = 1 << 14;
const EPT_2M: u64 = 1 << 16;
const INVEPT: u64 = 1 << 20;
const EPT_AD: u64 = 1 << 21;
const INVEPT_SINGLE_CONTEXT: u64 = 1 << 25;
const INVVPID: u64 = 1 << 32;
/// Of type 0; the bits of the others follow.
const INVVPID_ADDRESS: u64 = 1 << 40;
/// The TRUE variants are 12 MSRs further on, if bit 55 of IA32_VMX_BASIC is 1.
const TO_TRUE: u32 = 0x48d - 0x481;
/// The memory type of a VMCS that L1 knows how to give: write-back.
const WRITE_BACK: u64 = 6;

/// What is missing to test a host.
#[derive(Clone, Copy, Debug)]
pub enum Missing {
    /// CPUID does not report VMX.
    Vmx,
    /// IA32_FEATURE_CONTROL is locked without VMXON; its value.
    FeatureControl(u64),
    /// A VMCS needs another memory type or more than a page; the value of IA32_VMX_BASIC.
    Region(u64),
    /// A control that must be 1 cannot be, or one that must be 0; its name.
    Control(&'static str),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vmx => f.write_str(
                "the CPU offers no VMX (CPUID.1:ECX[5] is 0): turn on nested virtualization",
            ),
            Self::FeatureControl(value) => {
                write!(
                    f,
                    "VMX is locked off (IA32_FEATURE_CONTROL is {value:x}): let the firmware or VMM turn it on"
                )
            }
            Self::Region(basic) => {
                write!(f, "a VMCS of an unknown kind is wanted (IA32_VMX_BASIC is {basic:x})")
            }
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
    primary: Allowed,
    secondary: Allowed,
    entry: Allowed,
    exit: Allowed,
    /// There are TRUE capability MSRs.
    has_true: bool,
    /// Whether an exception has an error code, VM entries take from its vector.
    code_by_vector: bool,
    execute_only: bool,
    /// The pin-based controls that may be 1.
    pin_based_may: u32,
    misc: u64,
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
#[derive(Clone, Copy, Debug)]
struct Allowed(u64);

impl Allowed {
    /// The value with `wanted` and what must be 1, if `wanted` may be and `unwanted` need not.
    fn value(self, wanted: u32, unwanted: u32) -> Option<u32> {
        let (must, may) = (self.0 as u32, (self.0 >> 32) as u32);
        (wanted & !may == 0 && must & unwanted == 0).then_some(must | wanted)
    }
}

impl Capabilities {
    /// What VMX offers on this processor, or what is missing to use it. VMXON is allowed after
    /// that.
    pub fn of(cpu: &Cpu) -> Result<Self, Missing> {
        if !cpu.has_vmx() {
            return Err(Missing::Vmx);
        }
        let mut control = rdmsr(IA32_FEATURE_CONTROL);
        if control & FEATURE_CONTROL_LOCK == 0 {
            control |= FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON;
            // SAFETY: the MSR is not locked, and the bits written are those of a processor with
            // VMX.
            unsafe { Msr::new(IA32_FEATURE_CONTROL).write(control) };
        }
        if control & FEATURE_CONTROL_VMXON == 0 {
            return Err(Missing::FeatureControl(control));
        }
        Self::read()
    }

    /// Reads the MSRs. CPUID must report VMX.
    fn read() -> Result<Self, Missing> {
        let basic = rdmsr(IA32_VMX_BASIC);
        let size = basic >> 32 & 0x1fff;
        if size > 4096 || basic >> 50 & 0xf != WRITE_BACK {
            return Err(Missing::Region(basic));
        }
        let has_true = basic >> 55 & 1 == 1;
        let controls = Self::allowed_controls(has_true, Secondary::empty(), true)?;
        let allowed = |msr: u32| Allowed(rdmsr(msr + if has_true { TO_TRUE } else { 0 }));
        let primary = allowed(IA32_VMX_PROCBASED_CTLS);
        let has_secondary = primary.value(ProcessorBased::SECONDARY.bits(), 0).is_some();
        Ok(Self {
            revision: basic as u32 & 0x7fff_ffff,
            controls,
            primary,
            secondary: Allowed(if has_secondary { rdmsr(IA32_VMX_PROCBASED_CTLS2) } else { 0 }),
            entry: allowed(IA32_VMX_ENTRY_CTLS),
            exit: allowed(IA32_VMX_EXIT_CTLS),
            has_true,
            code_by_vector: basic >> 56 & 1 == 0,
            execute_only: Self::read_execute_only(),
            pin_based_may: (rdmsr(IA32_VMX_PINBASED_CTLS) >> 32) as u32,
            misc: rdmsr(IA32_VMX_MISC),
            cr0: Fixed::read(IA32_VMX_CR0_FIXED0, IA32_VMX_CR0_FIXED1),
            cr4: Fixed::read(IA32_VMX_CR4_FIXED0, IA32_VMX_CR4_FIXED1),
        })
    }

    /// The two processor-based control fields with these bits and what must be 1, if the processor
    /// allows them. The secondary one counts only if the primary one activates it.
    pub fn processor_based(
        &self,
        primary: ProcessorBased,
        secondary: Secondary,
    ) -> Option<(u32, u32)> {
        let activate =
            if secondary.is_empty() { ProcessorBased::empty() } else { ProcessorBased::SECONDARY };
        Some((
            self.primary.value((primary | activate).bits(), 0)?,
            self.secondary.value(secondary.bits(), 0)?,
        ))
    }

    /// The VM-entry controls with "load CET state", if the processor allows that.
    pub fn entry_with_cet(&self) -> Option<u32> {
        self.entry.value(self.controls.entry | EntryControls::LOAD_CET.bits(), 0)
    }

    /// The pin-based control by which external interrupts exit, and the VM-exit controls by which
    /// they are acknowledged, if the processor allows them.
    pub fn interrupt_exiting(&self) -> Option<(u32, u32)> {
        let pins = PinBased::EXTERNAL_INTERRUPT_EXITING.bits();
        let acknowledge = ExitControls::ACKNOWLEDGE_INTERRUPT.bits();
        let exit = self.exit.value(self.controls.exit | acknowledge, 0)?;
        self.allows_pins(pins).then_some((pins, exit))
    }

    /// The controls for an environment of the stage, or what is missing for it.
    pub fn controls_for(&self, environment: &Environment) -> Result<Controls, Missing> {
        let mut secondary = Secondary::empty();
        for (wanted, control) in [
            (environment.ept.is_some(), Secondary::EPT),
            (environment.ept.is_some_and(|ept| ept.modes), Secondary::MODE_BASED_EXECUTE),
            (environment.vpid, Secondary::VPID),
            (environment.unrestricted, Secondary::UNRESTRICTED_GUEST),
        ] {
            secondary.set(control, wanted);
        }
        let ia32e = environment.width.is_long();
        let controls = Self::allowed_controls(
            self.has_true && !environment.default_controls,
            secondary,
            ia32e,
        )?;
        if let Some(ept) = environment.ept {
            lacks_ept(ept).map_or(Ok(()), |name| Err(Missing::Control(name)))?;
        }
        if environment.vpid && !Self::has_invvpid_of(SINGLE_CONTEXT) {
            return Err(Missing::Control(
                "INVVPID of a single context (IA32_VMX_EPT_VPID_CAP[41,32])",
            ));
        }
        Ok(controls)
    }

    /// Whether there are VPIDs, and INVVPID with its single-context type.
    pub fn has_invvpid() -> bool {
        Self::allows_secondary(Secondary::VPID) && Self::has_invvpid_of(SINGLE_CONTEXT)
    }

    /// Whether there is INVVPID, whatever its types.
    pub fn has_any_invvpid() -> bool {
        Self::allows_secondary(Secondary::VPID) && has_all(INVVPID)
    }

    /// Whether there is INVEPT, whatever its types.
    pub fn has_invept() -> bool {
        Self::allows_secondary(Secondary::EPT) && has_all(INVEPT)
    }

    /// Whether INVEPT has a type. The processor has INVEPT.
    pub fn has_invept_of(kind: u64) -> bool {
        has_all(INVEPT | INVEPT_SINGLE_CONTEXT >> 1 << kind)
    }

    /// Whether a secondary processor-based control may be 1.
    fn allows_secondary(control: Secondary) -> bool {
        let offered = |msr: u32, bit: u32| rdmsr(msr) >> 32 & u64::from(bit) != 0;
        offered(IA32_VMX_PROCBASED_CTLS, ProcessorBased::SECONDARY.bits())
            && offered(IA32_VMX_PROCBASED_CTLS2, control.bits())
    }

    /// Whether VM entries refuse an error code with exceptions that have none, and the lack of one
    /// with others. SDM vol. 3D, "Basic VMX Information".
    pub fn has_code_by_vector(&self) -> bool {
        self.code_by_vector
    }

    /// Whether EPT entries may allow only execution.
    pub fn has_execute_only(&self) -> bool {
        self.execute_only
    }

    /// Whether INVVPID has a type. The processor has VPIDs.
    pub fn has_invvpid_of(kind: u64) -> bool {
        has_all(INVVPID | INVVPID_ADDRESS << kind)
    }

    /// The same of EPT entries as [`Self::has_execute_only`], from the MSRs.
    fn read_execute_only() -> bool {
        Self::allows_secondary(Secondary::EPT) && has_all(EXECUTE_ONLY)
    }

    /// Controls as the MSRs, TRUE or not, allow them.
    fn allowed_controls(
        of_true: bool,
        secondary: Secondary,
        ia32e: bool,
    ) -> Result<Controls, Missing> {
        let step = if of_true { TO_TRUE } else { 0 };
        let allowed = |msr: u32| Allowed(rdmsr(msr + step));
        let exit_wanted = ExitControls::HOST_64_BIT | ExitControls::LOAD_EFER;
        let entry_wanted = EntryControls::LOAD_EFER
            | if ia32e { EntryControls::GUEST_IA32E } else { EntryControls::empty() };
        let unwanted = ProcessorBased::UNCONDITIONAL_IO_EXITING.bits();
        let processor_based = allowed(IA32_VMX_PROCBASED_CTLS);
        let primary =
            processor_based.value(0, unwanted).ok_or(Missing::Control("L2's I/O without exits"))?;
        let (primary, secondary) = if secondary.is_empty() {
            (primary, None)
        } else {
            let primary = processor_based.value(ProcessorBased::SECONDARY.bits(), unwanted).ok_or(
                Missing::Control(
                    "secondary processor-based controls (IA32_VMX_PROCBASED_CTLS[63])",
                ),
            )?;
            (primary, Some(allowed_secondary(secondary)?))
        };
        Ok(Controls {
            pin_based: allowed(IA32_VMX_PINBASED_CTLS)
                .value(0, 0)
                .ok_or(Missing::Control("pin-based controls"))?,
            processor_based: primary,
            secondary,
            exit: allowed(IA32_VMX_EXIT_CTLS)
                .value(exit_wanted.bits(), 0)
                .ok_or(Missing::Control("exits to 64-bit mode that load IA32_EFER"))?,
            entry: allowed(IA32_VMX_ENTRY_CTLS)
                .value(entry_wanted.bits(), 0)
                .ok_or(Missing::Control("entries that load IA32_EFER, to IA-32e mode too"))?,
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

    /// Whether VMX operation allows bits of CR4.
    pub fn allows_in_cr4(&self, bits: u64) -> bool {
        bits & !self.cr4.may == 0
    }

    /// Whether a guest may be in an activity state: active (0), HLT, shutdown, wait-for-SIPI. SDM
    /// vol. 3D, "Miscellaneous Data".
    pub fn allows_activity(&self, state: u64) -> bool {
        state == 0 || self.misc >> (ACTIVITY_HLT - 1 + state) & 1 == 1
    }

    /// How many bits of the time stamp counter the VMX-preemption timer leaves out: SDM vol. 3D,
    /// "Miscellaneous Data".
    pub fn preemption_timer_shift(&self) -> u32 {
        (self.misc & 0x1f) as u32
    }

    /// CR0 and CR4 with the bits that VMX operation needs set.
    pub fn fixed(&self, cr0: u64, cr4: u64) -> (u64, u64) {
        (cr0 | self.cr0.must, cr4 | self.cr4.must)
    }
}

/// The secondary controls with those that are asked for.
fn allowed_secondary(wanted: Secondary) -> Result<u32, Missing> {
    let allowed = Allowed(rdmsr(IA32_VMX_PROCBASED_CTLS2));
    for (control, name) in [
        (Secondary::EPT, "enable EPT (IA32_VMX_PROCBASED_CTLS2[33])"),
        (Secondary::VPID, "enable VPID (IA32_VMX_PROCBASED_CTLS2[37])"),
        (
            Secondary::MODE_BASED_EXECUTE,
            "mode-based execute control for EPT (IA32_VMX_PROCBASED_CTLS2[54])",
        ),
        (Secondary::UNRESTRICTED_GUEST, "unrestricted guest (IA32_VMX_PROCBASED_CTLS2[39])"),
    ] {
        if wanted.contains(control) && allowed.value(control.bits(), 0).is_none() {
            return Err(Missing::Control(name));
        }
    }
    allowed.value(wanted.bits(), 0).ok_or(Missing::Control("secondary processor-based controls"))
}

/// What of EPT is missing for an environment.
fn lacks_ept(ept: Ept) -> Option<&'static str> {
    [
        (true, EPT_WALK_4, "EPT with 4 levels (IA32_VMX_EPT_VPID_CAP[6])"),
        (true, EPT_WRITE_BACK, "EPT in write-back memory (IA32_VMX_EPT_VPID_CAP[14])"),
        (ept.large, EPT_2M, "EPT pages of 2 MiB (IA32_VMX_EPT_VPID_CAP[16])"),
        (ept.ad, EPT_AD, "accessed and dirty flags for EPT (IA32_VMX_EPT_VPID_CAP[21])"),
        (
            true,
            INVEPT | INVEPT_SINGLE_CONTEXT,
            "INVEPT of a single context (IA32_VMX_EPT_VPID_CAP[25,20])",
        ),
    ]
    .into_iter()
    .find_map(|(wanted, bits, name)| (wanted && !has_all(bits)).then_some(name))
}

/// Whether IA32_VMX_EPT_VPID_CAP has these bits. The processor must have EPT or VPIDs.
fn has_all(bits: u64) -> bool {
    rdmsr(IA32_VMX_EPT_VPID_CAP) & bits == bits
}

/// IA32_VMX_BASIC of a processor with VMX, whether that is on or off: revision and size of its VMCS
/// differ from one maker of processors to the other.
pub fn basic(cpu: &Cpu) -> Option<u64> {
    cpu.has_vmx().then(|| rdmsr(IA32_VMX_BASIC))
}

fn rdmsr(msr: u32) -> u64 {
    // SAFETY: a processor with VMX, which `of` and `basic` ask CPUID for, has IA32_FEATURE_CONTROL
    // and the capability MSRs; the TRUE ones only with bit 55 of IA32_VMX_BASIC, those of secondary
    // controls and of EPT and VPIDs only if these controls may be 1. Callers look at that; a read
    // of one that is not there raises #GP, which ends L1 with an error.
    unsafe { Msr::new(msr).read() }
}

#[cfg(test)]
mod tests;
