//! Synthetic hosts: each writes the log that L1 would write on it, and the conclusion must name it.

use std::sync::Arc;

use super::hypothesis::{Entry, Memory};
use super::suspect::l0_filters;
use super::{Hypothesis, Raised};
use crate::verdict::account::Knowledge;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::findings::Findings;
use crate::verdict::known::Tables;
use crate::verdict::subject::Subject;
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::log::{CRC32, Counts, Writer};
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;
use spec::tally::{Difference, Tally};
use spec::walk::case::WalkGroup;
use spec::walk::outcome::{Expectation, Observed, Outcome};
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;

/// One fault and everything that a host knows when it decides.
struct Fault {
    entry: Entry,
    /// What must be seen.
    code: Pfec,
    /// What the processor made of it, if it raised it.
    met: Option<Pfec>,
    /// There was a VM exit since the entry.
    had_exit: bool,
}

/// What a host does with a fault, and what it reports of it.
#[derive(Clone, Copy)]
enum Does {
    Exits(Pfec),
    Delivers(Pfec),
    /// L2 does not get through the walk.
    Stops,
}

/// With the guest's MAXPHYADDR below the processor's, and with that of the processor.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Width {
    Narrow,
    Whole,
}

const WIDTHS: [Width; 2] = [Width::Narrow, Width::Whole];
const PROFILES: [Profile; 2] = [Profile::Quick, Profile::Standard];
const MAXPHYADDR: u8 = 36;

fn decide(exits: bool, code: Pfec) -> Does {
    if exits { Does::Exits(code) } else { Does::Delivers(code) }
}

/// What L1 writes on a host. `keeps` is what the host holds of earlier filters.
struct Run<'a> {
    profile: Profile,
    width: Width,
    keeps: Hypothesis,
    host: &'a dyn Fn(&Fault) -> Does,
    entry: Entry,
}

impl Run<'_> {
    /// The log of `filter.*` and of `others` groups after it.
    fn log(&mut self, others: usize, more: impl FnOnce(&mut Writer<&mut String>, usize)) -> String {
        let mut text = String::new();
        let options = format!("profile={}+filter=filter.*", self.profile.name());
        let facts = format!("boot=pvh maxphyaddr={MAXPHYADDR} options={options}");
        let mut log = Writer::begin(&mut text, env!("CARGO_PKG_VERSION"), &facts);
        let groups = Group::all().filter_map(|group| match group {
            Group::Walk(walk) if group.case_count(self.profile, MAXPHYADDR) > 0 => Some(walk),
            _ => None,
        });
        let groups: Vec<WalkGroup> = groups.collect();
        let at_end = groups.len() + 1;
        log.plan(groups.len() + others);
        for (at, group) in groups.into_iter().enumerate() {
            self.group(&mut log, at + 1, group);
        }
        more(&mut log, at_end);
        log.end();
        text
    }

    fn enter(&mut self, now: Filter, is_first: bool) {
        let fresh = is_first && self.keeps.memory() == Memory::Group;
        let kept = if fresh { now } else { self.keeps.keeps(self.entry.kept, self.entry.now, now) };
        self.entry = Entry { now, before: self.entry.now, kept };
    }

    fn group(&mut self, log: &mut Writer<&mut String>, number: usize, group: WalkGroup) {
        let name = Group::Walk(group);
        let mut room = vec![None; 4096];
        let mut tally = Tally::new(&mut room);
        let (mut counts, mut digest) = (Counts::default(), CRC32.digest());
        let stimuli: Vec<Stimulus> = group.stimuli(self.profile, MAXPHYADDR).collect();
        if group.setting != BASE {
            self.enter(Filter::NEVER, false);
        }
        for (at, filter) in name.filters(self.profile).enumerate() {
            self.enter(filter, at == 0);
            counts.cases += stimuli.len() as u64;
            let Some(exited) = self.walk(group, &stimuli, &mut counts, &mut tally) else {
                log.fail(
                    &format_args!("{name}:walk:{filter}"),
                    &"complete-walk",
                    &"unexpected-exit,reason=2,qual=0",
                );
                tally.add_incomplete("unexpected-exit", stimuli.len() as u64);
                counts.differing += stimuli.len() as u64;
                self.enter(Filter::ALWAYS, false);
                continue;
            };
            digest.update(&exited.to_le_bytes());
        }
        counts.digest = digest.finalize();
        log.differs(&name, &mut tally);
        log.result(number, &name, &counts);
    }

    /// The codes that exited, or `None` if L2 stopped.
    fn walk(
        &self,
        group: WalkGroup,
        stimuli: &[Stimulus],
        counts: &mut Counts,
        tally: &mut Tally<'_, Stimulus>,
    ) -> Option<u32> {
        let (mut exited, mut had_exit) = (0, false);
        let before = *counts;
        for (at, stimulus) in stimuli.iter().enumerate() {
            let Some(code) = stimulus.pfec(group.setting, MAXPHYADDR) else { continue };
            let raised = Raised::of(stimulus, group.setting.mode);
            let met = if self.width == Width::Narrow { raised.met(code) } else { Some(code) };
            let does = (self.host)(&Fault { entry: self.entry, code, met, had_exit });
            let want = observed(stimulus, decide(self.entry.now.exits(code), code));
            match does {
                Does::Exits(_) => {
                    had_exit = true;
                    counts.exits += 1;
                    exited |= code.basic_index().map_or(0, |index| 1 << index);
                }
                Does::Delivers(_) => counts.delivered += 1,
                Does::Stops => {
                    *counts = before;
                    return None;
                }
            }
            if let Some(difference) = Difference::of_observed(&want, &observed(stimulus, does)) {
                counts.differing += 1;
                tally.add(*stimulus, at, self.entry.now, &difference, 1);
            }
        }
        Some(exited)
    }
}

