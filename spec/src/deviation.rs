//! Known deviations: what a certain host does wrong, so that a run on it can go on to tell of the rest.
//!
//! A known deviation is counted and shown with its reason, never dropped. It is no failure on the
//! host that it belongs to, unless strictness is asked for; on any other it is one.

use core::fmt;

use crate::case::{Case, Probe};
use crate::group::Group;
use crate::host::Wish;
use crate::outcome::{Delivery, Exit, INTERRUPTION_INFO_PF, Observed, Outcome, RFLAGS_RF};
use crate::page::PAGES;
use crate::paging::Entry;
use crate::scene::end::{End, Ends};
use crate::scene::{Act, Scene};

mod event;

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
    /// Page tables that L1 changed between two VM entries are not read again.
    PgdUnsynced,
    /// L2's accesses to the local APIC's page go to memory.
    ApicPrefetch,
    /// Blocking by STI and by MOV SS is lost on a VM exit by an exception.
    ShadowLost,
    /// A VM entry leaves NMIs blocked.
    NmiKept,
    /// An NMI whose delivery exits does not block NMIs.
    NmiOpen,
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
}

impl Deviation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Rf0,
        Self::NxStale,
        Self::ApfFlag,
        Self::PgdUnsynced,
        Self::ApicPrefetch,
        Self::ShadowLost,
        Self::NmiKept,
        Self::NmiOpen,
        Self::IretReblocked,
        Self::NmiExiting,
        Self::NmiBit12,
        Self::Int1Db,
        Self::Int1Lost,
        Self::RsvdHang,
    ];

    /// The word on command lines and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rf0 => "rf0",
            Self::NxStale => "nx-stale",
            Self::ApfFlag => "apf-flag",
            Self::PgdUnsynced => "pgd-unsynced",
            Self::ApicPrefetch => "apic-prefetch",
            Self::ShadowLost => "shadow-lost",
            Self::NmiKept => "nmi-kept",
            Self::NmiOpen => "nmi-open",
            Self::IretReblocked => "iret-reblocked",
            Self::NmiExiting => "nmi-exiting",
            Self::NmiBit12 => "nmi-bit12",
            Self::Int1Db => "int1-db",
            Self::Int1Lost => "int1-lost",
            Self::RsvdHang => "rsvd-hang",
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
            Self::PgdUnsynced => {
                "KVM 5.10 with ept=0 does not sync L2's shadow pages at a VM entry without VPID; SDM 4.10.4.1 (Operations that Invalidate TLBs and Paging-Structure Caches) wants the new page tables"
            }
            Self::ApicPrefetch => {
                "KVM with ept=0 maps its private APIC-access page for L2 when it prefetches shadow PTEs; SDM 10.4.1 (The Local APIC Block Diagram) wants the registers"
            }
            Self::ShadowLost => {
                "Bochs saves no blocking by STI or MOV SS and no pending debug exception on a VM exit by an exception; SDM 27.3.4 (Saving Non-Register State) wants the state before"
            }
            Self::NmiKept => {
                "Bochs before 2.8 keeps virtual-NMI blocking over a VM entry that ends it, so that IRET seems to unblock it; SDM 26.7.1 (Interruptibility State) wants vmcs12's state"
            }
            Self::NmiOpen => {
                "KVM takes back NMI blocking where the delivery of an NMI faults, before it gives the exit to L1; SDM 27.1 (Architectural State Before a VM Exit) wants NMIs blocked"
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
        }
    }

    /// Whether the deviation belongs to a host.
    #[must_use]
    pub fn belongs_to(self, host: Host) -> bool {
        match (self, host) {
            (Self::Rf0 | Self::NmiKept, Host::Bochs { major, minor }) => (major, minor) < (2, 8),
            (Self::NxStale, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) >= (6, 1),
            (Self::ApfFlag, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                (!ept || smaller_maxphyaddr) && (major, minor) == (5, 10)
            }
            (Self::PgdUnsynced, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) == (5, 10),
            (Self::ApicPrefetch, Host::Kvm { ept, .. }) => !ept,
            (Self::ShadowLost, Host::Bochs { .. })
            | (Self::NmiOpen | Self::IretReblocked | Self::Int1Db | Self::Int1Lost, Host::Kvm { .. }) => true,
            (Self::NmiExiting, Host::Kvm { ept, smaller_maxphyaddr, .. }) => ept && !smaller_maxphyaddr,
            (Self::RsvdHang, Host::Kvm { ept, smaller_maxphyaddr, .. }) => ept && smaller_maxphyaddr,
            (Self::NmiBit12, Host::Kvm { ept, smaller_maxphyaddr, .. }) => !ept || smaller_maxphyaddr,
            _ => false,
        }
    }

    /// Whether the deviation shows in every run in which it can, so that its absence says that the host was mended.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::ApfFlag | Self::NmiKept | Self::RsvdHang)
    }

    /// Whether the deviation can show in a group.
    #[must_use]
    pub fn shows_in(self, group: Group) -> bool {
        match (self, group) {
            (Self::Rf0 | Self::ApfFlag, Group::Filter { .. } | Group::Scene { .. })
            | (Self::ApicPrefetch, Group::Host(Wish::Apic)) => true,
            (
                Self::ShadowLost | Self::NmiKept | Self::IretReblocked | Self::NmiExiting | Self::NmiBit12,
                Group::Scene { act, .. },
            ) => act == Act::State,
            (Self::NmiOpen | Self::Int1Db, Group::Scene { act, .. }) => act == Act::Event,
            (Self::Int1Lost, Group::Scene { act, .. }) => act == Act::Inject,
            (Self::PgdUnsynced, Group::Host(wish)) => wish != Wish::Dirty,
            (Self::NxStale, Group::Filter { setting, .. }) => !setting.mode.nxe,
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
                    Probe::Host(_) | Probe::Scene(_) => false,
                };
                self.shows_in(case.group) && xd(case.probe) && *got == Observed::exactly(Outcome::Silent)
            }
            Self::ApfFlag => {
                // All that is reported is right but that it is an exit; CR2 is L1's to compare.
                let as_exit = |delivery: Delivery, cr2, rflags| Exit {
                    info: INTERRUPTION_INFO_PF,
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
                        let expected = as_exit(delivery, exit.cr2, exit.rflags);
                        rf_aside && *got == Observed::exactly(Outcome::Exit(expected))
                    }
                    _ => false,
                }
            }
            // They show in scenes alone.
            Self::ShadowLost
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

    /// The member that makes the difference between how a scene must end and how it did, if one does. On a host with
    /// [`Deviation::Rf0`] the others may come together with it.
    #[must_use]
    pub fn explaining_scene(self, scene: &Scene, want: &Ends, got: &Ends) -> Option<Deviation> {
        let rf_clear =
            |ends: Ends| Ends { first: ends.first.with_rf_clear(), second: ends.second.map(End::with_rf_clear) };
        let rf0 = self.contains(Deviation::Rf0);
        if rf0 && rf_clear(*want).admits(got) {
            return Some(Deviation::Rf0);
        }
        self.iter().find(|deviation| {
            let ends = deviation.ends_in_event(scene, want, got);
            ends.is_some_and(|ends| ends.admits(got) || rf0 && rf_clear(ends).admits(got))
        })
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
mod tests {
    use super::{Deviation, Deviations, Host};
    use crate::case::Case;
    use crate::outcome::{Delivery, Exit, Observed, Outcome, RFLAGS_RF};
    use std::string::ToString;

    const EXIT: Exit = Exit { info: 1, error_code: 2, qualification: 3, rip: 4, rflags: !0, idt_vectoring: 6, cr2: 7 };
    const DELIVERY: Delivery = Delivery { error_code: 9, cr2: 1, rip: 2, cs: 3, rflags: 4 };

    #[test]
    fn deviations_belong_to_their_hosts_alone() {
        let kvm = |ept, smaller_maxphyaddr, major, minor| Host::Kvm { ept, smaller_maxphyaddr, major, minor };
        let shadowing = kvm(false, false, 6, 1);
        for (deviation, host, belongs) in [
            (Deviation::Rf0, Host::Bochs { major: 2, minor: 7 }, true),
            (Deviation::Rf0, Host::Bochs { major: 2, minor: 8 }, false),
            (Deviation::Rf0, Host::Bochs { major: 3, minor: 0 }, false),
            (Deviation::Rf0, shadowing, false),
            (Deviation::NxStale, shadowing, true),
            (Deviation::NxStale, kvm(true, false, 6, 1), false),
            (Deviation::NxStale, kvm(false, false, 5, 10), false),
            (Deviation::ApfFlag, kvm(false, false, 5, 10), true),
            (Deviation::ApfFlag, kvm(true, true, 5, 10), true),
            (Deviation::ApfFlag, kvm(true, false, 5, 10), false),
            (Deviation::ApfFlag, kvm(false, true, 6, 1), false),
            (Deviation::PgdUnsynced, kvm(false, false, 5, 10), true),
            (Deviation::PgdUnsynced, kvm(true, false, 5, 10), false),
            (Deviation::PgdUnsynced, shadowing, false),
            (Deviation::ApicPrefetch, shadowing, true),
            (Deviation::ApicPrefetch, Host::Bochs { major: 2, minor: 7 }, false),
            (Deviation::Rf0, Host::Other, false),
        ] {
            assert_eq!(deviation.belongs_to(host), belongs, "{deviation:?} {host:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        let bochs = Deviations::of(Host::Bochs { major: 2, minor: 7 });
        for set in [
            Deviations::NONE,
            bochs,
            bochs.union(Deviations::of(Host::Kvm { ept: false, smaller_maxphyaddr: true, major: 5, minor: 10 })),
        ] {
            assert_eq!(Deviations::from_names(&set.to_string()), Some(set));
        }
        assert_eq!(Deviations::from_names("rf1"), None);
        assert_eq!(Deviations::from_names("none,rf0"), None);
    }

    fn case(id: &str) -> Case {
        Case::from_id(id).unwrap()
    }

    #[test]
    fn rf0_explains_rf_and_nothing_else() {
        let any = case("filter.basic.long:user-read-np-pte:1,0,0");
        let want = Observed::exactly(Outcome::Exit(EXIT));
        let got = |exit| Observed::exactly(Outcome::Exit(exit));
        let rf_clear = Exit { rflags: !RFLAGS_RF, ..EXIT };
        let known = Deviations::NONE.with(Deviation::Rf0);
        assert_eq!(known.applied_to(EXIT), rf_clear);
        assert_eq!(Deviations::NONE.applied_to(EXIT), EXIT);
        assert_eq!(known.explaining(&any, &want, &got(rf_clear)), Some(Deviation::Rf0));
        assert_eq!(known.explaining(&any, &want, &got(Exit { cr2: 8, ..rf_clear })), None);
        assert_eq!(Deviations::NONE.explaining(&any, &want, &got(rf_clear)), None);
    }

    #[test]
    fn nx_stale_explains_a_silent_access_through_xd_without_nxe() {
        let want = Observed::exactly(Outcome::Delivered(DELIVERY));
        let silent = Observed::exactly(Outcome::Silent);
        let explains = |id: &str, got: &Observed| Deviation::NxStale.explains(&case(id), &want, got);
        assert!(explains("filter.basic.long-nx0:user-read-user-nx:1,0,0", &silent));
        assert!(!explains("filter.basic.long:user-read-user-nx:1,0,0", &silent));
        assert!(!explains("filter.basic.long-off:user-fetch-np-pte:1,0,0", &silent));
        assert!(!explains("filter.basic.long-nx0:user-read-user-nx:1,0,0", &want));
        assert!(!explains("filter.basic.long-nx0:user-read-user-nx:1,0,0", &Observed { executed: false, ..silent }));
    }

    #[test]
    fn apf_flag_explains_an_exit_in_place_of_a_delivery() {
        let case = case("filter.basic.long:user-read-np-pte:1,0,1");
        let delivery = Delivery { rflags: RFLAGS_RF | 2, ..DELIVERY };
        let want = Observed::exactly(Outcome::Delivered(delivery));
        let exit =
            Exit { info: 0x8000_0b0e, error_code: 9, qualification: 1, rip: 2, rflags: 2, idt_vectoring: 0, cr2: 77 };
        let got = |exit| Observed::exactly(Outcome::Exit(exit));
        let explains = |got: &Observed| Deviation::ApfFlag.explains(&case, &want, got);
        assert!(explains(&got(exit)));
        assert!(explains(&got(Exit { rflags: RFLAGS_RF | 2, ..exit })));
        assert!(!explains(&got(Exit { error_code: 1, ..exit })));
        assert!(!explains(&got(Exit { rflags: 3, ..exit })));
        assert!(!explains(&Observed { exits: 2, ..got(exit) }));
        assert!(!Deviation::ApfFlag.explains(&case, &got(exit), &want));
    }

    #[test]
    fn pgd_unsynced_explains_accesses_that_go_elsewhere() {
        let want = Observed::exactly(Outcome::Silent);
        let without_effect = Observed { executed: false, ..want };
        assert!(Deviation::PgdUnsynced.explains(&case("host.touch:user-write-first:1,0,0"), &want, &without_effect));
        assert!(!Deviation::PgdUnsynced.explains(&case("host.dirty:user-write-first:1,0,0"), &want, &without_effect));
    }

    #[test]
    fn apic_prefetch_explains_an_access_to_the_apic_without_effect() {
        let want = Observed::exactly(Outcome::Silent);
        let without_effect = Observed { executed: false, ..want };
        let explains = |id: &str, got: &Observed| Deviation::ApicPrefetch.explains(&case(id), &want, got);
        assert!(explains("host.apic:user-read-again:1,0,0", &without_effect));
        assert!(!explains("host.device:user-read-again:1,0,0", &without_effect));
        assert!(!explains("host.apic:user-read-again:1,0,0", &Observed::exactly(Outcome::Delivered(DELIVERY))));
    }
}
