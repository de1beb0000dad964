//! Known deviations: what a certain host does wrong, so that a run on it can go on to tell of the rest.
//!
//! A known deviation is counted and shown with its reason, never dropped. It is no failure on the
//! host that it belongs to, unless strictness is asked for; on any other it is one.

use core::fmt;

use crate::action::{Event, OWN_MODE, Then, uncorrected_pfec};
use crate::case::{Case, Probe};
use crate::channel::Ask;
use crate::filter::Filter;
use crate::group::Group;
use crate::host::Wish;
use crate::outcome::{Delivery, Exit, INTERRUPTION_INFO_PF, Observed, Outcome, RFLAGS_RF};
use crate::page::PAGES;
use crate::paging::Entry;
use crate::scene::Act;
use crate::setting::BASE;

mod ept;
mod event;
mod scenes;

/// What a host is made of, as far as known deviations depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Bochs emulator: it makes the faults, whoever judges them.
    Bochs {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// Linux/KVM.
    Kvm {
        /// The parameter `ept` of kvm_intel as it is in force; without EPT, L0 shadows L2's page tables.
        ept: bool,
        /// The parameter `allow_smaller_maxphyaddr` as it is in force; with it, L0 corrects error codes.
        smaller_maxphyaddr: bool,
        /// Major number of the kernel's release.
        major: u32,
        /// Minor number of the kernel's release.
        minor: u32,
    },
    /// Any other.
    Other,
}

/// A known deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// Guest RFLAGS.RF is 0 after a VM exit by #PF.
    Rf0,
    /// IA32_EFER.NXE of L2 was turned off, and XD is still no reserved bit.
    NxStale,
    /// Faults that L0 makes for L2 go to L1 against its filter, now and then.
    ApfFlag,
    /// A page fault that the VMM makes pending is taken for the last asynchronous one.
    ApfStale,
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
}

