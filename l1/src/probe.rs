//! What cases that differ are counted by: their access or scene.

use core::fmt;

use spec::catalogue::case::Case;
use spec::manual::filter::Filter;
use spec::walk::action::case::{ActionCase, ActionProbe};
use spec::walk::stimulus::Stimulus;

/// An access or a scene of a group: a case whatever its filter.
#[derive(Clone, Copy, PartialEq)]
pub struct Probe(Case);

impl Probe {
    /// The access of a case.
    pub const fn of(case: &Case) -> Self {
        Self(case.with_filter(Filter::NEVER))
    }

    /// A number that distinguishes most accesses or scenes of a group.
    pub fn number(&self) -> usize {
        let of_stimulus = |stimulus: &Stimulus| {
            6 * stimulus.page + 3 * stimulus.privilege as usize + stimulus.access as usize
        };
        match &self.0 {
            Case::Walk(case) => of_stimulus(&case.stimulus),
            Case::Action(ActionCase { probe: ActionProbe::Stimulus(stimulus), .. }) => {
                of_stimulus(stimulus)
            }
            Case::Action(ActionCase { probe: ActionProbe::Own(stimulus), .. }) => {
                of_stimulus(stimulus) + 1
            }
            Case::Scene(case) => case.id.number(),
            Case::Action(_) | Case::Host(_) | Case::Smp(_) => 0,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.access().fmt(f)
    }
}
