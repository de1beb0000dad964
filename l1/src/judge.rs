//! Holds what a walk left against what `spec` says must be.
//!
//! Each stimulus' records are made once a group; a walk is then judged by comparing memory. Only where
//! something differs is the whole outcome put together.
#![allow(unsafe_code, reason = "reads what L2 wrote")]

use core::mem::MaybeUninit;
use core::slice;

use spec::deviation::Deviations;
use spec::filter::Filter;
use spec::layout::{ExitRecord, MAX_SLOTS, Slot, TOKEN};
use spec::outcome::{Delivery, Expectation, Observed};
use spec::paging::{Access, Maxphyaddr};
use spec::setting::Setting;
use spec::stimulus::Stimulus;

use crate::global::Global;
use crate::guest::{self, Guest};
use crate::walk::{self, CR2_AT_START, Walked};

/// One stimulus with all that a walk needs to judge it.
struct Prepared {
    /// What an exit of this host must look like, its known deviations included; CR2 is set per walk.
    record: ExitRecord,
    delivery: Delivery,
    /// Where the access' effect shows.
    effect: *const u64,
    /// The effect is the walk's number; else it is the token.
    writes: bool,
    /// The stimulus' code in a set of basic codes; 0 if it must be silent.
    code: u32,
    expectation: Expectation,
    stimulus: Stimulus,
}

static PREPARED: Global<MaybeUninit<[Prepared; MAX_SLOTS]>> = Global::new(MaybeUninit::uninit());

/// The stimuli of a group, and what this host is known for.
pub struct Judge {
    prepared: &'static mut [Prepared],
    known: Deviations,
    seen: u32,
}

/// What a walk's cases add up to.
#[derive(Default)]
pub struct Tally {
    /// Basic codes that were to be raised.
    pub seen: u32,
    /// Codes that caused an exit.
    pub exited: u32,
    /// Exits to L1.
    pub exits: u64,
    /// Deliveries to L2.
    pub delivered: u64,
    /// Cases that are right but for the host's known deviations.
    pub known: u64,
}

impl Judge {
    /// Prepares the stimuli of a setting: all that the processor has, or one.
    pub fn new(setting: &Setting, only: Option<Stimulus>, guest: &Guest, maxphyaddr: Maxphyaddr, known: Deviations) -> Self {
        let room = PREPARED.get().cast::<Prepared>();
        let mut len = 0;
        let mut seen = 0;
        for stimulus in Stimulus::all(setting, maxphyaddr).filter(|s| only.is_none_or(|only| only == *s)) {
            let pfec = stimulus.pfec(setting, maxphyaddr);
            let expectation = Expectation::new(&stimulus, pfec, setting.mode.ac, &guest.header);
            let writes = stimulus.access == Access::Write;
            let code = pfec.and_then(|pfec| pfec.basic_index()).map_or(0, |index| 1 << index);
            let prepared = Prepared {
                record: ExitRecord {
                    exit: known.applied_to(expectation.exit(CR2_AT_START)),
                    slot: walk::slot_address(len, stimulus.privilege),
                },
                delivery: expectation.delivery(),
                effect: if writes { guest::frame_at(stimulus.address()) } else { walk::result_at(len) },
                writes,
                code,
                expectation,
                stimulus,
            };
            // SAFETY: stimuli are at most `MAX_SLOTS`, as a test of `spec` shows.
            unsafe { room.add(len).write(prepared) };
            len += 1;
            seen |= code;
        }
        // SAFETY: the first `len` are written, and a judge's group is over before the next judge is made.
        Self { prepared: unsafe { slice::from_raw_parts_mut(room, len) }, known, seen }
    }

    /// How many stimuli there are.
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// The stimuli in the order of the walk.
    pub fn stimuli(&self) -> impl Iterator<Item = &Stimulus> {
        self.prepared.iter().map(|prepared| &prepared.stimulus)
    }

    /// Judges every case of a walk, and tells `wrong` of each that failed: what must be and what was.
    pub fn walk(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        mut wrong: impl FnMut(&Stimulus, &Observed, &Observed),
    ) -> Tally {
        let wanted = filter.basic_exits();
        let deviates = !self.known.is_empty();
        let mut tally = Tally { seen: self.seen, ..Tally::default() };
        let mut exits = walked.exits.iter();
        let mut cr2 = CR2_AT_START;
        for (at, prepared) in self.prepared.iter_mut().enumerate() {
            // SAFETY: there are as many slots as stimuli, and L2 does not run.
            let slot = unsafe { &mut *walk::slots().add(at) };
            prepared.record.exit.cr2 = cr2;
            let before = exits.as_slice();
            let exited = before.first().is_some_and(|exit| exit.slot == prepared.record.slot);
            let right = if prepared.code & wanted != 0 {
                exited && before[0] == prepared.record && slot.faults == 0
            } else if prepared.code != 0 {
                !exited && slot.faults == 1 && slot.delivery == prepared.delivery
            } else {
                !exited && slot.faults == 0
            };
            if exited {
                exits.next();
                tally.exits += 1;
                tally.exited |= prepared.code;
            }
            if right && prepared.executed(walked.number) == (prepared.code == 0) {
                tally.known += u64::from(exited && deviates);
            } else {
                let mut got = prepared.observed(before.first().filter(|_| exited), slot, walked.number);
                while exits.as_slice().first().is_some_and(|more| more.slot == prepared.record.slot) {
                    got.exit = exits.next().map(|more| more.exit);
                    got.exits += 1;
                    tally.exits += 1;
                }
                let want = Observed::exactly(prepared.expectation.outcome(filter, cr2));
                // A host that lacks its known deviation is right too.
                if got != want {
                    wrong(&prepared.stimulus, &want, &got);
                }
            }
            if slot.faults != 0 {
                tally.delivered += slot.faults;
                cr2 = slot.delivery.cr2;
                slot.faults = 0;
            }
        }
        tally
    }
}

impl Prepared {
    /// Whether the access had its effect in this walk.
    fn executed(&self, walk: u64) -> bool {
        // SAFETY: the address is in the frame or in a slot, both statics; L2 does not run.
        let effect = unsafe { self.effect.read_volatile() };
        effect == if self.writes { walk } else { TOKEN }
    }

    fn observed(&self, exit: Option<&ExitRecord>, slot: &Slot, walk: u64) -> Observed {
        Observed {
            exits: exit.is_some().into(),
            exit: exit.map(|exit| exit.exit),
            deliveries: slot.faults,
            delivery: (slot.faults != 0).then_some(slot.delivery),
            executed: self.executed(walk),
        }
    }
}