impl Deviation {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Rf0,
        Self::NxStale,
        Self::ApfFlag,
        Self::ApfStale,
        Self::PgdUnsynced,
        Self::ApicPrefetch,
        Self::CpuidVmcs02,
        Self::CpuidVmcs01,
        Self::LegacyId,
        Self::RepFlags,
        Self::InsBatch,
        Self::CrossWrite,
        Self::PkeyAccess,
        Self::NmiBlocked,
        Self::EptAdRead,
        Self::EptFlagWrite,
        Self::EptMisconfigQual,
        Self::NmiOpen,
        Self::ShadowLost,
        Self::NmiKept,
        Self::IretReblocked,
        Self::NmiExiting,
        Self::NmiBit12,
        Self::Int1Db,
        Self::Int1Lost,
        Self::RsvdHang,
        Self::RsvdUd,
    ];

    /// The word on command lines and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rf0 => "rf0",
            Self::NxStale => "nx-stale",
            Self::ApfFlag => "apf-flag",
            Self::ApfStale => "apf-stale",
            Self::PgdUnsynced => "pgd-unsynced",
            Self::ApicPrefetch => "apic-prefetch",
            Self::CpuidVmcs02 => "cpuid-vmcs02",
            Self::CpuidVmcs01 => "cpuid-vmcs01",
            Self::LegacyId => "legacy-id",
            Self::RepFlags => "rep-flags",
            Self::InsBatch => "ins-batch",
            Self::CrossWrite => "cross-write",
            Self::PkeyAccess => "pkey-access",
            Self::NmiBlocked => "nmi-blocked",
            Self::EptAdRead => "ept-ad-read",
            Self::EptFlagWrite => "ept-flag-write",
            Self::EptMisconfigQual => "ept-misconfig-qual",
            Self::NmiOpen => "nmi-open",
            Self::ShadowLost => "shadow-lost",
            Self::NmiKept => "nmi-kept",
            Self::IretReblocked => "iret-reblocked",
            Self::NmiExiting => "nmi-exiting",
            Self::NmiBit12 => "nmi-bit12",
            Self::Int1Db => "int1-db",
            Self::Int1Lost => "int1-lost",
            Self::RsvdHang => "rsvd-hang",
            Self::RsvdUd => "rsvd-ud",
        }
    }

    /// The deviation of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deviation| deviation.name() == name)
    }

    /// What is wrong, where, and what the manual wants, in one sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Rf0 => {
                "Bochs before 2.8 saves RFLAGS.RF = 0 on a VM exit by #PF; SDM 27.3.3 (Saving RIP, RSP, RFLAGS, and SSP) wants 1"
            }
            Self::NxStale => {
                "KVM with ept=0 keeps shadow pages when L2's IA32_EFER.NXE goes to 0, so XD is not reserved in them; SDM 4.7 (Page-Fault Exceptions) wants RSVD"
            }
            Self::ApfFlag => {
                "KVM 5.10 leaves the async_page_fault flag of faults that it makes for L2 uninitialized, and gives flagged ones to L1 unfiltered; SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::ApfStale => {
                "KVM 5.10 keeps the mark of an asynchronous page fault (nested_apf), and gives the next fault that KVM_SET_VCPU_EVENTS makes pending to L1 unfiltered, with the old token; SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::PgdUnsynced => {
                "KVM 5.10 with ept=0 does not sync L2's shadow pages at a VM entry without VPID; SDM 4.10.4.1 (Operations that Invalidate TLBs and Paging-Structure Caches) wants the new page tables"
            }
            Self::ApicPrefetch => {
                "KVM with ept=0 maps its private APIC-access page for L2 when it prefetches shadow PTEs; SDM 10.4.1 (The Local APIC Block Diagram) wants the registers"
            }
            Self::CpuidVmcs02 => {
                "KVM before b47b93c15b12 takes KVM_SET_CPUID2 while L2 is active and leaves MASK and MATCH of vmcs02 as they were (docs/seed-bug.md); SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::CpuidVmcs01 => {
                "KVM before b47b93c15b12 takes KVM_SET_CPUID2 while L2 is active and leaves the exception bitmap of vmcs01 as it was (docs/seed-bug.md); SDM 4.7 (Page-Fault Exceptions) wants RSVD in L1's own faults"
            }
            Self::LegacyId => {
                "KVM with ept=0 sets I/D for L2's fetches when IA32_EFER.NXE is 1 though CR4.PAE is 0; SDM 4.7 (Page-Fault Exceptions) wants both, or CR4.SMEP"
            }
            Self::RepFlags => {
                "Bochs leaves the flags of the last comparison where a fault suspends REPE CMPS or REPNE SCAS; SDM vol. 2B (REP/REPE/REPZ/REPNE/REPNZ) wants those before the instruction"
            }
            Self::PkeyAccess => {
                "Bochs applies PKRU to supervisor-mode addresses, too, and access-disable to user-mode accesses alone; SDM 4.6.2 (Protection Keys) wants it applied to all data accesses to user-mode addresses"
            }
            Self::CrossWrite => {
                "KVM's emulator writes the first page's part of a write across two pages before the second page faults (emulator_read_write); SDM vol. 3A 6.5 (Exception Classifications) wants the state before the faulting instruction"
            }
            Self::InsBatch => {
                "KVM takes the bytes to the end of the page for the number of elements of a repeated INS (pio_in_emulated), so that a fault behind the end leaves RCX and RDI as before the batch; SDM vol. 2B (REP/REPE/REPZ/REPNE/REPNZ) wants those of the next element"
            }
            Self::NmiBlocked => {
                "Bochs before 2.8 keeps blocking of virtual NMIs at a VM entry that loads none, so KVM delays an NMI or reports unblocking by IRET; SDM 26.7.1 (Interruptibility State) wants the VMCS' state"
            }
            Self::EptAdRead => {
                "Bochs with EPT's accessed and dirty flags reports a walk's access as a write alone; SDM 27.2.1 (Basic VM-Exit Information, table 27-7) wants bits 0 and 1 set"
            }
            Self::EptFlagWrite => {
                "Bochs without EPT's accessed and dirty flags writes accessed flags of L2's page tables where EPT allows no writes; SDM 28.2.3.2 (EPT Violations) wants an EPT violation"
            }
            Self::EptMisconfigQual => {
                "KVM before 6.12 gives L1 an EPT misconfiguration with the qualification of its own EPT violation; SDM 27.2.1 (Basic VM-Exit Information) wants it cleared"
            }
            Self::NmiOpen => {
                "KVM takes back NMI blocking where the delivery of an NMI faults, before it gives the exit to L1; SDM 27.1 (Architectural State Before a VM Exit) wants NMIs blocked"
            }
            Self::ShadowLost => {
                "Bochs saves no blocking by STI or MOV SS and no pending debug exception on a VM exit by an exception; SDM 27.3.4 (Saving Non-Register State) wants the state before"
            }
            Self::NmiKept => {
                "Bochs before 2.8 keeps virtual-NMI blocking over a VM entry that ends it, so that IRET seems to unblock it; SDM 26.7.1 (Interruptibility State) wants vmcs12's state"
            }
            Self::IretReblocked => {
                "KVM blocks NMIs again where an IRET faults, before it gives the fault to L1 or L2; SDM 25.3 (Changes to Instruction Behavior in VMX Non-Root Operation) wants them unblocked"
            }
            Self::NmiExiting => {
                "KVM runs L2 with virtual NMIs of its own, so IRET unblocks NMIs although NMI exiting is 1; SDM 25.3 (Changes to Instruction Behavior in VMX Non-Root Operation) wants none unblocked"
            }
            Self::NmiBit12 => {
                "KVM sets bit 12 of the interruption information of a fault that it makes for L2 whenever NMIs are blocked; SDM 27.2.2 (Information for VM Exits Due to Vectored Events) wants it for IRET alone"
            }
            Self::Int1Db => {
                "KVM intercepts #DB and gives INT1 to L2 as a hardware exception behind it; SDM 27.2.4 (Information for VM Exits During Event Delivery) wants a privileged software exception with its length"
            }
            Self::Int1Lost => {
                "KVM forgets a privileged software exception whose delivery exits (__vmx_complete_interrupts); SDM 27.2.4 (Information for VM Exits During Event Delivery) wants it reported"
            }
            Self::RsvdHang => {
                "KVM with a guest MAXPHYADDR below the host's emulates the instruction where an event's delivery meets a reserved address bit (handle_ept_violation), and L2 hangs; SDM 4.7 (Page-Fault Exceptions) wants RSVD"
            }
            Self::RsvdUd => {
                "KVM with a guest MAXPHYADDR below the host's emulates an access to an address beyond it, and gives L2 #UD where its emulator lacks the instruction (handle_ept_violation); SDM 4.7 (Page-Fault Exceptions) wants #PF with RSVD"
            }
        }
    }

    /// Whether the deviation belongs to a host.
    #[must_use]
    pub fn belongs_to(self, host: Host) -> bool {
        match (self, host) {
            (Self::Rf0 | Self::NmiBlocked | Self::NmiKept, Host::Bochs { major, minor }) => (major, minor) < (2, 8),
            (Self::NxStale | Self::LegacyId, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) >= (6, 1),
            (Self::ApfFlag, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                (!ept || smaller_maxphyaddr) && (major, minor) == (5, 10)
            }
            (Self::ApfStale, Host::Kvm { major, minor, .. }) => (major, minor) == (5, 10),
            (Self::PgdUnsynced, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) == (5, 10),
            (Self::ApicPrefetch, Host::Kvm { ept, .. }) => !ept,
            // Without EPT L0 takes all faults whatever the guest's MAXPHYADDR is.
            (Self::CpuidVmcs02 | Self::CpuidVmcs01, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                ept && smaller_maxphyaddr && (major, minor) < (7, 0)
            }
            (Self::EptMisconfigQual, Host::Kvm { ept, major, minor, .. }) => ept && (major, minor) < (6, 12),
            (
                Self::RepFlags | Self::PkeyAccess | Self::ShadowLost | Self::EptAdRead | Self::EptFlagWrite,
                Host::Bochs { .. },
            )
            | (
                Self::InsBatch | Self::CrossWrite | Self::NmiOpen | Self::IretReblocked | Self::Int1Db | Self::Int1Lost,
                Host::Kvm { .. },
            ) => true,
            (Self::NmiExiting, Host::Kvm { ept, smaller_maxphyaddr, .. }) => ept && !smaller_maxphyaddr,
            (Self::RsvdHang | Self::RsvdUd, Host::Kvm { ept, smaller_maxphyaddr, .. }) => ept && smaller_maxphyaddr,
            (Self::NmiBit12, Host::Kvm { ept, smaller_maxphyaddr, .. }) => !ept || smaller_maxphyaddr,
            _ => false,
        }
    }

    /// Whether the deviation shows in every run in which it can, so that its absence says that the host was mended.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(
            self,
            Self::ApfFlag
                | Self::ApfStale
                | Self::PkeyAccess
                | Self::NmiBlocked
                | Self::NmiKept
                | Self::NmiBit12
                | Self::RsvdHang
        )
    }

    /// Whether the deviation can show in a group.
    #[must_use]
    pub fn shows_in(self, group: Group) -> bool {
        match (self, group) {
            (Self::Rf0 | Self::ApfFlag, Group::Filter { .. } | Group::Scene { .. } | Group::Smp(_))
            | (Self::ApicPrefetch, Group::Host(Wish::Apic))
            | (Self::EptMisconfigQual, Group::Scene { act: Act::Ept | Act::Unpaged, .. })
            | (Self::NmiOpen, Group::Scene { act: Act::Ept | Act::Event, .. })
            | (Self::PgdUnsynced, Group::Scene { .. })
            | (Self::NmiBlocked, _) => true,
            (Self::RepFlags, Group::Scene { act, .. }) => act == Act::Strings,
            (Self::InsBatch, Group::Scene { act, .. }) => act == Act::Ports,
            (Self::CrossWrite, Group::Scene { act, .. }) => act == Act::Forced,
            (Self::PkeyAccess, Group::Scene { act, .. }) => act == Act::Pkey,
            (Self::RsvdUd, Group::Scene { act, .. }) => act == Act::Implicit,
            (
                Self::ShadowLost | Self::NmiKept | Self::IretReblocked | Self::NmiExiting | Self::NmiBit12,
                Group::Scene { act, .. },
            ) => act == Act::State,
            (Self::Int1Db, Group::Scene { act, .. }) => act == Act::Event,
            (Self::Int1Lost, Group::Scene { act, .. }) => act == Act::Inject,
            (Self::PgdUnsynced, Group::Host(wish)) => wish != Wish::Dirty,
            (Self::NxStale, Group::Filter { setting, .. }) => !setting.mode.nxe,
            (Self::ApfStale, Group::Action(action)) => action.has_pending_fault(),
            // On the running vCPU later versions than 5.10 refuse the change.
            (Self::CpuidVmcs02, Group::Action(action)) => {
                matches!(action.ask, Ask::MoveThenNarrow | Ask::MoveThenWiden) && action.then != Then::WriteMask
            }
            (Self::CpuidVmcs01, Group::Action(action)) => action.ask == Ask::MoveThenNarrow,
            (Self::LegacyId, Group::Scene { environment, .. }) => {
                !environment.format.has_xd() && environment.mode.nxe && !environment.mode.smep
            }
            (Self::EptAdRead, Group::Scene { act: Act::Ept, environment }) => environment.ept.is_some_and(|ept| ept.ad),
            (Self::EptFlagWrite, Group::Scene { act: Act::Ept, environment }) => {
                environment.ept.is_some_and(|ept| !ept.ad)
            }
            _ => false,
        }
    }

    /// Whether the deviation, and nothing else, makes the difference between what must be and what was.
    #[must_use]
    pub fn explains(self, case: &Case, want: &Observed, got: &Observed) -> bool {
        match self {
            Self::Rf0 => {
                let rf_clear = |exit: Exit| Exit { rflags: exit.rflags & !RFLAGS_RF, ..exit };
                want.exit.is_some() && *got == Observed { exit: want.exit.map(rf_clear), ..*want }
            }
            Self::NxStale => {
                let xd = |probe| match probe {
                    Probe::Stimulus(stimulus) => PAGES[stimulus.page].entry(36) & Entry::XD.bits() != 0,
                    Probe::Host(_) | Probe::Own(_) | Probe::Event | Probe::Scene(_) | Probe::Smp(_) => false,
                };
                self.shows_in(case.group) && xd(case.probe) && *got == Observed::exactly(Outcome::Silent)
            }
            Self::NmiBlocked => match (want.exit, case.group, case.probe) {
                (Some(exit), ..) => {
                    let rf = got.exit.map_or(exit.rflags, |got| got.rflags | RFLAGS_RF);
                    let unblocked = Exit { info: exit.info | UNBLOCKED_BY_IRET, rflags: rf, ..exit };
                    let got_rf = got.exit.map(|got| Exit { rflags: got.rflags | RFLAGS_RF, ..got });
                    Observed { exit: got_rf, ..*got } == Observed { exit: Some(unblocked), ..*want }
                        && exit.rflags == rf
                }
                (None, Group::Action(action), Probe::Event) => {
                    let late = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
                    action.event == Some(Event::Nmi) && *got == late
                }
                _ => false,
            },
            Self::CpuidVmcs02 => match (case.group, case.probe) {
                (Group::Action(action), Probe::Stimulus(stimulus)) if action.then != Then::WriteMask => {
                    match action.ask {
                        // MASK and MATCH stay vmcs12's, EB.PF is 1: hardware gives to L2 what they do not take.
                        Ask::Narrow | Ask::MoveThenNarrow => {
                            let Filter { mask, matching, .. } = case.filter;
                            uncorrected_pfec(&stimulus, BASE.mode).is_some_and(|pfec| {
                                !Filter::new(true, mask, matching).exits(pfec)
                                    && is_taken(want, got, Taken::Delivered, pfec.bits().into())
                            })
                        }
                        // MASK and MATCH stay 0, EB.PF is vmcs12's.
                        Ask::Widen | Ask::MoveThenWiden => {
                            let taken = if case.filter.eb_pf { Taken::Exited } else { Taken::Delivered };
                            error_code(want).is_some_and(|code| is_taken(want, got, taken, code))
                        }
                        _ => false,
                    }
                }
                _ => false,
            },
            Self::CpuidVmcs01 => match (case.group, case.probe) {
                (Group::Action(action), Probe::Own(stimulus)) => {
                    matches!(action.ask, Ask::Narrow | Ask::MoveThenNarrow)
                        && uncorrected_pfec(&stimulus, OWN_MODE)
                            .is_some_and(|pfec| is_taken(want, got, Taken::Delivered, pfec.bits().into()))
                }
                _ => false,
            },
            Self::ApfFlag => {
                // All that is reported is right but that it is an exit; CR2 is L1's to compare.
                // What Bochs says of unblocking by IRET may stand beside it.
                let as_exit = |delivery: Delivery, unblocked, cr2, rflags| Exit {
                    info: INTERRUPTION_INFO_PF | unblocked,
                    error_code: delivery.error_code,
                    qualification: delivery.cr2,
                    rip: delivery.rip,
                    rflags,
                    idt_vectoring: 0,
                    cr2,
                };
                match (want.delivery, got.exit) {
                    (Some(delivery), Some(exit)) => {
                        let rf_aside = exit.rflags | RFLAGS_RF == delivery.rflags;
                        let expected = as_exit(delivery, exit.info & UNBLOCKED_BY_IRET, exit.cr2, exit.rflags);
                        rf_aside && *got == Observed::exactly(Outcome::Exit(expected))
                    }
                    _ => false,
                }
            }
            Self::ApfStale => case.probe == Probe::Event && self.shows_in(case.group) && is_stale(want, got),
            // They show in scenes alone.
            Self::LegacyId
            | Self::RepFlags
            | Self::InsBatch
            | Self::CrossWrite
            | Self::PkeyAccess
            | Self::RsvdUd
            | Self::EptAdRead
            | Self::EptFlagWrite
            | Self::EptMisconfigQual
            | Self::ShadowLost
            | Self::NmiKept
            | Self::NmiOpen
            | Self::IretReblocked
            | Self::NmiExiting
            | Self::NmiBit12
            | Self::Int1Db
            | Self::Int1Lost
            | Self::RsvdHang => false,
            Self::PgdUnsynced | Self::ApicPrefetch => {
                let without_effect = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
                self.shows_in(case.group) && *got == without_effect
            }
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Bit 12 of the interruption information: NMI unblocking due to IRET. SDM section 27.2.2.
const UNBLOCKED_BY_IRET: u64 = 1 << 12;

/// Which way a fault went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Exited,
    Delivered,
}

/// The error code of the fault that must be.
fn error_code(want: &Observed) -> Option<u64> {
    want.exit.map(|exit| exit.error_code).or(want.delivery.map(|delivery| delivery.error_code))
}

/// Whether the fault that must be exited with the token of an asynchronous one in place of its address.
fn is_stale(want: &Observed, got: &Observed) -> bool {
    let address = want.exit.map(|exit| exit.qualification).or(want.delivery.map(|delivery| delivery.cr2));
    let addressed = |qualification| got.exit.map(|exit| Exit { qualification, ..exit });
    let got = address.map(|address| Observed { exit: addressed(address), ..*got });
    error_code(want).zip(got).is_some_and(|(code, got)| is_taken(want, &got, Taken::Exited, code))
}

/// Whether the fault that must be went this way instead, with this error code and all else right. CR2 of an exit
/// and CS of a delivery are not known where the other was to be.
fn is_taken(want: &Observed, got: &Observed, taken: Taken, error_code: u64) -> bool {
    let Some((address, rip, rflags)) = want
        .exit
        .map(|exit| (exit.qualification, exit.rip, exit.rflags))
        .or(want.delivery.map(|delivery| (delivery.cr2, delivery.rip, delivery.rflags)))
    else {
        return false;
    };
    match (taken, got.exit, got.delivery) {
        (Taken::Exited, Some(exit), None) => {
            let info = INTERRUPTION_INFO_PF;
            let rf_aside = exit.rflags | RFLAGS_RF == rflags;
            let exit = Exit { info, error_code, qualification: address, rip, idt_vectoring: 0, ..exit };
            rf_aside && *got == Observed::exactly(Outcome::Exit(exit))
        }
        (Taken::Delivered, None, Some(delivery)) => {
            let cs = want.delivery.map_or(delivery.cs, |delivery| delivery.cs);
            let delivery = Delivery { error_code, cr2: address, rip, cs, rflags };
            *got == Observed::exactly(Outcome::Delivered(delivery))
        }
        _ => false,
    }
}

/// A set of known deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Deviations {
    bits: u32,
}

