//! What the rows leave out: what such a host cannot survive, and nothing else.

use std::collections::BTreeSet;
use std::iter;

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::{MAX_COMMAND_LINE, Options};
use spec::catalogue::plan::Profile;
use spec::scene::end::{EXIT_TRIPLE_FAULT, How};
use spec::scene::event::EventType;

use super::super::{Asks, Tables};
use super::{MAXPHYADDR, subject};

/// What else stands on a command line: a long profile, filters and a host's name.
const ROOM_FOR_OTHERS: usize = 768;

fn options(tables: &Tables, host: &str) -> Vec<String> {
    Asks::options(&tables.asks(), &subject(host))
}

#[test]
fn what_would_hang_or_kill_the_guest_is_left_out_and_the_rest_is_played() {
    let tables = Tables::built_in();
    let (shadowing, smaller) =
        ("kvm 5.10 ept=0 allow_smaller_maxphyaddr=0", "kvm 5.10 ept=1 allow_smaller_maxphyaddr=1");
    let (plain, newer) =
        ("kvm 5.10 ept=1 allow_smaller_maxphyaddr=0", "kvm 6.1 ept=1 allow_smaller_maxphyaddr=1");
    for (id, left_out, played) in [
        ("event.long:int-idt-rsvd:1,0,0", &[smaller, newer][..], &[shadowing, plain][..]),
        (
            "tlb.pae:pdpte-np-not-loaded:1,0,0",
            &[shadowing, "kvm 7.2 ept=0"],
            &[smaller, plain, newer],
        ),
        ("tlb.pae-ept:invlpg-np:1,0,0", &[shadowing], &[smaller, plain]),
        ("tlb.pae:pdpte-np:1,0,0", &[], &[shadowing, smaller]),
        ("tlb.long:invlpg-np:1,0,0", &[], &[shadowing, smaller]),
        ("forced.long:mov-ds:1,0,ffffffff", &[shadowing, smaller], &[plain, newer]),
        ("forced.long:mov-ds:1,0,0", &[], &[shadowing, smaller]),
        ("implicit.long:user-lsl-gdt:1,1,1", &[shadowing, smaller], &[plain, newer]),
        ("implicit.long:user-mov-ds-gdt-good:1,1,1", &[], &[shadowing, smaller]),
        ("inject.long:df-stack-np:1,0,0", &[smaller], &[shadowing, plain]),
        ("inject.long:df-stack-np:1,0,ffffffff", &[smaller, shadowing], &[plain]),
        ("inject.long:pf-triple:1,0,0", &[smaller], &[shadowing, plain]),
        ("event.long:pf-triple:1,4,0", &[smaller], &[shadowing, plain]),
        ("event.long:int-idt-np:1,0,ffffffff", &[shadowing, smaller], &[plain, newer]),
        ("event.long:nmi-idt-np:1,0,ffffffff", &[shadowing, smaller], &[plain, newer]),
        ("event.long:int-idt-np:1,0,0", &[smaller], &[shadowing, plain, newer]),
        ("event.long:int-stack-np:1,2,2", &[smaller], &[shadowing, plain, newer]),
        ("event.long:int-stack-np:1,2,0", &[smaller, shadowing], &[plain, newer]),
        ("event.long:int:1,0,0", &[], &[shadowing, smaller]),
        ("event.long:int3-idt-np:1,0,0", &[], &[shadowing, smaller]),
        ("event.long:int3-idt-np:1,0,ffffffff", &[], &[shadowing, smaller]),
        ("event.pae:super-int-tss-np:1,0,ffffffff", &[], &[shadowing, smaller]),
    ] {
        let case = Case::from_id(id).expect(id);
        let is_left_out = |host: &&str| {
            Options::parse(&options(&tables, host).join(" ")).unwrap().exclude.excludes(&case)
        };
        assert!(left_out.iter().all(is_left_out), "{id}");
        assert!(!played.iter().any(is_left_out), "{id}");
    }
}

