//! Groups `host.*`: each filter against accesses that L0 must intercept and L2 must not notice.

use spec::catalogue::kind::Kind;
use spec::walk::host::{HostCase, Need};

use crate::machine::cpu::tsc;
use crate::turn::{Failed, Ran, Turn};
use crate::walk::host::{FreshMemory, Pages};

/// Filters between two heartbeats.
const HEARTBEAT: usize = 64;

/// Runs a group, or one case of it.
pub fn run(
    need: Need,
    only: Option<HostCase>,
    memory: &mut FreshMemory,
    turn: &mut Turn<'_>,
) -> Result<Ran, Failed> {
    turn.walker.start()?;
    let walks = if only.is_some() { 1 } else { need.filter_count(turn.options.profile) };
    let mut pages = match Pages::new(need, walks, memory, turn.cpu) {
        Ok(pages) => pages,
        Err(reason) => return Ok(turn.skip(&reason)),
    };
    let started = tsc();
    for filter in turn.filters(only.map(|case| case.filter), HEARTBEAT) {
        turn.tally.host_walk(
            filter,
            &mut pages,
            only.map(|case| case.access),
            turn.walker,
            memory,
        )?;
    }
    turn.tally.counts.tsc = tsc().wrapping_sub(started);
    Ok(Ran::Tried)
}