impl Deviations {
    /// No deviation.
    pub const NONE: Self = Self { bits: 0 };

    /// Those that belong to a host.
    #[must_use]
    pub fn of(host: Host) -> Self {
        Deviation::ALL.into_iter().filter(|deviation| deviation.belongs_to(host)).fold(Self::NONE, Self::with)
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, deviation: Deviation) -> Self {
        Self { bits: self.bits | deviation.bit() }
    }

    /// Those of either set: what a host in an emulator has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Whether a deviation is in the set.
    #[must_use]
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.bits & deviation.bit() != 0
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL.into_iter().filter(move |&deviation| self.contains(deviation))
    }

    /// The set of names joined by commas, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn from_names(names: &str) -> Option<Self> {
        if names == NO_NAMES {
            return Some(Self::NONE);
        }
        names.split(',').try_fold(Self::NONE, |set, name| Some(set.with(Deviation::from_name(name)?)))
    }

    /// What a host with these deviations shows in place of the right exit.
    #[must_use]
    pub fn applied_to(self, exit: Exit) -> Exit {
        if self.contains(Deviation::Rf0) { Exit { rflags: exit.rflags & !RFLAGS_RF, ..exit } } else { exit }
    }

    /// The member that makes the difference between what must be and what was, if one does.
    #[must_use]
    pub fn explaining(self, case: &Case, want: &Observed, got: &Observed) -> Option<Deviation> {
        self.iter().find(|deviation| deviation.explains(case, want, got))
    }
}

/// How an empty set is written.
const NO_NAMES: &str = "none";

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for deviation in self.iter() {
            write!(f, "{joint}{}", deviation.name())?;
            joint = ",";
        }
        if joint.is_empty() { f.write_str(NO_NAMES) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