/// Whether a case ends in a triple fault, which ends the VM where L0 made its fault.
fn is_killed(case: &Case) -> bool {
    let Case::Scene(case) = case else { return false };
    let ends = case.scene().expect(case.group.environment, case.filter, MAXPHYADDR);
    iter::once(&ends.first).chain(&ends.second).any(|end| end.how == How::Exit(EXIT_TRIPLE_FAULT))
}

/// Whether a fault that L0 made in the delivery of an interrupt or NMI goes to L2, and hangs it.
fn hangs(case: &Case) -> bool {
    use EventType::{ExternalInterrupt, Nmi, SoftwareInterrupt};
    let Case::Scene(scene) = case else { return false };
    let event = scene.scene().event;
    let interrupt = event
        .is_some_and(|event| matches!(event.kind, ExternalInterrupt | Nmi | SoftwareInterrupt));
    interrupt && case.pfec(MAXPHYADDR).is_some_and(|pfec| !case.filter().exits(pfec))
}

#[test]
fn all_that_a_fault_let_through_to_l2_would_end_is_left_out_and_little_else() {
    let tables = Tables::built_in();
    let line = options(&tables, "kvm 5.10 ept=0 allow_smaller_maxphyaddr=0").join(" ");
    let options = Options::parse(&line).unwrap();
    // Globs that also leave out a few cases that would do.
    let spared = [
        "int-user-stack-np",
        "pf-triple",
        "super-smap-mov-ds-gdt",
        "user-smap-mov-ds-gdt",
        "super-smap-lldt-gdt",
        "super-smap-forced-gdt",
    ];
    let mut ending = BTreeSet::new();
    for group in Group::all().filter(|group| matches!(group, Group::Scene(_))) {
        let name = group.to_string();
        for case in group.cases(Profile::Standard, MAXPHYADDR) {
            let (probe, left_out) = (case.access().to_string(), options.exclude.excludes(&case));
            // Left out for reasons of their own.
            let of_others = (name.starts_with("tlb.pae") || name.contains("evmcs")) && left_out;
            let must = is_killed(&case) || hangs(&case) || of_others;
            if must && !left_out {
                ending.insert(format!("{name}:{probe}"));
            }
            assert!(
                must || !left_out || spared.contains(&probe.as_str()),
                "{case} could be played"
            );
        }
    }
    assert!(ending.is_empty(), "would end the run: {ending:?}");
}

#[test]
fn nothing_is_left_out_of_groups_that_are_not_about_it() {
    const EXECUTE_ONLY: &str = "vbox-execute-only";
    let tables = Tables::built_in();
    for row in tables.rows() {
        for cases in &row.exclude {
            for group in [
                "filter.basic.long",
                "host.touch",
                "action.restore",
                "smp.filters",
                "access.long",
                "ept.long-ept",
            ] {
                let matched = super::catalogue()
                    .iter()
                    .any(|(of, probe)| of == group && cases.pattern().matches(group, probe));
                // It is about EPT's entries.
                let matched =
                    matched && (row.name.as_str(), group) != (EXECUTE_ONLY, "ept.long-ept");
                assert!(!matched, "{}: {cases} in {group}", row.name);
            }
        }
    }
}

#[test]
fn the_options_of_any_host_fit_the_image_s_command_line() {
    let tables = Tables::built_in();
    for version in ["5.10", "5.13", "6.1", "6.12", "7.2"] {
        for (ept, smaller) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let host = format!("kvm {version} ept={ept} allow_smaller_maxphyaddr={smaller}");
            let line = options(&tables, &host).join(" ");
            assert!(Options::parse(&line).is_ok(), "{line}");
            assert!(
                line.len() + ROOM_FOR_OTHERS <= MAX_COMMAND_LINE,
                "{} bytes: {line}",
                line.len()
            );
        }
    }
    // A log's header that leaves everything open asks for everything.
    assert!(options(&tables, "kvm").join(" ").len() <= MAX_COMMAND_LINE);
    let other = options(&tables, "kvm 5.10 ept=0 allow_smaller_maxphyaddr=0");
    assert!(other.contains(&"invvpid=yes".to_string()));
    assert!(options(&tables, "bochs 2.7").is_empty());
}
