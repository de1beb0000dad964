//! Groups `filter.*`: each filter of a family against each stimulus of a setting.

use spec::catalogue::case::Case;
use spec::catalogue::name::Name;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::walk::case::{WalkCase, WalkGroup};
use spec::walk::setting::BASE;

use crate::machine::cpu::tsc;
use crate::turn::{EXCLUDED, Failed, Ran, Turn, UNPROTECTED};
use crate::walk::broken::EntryFailed;
use crate::walk::judge::Judge;
use crate::walk::walker::Walker;

/// Filters between two heartbeats.
const HEARTBEAT: usize = 64;

/// Runs a group, or one case of it.
pub fn run(group: WalkGroup, only: Option<WalkCase>, turn: &mut Turn<'_>) -> Result<Ran, Failed> {
    turn.walker.start()?;
    let setting = group.setting;
    if let Some(reason) = turn.cpu.lacks(setting.mode) {
        return Ok(turn.skip(&reason));
    }
    let maxphyaddr = turn.cpu.maxphyaddr;
    // One case may be any that the processor has, the profile's or not.
    let profile = if only.is_some() { Profile::Exhaustive } else { turn.options.profile };
    let stimuli = group.stimuli(profile, maxphyaddr);
    let stimuli = stimuli.filter(|stimulus| only.is_none_or(|case| case.stimulus == *stimulus));
    let exclude = turn.options.exclude.of_group(Name::of(&turn.tally.group).as_str());
    let case = |stimulus| Case::Walk(WalkCase { group, stimulus, filter: Filter::NEVER });
    let mut excluded = false;
    let stimuli = stimuli.filter(|stimulus| {
        let is_excluded = exclude.is_some_and(|exclude| exclude.excludes(&case(*stimulus)));
        excluded |= is_excluded;
        !is_excluded
    });
    let offered = turn.walker.vmx().offered();
    let mut unprotected = false;
    let stimuli = stimuli.filter(|stimulus| {
        let is_same = stimulus.is_same_on(offered, setting, maxphyaddr);
        unprotected |= !is_same;
        is_same
    });
    let mut judge = Judge::new(setting, stimuli, &turn.walker.guest().header, maxphyaddr);
    if judge.len() == 0 {
        return match (unprotected, excluded) {
            (true, _) => Ok(turn.skip(&UNPROTECTED)),
            (_, true) => Ok(turn.skip(&EXCLUDED)),
            _ => Err(Failed::NoSuchStimulus),
        };
    }
    // Every setting is entered from the base: what a host keeps from there must not show.
    if setting.mode != BASE.mode {
        walk_in_base(&mut judge, turn.walker)?;
    }
    turn.walker.prepare(setting.mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));
    let started = tsc();
    let mut filters = turn.filters(only.map(|case| case.filter), HEARTBEAT);
    let walked =
        filters.try_for_each(|filter| turn.tally.walk(group, filter, &mut judge, turn.walker));
    turn.tally.end_walks(group, &mut judge);
    walked?;
    turn.tally.counts.tsc = tsc().wrapping_sub(started);
    Ok(Ran::Tried)
}

/// Makes the accesses once in the base setting, whatever comes of them.
fn walk_in_base(judge: &mut Judge, walker: &mut Walker) -> Result<(), EntryFailed> {
    walker.prepare(BASE.mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));
    if walker.walk(Filter::NEVER)?.is_some() {
        walker.restart()?;
    }
    judge.forget_effects();
    Ok(())
}
