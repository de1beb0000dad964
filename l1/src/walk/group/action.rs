//! Groups `action.*`: each filter while the VMM does something.

use spec::walk::action::Action;
use spec::walk::action::case::{ActionCase, ActionProbe};
use spec::walk::setting::BASE;

use crate::turn::{Failed, Ran, Turn, UNPROTECTED};
use crate::walk::action::Acting;

/// Filters between two heartbeats: each action may take the host a while.
const HEARTBEAT: usize = 4;

/// Runs a group, or one case of it. Its TSC is not read: it need not go on across a move to a new
/// VM.
pub fn run(
    action: &'static Action,
    only: Option<ActionCase>,
    turn: &mut Turn<'_>,
) -> Result<Ran, Failed> {
    turn.walker.start()?;
    let (stimulus, own) = match only.map(|case| case.probe) {
        Some(ActionProbe::Stimulus(stimulus)) => (Some(stimulus), None),
        Some(ActionProbe::Own(stimulus)) => (None, Some(stimulus)),
        Some(ActionProbe::Event) | None => (None, None),
    };
    let mut acting = match Acting::new(action, stimulus, turn.walker, turn.cpu) {
        Ok(acting) => acting,
        Err(reason) => return Ok(turn.skip(&reason)),
    };
    if acting.is_empty() {
        let offered = turn.walker.vmx().offered();
        return match stimulus {
            Some(access) if !access.is_same_on(offered, BASE, acting.maxphyaddr()) => {
                Ok(turn.skip(&UNPROTECTED))
            }
            _ => Err(Failed::NoSuchStimulus),
        };
    }
    let mut filters = turn.filters(only.map(|case| case.filter), HEARTBEAT);
    let walked = filters.try_for_each(|filter| {
        turn.tally.acted_walk(filter, &mut acting, own, stimulus.is_some(), turn.walker)
    });
    if walked.is_err() {
        // Whatever comes of it: L2 does not walk.
        let _ = acting.undo();
    }
    acting.end(turn.walker, turn.cpu).map_err(Failed::Ask)?;
    match walked {
        Err(Failed::Refused(status)) => Ok(turn.skip(&status)),
        walked => walked.map(|()| Ran::Tried),
    }
}