fn observed(stimulus: &Stimulus, does: Does) -> Observed {
    let expectation = |code| Expectation::at(Some(code), stimulus.address(), 0, 0, 0);
    Observed::exactly(match does {
        Does::Exits(code) => Outcome::Exit(expectation(code).exit(0)),
        Does::Delivers(code) => Outcome::Delivered(expectation(code).delivery()),
        Does::Stops => Outcome::Silent,
    })
}

/// The filter before the first: with it, what a host keeps of earlier ones is known.
const ALWAYS: Entry = Entry { now: Filter::ALWAYS, before: Filter::ALWAYS, kept: Filter::ALWAYS };

fn concluded(text: &str) -> Option<Conclusion> {
    let findings = Findings::of_text(text);
    assert_eq!(findings.sound(), Ok(()));
    let knowledge = Knowledge { tables: Arc::<Tables>::default(), subject: Subject::default() };
    Conclusion::of(&findings, &knowledge.accounts(&findings))
}

fn causes_with(
    keeps: Hypothesis,
    profile: Profile,
    width: Width,
    host: &dyn Fn(&Fault) -> Does,
) -> Vec<&'static str> {
    let mut run = Run { profile, width, keeps, host, entry: ALWAYS };
    concluded(&run.log(0, |_, _| ())).map(|conclusion| conclusion.causes).unwrap_or_default()
}

fn causes(profile: Profile, width: Width, host: &dyn Fn(&Fault) -> Does) -> Vec<&'static str> {
    causes_with(Hypothesis::AllExit, profile, width, host)
}

fn assert_named(widths: &[Width], expected: Hypothesis, host: &dyn Fn(&Fault) -> Does) {
    for &width in widths {
        let names = causes(Profile::Quick, width, host);
        assert_eq!(names, [expected.name()], "{width:?}");
    }
}

fn is_right(fault: &Fault) -> bool {
    fault.entry.now.exits(fault.code)
}

