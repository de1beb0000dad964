//! Tests of known deviations.

use super::{Deviation, Deviations, Host};
use crate::catalogue::case::Case;
use crate::walk::outcome::{Delivery, Exit, Observed, Outcome, RFLAGS_RF};
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
        (Deviation::ApfEmulated, kvm(true, false, 5, 10), true),
        (Deviation::ApfEmulated, kvm(true, false, 6, 1), false),
        (Deviation::TripleKill, kvm(false, false, 5, 10), true),
        (Deviation::TripleKill, kvm(true, true, 5, 12), true),
        (Deviation::TripleKill, kvm(true, false, 5, 10), false),
        (Deviation::TripleKill, kvm(false, false, 5, 13), false),
        (Deviation::NmiBit12, kvm(false, false, 5, 10), false),
        (Deviation::NmiBit12, kvm(true, true, 5, 10), true),
        (Deviation::NmiBit12, shadowing, true),
        (Deviation::IretUnreported, kvm(false, false, 5, 10), true),
        (Deviation::IretUnreported, shadowing, false),
        (Deviation::DeliveryHang, kvm(false, false, 5, 10), true),
        (Deviation::DeliveryHang, kvm(true, false, 5, 10), false),
        (Deviation::DeliveryHang, shadowing, false),
        (Deviation::IdtLost, kvm(true, true, 5, 10), true),
        (Deviation::IdtLost, kvm(true, true, 6, 1), false),
        (Deviation::DoubleFirst, kvm(false, false, 5, 10), false),
        (Deviation::ApfStale, kvm(true, false, 5, 10), true),
        (Deviation::ApfStale, kvm(true, false, 6, 1), false),
        (Deviation::ApfLate, kvm(true, false, 6, 1), true),
        (Deviation::ApfLate, kvm(true, false, 5, 10), false),
        (Deviation::PgdUnsynced, kvm(false, false, 5, 10), true),
        (Deviation::PgdUnsynced, kvm(true, false, 5, 10), false),
        (Deviation::PgdUnsynced, shadowing, false),
        (Deviation::ApicPrefetch, shadowing, true),
        (Deviation::ApicPrefetch, Host::Bochs { major: 2, minor: 7 }, false),
        (Deviation::CpuidVmcs02, kvm(true, true, 6, 12), true),
        (Deviation::CpuidVmcs01, kvm(true, true, 5, 10), true),
        (Deviation::CpuidVmcs02, kvm(true, false, 6, 1), false),
        (Deviation::CpuidVmcs02, kvm(false, true, 6, 1), false),
        (Deviation::CpuidVmcs01, kvm(true, true, 7, 2), false),
        (Deviation::LegacyId, shadowing, true),
        (Deviation::LegacyId, kvm(true, true, 6, 1), false),
        (Deviation::LegacyId, kvm(false, false, 5, 10), false),
        (Deviation::Rf0, Host::Other, false),
        (Deviation::EptAdRead, Host::Bochs { major: 2, minor: 7 }, true),
        (Deviation::EptAdRead, Host::Bochs { major: 3, minor: 1 }, true),
        (Deviation::ShadowLost, Host::Bochs { major: 2, minor: 7 }, true),
        (Deviation::ShadowLost, Host::Bochs { major: 3, minor: 0 }, false),
        (Deviation::StepEarly, Host::Bochs { major: 2, minor: 7 }, true),
        (Deviation::StepEarly, Host::Bochs { major: 3, minor: 0 }, false),
        (Deviation::PkeyAccess, Host::Bochs { major: 3, minor: 0 }, true),
        (Deviation::PkeyAccess, Host::Bochs { major: 3, minor: 1 }, false),
        (Deviation::PkruAlone, Host::Bochs { major: 3, minor: 0 }, false),
        (Deviation::PkruAlone, Host::Bochs { major: 3, minor: 1 }, true),
        (Deviation::UcetLost, Host::Bochs { major: 3, minor: 0 }, true),
        (Deviation::UcetLost, Host::Bochs { major: 2, minor: 7 }, false),
        (Deviation::RfEmulated, kvm(true, false, 7, 2), true),
        (Deviation::RfEmulated, Host::Bochs { major: 3, minor: 0 }, false),
        (Deviation::IretUntold, kvm(true, false, 6, 1), false),
        (Deviation::IretUntold, kvm(true, true, 5, 10), true),
        (Deviation::IretUntold, kvm(false, false, 5, 10), false),
        (Deviation::IretUntold, shadowing, true),
        (Deviation::EptAdRead, kvm(true, false, 6, 1), false),
        (Deviation::EptFlagWrite, Host::Bochs { major: 2, minor: 7 }, true),
        (Deviation::EptFlagWrite, kvm(true, false, 6, 1), false),
        (Deviation::EptMisconfigQual, kvm(true, false, 6, 1), true),
        (Deviation::EptMisconfigQual, kvm(true, false, 5, 10), true),
        (Deviation::EptMisconfigQual, kvm(true, false, 6, 9), true),
        (Deviation::EptMisconfigQual, kvm(true, false, 6, 10), false),
        (Deviation::EptMisconfigQual, shadowing, false),
        (Deviation::NmiOpen, kvm(true, false, 7, 2), true),
        (Deviation::NmiOpen, Host::Bochs { major: 2, minor: 7 }, false),
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
    let all = Deviation::ALL.into_iter().fold(Deviations::NONE, Deviations::with);
    assert_eq!(Deviations::from_names(&all.to_string()), Some(all));
    assert_eq!(all.iter().count(), Deviation::ALL.len());
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
    let stale = |id: &str, with: Exit| {
        let (want, seen) = (got(Exit { rflags: RFLAGS_RF | 2, ..exit }), got(Exit { qualification: 77, ..with }));
        Deviation::ApfFlag.explains(&self::case(id), &want, &seen)
    };
    assert!(stale("action.restore-anywhere:super-write-rsvd-low-pde:1,8,8", exit));
    assert!(!stale("action.restore-anywhere:super-write-rsvd-low-pde:1,8,8", Exit { error_code: 1, ..exit }));
    assert!(!stale("action.restore-anywhere:super-write-rsvd-low-pde:1,8,8", Exit { rflags: 3, ..exit }));
    assert!(!stale("action.kicks:super-write-rsvd-low-pde:1,8,8", exit));
    let delivered = |id: &str, with: Delivery| {
        let of = |delivery| Observed::exactly(Outcome::Delivered(delivery));
        Deviation::ApfFlag.explains(&self::case(id), &of(DELIVERY), &of(with))
    };
    let stale = Delivery { cr2: !DELIVERY.cr2, ..DELIVERY };
    assert!(delivered("action.restore-anywhere:super-write-rsvd-low-pde:1,8,0", stale));
    assert!(!delivered("action.restore-anywhere:super-write-rsvd-low-pde:1,8,0", Delivery { rip: 0, ..stale }));
    assert!(!delivered("action.kicks:super-write-rsvd-low-pde:1,8,0", stale));
    let unblocked = got(Exit { info: 0x8000_1b0e, ..exit });
    let known = Deviations::NONE.with(Deviation::ApfFlag);
    assert_eq!(known.explaining(&case, &want, &unblocked), None);
    assert_eq!(known.with(Deviation::NmiBlocked).explaining(&case, &want, &unblocked), Some(Deviation::ApfFlag));
}

