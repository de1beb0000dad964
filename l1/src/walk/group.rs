//! Running the groups that walk: `filter.*`, `host.*` and `action.*`.

pub mod action;
pub mod filter;
pub mod host;

use crate::turn::{Failed, Ran, Turn};

/// Runs a group with L2 ready to walk. If L2 does not get to its next walk, and that is the host's
/// fault, the group has failed.
fn walking(turn: &mut Turn<'_>, run: impl FnOnce(&mut Turn<'_>) -> Result<Ran, Failed>) -> Result<Ran, Failed> {
    let started = turn.walker.start();
    match started.map_err(Failed::Entry).and_then(|()| run(turn)) {
        Err(Failed::Entry(failed)) if turn.walker.blames_host(failed) => {
            turn.tally.stopped(turn.walker.filter(), failed);
            Ok(Ran::Tried)
        }
        ran => ran,
    }
}
