//! Unexpected passes: reported where a row had to show, and nowhere else.

use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::log::Counts;
use spec::tally::Difference;

use super::super::{Asks, Ran, Seen, Tables};
use super::{MAXPHYADDR, names, subject};

const SHADOWING: &str = "bochs 2.7 / kvm 6.1 ept=0 allow_smaller_maxphyaddr=0";
const BOCHS: &str = "bochs 2.7";
const PLAIN: &str = "bochs 2.7 / kvm 6.1 ept=1 allow_smaller_maxphyaddr=0";

const QUICK: &str = "profile=quick";
const STANDARD: &str = "profile=standard";

/// The rows reported for one group that ran all of its cases with these options and showed these.
fn told(on: &str, line: &str, group: &str, seen: &[(&str, &str)]) -> Vec<String> {
    let profile = Options::parse(line).unwrap().profile;
    let cases = Group::from_name(group).unwrap().case_count(profile, MAXPHYADDR) as u64;
    told_of(on, line, group, &Counts { cases, exits: 9, delivered: 9, ..Counts::default() }, seen)
}

fn told_of(
    on: &str,
    line: &str,
    group: &str,
    counts: &Counts,
    seen: &[(&str, &str)],
) -> Vec<String> {
    let tables = Tables::built_in();
    let subject = subject(on);
    let differences: Vec<Difference> =
        seen.iter().map(|(difference, _)| difference.parse().unwrap()).collect();
    let seen: Vec<Seen<'_>> = seen
        .iter()
        .zip(&differences)
        .map(|((_, probes), difference)| Seen { group, difference: Some(difference), probes })
        .collect();
    let missed = tables.of(&subject).unexpected_passes(
        Options::parse(line).unwrap(),
        MAXPHYADDR,
        &[Ran { group, counts }],
        &seen,
    );
    names(&missed).into_iter().map(str::to_string).collect()
}

const RF0: (&str, &str) = ("exit0:rflags^10000", "super-read-np-pde");

#[test]
fn a_row_that_had_to_show_is_told() {
    for (on, line, group, seen, missed) in [
        (SHADOWING, QUICK, "filter.each.long-nx0", &[RF0][..], &["nx-stale"][..]),
        (
            SHADOWING,
            QUICK,
            "filter.each.long-nx0",
            &[RF0, ("exit0>done", "user-read-user-nx")],
            &[],
        ),
        (PLAIN, QUICK, "filter.each.long-nx0", &[RF0], &[]),
        (SHADOWING, STANDARD, "page.legacy-off", &[], &["legacy-id"]),
        (PLAIN, STANDARD, "forced.long", &[], &["cross-write"]),
        (PLAIN, STANDARD, "state.long", &[], &[]),
        (SHADOWING, STANDARD, "state.long", &[], &["nmi-bit12"]),
        // Whether a fault of the processor shows is up to the host.
        (SHADOWING, QUICK, "filter.each.long", &[], &[]),
        (BOCHS, QUICK, "filter.each.long", &[], &["rf0"]),
        (BOCHS, QUICK, "filter.each.long", &[RF0], &[]),
        (BOCHS, STANDARD, "state.long", &[], &["shadow-lost"]),
        (BOCHS, STANDARD, "strings.long", &[RF0], &["rep-flags"]),
        ("bochs 3.0", STANDARD, "state.long", &[], &[]),
    ] {
        assert_eq!(told(on, line, group, seen), missed, "{on} {group} {seen:?}");
    }
}

#[test]
fn one_case_tells_only_of_what_it_must_show() {
    let of = |id: &str| {
        let line = format!("case={id}");
        [SHADOWING, BOCHS].map(|on| told(on, &line, id.split(':').next().unwrap(), &[])).concat()
    };
    assert_eq!(of("page.legacy-off:user-fetch-np-pde:1,0,1"), ["legacy-id"]);
    assert_eq!(of("page.legacy-off:user-fetch-np-pde:1,0,0"), ["legacy-id", "rf0"]);
    assert_eq!(of("page.legacy-off:user-read-np-pde:1,0,0"), ["rf0"]);
    assert_eq!(of("page.legacy-off:user-read-np-pde:1,0,1"), Vec::<String>::new());
}