#[test]
fn cpuid_vmcs02_explains_what_the_old_mask_and_match_make_of_a_fault() {
    let explains = |id: &str, want: Outcome, got: Outcome| {
        Deviation::CpuidVmcs02.explains(&case(id), &Observed::exactly(want), &Observed::exactly(got))
    };
    let exit = |error_code| {
        Outcome::Exit(Exit {
            info: 0x8000_0b0e,
            error_code,
            qualification: 1,
            rip: 2,
            rflags: RFLAGS_RF,
            idt_vectoring: 0,
            cr2: 7,
        })
    };
    let delivered = |error_code| Outcome::Delivered(Delivery { error_code, rflags: RFLAGS_RF, ..DELIVERY });
    // RSVD alone is wanted: hardware makes 3 of it, which L0 does not get to see.
    let rsvd = "action.cpuid-narrow-restored:super-write-rsvd-ro-pte:1,8,8";
    assert!(explains(rsvd, exit(0xb), delivered(3)));
    assert!(!explains(rsvd, exit(0xb), delivered(0xb)));
    assert!(!explains(rsvd, exit(0xb), exit(3)));
    // All are wanted by MASK = MATCH = 0: hardware gives all to L0.
    assert!(!explains("action.cpuid-narrow-restored:super-write-rsvd-ro-pte:1,0,0", exit(0xb), delivered(3)));
    assert!(!explains("action.cpuid-narrow-write-mask:super-write-rsvd-ro-pte:1,8,8", exit(0xb), delivered(3)));
    assert!(!explains("action.cpuid-narrow-first:super-write-rsvd-ro-pte:1,8,8", exit(0xb), delivered(3)));
    // The other way round, EB.PF alone counts.
    assert!(explains("action.cpuid-widen-restored:super-read-np-pml4e:1,1,1", delivered(0), exit(0)));
    assert!(explains("action.cpuid-widen-restored:super-read-np-pml4e:0,1,1", exit(0), delivered(0)));
    assert!(!explains("action.cpuid-widen-restored:super-read-np-pml4e:0,1,1", exit(0), delivered(1)));
}

