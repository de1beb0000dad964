//! What a scene needs of processor, L0 and VMM, and what L1 intercepts in it.

use super::invalidation::Invalidation;

/// What a processor must have for a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// CMPXCHG16B: CPUID.1:ECX\[13\].
    Cmpxchg16b,
    /// XSAVE: CPUID.1:ECX\[26\].
    Xsave,
    /// INVPCID: CPUID.(7,0):EBX\[10\].
    Invpcid,
    /// Protection keys for user-mode pages: CPUID.(7,0):ECX\[3\].
    Pku,
    /// Protection keys for supervisor-mode pages: CPUID.(7,0):ECX\[31\].
    Pks,
    /// Shadow stacks: CPUID.(7,0):ECX\[7\], and the VM-entry control "load CET state".
    ShadowStack,
    /// Accesses to CR3 that do not exit: the controls "CR3-load exiting" and "CR3-store exiting"
    /// are 0.
    Cr3WithoutExits,
    /// INVEPT, without which it raises #UD: IA32_VMX_PROCBASED_CTLS2\[33\] and
    /// IA32_VMX_EPT_VPID_CAP\[20\].
    Invept,
    /// INVEPT of all contexts: IA32_VMX_EPT_VPID_CAP\[26\].
    InveptOfAll,
    /// Process-context identifiers, CPUID.1:ECX\[17\], and what [`Feature::Cr3WithoutExits`] says.
    Pcid,
    /// The same as [`Feature::InvpcidExiting`], where INVPCID is not to exit.
    InvpcidWithoutExits,
    /// INVVPID of any type: IA32_VMX_PROCBASED_CTLS2\[37\] and IA32_VMX_EPT_VPID_CAP\[32\].
    AnyInvvpid,
    /// INVVPID of a type.
    Invvpid(Invalidation),
    /// A local APIC in xAPIC mode, by which L1 sends itself interrupts and NMIs.
    LocalApic,
    /// maskmatch's built-in VMM, for its device.
    Channel,
    /// A VMM that saves the VM and restores it when it is asked to.
    Moves,
    /// 1-GByte pages: CPUID.80000001H:EDX\[26\].
    GbytePages,
    /// EPT entries that allow execution alone: IA32_VMX_EPT_VPID_CAP\[0\].
    ExecuteOnly,
    /// An L0 that emulates the instruction after UD2 and the letters "kvm": KVM's parameter
    /// `force_emulation_prefix`.
    ForcedEmulation,
    /// The secondary control "descriptor-table exiting".
    DescriptorTableExiting,
    /// VM entries deliver an error code with just the exceptions that have one:
    /// IA32_VMX_BASIC\[56\] is 0.
    CodeByVector,
    /// INVPCID, and the secondary control that enables it for L2.
    InvpcidExiting,
}

impl Feature {
    /// The bits of CR4 that L2 has with the feature. SDM vol. 3A, "Control Registers".
    #[must_use]
    pub const fn cr4(self) -> u64 {
        match self {
            // OSXSAVE.
            Self::Xsave => 1 << 18,
            // PKE.
            Self::Pku => 1 << 22,
            // CET.
            Self::ShadowStack => 1 << 23,
            // PKS.
            Self::Pks => 1 << 24,
            _ => 0,
        }
    }
}

/// Instructions that L1 intercepts beside those of which each execution exits. SDM vol. 3C,
/// "Processor-Based VM-Execution Controls".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exiting {
    /// None.
    Nothing,
    /// "Descriptor-table exiting": LGDT, LIDT, LLDT, LTR, SGDT, SIDT, SLDT, STR.
    DescriptorTables,
    /// "INVLPG exiting", with "enable INVPCID".
    Invlpg,
    /// Not even INVPCID, which raises #UD otherwise: "enable INVPCID".
    NotEvenInvpcid,
    /// "Unconditional I/O exiting".
    Io,
    /// Not even RDMSR and WRMSR, of which each execution exits otherwise: "use MSR bitmaps", with
    /// none of their bits set.
    NotEvenMsrs,
    /// "Use I/O bitmaps": two ports' bits are set, [`LISTED_PORT_A`] and [`LISTED_PORT_B`].
    IoBitmaps,
    /// "HLT exiting".
    Hlt,
    /// "PAUSE exiting".
    Pause,
    /// "RDTSC exiting".
    Rdtsc,
    /// "RDPMC exiting".
    Rdpmc,
    /// "CR3-load exiting" and "CR3-store exiting".
    Cr3,
    /// "CR8-load exiting" and "CR8-store exiting".
    Cr8,
    /// "MOV-DR exiting".
    DebugRegisters,
    /// "Monitor trap flag".
    MonitorTrap,
    /// "Interrupt-window exiting".
    InterruptWindow,
    /// "NMI-window exiting".
    NmiWindow,
}

/// The port whose bit in I/O bitmap A is set, and that in bitmap B; no device has them.
pub const LISTED_PORT_A: u16 = 0x5d52;
/// See [`LISTED_PORT_A`].
pub const LISTED_PORT_B: u16 = 0xad52;

/// A VM exit for whatever L2 does: at an instruction boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The basic exit reason.
    pub reason: u16,
    /// The interruption information, where the exit is one by an event.
    pub info: u64,
    /// Whether it comes only after the first instruction, or after the delivery of its fault. If
    /// not, it comes before that, or after the delivery of an injected event.
    pub after: bool,
}

/// A VM exit by the instruction itself, before it accesses its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intercepted {
    /// The basic exit reason.
    pub reason: u16,
    /// The exit qualification, where the manual gives it a meaning.
    pub qualification: Option<u64>,
}
