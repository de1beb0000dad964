use super::{Codes, Earlier, Evidence, FILTER_HONOURED, Hypothesis, L2_STUCK, Raised, Suspects};
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;
use crate::walk::case::WalkGroup;
use crate::walk::family::Family;
use crate::walk::outcome::{Expectation, Observed, Outcome};
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;
use std::vec::Vec;

/// One fault and everything that a host knows when it decides.
struct Fault {
    now: Filter,
    earlier: Earlier,
    /// What must be seen.
    code: Pfec,
    /// What the processor made of it: never anything else, unless the guest's MAXPHYADDR is below
    /// the processor's.
    raised: Raised,
}

/// What a host does with a fault, and what it reports of it.
#[derive(Clone, Copy)]
enum Does {
    Exits(Pfec),
    Delivers(Pfec),
}

/// With the guest's MAXPHYADDR below the processor's, and with that of the processor.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Width {
    Narrow,
    Whole,
}

const WIDTHS: [Width; 2] = [Width::Narrow, Width::Whole];
const PROFILES: [Profile; 2] = [Profile::Quick, Profile::Standard];
const MAXPHYADDR: Maxphyaddr = 36;

fn decide(exits: bool, code: Pfec) -> Does {
    if exits { Does::Exits(code) } else { Does::Delivers(code) }
}

/// Stimuli that fault, with the error code that must be seen and what L1 counts on the processor to
/// raise: it cannot know the processor's width, so always on a greater one.
fn faults(family: Family, profile: Profile) -> Vec<(Stimulus, Pfec, Raised)> {
    WalkGroup { family, setting: BASE }
        .stimuli(profile, MAXPHYADDR)
        .filter_map(|stimulus| {
            Some((stimulus, stimulus.pfec(BASE, MAXPHYADDR)?, Raised::of(&stimulus, BASE.mode)))
        })
        .collect()
}

/// Runs a synthetic host through families of filters, and gathers evidence as L1 does.
fn suspects(
    families: &[Family],
    profile: Profile,
    width: Width,
    host: impl Fn(&Fault) -> Does,
) -> Suspects {
    let mut suspects = Suspects::all();
    let mut with_eb = None;
    for family in families {
        let faults = faults(*family, profile);
        let mut before = Filter::NEVER;
        for filter in family.filters(profile) {
            let mut evidence = Evidence::default();
            for (stimulus, code, counted) in &faults {
                let raised = if width == Width::Narrow { *counted } else { Raised::AsSeen };
                let earlier = Earlier { before, with_eb };
                let does = host(&Fault { now: filter, earlier, code: *code, raised });
                evidence.add(*code, *counted, &observed(stimulus, does));
            }
            suspects.observe(filter, before, &evidence);
            before = filter;
            with_eb = if filter.eb_pf { Some(filter) } else { with_eb };
        }
    }
    suspects
}

fn observed(stimulus: &Stimulus, does: Does) -> Observed {
    let expectation = |code| Expectation::at(Some(code), stimulus.address(), 0, 0, 0);
    Observed::exactly(match does {
        Does::Exits(code) => Outcome::Exit(expectation(code).exit(0)),
        Does::Delivers(code) => Outcome::Delivered(expectation(code).delivery()),
    })
}

fn named(
    families: &[Family],
    profile: Profile,
    width: Width,
    host: impl Fn(&Fault) -> Does,
) -> Vec<Hypothesis> {
    suspects(families, profile, width, host).iter().collect()
}

/// Checks a host with all families in every profile and width.
fn assert_named(
    what: &str,
    widths: &[Width],
    expected: &[Hypothesis],
    host: impl Fn(&Fault) -> Does,
) {
    for profile in PROFILES {
        for &width in widths {
            let names = named(&Family::ALL, profile, width, &host);
            assert_eq!(names, expected, "{what}, {}, {width:?}", profile.name());
        }
    }
}

fn is_right(fault: &Fault) -> bool {
    fault.now.exits(fault.code)
}

/// The error code that the processor gave L0.
fn met(fault: &Fault) -> Option<Pfec> {
    match fault.raised {
        Raised::AsSeen => Some(fault.code),
        Raised::Uncorrected(before) => Some(before),
        Raised::Nothing => None,
    }
}

