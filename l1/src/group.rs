//! Groups: each filter of a family against each stimulus of a setting, one line of the log each.

use core::fmt;

use crc::Digest;
use spec::case::{Case, Probe};
use spec::channel::Status;
use spec::deviation::{Deviation, Deviations};
use spec::filter::Filter;
use spec::group::Group;
use spec::host::HostAccess;
use spec::hypothesis::Suspects;
use spec::log::{CRC32, Counts, FAILURES_IN_FULL, REASON_ABOVE};
use spec::options::Options;
use spec::outcome::{Observed, Outcome};
use spec::paging::Maxphyaddr;
use spec::plan::Profile;
use spec::scene::end::{End, Ends, How, Words};
use spec::scene::environment::Environment;
use spec::scene::{Act, Scene};
use spec::setting::BASE;
use spec::smp::Smp;
use spec::stimulus::Stimulus;

use crate::action::Acting;
use crate::apic::Apic;
use crate::cpu::Cpu;
use crate::guest::Guest;
use crate::host::{FreshMemory, Pages};
use crate::judge::Judge;
use crate::loader::Boot;
use crate::output::log;
use crate::own;
use crate::smp::{self, Gone, Judged, Pair};
use crate::stage::{Around, Stage};
use crate::trace;
use crate::vmx::Vmx;
use crate::walk::{Broken, CR2_AT_START, EntryFailed, Walked, Walker};

/// Filters between two heartbeats; of host actions, each of which may take the host a while.
const HEARTBEAT: usize = 64;
const HEARTBEAT_ACTION: usize = 4;
/// Plays of scenes between two heartbeats.
const PLAYS_PER_HEARTBEAT: usize = 200;

/// Why groups could not be run.
#[derive(Clone, Copy, Debug)]
pub enum Failed {
    /// No group has the name that was asked for.
    NoSuchGroup,
    /// The processor does not have the stimulus of the case that was asked for.
    NoSuchStimulus,
    /// The VM entry failed.
    Entry(EntryFailed),
    /// The VMM does not give the guest its first state back.
    Ask(Status),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup => f.write_str("the option filter= selects no group; `maskmatch list` shows them"),
            Self::NoSuchStimulus => f.write_str("the option case= names an access that this CPU cannot make"),
            Self::Entry(failed) => failed.fmt(f),
            Self::Ask(status) => write!(f, "the guest does not get its first state back: {status}"),
        }
    }
}

impl From<EntryFailed> for Failed {
    fn from(failed: EntryFailed) -> Self {
        Self::Entry(failed)
    }
}

/// Runs what the options select.
pub fn run(options: &Options<'_>, boot: &Boot, cpu: &Cpu, vmx: Vmx, guest: Guest) -> Result<(), Failed> {
    let mut machine = Machine {
        options,
        cpu,
        walker: Walker::new(vmx, guest),
        memory: FreshMemory::behind_image(boot),
        told: Deviations::NONE,
        stage: None,
    };
    if let Some(case) = options.case {
        log().plan(1);
        trace::begin();
        return machine.run_group(1, case.group, Some(&case));
    }
    let groups = Group::selected(options.filter, options.profile).count();
    if groups == 0 {
        return Err(Failed::NoSuchGroup);
    }
    log().plan(groups);
    for (at, group) in Group::selected(options.filter, options.profile).enumerate() {
        machine.run_group(at + 1, group, None)?;
    }
    Ok(())
}

/// What all groups use.
struct Machine<'a> {
    options: &'a Options<'a>,
    cpu: &'a Cpu,
    walker: Walker,
    memory: FreshMemory,
    /// Known deviations whose reason is in the log.
    told: Deviations,
    /// Made for the first group that plays on it.
    stage: Option<Stage>,
}

/// What became of a group.
enum Ran {
    Tried,
    Skipped,
}

