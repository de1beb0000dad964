//! Unexpected passes: reported where a row had to show, and nowhere else.

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::log::Counts;
use spec::tally::Difference;

use super::super::{Played, Ran, Seen, Tables};
use super::{MAXPHYADDR, names, subject};

const SHADOWING: &str = "bochs 2.7 / kvm 6.1 ept=0 allow_smaller_maxphyaddr=0";
const BOCHS: &str = "bochs 2.7";
const PLAIN: &str = "bochs 2.7 / kvm 6.1 ept=1 allow_smaller_maxphyaddr=0";

fn played(profile: Profile, case: Option<&str>) -> Played {
    let case = case.map(|id| Case::from_id(id).unwrap());
    Played { profile, case, exclude: Vec::new() }
}

/// The rows reported for one group that ran all of its cases and showed these.
fn told(on: &str, played: &Played, group: &str, seen: &[(&str, &str)]) -> Vec<String> {
    let cases = Group::from_name(group).unwrap().case_count(played.profile, MAXPHYADDR) as u64;
    told_of(on, played, group, &Counts { cases, exits: 9, delivered: 9, ..Counts::default() }, seen)
}

fn told_of(on: &str, played: &Played, group: &str, counts: &Counts, seen: &[(&str, &str)]) -> Vec<String> {
    let tables = Tables::built_in();
    let subject = subject(on);
    let differences: Vec<Difference> = seen.iter().map(|(difference, _)| difference.parse().unwrap()).collect();
    let seen: Vec<Seen<'_>> = seen
        .iter()
        .zip(&differences)
        .map(|((_, probes), difference)| Seen { group, difference: Some(difference), probes })
        .collect();
    let missed = tables.of(&subject).unexpected_passes(played, MAXPHYADDR, &[Ran { group, counts }], &seen);
    names(&missed).into_iter().map(str::to_string).collect()
}

const RF0: (&str, &str) = ("exit0:rflags^10000", "super-read-np-pde");

#[test]
fn a_row_that_had_to_show_is_told() {
    let quick = played(Profile::Quick, None);
    let standard = played(Profile::Standard, None);
    for (on, played, group, seen, missed) in [
        (SHADOWING, &quick, "filter.each.long-nx0", &[RF0][..], &["nx-stale"][..]),
        (SHADOWING, &quick, "filter.each.long-nx0", &[RF0, ("exit0>done", "user-read-user-nx")], &[]),
        (PLAIN, &quick, "filter.each.long-nx0", &[RF0], &[]),
        (SHADOWING, &standard, "page.legacy-off", &[], &["legacy-id"]),
        (PLAIN, &standard, "forced.long", &[], &["cross-write"]),
        (PLAIN, &standard, "state.long", &[], &[]),
        (SHADOWING, &standard, "state.long", &[], &["nmi-bit12"]),
        // Whether a fault of the processor shows is up to the host.
        (SHADOWING, &quick, "filter.each.long", &[], &[]),
        (BOCHS, &quick, "filter.each.long", &[], &["rf0"]),
        (BOCHS, &quick, "filter.each.long", &[RF0], &[]),
        (BOCHS, &standard, "state.long", &[], &["shadow-lost"]),
        (BOCHS, &standard, "strings.long", &[RF0], &["rep-flags"]),
        ("bochs 3.0", &standard, "state.long", &[], &[]),
    ] {
        assert_eq!(told(on, played, group, seen), missed, "{on} {group} {seen:?}");
    }
}

#[test]
fn one_case_tells_only_of_what_it_must_show() {
    let of = |id: &str| {
        let played = played(Profile::Quick, Some(id));
        [SHADOWING, BOCHS].map(|on| told(on, &played, id.split(':').next().unwrap(), &[])).concat()
    };
    assert_eq!(of("page.legacy-off:user-fetch-np-pde:1,0,1"), ["legacy-id"]);
    assert_eq!(of("page.legacy-off:user-fetch-np-pde:1,0,0"), ["legacy-id", "rf0"]);
    assert_eq!(of("page.legacy-off:user-read-np-pde:1,0,0"), ["rf0"]);
    assert_eq!(of("page.legacy-off:user-read-np-pde:1,0,1"), Vec::<String>::new());
}

