//! Groups: each filter of a family against each stimulus of a setting, one line of the log each.

use core::fmt;

use spec::catalogue::case::{Case, Probe};
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::channel::Status;
use spec::deviation::Deviations;
use spec::manual::filter::Filter;
use spec::scene::Act;
use spec::scene::end::Words;
use spec::scene::environment::Environment;
use spec::smp::Smp;
use spec::walk::setting::BASE;

use crate::machine::apic::Apic;
use crate::machine::cpu::Cpu;
use crate::machine::loader::Boot;
use crate::machine::log::log;
use crate::machine::trace;
use crate::scene::stage::{Around, Stage};
use crate::smp::{self, Pair};
use crate::tally::Tried;
use crate::vmx::Vmx;
use crate::walk::action::Acting;
use crate::walk::guest::Guest;
use crate::walk::host::{FreshMemory, Pages};
use crate::walk::judge::Judge;
use crate::walk::walker::{EntryFailed, Walker};

/// Filters between two heartbeats; of host actions, each of which may take the host a while.
const HEARTBEAT: usize = 64;
const HEARTBEAT_ACTION: usize = 4;
/// Plays of scenes between two heartbeats.
const PLAYS_PER_HEARTBEAT: usize = 200;
/// More reasons to leave scenes out than a group has.
const MAX_REASONS: usize = 8;

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
        let count = plays.clone().count();
        let words = if only.is_some() { Words::MAX } else { act.words(profile) };
        let mut left_out = [None; MAX_REASONS];
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
                let told = left_out.iter_mut().find(|told| told.is_none_or(|told| told == reason));
                if told.is_some_and(|told| told.replace(reason).is_none()) {
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
            let mut want = scene.expect(environment, filter, self.cpu.maxphyaddr);
            let case = Case { group, probe: Probe::Scene(scene), filter };
            if let Some(deviation) = self.options.known.unplayable(&case, self.cpu.maxphyaddr, &want) {
                leave_out(deviation.reason());
                continue;
            }
            want.restrict(words);
            let got = stage.play(scene, filter, &want, around)?;
            tried.scene(scene, filter, self.cpu.maxphyaddr, &want, got);
        }
        self.walker.make_current()?;
        Ok(left_out[0].filter(|_| tried.counts.cases == 0))
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

/// The time stamp counter. On Bochs it counts instructions.
pub fn tsc() -> u64 {
    #[expect(unsafe_code, reason = "RDTSC is an intrinsic")]
    // SAFETY: every processor with long mode has RDTSC, and CR4.TSD is 0.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}