impl Machine<'_> {
    /// Runs a group, or one case of it, and logs its result.
    fn run_group(&mut self, number: usize, group: Group, only: Option<&Case>) -> Result<(), Failed> {
        let mut tried = Tried::new(group, self.options.known);
        let walks = matches!(group, Group::Filter { .. } | Group::Host(_) | Group::Action(_));
        let started = if walks { self.walker.start() } else { Ok(()) };
        match started.map_err(Failed::Entry).and_then(|()| self.try_group(number, group, only, &mut tried)) {
            Ok(Ran::Tried) => {}
            Ok(Ran::Skipped) => return Ok(()),
            Err(Failed::Entry(failed)) if walks && self.walker.blames_host(failed) => {
                tried.stopped(self.walker.filter(), failed);
            }
            Err(failed) => return Err(failed),
        }
        tried.log(number, &mut self.told);
        Ok(())
    }

    /// Tries the cases of a group, or logs why it is skipped.
    fn try_group(
        &mut self,
        number: usize,
        group: Group,
        only: Option<&Case>,
        tried: &mut Tried,
    ) -> Result<Ran, Failed> {
        let filters = if only.is_some() { 1 } else { group.filter_count(self.options.profile) };
        let started;
        match group {
            Group::Filter { family, setting } => {
                if let Some(reason) = self.cpu.lacks(setting.mode) {
                    log().skip(number, &group, &reason);
                    return Ok(Ran::Skipped);
                }
                let maxphyaddr = self.cpu.maxphyaddr;
                // One case may be any that the processor has, the profile's or not.
                let profile = if only.is_some() { Profile::Exhaustive } else { self.options.profile };
                let stimuli = family
                    .stimuli(setting, profile, maxphyaddr)
                    .filter(|stimulus| only.is_none_or(|case| case.probe == Probe::Stimulus(*stimulus)));
                let mut judge = Judge::new(setting, stimuli, self.walker.guest(), maxphyaddr, self.options.known);
                if judge.len() == 0 {
                    return Err(Failed::NoSuchStimulus);
                }
                // Every setting is entered from the base: what a host keeps from there must not show.
                if setting != BASE {
                    self.walker.prepare(BASE.mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));
                    if self.walker.walk(Filter::NEVER)?.broken.is_some() {
                        self.walker.restart()?;
                    }
                    judge.forget_effects();
                }
                self.walker.prepare(setting.mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));
                started = tsc();
                self.each_filter(group, only, filters, |walker, _, filter| tried.walk(filter, &mut judge, walker))?;
            }
            Group::Host(wish) => {
                let mut pages = match Pages::new(wish, filters, &self.memory, self.cpu) {
                    Ok(pages) => pages,
                    Err(reason) => {
                        log().skip(number, &group, &reason);
                        return Ok(Ran::Skipped);
                    }
                };
                let access = only.and_then(|case| match case.probe {
                    Probe::Host(access) => Some(access),
                    Probe::Stimulus(_) | Probe::Own(_) | Probe::Event | Probe::Scene(_) | Probe::Smp(_) => None,
                });
                started = tsc();
                self.each_filter(group, only, filters, |walker, memory, filter| {
                    tried.host_walk(filter, &mut pages, access, walker, memory)
                })?;
            }
            Group::Scene { act, environment } => {
                if let Some(reason) = self.cpu.lacks_environment(environment) {
                    log().skip(number, &group, &reason);
                    return Ok(Ran::Skipped);
                }
                if let Err(missing) = self.walker.vmx().controls_for(environment) {
                    log().skip(number, &group, &missing);
                    return Ok(Ran::Skipped);
                }
                started = tsc();
                if let Some(reason) = self.play(act, environment, only, tried)? {
                    log().skip(number, &group, &reason);
                    return Ok(Ran::Skipped);
                }
            }
            Group::Smp(smp) => match self.pair(number, group, smp, only, tried)? {
                Some(start) => started = start,
                None => return Ok(Ran::Skipped),
            },
            Group::Action(action) => {
                let (stimulus, own) = match only.map(|case| case.probe) {
                    Some(Probe::Stimulus(stimulus)) => (Some(stimulus), None),
                    Some(Probe::Own(stimulus)) => (None, Some(stimulus)),
                    Some(Probe::Host(_) | Probe::Event | Probe::Scene(_) | Probe::Smp(_)) | None => (None, None),
                };
                let mut acting = match Acting::new(action, stimulus, &mut self.walker, self.cpu, self.options.known) {
                    Ok(acting) => acting,
                    Err(reason) => {
                        log().skip(number, &group, &reason);
                        return Ok(Ran::Skipped);
                    }
                };
                if acting.is_empty() {
                    return Err(Failed::NoSuchStimulus);
                }
                started = tsc();
                let walked = self.each_filter(group, only, filters, |walker, _, filter| {
                    tried.acted_walk(filter, &mut acting, own, stimulus.is_some(), walker)
                });
                if walked.is_err() {
                    // Whatever comes of it: L2 does not walk.
                    let _ = acting.undo();
                }
                if let Err(status) = acting.end(&mut self.walker, self.cpu) {
                    return Err(Failed::Ask(status));
                }
                walked?;
            }
        }
        // The TSC need not go on across a move to a new VM.
        if !matches!(group, Group::Action(_)) {
            tried.counts.tsc = tsc().wrapping_sub(started);
        }
        Ok(Ran::Tried)
    }

    /// Runs a group on two processors, or one case of it; when it began, if there are two.
    fn pair(
        &mut self,
        number: usize,
        group: Group,
        smp: Smp,
        only: Option<&Case>,
        tried: &mut Tried,
    ) -> Result<Option<u64>, EntryFailed> {
        let mut pair = match Pair::start(smp, self.walker.vmx(), self.cpu) {
            Ok(pair) => pair,
            Err(smp::Unavailable::NoSecond(reason)) => {
                log().skip(number, &group, &reason);
                return Ok(None);
            }
            Err(smp::Unavailable::Failed(failed)) => return Err(failed),
        };
        let started = tsc();
        let probe = only.and_then(|case| if let Probe::Smp(probe) = case.probe { Some(probe) } else { None });
        let filters = if only.is_some() { 1 } else { group.filter_count(self.options.profile) };
        for at in 0..filters {
            log().progress(&group, at, filters);
            let filter = only.map_or_else(|| group.filter(self.options.profile, at), |case| case.filter);
            if let Err(gone) = pair.run(smp, filter, probe, |case| tried.smp(filter, &case)) {
                tried.gone(filter, gone);
                break;
            }
        }
        if let Err(gone) = pair.end() {
            tried.gone(Filter::NEVER, gone);
        }
        self.walker.make_current()?;
        Ok(Some(started))
    }

    /// Plays the scenes of an act, or one of them under one filter. Where none can be played: why.
    fn play(
        &mut self,
        act: Act,
        environment: &'static Environment,
        only: Option<&Case>,
        tried: &mut Tried,
    ) -> Result<Option<&'static str>, EntryFailed> {
        let vmx = self.walker.vmx();
        let stage = match &mut self.stage {
            Some(stage) => stage,
            none => none.insert(Stage::new(vmx, self.options.known)?),
        };
        let around = Around {
            vmx,
            header: &self.walker.guest().header,
            maxphyaddr: self.cpu.maxphyaddr,
            apic: Apic::of(self.cpu),
        };
        stage.set_up(environment, around)?;
        let profile = self.options.profile;
        // One case may be any, the profile's or not.
        let one = only.into_iter().filter_map(|case| match case.probe {
            Probe::Scene(scene) => Some((case.filter, scene)),
            _ => None,
        });
        let all = only.is_none().then(|| act.plays(environment, profile)).into_iter().flatten();
        let plays = all.map(|(at, scene)| (act.filter(profile, at), scene)).chain(one);
        let count = if only.is_some() { 1 } else { act.plays(environment, profile).count() };
        let words = if only.is_some() { Words::MAX } else { act.words(profile) };
        let mut left_out = None;
        for (at, (filter, scene)) in plays.enumerate() {
            if !scene.exists(self.cpu.maxphyaddr) {
                continue;
            }
            let lacking = match scene.needs {
                Some(feature) => self
                    .cpu
                    .lacks_feature(feature, vmx)
                    .map_or_else(|| stage.lacks_feature(feature, around), |r| Ok(Some(r)))?,
                None => None,
            };
            let lacks_pins =
                (!vmx.allows_pins(scene.pins)).then_some("VMX offers no \"NMI exiting\" or \"virtual NMIs\"");
            // Each reason is told once: the scenes of an act often need the same.
            let group = tried.group;
            let mut leave_out = |reason| {
                if left_out.replace(reason) != Some(reason) {
                    log().note(&format_args!("{group}:{} is left out: {reason}", scene.name));
                }
            };
            if let Some(reason) = lacking.or(lacks_pins) {
                leave_out(reason);
                continue;
            }
            if at % PLAYS_PER_HEARTBEAT == 0 {
                log().progress(&tried.group, at, count);
            }
            let want = scene.expect(environment, filter, self.cpu.maxphyaddr);
            let case = Case { group, probe: Probe::Scene(scene), filter };
            if let Some(deviation) = self.options.known.unplayable(&case, self.cpu.maxphyaddr, &want) {
                leave_out(deviation.reason());
                continue;
            }
            let want = want.within(words);
            let got = stage.play(scene, filter, &want, around)?;
            tried.scene(scene, filter, self.cpu.maxphyaddr, &want, &got);
        }
        self.walker.make_current()?;
        Ok(left_out.filter(|_| tried.counts.cases == 0))
    }

    /// Calls `walk` with each filter of a group, with heartbeats between.
    fn each_filter(
        &mut self,
        group: Group,
        only: Option<&Case>,
        filters: usize,
        mut walk: impl FnMut(&mut Walker, &mut FreshMemory, Filter) -> Result<(), EntryFailed>,
    ) -> Result<(), EntryFailed> {
        for at in 0..filters {
            let heartbeat = if matches!(group, Group::Action(_)) { HEARTBEAT_ACTION } else { HEARTBEAT };
            if at % heartbeat == 0 {
                log().progress(&group, at, filters);
            }
            let filter = only.map_or_else(|| group.filter(self.options.profile, at), |case| case.filter);
            walk(&mut self.walker, &mut self.memory, filter)?;
        }
        Ok(())
    }
}

