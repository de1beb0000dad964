//! Groups: each filter of a family against each stimulus of a setting, one line of the log each.

use core::fmt;

use crc::Digest;
use spec::case::{Case, Probe};
use spec::deviation::{Deviation, Deviations};
use spec::filter::Filter;
use spec::group::Group;
use spec::host::HostAccess;
use spec::hypothesis::Suspects;
use spec::log::{CRC32, Counts, FAILURES_IN_FULL, REASON_ABOVE};
use spec::options::Options;
use spec::outcome::{Observed, Outcome};
use spec::scene::end::{End, Ends, How};
use spec::scene::environment::Environment;
use spec::scene::{Act, Scene};
use spec::setting::BASE;
use spec::stimulus::Stimulus;

use crate::cpu::Cpu;
use crate::guest::Guest;
use crate::host::{FreshMemory, Pages};
use crate::judge::Judge;
use crate::loader::Boot;
use crate::output::log;
use crate::stage::Stage;
use crate::vmx::Vmx;
use crate::walk::{Broken, EntryFailed, Walker};

/// Filters between two heartbeats.
const HEARTBEAT: usize = 64;
/// Scenes between two heartbeats.
const SCENES_PER_HEARTBEAT: usize = 32;

/// Why groups could not be run.
#[derive(Clone, Copy, Debug)]
pub enum Failed {
    /// No group has the name that was asked for.
    NoSuchGroup,
    /// The processor does not have the stimulus of the case that was asked for.
    NoSuchStimulus,
    /// The VM entry failed.
    Entry(EntryFailed),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup => f.write_str("the option filter= selects no group; `maskmatch list` shows them"),
            Self::NoSuchStimulus => f.write_str("the option case= names an access that this CPU cannot make"),
            Self::Entry(failed) => failed.fmt(f),
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
        walker: Walker::new(vmx, guest)?,
        memory: FreshMemory::behind_image(boot),
        told: Deviations::NONE,
        stage: None,
    };
    if let Some(case) = options.case {
        log().plan(1);
        return machine.run_group(1, case.group, Some(&case));
    }
    let groups = Group::selected(options.filter).count();
    if groups == 0 {
        return Err(Failed::NoSuchGroup);
    }
    log().plan(groups);
    for (at, group) in Group::selected(options.filter).enumerate() {
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

impl Machine<'_> {
    /// Runs a group, or one case of it, and logs its result.
    fn run_group(&mut self, number: usize, group: Group, only: Option<&Case>) -> Result<(), Failed> {
        let filters = if only.is_some() { 1 } else { group.filter_count(self.options.profile) };
        let mut tried = Tried::new(group, self.options.known);
        let started;
        match group {
            Group::Filter { family, setting } => {
                if let Some(reason) = self.cpu.lacks(setting.mode) {
                    log().skip(number, &group, &reason);
                    return Ok(());
                }
                let maxphyaddr = self.cpu.maxphyaddr;
                // One case may be any that the processor has, the profile's or not.
                let thin = only.is_none() && family.is_thin(self.options.profile);
                let stimuli = Stimulus::selected(setting, maxphyaddr, thin)
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
                        return Ok(());
                    }
                };
                let access = only.and_then(|case| match case.probe {
                    Probe::Host(access) => Some(access),
                    Probe::Stimulus(_) | Probe::Scene(_) => None,
                });
                started = tsc();
                self.each_filter(group, only, filters, |walker, memory, filter| {
                    tried.host_walk(filter, &mut pages, access, walker, memory)
                })?;
            }
            Group::Scene { act, environment } => {
                started = tsc();
                self.play(act, environment, only, &mut tried)?;
            }
        }
        tried.counts.tsc = tsc().wrapping_sub(started);
        tried.log(number, &mut self.told);
        Ok(())
    }

    /// Plays the scenes of an act, or one of them under one filter.
    fn play(
        &mut self,
        act: Act,
        environment: &'static Environment,
        only: Option<&Case>,
        tried: &mut Tried,
    ) -> Result<(), EntryFailed> {
        let vmx = self.walker.vmx();
        let stage = match &mut self.stage {
            Some(stage) => stage,
            none => none.insert(Stage::new(vmx, self.cpu.maxphyaddr)?),
        };
        stage.set_up(vmx, environment)?;
        let scenes = act.scenes_in(environment).count();
        for (at, scene) in act.scenes_in(environment).enumerate() {
            if only.is_some_and(|case| case.probe != Probe::Scene(scene)) {
                continue;
            }
            let lacks_pins =
                (!vmx.allows_pins(scene.pins)).then_some("VMX offers no \"NMI exiting\" or \"virtual NMIs\"");
            if let Some(reason) = scene.needs.and_then(|feature| self.cpu.lacks_feature(feature)).or(lacks_pins) {
                log().note(&format_args!("{}:{} is left out: {reason}", tried.group, scene.name));
                continue;
            }
            if let Some(deviation) = self.options.known.hanging(scene) {
                let reason = deviation.reason();
                log().note(&format_args!("{}:{} is left out: {reason}", tried.group, scene.name));
                continue;
            }
            if at % SCENES_PER_HEARTBEAT == 0 {
                log().progress(&tried.group, at, scenes);
            }
            let one = only.map(|case| [case.filter]);
            for &filter in one.as_ref().map_or(Act::filters(self.options.profile), |one| one) {
                let want = scene.expect(environment, filter, self.cpu.maxphyaddr);
                let got = stage.play(scene, filter, &want)?;
                tried.scene(scene, filter, &want, &got);
                if got.first.how != want.first.how {
                    // It went where its state was not foreseen.
                    stage.set_up(vmx, environment)?;
                }
            }
        }
        self.walker.make_current()
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
            if at % HEARTBEAT == 0 {
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
        let (tally, as_known) = judge.walk(filter, &walked, |stimulus, want, got| {
            self.not_right(filter, Probe::Stimulus(*stimulus), want, got);
        });
        if as_known && self.known.contains(Deviation::Rf0) {
            self.known_cases[Deviation::Rf0 as usize] += tally.exits;
        }
        self.counts.exits += tally.exits;
        self.counts.delivered += tally.delivered;
        self.digest.update(&tally.exited.to_le_bytes());
        if tally.seen != 0 {
            self.suspects.observe(filter, self.before, tally.seen, tally.exited);
        }
        self.before = filter;
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
    fn scene(&mut self, scene: &'static Scene, filter: Filter, want: &Ends, got: &Ends) {
        self.counts.cases += 1;
        let exit = matches!(got.first, End { how: How::Exit(_), .. });
        self.counts.exits += u64::from(exit);
        self.counts.delivered += u64::from(matches!(got.first, End { how: How::Delivered(_), .. }));
        self.digest.update(&[u8::from(exit)]);
        if want.admits(got) {
            return;
        }
        if let Some(deviation) = self.known.explaining_scene(scene, want, got) {
            self.known_cases[deviation as usize] += 1;
            return;
        }
        self.failed(&Case { group: self.group, probe: Probe::Scene(scene), filter }, want, got);
    }

    /// A case that is not as the manual says: a known deviation or a failure.
    fn not_right(&mut self, filter: Filter, probe: Probe, want: &Observed, got: &Observed) {
        let case = Case { group: self.group, probe, filter };
        if let Some(deviation) = self.known.explaining(&case, want, got) {
            self.known_cases[deviation as usize] += 1;
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
        self.counts.failed += cases as u64;
        if self.counts.failed - cases as u64 <= FAILURES_IN_FULL {
            log().fail(&format_args!("{}:walk:{filter}", self.group), &"complete-walk", &broken);
        }
    }

    /// Logs the result. A known deviation's reason is told once a log.
    fn log(&mut self, number: usize, told: &mut Deviations) {
        self.counts.digest = self.digest.clone().finalize();
        if self.counts.failed > 0 && matches!(self.group, Group::Filter { .. }) {
            log().cause(&self.group, &self.suspects);
        }
        for deviation in self.known.iter() {
            let cases = self.known_cases[deviation as usize];
            if cases > 0 {
                let reason = if told.contains(deviation) { REASON_ABOVE } else { deviation.reason() };
                *told = told.with(deviation);
                log().known(&self.group, deviation.name(), cases, reason);
            }
        }
        self.counts.known = self.known_cases.iter().sum();
        log().result(number, &self.group, &self.counts);
    }
}

/// The time stamp counter. On Bochs it counts instructions.
fn tsc() -> u64 {
    #[expect(unsafe_code, reason = "RDTSC is an intrinsic")]
    // SAFETY: every processor with long mode has RDTSC, and CR4.TSD is 0.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}