#[test]
fn what_may_be_hidden_by_another_is_not_told() {
    let old = "bochs 2.7 / kvm 5.10 ept=0 allow_smaller_maxphyaddr=0";
    let seen = [("done>nothing", "user-read-again")];
    assert_eq!(told(old, QUICK, "host.apic", &[]), ["pgd-unsynced", "apic-prefetch"]);
    assert_eq!(told(old, QUICK, "host.apic", &seen), Vec::<String>::new());
    // Nor if the image could not tell what differs.
    let tables = Tables::built_in();
    let subject = subject(SHADOWING);
    let counts = Counts { cases: 168, exits: 9, ..Counts::default() };
    let group = "filter.each.long-nx0";
    let untold = [Seen { group, difference: None, probes: "" }];
    let missed = tables.of(&subject).unexpected_passes(
        Options::parse(QUICK).unwrap(),
        MAXPHYADDR,
        &[Ran { group, counts: &counts }],
        &untold,
    );
    assert_eq!(names(&missed), Vec::<&str>::new());
}

#[test]
fn what_was_not_played_is_not_told() {
    let counts = |cases, exits| Counts { cases, exits, ..Counts::default() };
    // Perhaps left out because a feature is missing.
    assert_eq!(told_of(PLAIN, STANDARD, "forced.long", &counts(1, 1), &[]), Vec::<String>::new());
    assert_eq!(told_of(PLAIN, STANDARD, "forced.long", &counts(100_000, 1), &[]), ["cross-write"]);
    // No fault came at all.
    assert_eq!(
        told_of(PLAIN, STANDARD, "forced.long", &counts(100_000, 0), &[]),
        Vec::<String>::new()
    );
    assert_eq!(told_of(SHADOWING, STANDARD, "host.apic", &counts(24, 0), &[]), ["apic-prefetch"]);
    // Left out by the user.
    assert_eq!(
        told(PLAIN, "exclude=forced.*:write-cross", "forced.long", &[]),
        Vec::<String>::new()
    );
    assert_eq!(
        told_of(PLAIN, "exclude=forced.*:write-ro", "forced.long", &counts(100_000, 1), &[]),
        ["cross-write"]
    );
    // Left out by another row.
    for (kernel, must) in [("5.10", false), ("6.1", true)] {
        let smaller = format!("kvm {kernel} ept=1 allow_smaller_maxphyaddr=1 vnmi=1");
        let line = Asks::options(&Tables::built_in().asks(), &subject(&smaller)).join(" ");
        assert_eq!(
            told(&smaller, &line, "event.long", &[]).contains(&"nmi-open".to_string()),
            must,
            "{smaller}"
        );
    }
}

#[test]
fn of_a_host_of_which_too_little_is_known_nothing_is_told() {
    assert_eq!(told("kvm 6.1", QUICK, "filter.each.long-nx0", &[]), Vec::<String>::new());
    assert_eq!(told("kvm ept=0", QUICK, "filter.each.long-nx0", &[]), Vec::<String>::new());
    assert_eq!(told("kvm 6.1 ept=0", QUICK, "filter.each.long-nx0", &[]), ["nx-stale"]);
}

#[test]
fn what_the_quick_profile_does_not_play_is_not_told() {
    for (group, name) in [
        ("page.legacy-off", "legacy-id"),
        ("state.long-vpid", "nmi-bit12"),
        ("state.long", "nmi-bit12"),
    ] {
        for profile in [Profile::Quick, Profile::Standard] {
            let of_group = Group::from_name(group).unwrap();
            let tables = Tables::built_in();
            let shows = tables.row(name).unwrap().shows.as_ref().unwrap();
            let plays =
                of_group.cases(profile, MAXPHYADDR).any(|case| shows.must(&case, MAXPHYADDR));
            assert_eq!(
                told(SHADOWING, &format!("profile={}", profile.name()), group, &[])
                    .contains(&name.to_string()),
                plays
            );
            assert!(plays || profile == Profile::Quick, "{name}");
        }
    }
}
