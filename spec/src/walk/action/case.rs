//! Groups and cases of actions: classes of filters while the VMM does something.

use core::fmt;

use super::rows::ACTIONS;
use super::{Action, Then, own_pfec};
use crate::catalogue::kind::Kind;
use crate::catalogue::plan::{FORMS, Profile, QUICK_BASIC};
use crate::channel::{Ask, EVENT_PFEC};
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;

/// What a case of an action looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionProbe {
    /// An access of L2's walk.
    Stimulus(Stimulus),
    /// An access that L1 makes itself after the walk, written with `own-` before it.
    Own(Stimulus),
    /// What the action itself brings to L2, see [`super::Event`]; written `event`.
    Event,
}

impl fmt::Display for ActionProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stimulus(stimulus) => stimulus.fmt(f),
            Self::Own(stimulus) => write!(f, "own-{stimulus}"),
            Self::Event => f.write_str("event"),
        }
    }
}

/// One thing that an action must not disturb, under one filter, in a group `action.NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionCase {
    /// What the VMM does.
    pub action: &'static Action,
    /// What is looked at.
    pub probe: ActionProbe,
    /// L1's filter.
    pub filter: Filter,
}

/// Everything, in the inverse form, and faults by a reserved bit. A change of MAXPHYADDR shows in
/// these.
const QUICK_WIDTH: [Filter; 2] = [Filter::new(false, 0, 1), Filter::new(true, 8, 8)];
/// All except writes, in the inverse form: some faults exit, some do not.
const QUICK: [Filter; 1] = [Filter::new(false, 2, 2)];
/// Writes, for a page fault that is pending while the VM moves: L1 wants it.
const QUICK_FAULT: Filter = Filter::new(true, 2, 2);
const _: () = assert!(EVENT_PFEC.bits() & 2 == 2);

/// One in so many of the others is tried.
const STEP: usize = 3;
const OTHERS: usize = QUICK_BASIC.len() - FORMS;
const _: () = assert!(OTHERS.is_multiple_of(STEP));

/// Every class of filter, or in the quick profile the few that say most. What an action does takes
/// long, and the filter that it must not disturb is whole or lost: in the standard profile each
/// action has always, never and some of the others, in turns. Where MAXPHYADDR changes, each filter
/// is one of its own.
fn filter(action: &Action, profile: Profile, number: usize) -> Filter {
    match profile {
        Profile::Quick if action.changes_width() => QUICK_WIDTH[number],
        Profile::Quick if matches!(action.ask, Ask::MovePendingFault) => QUICK_FAULT,
        Profile::Quick => QUICK[number],
        Profile::Standard if !action.changes_width() && number >= FORMS => {
            let turn = ACTIONS.iter().position(|row| row.name == action.name).unwrap_or(0);
            QUICK_BASIC[FORMS + turn % STEP + (number - FORMS) * STEP]
        }
        Profile::Standard | Profile::Exhaustive => QUICK_BASIC[number],
    }
}

impl ActionCase {
    /// The error code of the fault that an access must raise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match self.probe {
            ActionProbe::Stimulus(stimulus) => stimulus.pfec(BASE, maxphyaddr),
            ActionProbe::Own(stimulus) => own_pfec(&stimulus, maxphyaddr),
            ActionProbe::Event => None,
        }
    }
}

impl Kind for &'static Action {
    type Case = ActionCase;

    const NUMBERS: usize = ACTIONS.len();

    fn numbered(number: usize) -> Option<Self> {
        ACTIONS.get(number)
    }

    /// The quick profile has one of each kind: moves, exits to user space, events,
    /// changes of memory and of CPUID.
    fn is_long(self) -> bool {
        let short = matches!(
            self.ask,
            Ask::Move
                | Ask::MovePendingFault
                | Ask::PendingFault
                | Ask::PlainExits
                | Ask::Nmi
                | Ask::DirtyLogOn
        ) || matches!(self.ask, Ask::MoveThenNarrow)
            && matches!(self.then, Then::SameWalk);
        !short
    }

    fn filter_count(self, profile: Profile) -> usize {
        match profile {
            Profile::Quick if self.changes_width() => QUICK_WIDTH.len(),
            Profile::Quick => QUICK.len(),
            Profile::Standard if !self.changes_width() => FORMS + OTHERS / STEP,
            Profile::Standard | Profile::Exhaustive => QUICK_BASIC.len(),
        }
    }

    fn filter(self, profile: Profile, number: usize) -> Filter {
        filter(self, profile, number)
    }

    fn cases_with(
        self,
        filter: Filter,
        _: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = ActionCase> {
        let accesses = Action::stimuli(maxphyaddr).map(ActionProbe::Stimulus);
        let own = Action::own_stimuli(maxphyaddr).map(ActionProbe::Own);
        let event = self.event.map(|_| ActionProbe::Event);
        accesses.chain(own).chain(event).map(move |probe| ActionCase {
            action: self,
            probe,
            filter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, FORMS, Filter, Kind, Profile, QUICK_BASIC};
    use std::collections::HashSet;

    #[test]
    fn each_action_has_always_and_never_and_all_actions_have_every_filter() {
        let mut seen = HashSet::new();
        for action in <&Action>::all() {
            let count = action.filter_count(Profile::Standard);
            let own: HashSet<Filter> =
                (0..count).map(|number| action.filter(Profile::Standard, number)).collect();
            assert_eq!(own.len(), count, "{}", action.name);
            assert!(
                QUICK_BASIC[..FORMS].iter().all(|filter| own.contains(filter)),
                "{}",
                action.name
            );
            assert!(!action.changes_width() || count == QUICK_BASIC.len());
            if !action.changes_width() {
                seen.extend(own);
            }
        }
        assert_eq!(seen, QUICK_BASIC.into_iter().collect());
    }
}
