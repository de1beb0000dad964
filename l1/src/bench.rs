//! `bench`: what a page fault costs under filters in common use, see [`spec::log::cost`].
#![allow(unsafe_code, reason = "reads what L2 wrote")]

use core::fmt;
use core::iter;

use spec::log::cost::{FAULTS, FILTERS, GROUP, WALKS, stimuli};
use spec::log::{Cost, Counts};
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;
use spec::tally::Tally;
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;

use crate::machine::channel;
use crate::machine::cpu::{Cpu, tsc};
use crate::machine::log::log;
use crate::turn::Failed;
use crate::vmx::Vmx;
use crate::walk::broken::{Broken, EntryFailed};
use crate::walk::guest::Guest;
use crate::walk::walker::{self, Walker};

/// Where the faults of a walk went, if not where the filter says.
struct Went {
    exits: u64,
    delivered: u64,
    broken: Option<Broken>,
}

impl fmt::Display for Went {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            Some(broken) => broken.fmt(f),
            None => write!(f, "exits={},delivered={}", self.exits, self.delivered),
        }
    }
}

/// Measures every fault under every filter. A walk whose faults went elsewhere than they must is a
/// failure, and has no price.
pub fn run(cpu: &Cpu, vmx: Vmx, guest: Guest) -> Result<(), Failed> {
    log().plan(1);
    let mut walker = Walker::new(vmx, guest)?;
    let mut counts = Counts::default();
    let mut tally = Tally::new(&mut []);
    let started = tsc();
    if let Err(failed) = measure_all(cpu, &mut walker, &mut counts, &mut tally) {
        failed.log(&GROUP, walker.filter());
        counts.cases += 1;
        counts.differing += 1;
        tally.add_incomplete(failed.word(), 1);
    }
    counts.tsc = tsc().wrapping_sub(started);
    log().differs(&GROUP, &mut tally);
    log().result(1, &GROUP, &counts);
    Ok(())
}

fn measure_all(
    cpu: &Cpu,
    walker: &mut Walker,
    counts: &mut Counts,
    tally: &mut Tally<'_, &'static str>,
) -> Result<(), EntryFailed> {
    walker.start()?;
    for (at, filter) in FILTERS.into_iter().enumerate() {
        log().progress(&GROUP, at, FILTERS.len());
        measure(walker, filter, None, counts, tally)?;
        let offered = walker.vmx().offered();
        for stimulus in
            stimuli(cpu.maxphyaddr).filter(|one| one.is_same_on(offered, BASE, cpu.maxphyaddr))
        {
            let Some(pfec) = stimulus.pfec(BASE, cpu.maxphyaddr) else { continue };
            measure(walker, filter, Some((stimulus, pfec)), counts, tally)?;
        }
    }
    Ok(())
}

/// One price.
fn measure(
    walker: &mut Walker,
    filter: Filter,
    fault: Option<(Stimulus, Pfec)>,
    counts: &mut Counts,
    tally: &mut Tally<'_, &'static str>,
) -> Result<(), EntryFailed> {
    let faults = if fault.is_some() { FAULTS } else { 0 };
    let slots = fault.iter().flat_map(|(stimulus, _)| {
        iter::repeat_n((stimulus.loop_number(), stimulus.address()), faults)
    });
    walker.prepare(BASE.mode, slots);
    let exits = if fault.is_some_and(|(_, pfec)| filter.exits(pfec)) { faults as u64 } else { 0 };
    let want = Went { exits, delivered: faults as u64 - exits, broken: None };
    counts.cases += 1;
    let mut best: Option<Cost> = None;
    for walk in 0..=WALKS {
        forget_deliveries(faults);
        walker.ready(filter, None);
        let exits_before = channel::exits_of_l0();
        let before = tsc();
        let broken = walker.go()?;
        let tsc = tsc().wrapping_sub(before);
        let l0_exits = channel::exits_of_l0()
            .zip(exits_before)
            .map(|(now, then)| now.wrapping_sub(then).into());
        let got =
            Went { exits: walker.last().exits.len() as u64, delivered: deliveries(faults), broken };
        if got.broken.is_some() || (got.exits, got.delivered) != (want.exits, want.delivered) {
            counts.differing += 1;
            // A walk that went elsewhere has no price, and is no known deviation of any host.
            tally.add_incomplete(got.broken.map_or("went-elsewhere", Broken::word), 1);
            match &fault {
                Some((stimulus, _)) => {
                    log().fail(&format_args!("{GROUP}:{stimulus}:{filter}"), &want, &got);
                }
                None => log().fail(&format_args!("{GROUP}:walk:{filter}"), &want, &got),
            }
            return if got.broken.is_some() { walker.restart() } else { Ok(()) };
        }
        counts.exits += got.exits;
        counts.delivered += got.delivered;
        let cost = Cost { exits: got.exits, delivered: got.delivered, tsc, l0_exits };
        if walk > 0 && best.is_none_or(|best| tsc < best.tsc) {
            best = Some(cost);
        }
    }
    if let Some(cost) = best {
        let stimulus = fault.as_ref().map(|(stimulus, _)| stimulus as &dyn fmt::Display);
        log().cost(&filter, stimulus, &cost);
    }
    Ok(())
}

/// Faults that L2's handler got.
fn deliveries(slots: usize) -> u64 {
    // SAFETY: L2 does not run; the slots are fewer than there are.
    (0..slots)
        .map(|at| unsafe { (&raw const (*walker::slots().add(at)).faults).read_volatile() })
        .sum()
}

fn forget_deliveries(slots: usize) {
    for at in 0..slots {
        // SAFETY: as in `deliveries`.
        unsafe { (&raw mut (*walker::slots().add(at)).faults).write_volatile(0) };
    }
}