#[test]
fn each_wrong_host_is_named_and_no_other() {
    for profile in PROFILES {
        for hypothesis in Hypothesis::ALL {
            if hypothesis.is_by_l0() || !hypothesis.decides() {
                continue;
            }
            // No filter of the quick profile decides about the few accesses whose error code is to
            // be corrected.
            if (profile, hypothesis) == (Profile::Quick, Hypothesis::CodeBeforeFixup) {
                continue;
            }
            let width = if hypothesis.is_by_correction() { Width::Narrow } else { Width::Whole };
            let host = |fault: &Fault| {
                let l0 = Filter::NEVER;
                let Fault { entry, code, met, had_exit } = fault;
                decide(hypothesis.exits(entry, *code, *met, l0, *had_exit), *code)
            };
            let names = causes_with(hypothesis, profile, width, &host);
            assert_eq!(names, [hypothesis.name()], "{}", profile.name());
        }
    }
}

#[test]
fn a_healthy_host_is_never_suspected() {
    for profile in PROFILES {
        for width in WIDTHS {
            let host = |fault: &Fault| decide(is_right(fault), fault.code);
            let mut run =
                Run { profile, width, keeps: Hypothesis::AllExit, host: &host, entry: ALWAYS };
            assert_eq!(concluded(&run.log(0, |_, _| ())), None);
        }
    }
}

#[test]
fn faults_that_go_to_the_right_party_blame_no_filter() {
    let host = |fault: &Fault| decide(is_right(fault), fault.code - Pfec::RSVD);
    let mut run = Run {
        profile: Profile::Quick,
        width: Width::Whole,
        keeps: Hypothesis::AllExit,
        host: &host,
        entry: ALWAYS,
    };
    let conclusion = concluded(&run.log(0, |_, _| ())).unwrap();
    assert_eq!(conclusion.causes, [""; 0]);
    assert!(conclusion.sentence.starts_with("RSVD of error code is wrong"), "{conclusion:?}");
}

/// KVM's need with a smaller MAXPHYADDR, that of introspection, single bits, single codes.
const L0_FILTERS: [Filter; 6] = [
    Filter::new(true, 0x9, 0x1),
    Filter::new(true, 0x11, 0x11),
    Filter::new(true, 1, 1),
    Filter::new(true, 0x1f, 0x5),
    Filter::new(false, 0x7, 0x7),
    Filter::new(false, 0x12, 0),
];

#[test]
fn l0_s_own_filter_in_vmcs02_is_named() {
    for l0 in L0_FILTERS {
        assert_named(&WIDTHS, Hypothesis::L0FilterLeaked, &|fault| {
            decide(fault.met.map_or(is_right(fault), |met| l0.exits(met)), fault.code)
        });
        assert_named(&WIDTHS, Hypothesis::L0FilterLeaked, &|fault| {
            let now = fault.entry.now;
            let exits = fault.met.map_or(is_right(fault), |met| l0.exits(met) || now.exits(met));
            decide(exits, fault.code)
        });
        assert_named(&WIDTHS, Hypothesis::L0FilterOnly, &|fault| {
            let reaches_l0 = fault.met.is_none_or(|met| l0.exits(met));
            decide(reaches_l0 && is_right(fault), fault.code)
        });
    }
}

#[test]
fn l0_s_mask_and_match_with_l1_s_eb_are_named() {
    for l0 in L0_FILTERS {
        assert_named(&WIDTHS, Hypothesis::L0MaskMatch, &|fault| {
            let vmcs02 = Filter { eb_pf: fault.entry.now.eb_pf, ..l0 };
            decide(fault.met.map_or(is_right(fault), |met| vmcs02.exits(met)), fault.code)
        });
    }
}

#[test]
fn a_leak_that_loses_faults_of_l1_too_is_none() {
    let l0 = Filter::new(true, 0x9, 0x1);
    for width in WIDTHS {
        let names = causes(Profile::Quick, width, &|fault| {
            let lost = fault.code == Pfec::WR;
            let leaks = fault.met.map_or(is_right(fault), |met| l0.exits(met));
            decide(leaks || is_right(fault) && !lost, fault.code)
        });
        assert_eq!(names, [""; 0], "{width:?}");
    }
}

