//! Known deviations: what a certain host does wrong, so that a run on it can go on to tell of the rest.
//!
//! A known deviation is counted and shown with its reason, never dropped. It is no failure on the
//! host that it belongs to, unless strictness is asked for; on any other it is one.
//!
//! | to find | look in |
//! |---|---|
//! | which host has which | `host` |
//! | the reasons in words | `reason` |
//! | what they explain of a walk's accesses | `walks` |
//! | what they explain of scenes | `scenes`, `event`, `ept` |
//! | the scenes that a host with one cannot play | `unplayable` |
//! | where they can show | `shows` |
//! | where they must show | `certain` |

mod certain;
mod ept;
mod event;
mod host;
mod reason;
mod scenes;
mod set;
mod shows;
mod unplayable;
mod walks;

pub use host::Host;
pub use set::Deviations;

/// A known deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// Guest RFLAGS.RF is 0 after a VM exit by #PF.
    Rf0,
    /// The same of a fault that L0 makes for an instruction that it emulates.
    RfEmulated,
    /// IA32_EFER.NXE of L2 was turned off, and XD is still no reserved bit.
    NxStale,
    /// Faults that L0 makes for L2 go to L1 against its filter, now and then.
    ApfFlag,
    /// The same of faults that L0's emulator makes for L2.
    ApfEmulated,
    /// A page fault that the VMM makes pending is taken for the last asynchronous one.
    ApfStale,
    /// The exit by an asynchronous page fault comes late, and one by a fault of L2's is taken for it.
    ApfLate,
    /// Page tables that L1 changed between two VM entries are not read again.
    PgdUnsynced,
    /// L2's accesses to the local APIC's page go to memory.
    ApicPrefetch,
    /// L2 runs on MASK and MATCH from before a change of the guest's CPUID.
    CpuidVmcs02,
    /// L1 runs on the exception bitmap from before a change of the guest's CPUID that came while L2 was active.
    CpuidVmcs01,
    /// Fetches through 32-bit paging have I/D set by IA32_EFER.NXE alone.
    LegacyId,
    /// A repeated CMPS or SCAS that a fault suspends leaves the flags of its last comparison.
    RepFlags,
    /// A repeated INS counts the bytes to the end of the page as elements, so that a batch of it crosses the end.
    InsBatch,
    /// An emulated write across two pages writes to the first before the second faults.
    CrossWrite,
    /// PKRU is applied to accesses to any page, and of it to supervisor-mode ones write-disable alone.
    PkeyAccess,
    /// PKRU is applied to accesses to any page, IA32_PKRS to none.
    PkruAlone,
    /// IA32_U_CET is 0 behind an exit of L0's, so that L2 has no shadow stack.
    UcetLost,
    /// NMIs are blocked in a guest though nothing blocks them there.
    NmiBlocked,
    /// The exit qualification of a walk's access to read-only memory names a write alone.
    EptAdRead,
    /// Accessed flags of L2's page tables are written without EPT's being asked.
    EptFlagWrite,
    /// The exit qualification of an EPT misconfiguration is not cleared.
    EptMisconfigQual,
    /// An NMI whose delivery exits does not block NMIs.
    NmiOpen,
    /// Blocking by STI and by MOV SS is lost on a VM exit by an exception.
    ShadowLost,
    /// A single step comes before the instruction, where that met an EPT violation of L0's.
    StepEarly,
    /// A VM entry leaves NMIs blocked.
    NmiKept,
    /// A fault of IRET leaves NMIs blocked.
    IretReblocked,
    /// IRET unblocks NMIs without virtual NMIs.
    NmiExiting,
    /// Every fault with NMIs blocked is reported as one of IRET.
    NmiBit12,
    /// INT1 is delivered as a hardware exception.
    Int1Db,
    /// An injected INT1 whose delivery exits is lost.
    Int1Lost,
    /// A reserved address bit that an event's delivery meets hangs L2.
    RsvdHang,
    /// L2 gets #UD where a descriptor table's page has a reserved bit.
    RsvdUd,
    /// A triple fault of L2 that L0 makes ends the VM.
    TripleKill,
    /// A fault that L0 makes in the delivery of an interrupt or NMI hangs L2.
    DeliveryHang,
    /// A fault that L0 makes in the delivery of an exception is reported without that.
    IdtLost,
    /// A fault of IRET is not reported as one, and leaves NMIs blocked.
    IretUnreported,
    /// The same, by what the exit before was.
    IretUntold,
    /// A page fault in the delivery of another is a double fault whatever L1's filter.
    DoubleFirst,
    /// INVLPG of an L2 in PAE or 32-bit paging kills L0's kernel.
    PaeInvlpg,
}