#[test]
fn cpuid_vmcs01_explains_own_faults_without_rsvd() {
    let delivered = |error_code| Observed::exactly(Outcome::Delivered(Delivery { error_code, ..DELIVERY }));
    let own = case("action.cpuid-narrow-write-mask:own-super-write-rsvd-ro-pte:1,0,0");
    assert!(Deviation::CpuidVmcs01.explains(&own, &delivered(0xb), &delivered(3)));
    assert!(!Deviation::CpuidVmcs01.explains(&own, &delivered(0xb), &delivered(1)));
    let first = case("action.cpuid-narrow-first:own-super-write-rsvd-ro-pte:1,0,0");
    assert!(!Deviation::CpuidVmcs01.explains(&first, &delivered(0xb), &delivered(3)));
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

#[test]
fn nmi_blocked_explains_bit_12_and_an_nmi_that_is_late() {
    let exit = Exit { info: 0x8000_0b0e, rflags: RFLAGS_RF | 2, ..EXIT };
    let got = |exit| Observed::exactly(Outcome::Exit(exit));
    let any = case("action.restore:super-read-np-pml4e:1,0,0");
    let explains = |with: Exit| Deviation::NmiBlocked.explains(&any, &got(exit), &got(with));
    assert!(explains(Exit { info: 0x8000_1b0e, rflags: 2, ..exit }));
    assert!(explains(Exit { info: 0x8000_1b0e, ..exit }));
    assert!(!explains(Exit { info: 0x8000_1b0e, error_code: 99, ..exit }));
    assert!(!explains(Exit { info: 0x8000_1b0e, rflags: 3, ..exit }));
    assert!(!explains(exit));
    let silent = Observed::exactly(Outcome::Silent);
    let late = Observed { executed: false, ..silent };
    assert!(Deviation::NmiBlocked.explains(&case("action.nmi:event:1,0,0"), &silent, &late));
    assert!(!Deviation::NmiBlocked.explains(&case("action.smi:event:1,0,0"), &silent, &late));
}

#[test]
fn an_exit_that_is_taken_for_an_asynchronous_fault_is_known_and_news_that_does_not_come_is_not() {
    let event = Case::from_id("action.async-faults:event:1,8,0").unwrap();
    let silent = Observed::exactly(Outcome::Silent);
    let taken = Observed { exits: 1, exit: Some(EXIT), ..silent };
    assert!(Deviation::ApfLate.explains(&event, &silent, &taken));
    assert!(!Deviation::ApfLate.explains(&event, &silent, &Observed { executed: false, ..taken }));
    assert!(!Deviation::ApfLate.explains(&event, &silent, &Observed { executed: false, ..silent }));
    let other = Case::from_id("action.exits:event:1,8,0").unwrap();
    assert!(!Deviation::ApfLate.explains(&other, &silent, &taken));
}

#[test]
fn a_pending_fault_that_is_taken_for_an_asynchronous_one_is_known_in_its_groups_alone() {
    let explains = |id: &str, want: &Observed, got: &Observed| {
        Deviation::ApfStale.explains(&Case::from_id(id).unwrap(), want, got)
    };
    let event = "action.interrupt-fault:event:1,8,8";
    let (delivery, token) = (Delivery { rflags: RFLAGS_RF, ..DELIVERY }, 0x1c000);
    let exit = |error_code| Exit {
        info: crate::walk::outcome::INTERRUPTION_INFO_PF,
        error_code,
        qualification: token,
        rip: delivery.rip,
        rflags: 0,
        idt_vectoring: 0,
        cr2: 7,
    };
    let want = Observed::exactly(Outcome::Delivered(delivery));
    let got = Observed::exactly(Outcome::Exit(exit(delivery.error_code)));
    assert!(explains(event, &want, &got));
    let wanted = Observed::exactly(Outcome::Exit(Exit { qualification: 1, rflags: RFLAGS_RF, ..exit(9) }));
    assert!(explains(event, &wanted, &got));
    assert!(!explains(event, &want, &Observed::exactly(Outcome::Exit(exit(8)))));
    assert!(!explains(event, &got, &want));
    assert!(!explains("action.injected-fault:event:1,8,8", &want, &got));
    assert!(!explains("action.interrupt-fault:super-read-user:1,8,8", &want, &got));
}