#[test]
fn what_is_named_where_l0_corrects_nothing_is_another_host() {
    assert_named(&[Width::Whole], Hypothesis::AllExit, &|fault| {
        fault.met.map_or_else(|| decide(is_right(fault), fault.code), Does::Exits)
    });
    assert_named(&[Width::Whole], Hypothesis::InverseIgnored, &|fault| {
        let met = fault.met.is_none_or(|met| Filter { eb_pf: true, ..fault.entry.now }.exits(met));
        decide(met && is_right(fault), fault.code)
    });
}

/// A group in which L2 gets faults of L0's.
fn silent_group(log: &mut Writer<&mut String>, number: usize) {
    let mut room = [None; 1];
    let mut tally = Tally::new(&mut room);
    tally.add("super-read-first", 0, Filter::NEVER, &"done>delivered14".parse().unwrap(), 1);
    log.differs(&"host.touch", &mut tally);
    log.result(number, &"host.touch", &Counts { cases: 48, differing: 1, ..Counts::default() });
}

/// L0 makes L2's page tables, and gets no fault where EB.PF is 0.
#[test]
fn a_host_with_mask_and_match_for_its_need_and_only_l1_s_eb_is_named() {
    let host = |fault: &Fault| {
        let raw = fault.code - Pfec::RSVD - Pfec::P;
        if fault.entry.now.eb_pf {
            decide(is_right(fault), fault.code)
        } else {
            Does::Delivers(raw)
        }
    };
    let keeps = Hypothesis::AllExit;
    let (profile, width) = (Profile::Quick, Width::Whole);
    let mut run = Run { profile, width, keeps, host: &host, entry: ALWAYS };
    assert_eq!(concluded(&run.log(0, |_, _| ())).unwrap().causes, ["inverse-ignored"]);
    let conclusion = concluded(&run.log(1, silent_group)).unwrap();
    assert_eq!(conclusion.causes, ["l0-need-without-eb"]);
}

/// The faults of L0's page tables reach L2 where L1's filter does not ask for them.
#[test]
fn a_host_that_runs_l2_on_l1_s_filter_under_shadow_paging_is_named() {
    let lets_through = |filter: Filter| {
        [0, 2, 4, 6, 16, 20].iter().any(|code| !filter.exits(Pfec::from_bits_retain(*code)))
    };
    for width in WIDTHS {
        let names = causes(Profile::Quick, width, &|fault| {
            if lets_through(fault.entry.now) {
                Does::Stops
            } else {
                decide(is_right(fault), fault.code)
            }
        });
        assert_eq!(names, ["l0-need-missing"], "{width:?}");
        // With EB.PF = 0 and MASK = MATCH = 0 none of them exits.
        let names = causes(Profile::Quick, width, &|fault| {
            if fault.entry.now.eb_pf { decide(is_right(fault), fault.code) } else { Does::Stops }
        });
        assert_eq!(names, ["l0-need-without-eb"], "{width:?}");
        // Where L2 stops in other walks, no filter is to blame.
        let names = causes(Profile::Quick, width, &|fault| {
            if fault.entry.now.mask & 2 == 0 {
                Does::Stops
            } else {
                decide(is_right(fault), fault.code)
            }
        });
        assert_eq!(names, [""; 0], "{width:?}");
    }
}

#[test]
fn large_groups_decide_where_a_small_one_has_something_else_wrong() {
    let host = |fault: &Fault| {
        let Entry { now, .. } = fault.entry;
        // Fetches of user-mode pages by the supervisor: one access of -smep0.
        let swapped = Filter::new(now.eb_pf, now.matching, now.mask).exits(fault.code);
        decide(swapped != (now.mask == 0x1f && fault.code == Pfec::ID), fault.code)
    };
    let names = causes(Profile::Quick, Width::Whole, &host);
    assert_eq!(names, [""; 0], "the largest group decides");
    assert!(l0_filters().len() > L0_FILTERS.len());
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
    assert!(!Hypothesis::StaleFilter.shows(rsvd_only, rsvd, Raised::AsSeen));
}
