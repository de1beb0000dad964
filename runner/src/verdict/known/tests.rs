//! Checks what holds of every row of the built-in tables, and what the rows make of synthetic
//! differences.

mod exclusions;
mod logs;
mod passes;
mod rows;
mod users;

use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::tally::Difference;

use super::{Judged, Known, Party, Row, Tables};
use crate::verdict::subject::{Product, Subject};

/// The width of physical addresses at which every access exists.
const MAXPHYADDR: u8 = 36;

/// A subject such as `bochs 2.7 / kvm 6.1 ept=0`: the processor, then the host. A single one is the
/// processor if it is Bochs.
fn subject(text: &str) -> Subject {
    let product = |text: &str| text.parse::<Product>().unwrap();
    match text.split_once(" / ") {
        Some((processor, host)) => {
            Subject { processor: Some(product(processor)), host: Some(product(host)) }
        }
        None if text.starts_with("bochs") => Subject::processor(product(text)),
        None => Subject::host(product(text)),
    }
}

fn judge<'a>(known: &Known<'a>, group: &str, difference: &str, probes: &str) -> Judged<'a> {
    known.judge(group, Some(&difference.parse::<Difference>().expect(difference)), probes)
}

fn names<'a>(rows: &[&'a Row]) -> Vec<&'a str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

/// Every access and scene of the catalogue.
fn catalogue() -> Vec<(String, String)> {
    let probes = |group: Group| {
        let cases = group.cases_with(Filter::NEVER, Profile::Exhaustive, MAXPHYADDR);
        cases.map(move |case| (group.to_string(), case.access().to_string()))
    };
    Group::all().flat_map(probes).collect()
}

#[test]
fn a_write_that_is_torn_without_the_emulator_fails_on_every_kvm() {
    let tables = Tables::built_in();
    for version in ["5.10", "6.1", "6.12", "7.2"] {
        for (ept, smaller) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let host = format!("kvm {version} ept={ept} allow_smaller_maxphyaddr={smaller}");
            for subject in [subject(&host), subject(&format!("bochs 2.7 / {host}"))] {
                let known = tables.of(&subject);
                for torn in
                    ["exit0:memory^ff", "delivered14:memory^ff", "exit0:memory^ffffff0000000000"]
                {
                    let judged = judge(&known, "access.long", torn, "user-write-cross-second");
                    assert!(!judged.is_known(), "{host}");
                    assert_eq!(judged.unknown, ["user-write-cross-second"]);
                }
                let judged =
                    judge(&known, "forced.long", "exit0:memory^ffffff0000000000", "write-cross");
                assert_eq!(names(&judged.rows), ["cross-write"], "{host}");
            }
        }
    }
}

#[test]
fn rows_cover_a_difference_together_and_the_host_s_part_makes_it_the_host_s() {
    let tables = Tables::built_in();
    let in_lab = tables.of(&subject("bochs 2.7 / kvm 6.1 ept=1 allow_smaller_maxphyaddr=0 vnmi=1"));
    for (group, difference, probe, blamed) in [
        (
            "event.long",
            "exit0:idt^600,len^1,rip^1,rflags^10000/delivered1",
            "int1-idt-np",
            &["rf0", "int1-db"][..],
        ),
        // A word's bits may be of several.
        ("strings.long", "exit0:rflags^10044", "cmps-second-mid", &["rf0", "rep-flags"]),
        // Both could be to blame; the one that must show is.
        ("ports.long", "exit0:rflags^10000", "ins-first", &["rf0"]),
        ("ports.long", "exit0:rcx^6,rdi^7ff8,rflags^10000", "ins-mid", &["rf0", "ins-batch"]),
        // The host's row before one of the processor that may show.
        ("state.long", "exit0:info^1000", "sti", &["nmi-blocked"]),
        ("action.nmi", "done>nothing", "event", &["nmi-blocked"]),
        ("filter.basic.long", "exit0:rflags^10000", "user-read-np-pte,user-write-ro-pte", &["rf0"]),
    ] {
        let mut judged = judge(&in_lab, group, difference, probe);
        assert!(judged.is_known(), "{group} {difference}: {judged:?}");
        let of_host = blamed.iter().any(|name| tables.row(name).unwrap().of == Party::Host);
        assert_eq!(judged.of() == Party::Host, of_host);
        judged.rows.sort_by_key(|row| blamed.iter().position(|name| *name == row.name));
        assert_eq!(names(&judged.rows), blamed, "{group} {difference}");
    }
    let blocked = tables.of(&subject("bochs 2.7 / kvm 6.1 ept=0 allow_smaller_maxphyaddr=0"));
    let judged = judge(&blocked, "state.long", "exit0:info^1000", "nmi-blocked");
    assert_eq!((names(&judged.rows), judged.of()), (vec!["nmi-bit12"], Party::Host));
}

#[test]
fn one_access_that_is_not_covered_makes_the_line_a_failure() {
    let tables = Tables::built_in();
    let known = tables.of(&subject("kvm 6.1 ept=0 allow_smaller_maxphyaddr=0"));
    let judged = judge(
        &known,
        "filter.each.long-nx0",
        "exit0>done",
        "user-read-user-nx,user-read-np-pte,super-read-super-nx",
    );
    assert_eq!((judged.is_known(), judged.unknown), (false, vec!["user-read-np-pte".to_string()]));
    assert!(judge(&known, "filter.each.long-nx0", "exit0>done", "user-read-user-nx").is_known());
}

#[test]
fn what_the_image_could_not_tell_is_never_known() {
    let mut tables = Tables::none();
    let row = "[[row]]\nname = 'all'\nhosts = ['kvm']\nreason = 'x'\ncases = ['*:*']\ndiffers = ['anything']";
    tables.add_file("all.toml", row).unwrap();
    let subject = subject("kvm 6.1");
    let known = tables.of(&subject);
    assert!(judge(&known, "access.long", "exit0>done", "user-mov-read-np").is_known());
    assert!(!known.judge("access.long", None, "").is_known());
}

#[test]
fn what_is_tested_is_the_host_or_where_there_is_none_the_processor() {
    let tables = Tables::built_in();
    for (text, tested) in [
        ("bochs 2.7", Party::Processor),
        ("kvm 6.1", Party::Host),
        ("bochs 2.7 / kvm 6.1", Party::Host),
    ] {
        assert_eq!(tables.of(&subject(text)).tested(), tested, "{text}");
    }
    assert_eq!(tables.of(&Subject::default()).rows().count(), 0);
    // For a log made elsewhere, every row that may fit counts.
    assert!(tables.of(&subject("kvm")).rows().any(|row| row.name == "legacy-id"));
}