#[test]
fn each_wrong_host_is_named_and_no_other() {
    for hypothesis in Hypothesis::ALL {
        if BY_WHAT_IS_RAISED.contains(&hypothesis) {
            continue;
        }
        assert_named(hypothesis.name(), &WIDTHS, &[hypothesis], |fault| does_as(hypothesis, fault));
    }
}

/// Hypotheses that depend on L0's filter, or on what the processor makes of an access.
const BY_WHAT_IS_RAISED: [Hypothesis; 5] = [
    Hypothesis::L0FilterLeaked,
    Hypothesis::L0MaskMatch,
    Hypothesis::RawFaults,
    Hypothesis::CodeBeforeFixup,
    Hypothesis::L0NeedDropped,
];

/// The host of a hypothesis. Before the first entry with EB.PF = 1 it has another filter.
fn does_as(hypothesis: Hypothesis, fault: &Fault) -> Does {
    let other = Filter::new(true, 0x3, 0x1);
    let earlier = Earlier { with_eb: fault.earlier.with_eb.or(Some(other)), ..fault.earlier };
    let exits = hypothesis.exits(fault.now, earlier).unwrap();
    decide(exits.contains(fault.code, Raised::AsSeen), fault.code)
}

#[test]
fn a_host_that_gives_raw_faults_to_l1_is_named() {
    let raw =
        |fault: &Fault| met(fault).map_or_else(|| decide(is_right(fault), fault.code), Does::Exits);
    assert_named("raw", &[Width::Narrow], &[Hypothesis::RawFaults], raw);
    // Where L0 makes no fault, all exit.
    assert_named("raw", &[Width::Whole], &[Hypothesis::AllExit], raw);
}

#[test]
fn l0s_mask_and_match_with_l1s_eb_are_named() {
    for l0 in L0_FILTERS {
        assert_named("L0's MASK and MATCH", &WIDTHS, &[Hypothesis::L0MaskMatch], |fault| {
            let vmcs02 = Filter::new(fault.now.eb_pf, l0.mask, l0.matching);
            decide(met(fault).map_or(is_right(fault), |met| vmcs02.exits(met)), fault.code)
        });
    }
}

/// vmcs02 has L1's MASK and MATCH and EB.PF = 1; what does not exit reaches L2 as the processor
/// raised it.
fn need_dropped(fault: &Fault) -> Does {
    match met(fault) {
        Some(met) if !Filter::new(true, fault.now.mask, fault.now.matching).exits(met) => {
            Does::Delivers(met)
        }
        _ => decide(is_right(fault), fault.code),
    }
}

#[test]
fn a_host_without_l0s_need_is_named() {
    assert_named("L0's need dropped", &[Width::Narrow], &[Hypothesis::L0NeedDropped], need_dropped);
    // Where L0 corrects nothing there is no difference.
    assert_named("L0's need dropped", &[Width::Whole], &[Hypothesis::InverseIgnored], need_dropped);
}

/// Filters that L0 may have, other than those that ask for all or none.
fn l0_filters() -> impl Iterator<Item = Filter> {
    let mut seen = Vec::new();
    let all = (0..2048u32).map(|n| Filter::new(n & 1 == 1, n >> 1 & 31, n >> 6));
    all.filter(move |filter| {
        let set = filter.basic_exits();
        let new = set != 0 && set != u32::MAX && !seen.contains(&set);
        seen.push(set);
        new
    })
}

/// KVM's need with a smaller MAXPHYADDR, that of introspection, single bits, single codes.
const L0_FILTERS: [Filter; 7] = [
    Filter::new(true, 0x9, 0x1),
    Filter::new(true, 0x11, 0x11),
    Filter::new(true, 1, 1),
    Filter::new(true, 1, 0),
    Filter::new(true, 0x1f, 0x5),
    Filter::new(false, 0x7, 0x7),
    Filter::new(false, 0x12, 0),
];

