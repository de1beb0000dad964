//! What a group has seen so far: its cases counted and judged, and its result in the log.

use core::fmt;

use crc::Digest;
use spec::catalogue::case::{Case, Probe};
use spec::catalogue::group::Group;
use spec::deviation::{Deviation, Deviations};
use spec::log::{CRC32, Counts, FAILURES_IN_FULL, REASON_ABOVE};
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::scene::Scene;
use spec::scene::end::{End, Ends, How};
use spec::suspects::Suspects;
use spec::walk::host::HostAccess;
use spec::walk::outcome::{Observed, Outcome};
use spec::walk::stimulus::Stimulus;

use crate::machine::log::log;
use crate::smp::{Gone, Judged};
use crate::walk::action::Acting;
use crate::walk::host::{FreshMemory, Pages};
use crate::walk::judge::Judge;
use crate::walk::l1_faults;
use crate::walk::walker::{Broken, CR2_AT_START, EntryFailed, Walked, Walker};

/// What a group has seen so far.
pub struct Tried {
    /// The group.
    pub group: Group,
    /// Its counts.
    pub counts: Counts,
    digest: Digest<'static, u32>,
    suspects: Suspects,
    before: Filter,
    known: Deviations,
    known_cases: [u64; Deviation::ALL.len()],
    /// The first case that showed each.
    examples: [Option<Example>; Deviation::ALL.len()],
}

/// A case with what must be and what was.
#[derive(Clone, Copy)]
struct Example {
    case: Case,
    want: Observed,
    got: Observed,
}

impl Tried {
    /// Nothing yet.
    pub fn new(group: Group, known: Deviations) -> Self {
        // The walker's first filter stands for "the entry before" of the first.
        Self {
            group,
            counts: Counts::default(),
            digest: CRC32.digest(),
            suspects: Suspects::all(),
            before: Filter::ALWAYS,
            known,
            known_cases: [0; Deviation::ALL.len()],
            examples: [None; Deviation::ALL.len()],
        }
    }

    /// One walk: all cases of a filter.
    pub fn walk(&mut self, filter: Filter, judge: &mut Judge, walker: &mut Walker) -> Result<(), EntryFailed> {
        let walked = walker.walk(filter)?;
        let broken = walked.broken;
        self.counts.cases += judge.len() as u64;
        if let Some(broken) = broken {
            self.broken(filter, broken, judge.len());
            return walker.restart();
        }
        self.judged(filter, &walked, judge);
        Ok(())
    }

    /// Judges a complete walk.
    fn judged(&mut self, filter: Filter, walked: &Walked<'_>, judge: &mut Judge) {
        let (tally, as_known) = judge.walk(filter, walked, |stimulus, want, got| {
            self.not_right(filter, Probe::Stimulus(*stimulus), want, got);
        });
        if as_known && self.known.contains(Deviation::Rf0) {
            self.known_cases[Deviation::Rf0 as usize] += tally.exits;
        }
        self.counts.exits += tally.exits;
        self.counts.delivered += tally.delivered;
        self.digest.update(&tally.exited.to_le_bytes());
        self.suspects.observe(filter, self.before, &tally.evidence);
        self.before = filter;
    }

    /// One walk behind a host action, and L1's own page faults behind that. `own` is one of these, if no other
    /// is wanted; with `l2_alone` none is.
    pub fn acted_walk(
        &mut self,
        filter: Filter,
        acting: &mut Acting,
        own: Option<Stimulus>,
        l2_alone: bool,
        walker: &mut Walker,
    ) -> Result<(), EntryFailed> {
        self.counts.cases += acting.len() as u64;
        if let Err(status) = acting.before(walker) {
            self.broken(filter, Broken::Refused(status), acting.len());
            return Ok(());
        }
        let made = acting.act(filter, walker)?;
        if let Some(refusal) = made.refusal {
            log().note(&format_args!("{}: L0 refuses the change, as it may: {refusal}", self.group));
        }
        if let Some(broken) = made.broken {
            self.broken(filter, broken, acting.len());
            return walker.restart();
        }
        if made.walked {
            let mut cr2 = CR2_AT_START;
            if let Some((want, got)) = acting.event(filter, walker) {
                // What a delivered fault leaves; one that went to the wrong party leaves nothing.
                cr2 = got.delivery.map_or(cr2, |delivery| delivery.cr2);
                self.counts.cases += 1;
                if want != got {
                    self.not_right(filter, Probe::Event, &want, &got);
                }
            }
            let walked = walker.last().behind_event(cr2);
            self.judged(filter, &walked, acting.judge());
        } else {
            // An INIT signal has ended the walk that asked: `act` saw to that.
            self.counts.cases += u64::from(acting.has_init());
            acting.between(walker);
            let walked = walker.walk(filter)?;
            if let Some(broken) = walked.broken {
                self.broken(filter, broken, acting.len());
                return walker.restart();
            }
            self.judged(filter, &walked, acting.judge());
        }
        if !l2_alone {
            l1_faults::check(acting.maxphyaddr(), &walker.guest().header, own, |stimulus, want, got| {
                self.counts.cases += 1;
                if got != want {
                    self.not_right(filter, Probe::Own(*stimulus), want, got);
                }
            });
        }
        if let Err(status) = acting.undo() {
            self.broken(filter, Broken::Refused(status), acting.len());
        }
        Ok(())
    }

