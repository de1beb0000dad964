//! Groups: each filter of a family against each stimulus of a setting, one line of the log each.

use core::fmt;

use crc::Digest;
use spec::case::Case;
use spec::deviation::Deviation;
use spec::filter::Filter;
use spec::group::Group;
use spec::hypothesis::Suspects;
use spec::log::{CRC32, Counts, FAILURES_IN_FULL};
use spec::options::Options;
use spec::outcome::Observed;
use spec::stimulus::Stimulus;

use crate::cpu::Cpu;
use crate::guest::Guest;
use crate::judge::Judge;
use crate::output::log;
use crate::vmx::Vmx;
use crate::walk::{Broken, EntryFailed, Walker};

/// Filters between two heartbeats.
const HEARTBEAT: usize = 64;

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
pub fn run(options: &Options<'_>, cpu: &Cpu, vmx: Vmx, guest: Guest) -> Result<(), Failed> {
    let mut walker = Walker::new(vmx, guest)?;
    if let Some(case) = options.case {
        log().plan(1);
        return run_group(1, &case.group, Some(&case), options, cpu, &mut walker);
    }
    let groups = Group::selected(options.filter).count();
    if groups == 0 {
        return Err(Failed::NoSuchGroup);
    }
    log().plan(groups);
    for (at, group) in Group::selected(options.filter).enumerate() {
        run_group(at + 1, &group, None, options, cpu, &mut walker)?;
    }
    Ok(())
}

/// Runs a group, or one case of it, and logs its result.
fn run_group(
    number: usize,
    group: &Group,
    only: Option<&Case>,
    options: &Options<'_>,
    cpu: &Cpu,
    walker: &mut Walker,
) -> Result<(), Failed> {
    let mode = group.setting.mode;
    if let Some(reason) = cpu.lacks(mode) {
        log().skip(number, group, &reason);
        return Ok(());
    }
    let stimulus = only.map(|case| case.stimulus);
    let mut judge = Judge::new(group.setting, stimulus, walker.guest(), cpu.maxphyaddr, options.known);
    if judge.len() == 0 {
        return Err(Failed::NoSuchStimulus);
    }
    walker.prepare(mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));

    let filters = if only.is_some() { 1 } else { group.filters(options.profile) };
    let mut tried = Tried::new(*group);
    let started = tsc();
    for at in 0..filters {
        if at % HEARTBEAT == 0 {
            log().progress(group, at, filters);
        }
        let filter = only.map_or_else(|| group.family.filter(options.profile, at), |case| case.filter);
        tried.walk(filter, &mut judge, walker)?;
    }
    tried.counts.tsc = tsc().wrapping_sub(started);
    tried.log(number);
    Ok(())
}

/// What a group has seen so far.
struct Tried {
    group: Group,
    counts: Counts,
    digest: Digest<'static, u32>,
    suspects: Suspects,
    before: Filter,
}

impl Tried {
    fn new(group: Group) -> Self {
        // The walker's first filter stands for "the entry before" of the first.
        Self {
            group,
            counts: Counts::default(),
            digest: CRC32.digest(),
            suspects: Suspects::all(),
            before: Filter::ALWAYS,
        }
    }

    /// One walk: all cases of a filter.
    fn walk(&mut self, filter: Filter, judge: &mut Judge, walker: &mut Walker) -> Result<(), EntryFailed> {
        let walked = walker.walk(filter)?;
        let broken = walked.broken;
        self.counts.cases += judge.len() as u64;
        if let Some(broken) = broken {
            self.broken(filter, broken, judge.len());
            return walker.restart(self.group.setting.mode);
        }
        let tally = judge.walk(filter, &walked, |stimulus, want, got| self.failed(filter, stimulus, want, got));
        self.counts.known += tally.known;
        self.counts.exits += tally.exits;
        self.counts.delivered += tally.delivered;
        self.digest.update(&tally.exited.to_le_bytes());
        if tally.seen != 0 {
            self.suspects.observe(filter, self.before, tally.seen, tally.exited);
        }
        self.before = filter;
        Ok(())
    }

    fn failed(&mut self, filter: Filter, stimulus: &Stimulus, want: &Observed, got: &Observed) {
        self.counts.failed += 1;
        if self.counts.failed <= FAILURES_IN_FULL {
            let case = Case { group: self.group, stimulus: *stimulus, filter };
            log().fail(&case, want, got);
        }
    }

    /// A walk without an end: none of its cases can be judged, so all of them failed.
    fn broken(&mut self, filter: Filter, broken: Broken, cases: usize) {
        self.counts.failed += cases as u64;
        if self.counts.failed - cases as u64 <= FAILURES_IN_FULL {
            log().fail(&format_args!("{}:walk:{filter}", self.group), &"complete-walk", &broken);
        }
    }

    fn log(&mut self, number: usize) {
        self.counts.digest = self.digest.clone().finalize();
        if self.counts.failed > 0 {
            log().cause(&self.group, &self.suspects);
        }
        if self.counts.known > 0 {
            let deviation = Deviation::Rf0;
            log().known(&self.group, deviation.name(), self.counts.known, deviation.reason());
        }
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