#[test]
fn a_leak_of_l0s_filter_is_named() {
    for l0 in L0_FILTERS {
        assert_named("in place", &WIDTHS, &[Hypothesis::L0FilterLeaked], |fault| {
            decide(met(fault).map_or(is_right(fault), |met| l0.exits(met)), fault.code)
        });
        assert_named("beside", &WIDTHS, &[Hypothesis::L0FilterLeaked], |fault| {
            decide(
                met(fault).map_or(is_right(fault), |met| l0.exits(met) || fault.now.exits(met)),
                fault.code,
            )
        });
    }
}

#[test]
fn a_leak_that_loses_faults_of_l1_too_is_none() {
    let l0 = Filter::new(true, 0x9, 0x1);
    assert_named("beside, and lost", &WIDTHS, &[], |fault| {
        let lost = fault.code == Pfec::WR;
        decide(
            met(fault).map_or(is_right(fault), |met| l0.exits(met)) || (is_right(fault) && !lost),
            fault.code,
        )
    });
}

#[test]
fn a_leak_is_named_whatever_l0_wants() {
    // Subcubes and their complements; those by one bit are both, and all and none are left out.
    assert_eq!(l0_filters().count(), 2 * 243 - 10 - 2);
    let raised = faults(Family::Basic, Profile::Quick);
    for l0 in l0_filters() {
        // A filter that asks for none or all of what is raised does not show as L0's own.
        let wanted = raised.iter().filter(|(_, code, _)| l0.exits(*code)).count();
        if wanted != 0 && wanted != raised.len() {
            let names = named(&[Family::Basic], Profile::Quick, Width::Whole, |fault| {
                decide(l0.exits(fault.code) || is_right(fault), fault.code)
            });
            assert!(names.contains(&Hypothesis::L0FilterLeaked), "{l0}: {names:?}");
        }
    }
}

#[test]
fn an_error_code_from_before_the_fixup_is_named() {
    let names = [Hypothesis::CodeBeforeFixup];
    let narrow = [Width::Narrow];
    let decides = |fault: &Fault| met(fault).map_or(is_right(fault), |met| fault.now.exits(met));
    let raised = |fault: &Fault| met(fault).unwrap_or(fault.code);
    // Few accesses of the quick profile have an error code to be corrected, and no filter decides
    // about these.
    let silent = |fault: &Fault| decide(decides(fault), fault.code);
    assert_eq!(named(&Family::ALL, Profile::Standard, Width::Narrow, silent), names);
    assert_named("decides and tells", &narrow, &names, |fault| {
        decide(decides(fault), raised(fault))
    });
    assert_named("decides and tells L1", &narrow, &names, |fault| {
        if decides(fault) { Does::Exits(raised(fault)) } else { Does::Delivers(fault.code) }
    });
    assert_named("tells", &narrow, &names, |fault| decide(is_right(fault), raised(fault)));
    assert_named("tells L1", &narrow, &names, |fault| {
        if is_right(fault) { Does::Exits(raised(fault)) } else { Does::Delivers(fault.code) }
    });
}

#[test]
fn error_codes_that_are_wrong_otherwise_are_not_called_a_lost_fixup() {
    // Only L2 gets the wrong code: a fault reached it past L0.
    assert_named("L2 alone", &[Width::Narrow], &[], |fault| {
        if is_right(fault) {
            Does::Exits(fault.code)
        } else {
            Does::Delivers(met(fault).unwrap_or(fault.code))
        }
    });
    // Without RSVD, whoever set it.
    assert_named("RSVD never", &WIDTHS, &[], |fault| {
        decide(is_right(fault), fault.code - Pfec::RSVD)
    });
    // L1 always, L2 only in some walks. The quick profile has too few of them.
    let names = named(&Family::ALL, Profile::Standard, Width::Narrow, |fault| {
        let raised = met(fault).unwrap_or(fault.code);
        if is_right(fault) {
            Does::Exits(raised)
        } else {
            Does::Delivers(if fault.now.mask == 0 { fault.code } else { raised })
        }
    });
    assert_eq!(names, []);
    // Some of them right.
    assert_named("now and then", &[Width::Narrow], &[], |fault| {
        decide(
            is_right(fault),
            if fault.now.mask & 1 == 0 { fault.code } else { met(fault).unwrap_or(fault.code) },
        )
    });
}

