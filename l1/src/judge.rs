//! Holds what a walk left against what `spec` says must be.
//!
//! Each stimulus' records are made once a group; a walk is then judged by comparing memory. Only where
//! something differs is the whole outcome put together.
#![allow(unsafe_code, reason = "reads the frame that L2 writes")]

use spec::deviation::Deviations;
use spec::filter::Filter;
use spec::layout::{ExitRecord, MAX_SLOTS, SHARED_SUPERVISOR_BIT, Slot, TOKEN};
use spec::outcome::{Delivery, Exit, Expectation, Observed};
use spec::paging::{Access, Maxphyaddr};
use spec::setting::Setting;
use spec::stimulus::Stimulus;

use crate::global::Global;
use crate::guest::{self, Guest};
use crate::walk::{self, CR2_AT_START, Walked};

/// One stimulus with all that a walk needs to judge it.
#[derive(Clone, Copy)]
pub struct Prepared {
    /// The stimulus.
    pub stimulus: Stimulus,
    expectation: Expectation,
    /// What an exit of this host must look like, its known deviations included; CR2 aside.
    exit: ExitRecord,
    /// Where a write lands, for stimuli that write.
    written: Option<*const u64>,
    /// The stimulus' code in a set of basic codes; 0 if it must be silent.
    code: u32,
}

static PREPARED: Global<[Option<Prepared>; MAX_SLOTS]> = Global::new([None; MAX_SLOTS]);

/// How one case ended.
pub enum Judged {
    /// As it must.
    Right,
    /// With a known deviation, and right but for it.
    Known,
    /// Otherwise; what must be and what was.
    Wrong {
        /// What must be.
        want: Observed,
        /// What was.
        got: Observed,
    },
}

/// The stimuli of a group, and what this host is known for.
pub struct Judge {
    prepared: &'static [Option<Prepared>],
    known: Deviations,
}

/// What a walk's cases add up to.
#[derive(Default)]
pub struct Tally {
    /// Codes that were raised.
    pub seen: u32,
    /// Codes that caused an exit.
    pub exited: u32,
    /// Exits to L1.
    pub exits: u64,
    /// Deliveries to L2.
    pub delivered: u64,
}

impl Judge {
    /// Prepares stimuli of a setting: all that the processor has, or one.
    pub fn new(setting: &Setting, only: Option<Stimulus>, guest: &Guest, maxphyaddr: Maxphyaddr, known: Deviations) -> Self {
        // SAFETY: a judge lives as long as its group, and there is one group at a time.
        let room = unsafe { &mut *PREPARED.get() };
        let mut len = 0;
        for stimulus in Stimulus::all(setting, maxphyaddr).filter(|s| only.is_none_or(|only| only == *s)) {
            let pfec = stimulus.pfec(setting, maxphyaddr);
            let expectation = Expectation::new(&stimulus, pfec, setting.mode.ac, &guest.header);
            let exit = known.applied_to(expectation.exit(CR2_AT_START)).record(walk::slot_address(len));
            room[len] = Some(Prepared {
                stimulus,
                expectation,
                exit,
                written: (stimulus.access == Access::Write)
                    .then(|| guest::written(stimulus.address(), stimulus.privilege)),
                code: pfec.and_then(spec::pfec::Pfec::basic_index).map_or(0, |index| 1 << index),
            });
            len += 1;
        }
        Self { prepared: &room[..len], known }
    }

    /// How many stimuli there are.
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// The stimuli in the order of the walk.
    pub fn stimuli(&self) -> impl Iterator<Item = &Prepared> {
        self.prepared.iter().flatten()
    }

    /// Judges every case of a walk, and gives those that are not simply right to `report`.
    pub fn walk(&self, filter: Filter, walked: &Walked<'_>, mut report: impl FnMut(&Stimulus, Judged)) -> Tally {
        let wanted = filter.basic_exits();
        let mut tally = Tally::default();
        let mut exits = walked.exits.iter().peekable();
        let mut cr2 = CR2_AT_START;
        for (at, prepared) in self.stimuli().enumerate() {
            let slot = walk::slot(at);
            let first = exits.next_if(|exit| exit.slot | 1 << SHARED_SUPERVISOR_BIT == prepared.exit.slot);
            tally.seen |= prepared.code;
            if first.is_some() {
                tally.exits += 1;
                tally.exited |= prepared.code;
            }
            if slot.faults != 0 {
                tally.delivered += slot.faults;
                walk::clear_faults(at);
            }
            let right = if wanted & prepared.code != 0 {
                first.is_some_and(|exit| prepared.exits_as(exit, cr2)) && slot.faults == 0
            } else if prepared.code != 0 {
                first.is_none() && slot.faults == 1 && Delivery::from(&slot) == prepared.expectation.delivery()
            } else {
                first.is_none() && slot.faults == 0
            };
            let executed = prepared.executed(&slot, walked.number);
            if right && executed == (prepared.code == 0) {
                // The host's known deviations are in the record that was compared with.
                if wanted & prepared.code != 0 && !self.known.is_empty() && !prepared.is_exact(first, cr2) {
                    report(&prepared.stimulus, Judged::Known);
                }
            } else {
                let mut got = observed(first, &slot, executed);
                while let Some(more) = exits.next_if(|exit| exit.slot | 1 << SHARED_SUPERVISOR_BIT == prepared.exit.slot) {
                    tally.exits += 1;
                    got.exits += 1;
                    got.exit = Some(Exit::from(more));
                }
                let want = Observed::exactly(prepared.expectation.outcome(filter, cr2));
                report(&prepared.stimulus, if got == want { Judged::Right } else { Judged::Wrong { want, got } });
            }
            if slot.faults != 0 {
                cr2 = slot.cr2;
            }
        }
        tally
    }
}

impl Prepared {
    /// Whether an exit is the one that this host must show. RSI is the slot's address in one of its two mappings.
    fn exits_as(&self, exit: &ExitRecord, cr2: u64) -> bool {
        let normal = ExitRecord { slot: exit.slot | 1 << SHARED_SUPERVISOR_BIT, ..*exit };
        normal == ExitRecord { cr2, ..self.exit } || self.is_exact(Some(exit), cr2)
    }

    /// Whether an exit is as the manual says.
    fn is_exact(&self, exit: Option<&ExitRecord>, cr2: u64) -> bool {
        exit.is_some_and(|exit| Exit::from(exit) == self.expectation.exit(cr2))
    }

    /// Whether the access had its effect.
    fn executed(&self, slot: &Slot, walk: u64) -> bool {
        match self.written {
            // SAFETY: the address is in the frame, see `guest::written`; L2 does not run.
            Some(written) => unsafe { written.read_volatile() == walk },
            None => slot.result == TOKEN,
        }
    }
}

fn observed(exit: Option<&ExitRecord>, slot: &Slot, executed: bool) -> Observed {
    Observed {
        exits: exit.is_some().into(),
        exit: exit.map(Exit::from),
        deliveries: slot.faults,
        delivery: (slot.faults != 0).then(|| Delivery::from(slot)),
        executed,
    }
}
