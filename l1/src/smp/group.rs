//! Running the groups `smp.*`.

use spec::manual::filter::Filter;
use spec::smp::case::{Smp, SmpCase};

use super::pair::{Pair, Unavailable};
use crate::machine::cpu::tsc;
use crate::turn::{Failed, Ran, Turn, UNPROTECTED};

/// Runs a group, or one case of it, with a second processor that is started for it.
pub fn run(smp: Smp, only: Option<SmpCase>, turn: &mut Turn<'_>) -> Result<Ran, Failed> {
    let mut pair = match Pair::start(smp, turn.walker.vmx(), turn.cpu) {
        Ok(pair) => pair,
        Err(Unavailable::NoSecond(reason)) => return Ok(turn.skip(&reason)),
        Err(Unavailable::Failed(failed)) => return Err(failed.into()),
    };
    let started = tsc();
    for filter in turn.filters(only.map(|case| case.filter), 1) {
        if let Err(gone) = pair.run(smp, filter, only, |judged| turn.tally.smp(&judged)) {
            turn.tally.gone(filter, gone);
            break;
        }
    }
    if let Err(gone) = pair.end() {
        turn.tally.gone(Filter::NEVER, gone);
    }
    turn.walker.make_current()?;
    if turn.tally.counts.cases == 0 {
        return Ok(turn.skip(&UNPROTECTED));
    }
    turn.tally.counts.tsc = tsc().wrapping_sub(started);
    Ok(Ran::Tried)
}