impl Deviation {
    /// All of them. Of several that explain the same, the first is told.
    pub const ALL: [Self; 40] = [
        Self::Rf0,
        Self::RfEmulated,
        Self::NxStale,
        Self::ApfFlag,
        Self::ApfEmulated,
        Self::ApfStale,
        Self::ApfLate,
        Self::PgdUnsynced,
        Self::ApicPrefetch,
        Self::CpuidVmcs02,
        Self::CpuidVmcs01,
        Self::LegacyId,
        Self::RepFlags,
        Self::InsBatch,
        Self::CrossWrite,
        Self::PkeyAccess,
        Self::PkruAlone,
        Self::UcetLost,
        Self::EptAdRead,
        Self::EptFlagWrite,
        Self::EptMisconfigQual,
        Self::NmiOpen,
        Self::ShadowLost,
        Self::StepEarly,
        Self::NmiKept,
        Self::IretReblocked,
        Self::NmiExiting,
        Self::NmiBit12,
        Self::Int1Db,
        Self::Int1Lost,
        Self::RsvdHang,
        Self::RsvdUd,
        Self::TripleKill,
        Self::DeliveryHang,
        Self::IdtLost,
        Self::DoubleFirst,
        Self::IretUnreported,
        Self::IretUntold,
        Self::PaeInvlpg,
        Self::NmiBlocked,
    ];

    /// The word on command lines and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rf0 => "rf0",
            Self::RfEmulated => "rf-emulated",
            Self::NxStale => "nx-stale",
            Self::ApfFlag => "apf-flag",
            Self::ApfEmulated => "apf-emulated",
            Self::ApfStale => "apf-stale",
            Self::ApfLate => "apf-late",
            Self::PgdUnsynced => "pgd-unsynced",
            Self::ApicPrefetch => "apic-prefetch",
            Self::CpuidVmcs02 => "cpuid-vmcs02",
            Self::CpuidVmcs01 => "cpuid-vmcs01",
            Self::LegacyId => "legacy-id",
            Self::RepFlags => "rep-flags",
            Self::InsBatch => "ins-batch",
            Self::CrossWrite => "cross-write",
            Self::PkeyAccess => "pkey-access",
            Self::PkruAlone => "pkru-alone",
            Self::UcetLost => "ucet-lost",
            Self::NmiBlocked => "nmi-blocked",
            Self::EptAdRead => "ept-ad-read",
            Self::EptFlagWrite => "ept-flag-write",
            Self::EptMisconfigQual => "ept-misconfig-qual",
            Self::NmiOpen => "nmi-open",
            Self::ShadowLost => "shadow-lost",
            Self::StepEarly => "step-early",
            Self::NmiKept => "nmi-kept",
            Self::IretReblocked => "iret-reblocked",
            Self::NmiExiting => "nmi-exiting",
            Self::NmiBit12 => "nmi-bit12",
            Self::Int1Db => "int1-db",
            Self::Int1Lost => "int1-lost",
            Self::RsvdHang => "rsvd-hang",
            Self::RsvdUd => "rsvd-ud",
            Self::TripleKill => "triple-kill",
            Self::DeliveryHang => "delivery-hang",
            Self::IdtLost => "idt-lost",
            Self::DoubleFirst => "double-first",
            Self::IretUnreported => "iret-unreported",
            Self::IretUntold => "iret-untold",
            Self::PaeInvlpg => "pae-invlpg",
        }
    }

    /// The deviation of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deviation| deviation.name() == name)
    }
}

#[cfg(test)]
mod tests;