#[test]
fn what_may_be_hidden_by_another_is_not_told() {
    let old = "bochs 2.7 / kvm 5.10 ept=0 allow_smaller_maxphyaddr=0";
    let quick = played(Profile::Quick, None);
    let seen = [("done>nothing", "user-read-again")];
    assert_eq!(told(old, &quick, "host.apic", &[]), ["pgd-unsynced", "apic-prefetch"]);
    assert_eq!(told(old, &quick, "host.apic", &seen), Vec::<String>::new());
    // Nor if the image could not tell what differs.
    let tables = Tables::built_in();
    let subject = subject(SHADOWING);
    let counts = Counts { cases: 168, exits: 9, ..Counts::default() };
    let group = "filter.each.long-nx0";
    let untold = [Seen { group, difference: None, probes: "" }];
    let missed = tables.of(&subject).unexpected_passes(&quick, MAXPHYADDR, &[Ran { group, counts: &counts }], &untold);
    assert_eq!(names(&missed), Vec::<&str>::new());
}

#[test]
fn what_was_not_played_is_not_told() {
    let standard = played(Profile::Standard, None);
    let counts = |cases, exits| Counts { cases, exits, ..Counts::default() };
    // Perhaps left out because a feature is missing.
    assert_eq!(told_of(PLAIN, &standard, "forced.long", &counts(1, 1), &[]), Vec::<String>::new());
    assert_eq!(told_of(PLAIN, &standard, "forced.long", &counts(100_000, 1), &[]), ["cross-write"]);
    // No fault came at all.
    assert_eq!(told_of(PLAIN, &standard, "forced.long", &counts(100_000, 0), &[]), Vec::<String>::new());
    assert_eq!(told_of(SHADOWING, &standard, "host.apic", &counts(24, 0), &[]), ["apic-prefetch"]);
    // Left out by the user.
    let mut without = standard.clone();
    without.exclude = vec!["forced.*:write-cross".into()];
    assert_eq!(told(PLAIN, &without, "forced.long", &[]), Vec::<String>::new());
    without.exclude = vec!["forced.*:write-ro".into()];
    assert_eq!(told_of(PLAIN, &without, "forced.long", &counts(100_000, 1), &[]), ["cross-write"]);
    // Left out by another row.
    let smaller = "kvm 5.10 ept=1 allow_smaller_maxphyaddr=1 vnmi=1";
    assert!(!told(smaller, &standard, "event.long", &[]).contains(&"nmi-open".to_string()));
    assert!(
        told("kvm 6.1 ept=1 allow_smaller_maxphyaddr=1 vnmi=1", &standard, "event.long", &[])
            .contains(&"nmi-open".to_string())
    );
}

#[test]
fn of_a_host_of_which_too_little_is_known_nothing_is_told() {
    let quick = played(Profile::Quick, None);
    assert_eq!(told("kvm 6.1", &quick, "filter.each.long-nx0", &[]), Vec::<String>::new());
    assert_eq!(told("kvm ept=0", &quick, "filter.each.long-nx0", &[]), Vec::<String>::new());
    assert_eq!(told("kvm 6.1 ept=0", &quick, "filter.each.long-nx0", &[]), ["nx-stale"]);
}

#[test]
fn what_the_quick_profile_does_not_play_is_not_told() {
    for (group, name) in
        [("page.legacy-off", "legacy-id"), ("state.long-vpid", "nmi-bit12"), ("state.long", "nmi-bit12")]
    {
        for profile in [Profile::Quick, Profile::Standard] {
            let of_group = Group::from_name(group).unwrap();
            let tables = Tables::built_in();
            let shows = tables.row(name).unwrap().shows.as_ref().unwrap();
            let plays = of_group.cases(profile, MAXPHYADDR).any(|case| shows.must(&case, MAXPHYADDR));
            assert_eq!(told(SHADOWING, &played(profile, None), group, &[]).contains(&name.to_string()), plays);
            assert!(plays || profile == Profile::Quick, "{name}");
        }
    }
}