#[test]
fn a_family_alone_names_the_new_ones_on_no_other_host() {
    for family in Family::ALL {
        for profile in PROFILES {
            for hypothesis in Hypothesis::ALL {
                if BY_WHAT_IS_RAISED.contains(&hypothesis)
                    && hypothesis != Hypothesis::L0NeedDropped
                {
                    continue;
                }
                let names =
                    named(&[family], profile, Width::Whole, |fault| does_as(hypothesis, fault));
                let where_ = std::format!("{} {} {names:?}", family.name(), hypothesis.name());
                assert!(!names.contains(&Hypothesis::L0FilterLeaked), "{where_}");
                assert!(!names.contains(&Hypothesis::L0MaskMatch), "{where_}");
                assert!(!names.contains(&Hypothesis::CodeBeforeFixup), "{where_}");
            }
        }
    }
}

#[test]
fn a_healthy_host_is_never_suspected() {
    for family in Family::ALL {
        for profile in PROFILES {
            for width in WIDTHS {
                let suspects = suspects(&[family], profile, width, |fault| {
                    decide(is_right(fault), fault.code)
                });
                assert_eq!(suspects.iter().count(), 0);
                assert_eq!(std::format!("{suspects}"), FILTER_HONOURED);
            }
        }
    }
}

#[test]
fn an_l2_that_does_not_run_is_told_beside_what_else_is_wrong() {
    let mut healthy = Suspects::all();
    healthy.stuck();
    assert_eq!(std::format!("{healthy}"), L2_STUCK);
    let mut swapped = suspects(&Family::ALL, Profile::Quick, Width::Whole, |fault| {
        decide(
            Filter::new(fault.now.eb_pf, fault.now.matching, fault.now.mask).exits(fault.code),
            fault.code,
        )
    });
    swapped.stuck();
    assert_eq!(std::format!("{swapped}"), "swapped-mask-match,l2-does-not-run");
}

#[test]
fn a_walk_that_is_right_shows_what_its_faults_one_by_one_show() {
    let faults = faults(Family::Basic, Profile::Standard);
    let mut codes = Codes::default();
    for (_, code, raised) in &faults {
        codes.add(*code, *raised);
    }
    for filter in Family::Basic.filters(Profile::Standard) {
        let mut evidence = Evidence::default();
        for (stimulus, code, raised) in &faults {
            evidence.add(*code, *raised, &observed(stimulus, decide(filter.exits(*code), *code)));
        }
        assert_eq!(Evidence::right(codes, filter), evidence, "{filter}");
    }
}

#[test]
fn a_case_shows_a_hypothesis_if_its_outcome_differs() {
    let rsvd = Pfec::P | Pfec::RSVD;
    let before = Raised::Uncorrected(Pfec::P);
    let (rsvd_only, never) = (Filter::new(true, 8, 8), Filter::NEVER);
    assert!(Hypothesis::CodeBeforeFixup.shows(rsvd_only, rsvd, before));
    assert!(!Hypothesis::CodeBeforeFixup.shows(rsvd_only, rsvd, Raised::AsSeen));
    assert!(!Hypothesis::CodeBeforeFixup.shows(never, rsvd, before));
    assert!(Hypothesis::L0FilterLeaked.shows(never, Pfec::P, Raised::AsSeen));
    assert!(!Hypothesis::L0FilterLeaked.shows(Filter::ALWAYS, Pfec::P, Raised::AsSeen));
    assert!(Hypothesis::L0NeedDropped.shows(rsvd_only, rsvd, before));
    assert!(!Hypothesis::L0NeedDropped.shows(rsvd_only, rsvd, Raised::AsSeen));
    assert!(Hypothesis::Swapped.shows(Filter::new(true, 1, 0), Pfec::empty(), Raised::AsSeen));
}

#[test]
fn names_round_trip() {
    for hypothesis in Hypothesis::ALL {
        assert_eq!(Hypothesis::from_name(hypothesis.name()), Some(hypothesis));
    }
}