    /// One walk over the pages of a wish of L0: every access must be silent, and have its effect.
    pub fn host_walk(
        &mut self,
        filter: Filter,
        pages: &mut Pages,
        only: Option<HostAccess>,
        walker: &mut Walker,
        memory: &mut FreshMemory,
    ) -> Result<(), EntryFailed> {
        let cases = pages.map(walker, memory, only);
        self.counts.cases += cases as u64;
        let walked = walker.walk(filter)?;
        if let Some(broken) = walked.broken {
            self.broken(filter, broken, cases);
            return walker.restart();
        }
        let want = Observed::exactly(Outcome::Silent);
        for (access, got) in pages.observed(&walked) {
            self.counts.exits += got.exits;
            self.counts.delivered += got.deliveries;
            if got != want {
                self.not_right(filter, Probe::Host(access), &want, &got);
            }
        }
        Ok(())
    }

    /// One case of a scene.
    pub fn scene(&mut self, scene: &'static Scene, filter: Filter, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) {
        self.counts.cases += 1;
        let exit = matches!(got.first, End { how: How::Exit(_), .. });
        self.counts.exits += u64::from(exit);
        self.counts.delivered += u64::from(matches!(got.first, End { how: How::Delivered(_), .. }));
        self.digest.update(&[u8::from(exit)]);
        if want.admits(got) {
            return;
        }
        let case = Case { group: self.group, probe: Probe::Scene(scene), filter };
        if let Some(deviation) = self.known.explaining_scene(&case, maxphyaddr, want, got) {
            self.known_cases[deviation as usize] += 1;
            return;
        }
        self.failed(&case, want, got);
    }

    /// One case on one of two processors.
    pub fn smp(&mut self, filter: Filter, Judged { probe, wants, got }: &Judged) {
        self.counts.cases += 1;
        match got {
            Ok(got) => {
                self.counts.exits += got.exits;
                self.counts.delivered += got.deliveries;
                self.digest.update(&[got.exits as u8]);
                if !wants.contains(got) {
                    // The second may be that of the old page tables.
                    let case = Case { group: self.group, probe: Probe::Smp(*probe), filter };
                    let known = wants.iter().find(|want| self.known.explaining(&case, want, got).is_some());
                    self.not_right(filter, Probe::Smp(*probe), known.unwrap_or(&wants[0]), got);
                }
            }
            Err(trouble) => {
                let case = Case { group: self.group, probe: Probe::Smp(*probe), filter };
                self.failed(&case, &wants[0], trouble);
            }
        }
    }

    /// The second processor is stuck or dead: the rest of the group cannot be tried.
    pub fn gone(&mut self, filter: Filter, gone: Gone) {
        self.counts.cases += 1;
        self.counts.failed += 1;
        if self.counts.failed <= FAILURES_IN_FULL {
            log().fail(&format_args!("{}:walk:{filter}", self.group), &"complete-walk", &gone);
        }
    }

    /// A case that is not as the manual says: a known deviation or a failure.
    fn not_right(&mut self, filter: Filter, probe: Probe, want: &Observed, got: &Observed) {
        let case = Case { group: self.group, probe, filter };
        if let Some(deviation) = self.known.explaining(&case, want, got) {
            self.known_cases[deviation as usize] += 1;
            self.examples[deviation as usize].get_or_insert(Example { case, want: *want, got: *got });
            return;
        }
        self.failed(&case, want, got);
    }

    fn failed(&mut self, case: &Case, want: &dyn fmt::Display, got: &dyn fmt::Display) {
        self.counts.failed += 1;
        if self.counts.failed <= FAILURES_IN_FULL {
            log().fail(case, want, got);
        }
    }

    /// A walk without an end: none of its cases can be judged, so all of them failed.
    fn broken(&mut self, filter: Filter, broken: Broken, cases: usize) {
        if let (Broken::Refused(status), 0) = (broken, self.counts.failed) {
            log().note(&format_args!("{}: {status}", self.group));
        }
        self.counts.failed += cases as u64;
        if matches!(broken, Broken::Vector(_) | Broken::Reason(..)) {
            self.suspects.stuck();
        }
        // L2 starts again under this one.
        self.before = Filter::ALWAYS;
        if self.counts.failed - cases as u64 <= FAILURES_IN_FULL {
            log().fail(&format_args!("{}:walk:{filter}", self.group), &"complete-walk", &broken);
        }
    }

    /// L2 does not get to its next walk: the rest of the group cannot be tried. `filter` is vmcs12's.
    pub fn stopped(&mut self, filter: Filter, failed: EntryFailed) {
        failed.log(&self.group, filter);
        self.counts.cases += 1;
        self.counts.failed += 1;
        self.suspects.stuck();
    }

    /// Logs the result. A known deviation's reason is told once a log.
    pub fn log(&mut self, number: usize, told: &mut Deviations) {
        self.counts.digest = self.digest.clone().finalize();
        let is_walked = matches!(self.group, Group::Filter { .. } | Group::Action(_));
        if self.counts.failed > 0 && (is_walked || self.suspects.is_stuck()) {
            log().cause(&self.group, &self.suspects);
        }
        for deviation in self.known.iter() {
            let cases = self.known_cases[deviation as usize];
            if cases > 0 {
                let first = !told.contains(deviation);
                *told = told.with(deviation);
                log().known(
                    &self.group,
                    deviation.name(),
                    cases,
                    if first { deviation.reason() } else { REASON_ABOVE },
                );
                // RF is lost in every exit, of which no example says more than the reason.
                if let Some(Example { case, want, got }) = self.examples[deviation as usize]
                    && first
                    && deviation != Deviation::Rf0
                {
                    log().note(&format_args!("{}, for example {case}: want {want} got {got}", deviation.name()));
                }
            }
        }
        self.counts.known = self.known_cases.iter().sum();
        log().result(number, &self.group, &self.counts);
    }
}