/// What a group has seen so far.
struct Tried {
    group: Group,
    counts: Counts,
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
    fn new(group: Group, known: Deviations) -> Self {
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
    fn walk(&mut self, filter: Filter, judge: &mut Judge, walker: &mut Walker) -> Result<(), EntryFailed> {
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
    fn acted_walk(
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
            own::check(acting.maxphyaddr(), &walker.guest().header, own, |stimulus, want, got| {
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
    fn host_walk(
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
    fn scene(&mut self, scene: &'static Scene, filter: Filter, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) {
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
    fn smp(&mut self, filter: Filter, Judged { probe, wants, got }: &Judged) {
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
    fn gone(&mut self, filter: Filter, gone: Gone) {
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
    fn stopped(&mut self, filter: Filter, failed: EntryFailed) {
        let what = if matches!(failed, EntryFailed::Start(_)) { "start" } else { "walk" };
        log().fail(
            &format_args!("{}:{what}:{filter}", self.group),
            &format_args!("complete-{what}"),
            &failed.outcome(),
        );
        self.counts.cases += 1;
        self.counts.failed += 1;
        self.suspects.stuck();
    }

    /// Logs the result. A known deviation's reason is told once a log.
    fn log(&mut self, number: usize, told: &mut Deviations) {
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

/// The time stamp counter. On Bochs it counts instructions.
pub fn tsc() -> u64 {
    #[expect(unsafe_code, reason = "RDTSC is an intrinsic")]
    // SAFETY: every processor with long mode has RDTSC, and CR4.TSD is 0.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}
