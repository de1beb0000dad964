//! Holds what a walk left against what `spec` says must be.
//!
//! Each stimulus' records are made once a group; a walk is then judged by comparing memory. Only where
//! something differs is the whole outcome put together.
#![allow(unsafe_code, reason = "reads what L2 wrote")]

use core::mem::MaybeUninit;
use core::slice;

use spec::deviation::Deviations;
use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr, Mode};
use spec::manual::pfec::Pfec;
use spec::suspects::{Codes, Evidence, Raised};
use spec::walk::layout::{ExitRecord, MAX_SLOTS, Slot, TOKEN};
use spec::walk::outcome::{Expectation, Observed};
use spec::walk::setting::Setting;
use spec::walk::stimulus::Stimulus;

use crate::machine::global::Global;
use crate::walk::difference::Difference;
use crate::walk::guest::{self, Guest};
use crate::walk::walker::{self, CR2_AT_START, Walked};

/// One stimulus with all that a walk needs to judge it.
struct Prepared {
    /// What an exit of this host must look like, its known deviations included; CR2 is set per walk.
    record: ExitRecord,
    /// What the slot must look like behind a delivery, from [`Slot::faults`] on.
    slot: Slot,
    /// Where it shows whether the access had its effect: what it read, or wrote.
    effect: *mut u64,
    /// What must be there: the walk's number where this is all ones, else `effect_constant`.
    effect_is_walk: u64,
    effect_constant: u64,
    /// The stimulus' code in a set of basic codes; 0 if it must be silent.
    code: u32,
    expectation: Expectation,
    stimulus: Stimulus,
}

static PREPARED: Global<MaybeUninit<[Prepared; MAX_SLOTS]>> = Global::new(MaybeUninit::uninit());

/// The stimuli of a group.
pub struct Judge {
    prepared: &'static mut [Prepared],
    mode: Mode,
    codes: Codes,
    seen: u32,
}

/// What a walk's cases add up to.
#[derive(Default)]
pub struct Tally {
    /// What shows of the host's decisions.
    pub evidence: Evidence,
    /// Codes that caused an exit.
    pub exited: u32,
    /// Exits to L1.
    pub exits: u64,
    /// Deliveries to L2.
    pub delivered: u64,
}

impl Judge {
    /// Prepares stimuli of a setting.
    pub fn new(
        setting: &Setting,
        stimuli: impl Iterator<Item = Stimulus>,
        guest: &Guest,
        maxphyaddr: Maxphyaddr,
        known: Deviations,
    ) -> Self {
        let room = PREPARED.get().cast::<Prepared>();
        let mut len = 0;
        let mut seen = 0;
        let mut codes = Codes::default();
        for stimulus in stimuli {
            let pfec = stimulus.pfec(setting, maxphyaddr);
            let expectation = Expectation::new(&stimulus, pfec, setting.mode.ac, &guest.header);
            let writes = stimulus.access == Access::Write;
            let code = pfec.and_then(Pfec::basic_index).map_or(0, |index| 1 << index);
            let silent = pfec.is_none();
            let prepared = Prepared {
                record: ExitRecord {
                    exit: known.applied_to(expectation.exit(CR2_AT_START)),
                    slot: walker::slot_address(len, stimulus.privilege),
                },
                slot: Slot { faults: 1, delivery: expectation.delivery(), ..Slot::new(0) },
                effect: if writes { guest::frame_at(stimulus.address()) } else { walker::result_at(len) },
                // RAX holds the walk's number before the access: a write leaves it in the frame, and a
                // read or fetch that does not execute leaves it in RAX.
                effect_is_walk: if silent == writes { u64::MAX } else { 0 },
                effect_constant: if silent == writes || writes { 0 } else { TOKEN },
                code,
                expectation,
                stimulus,
            };
            // SAFETY: stimuli are at most `MAX_SLOTS`, as a test of `spec` shows.
            unsafe { room.add(len).write(prepared) };
            len += 1;
            seen |= code;
            if let Some(pfec) = pfec {
                codes.add(pfec, Raised::of(&stimulus, setting.mode));
            }
        }
        // SAFETY: the first `len` are written, and a judge's group is over before the next judge is made.
        let prepared = unsafe { slice::from_raw_parts_mut(room, len) };
        let mut judge = Self { prepared, mode: setting.mode, codes, seen };
        judge.forget_effects();
        judge
    }

    /// Removes what the accesses of earlier walks left: no walk has the number 0.
    pub fn forget_effects(&mut self) {
        for prepared in &*self.prepared {
            // SAFETY: the effect is in the frame or in a slot, both statics; L2 does not run.
            unsafe { prepared.effect.write_volatile(0) };
        }
    }

    /// Whether a write is among the stimuli that must be silent.
    pub fn writes(&self) -> bool {
        self.prepared
            .iter()
            .any(|prepared| prepared.stimulus.access == Access::Write && prepared.expectation.pfec.is_none())
    }

    /// How many stimuli there are.
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// The stimuli in the order of the walk.
    pub fn stimuli(&self) -> impl Iterator<Item = &Stimulus> {
        self.prepared.iter().map(|prepared| &prepared.stimulus)
    }

    /// Judges every case of a walk. `wrong` is told of each that is not right: what must be and what was. Where
    /// all is as a host with the known deviations shows it, nobody is told; then each exit of the tally has
    /// those of [`Deviations::applied_to`], and the second value is true.
    pub fn walk(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        wrong: impl FnMut(&Stimulus, &Observed, &Observed),
    ) -> (Tally, bool) {
        match self.if_all_right(filter, walked) {
            Some(tally) => (tally, true),
            None => (self.one_by_one(filter, walked, wrong), false),
        }
    }

    /// The tally if every case is as this host must show it. Differences are gathered, not branched on:
    /// on a host that is right this is most of L1's work.
    #[inline(never)]
    fn if_all_right(&mut self, filter: Filter, walked: &Walked<'_>) -> Option<Tally> {
        let wanted = filter.basic_exits();
        let mut exits = walked.exits.iter();
        let mut slot = walker::slots().cast_const();
        let mut cr2 = walked.cr2;
        let mut delivered = 0;
        let mut difference = Difference::none();
        for prepared in &mut *self.prepared {
            // SAFETY: there are as many slots as stimuli; L2 does not run; the effect is in a static.
            let (seen, effect) = unsafe { (&*slot, prepared.effect.read_volatile()) };
            slot = slot.wrapping_add(1);
            difference.word |= effect ^ prepared.effect_constant ^ (walked.number & prepared.effect_is_walk);
            if prepared.code & wanted != 0 {
                prepared.record.exit.cr2 = cr2;
                difference.word |= seen.faults;
                difference.exit(exits.next()?, &prepared.record);
            } else if prepared.code != 0 {
                delivered += 1;
                cr2 = prepared.slot.delivery.cr2;
                difference.delivery(seen, &prepared.slot);
            } else {
                difference.word |= seen.faults;
            }
        }
        (difference.is_none() && exits.len() == 0).then(|| {
            let exits = walked.exits.len() as u64;
            Tally { evidence: Evidence::right(self.codes, filter), exited: self.seen & wanted, exits, delivered }
        })
    }

    /// Judges a walk in which something is not right.
    #[cold]
    fn one_by_one(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        mut wrong: impl FnMut(&Stimulus, &Observed, &Observed),
    ) -> Tally {
        let mut tally = Tally::default();
        let mut exits = walked.exits.iter().peekable();
        let mut cr2 = walked.cr2;
        for (at, prepared) in self.prepared.iter().enumerate() {
            // SAFETY: there are as many slots as stimuli, and L2 does not run.
            let slot = unsafe { &*walker::slots().add(at) };
            let mut got = prepared.observed(slot, walked.number);
            while let Some(record) = exits.next_if(|record| record.slot == prepared.record.slot) {
                got.exits += 1;
                got.exit = Some(record.exit);
            }
            tally.exits += got.exits;
            tally.delivered += got.deliveries;
            if got.exits != 0 {
                tally.exited |= prepared.code;
            }
            if let Some(pfec) = prepared.expectation.pfec {
                tally.evidence.add(pfec, Raised::of(&prepared.stimulus, self.mode), &got);
            }
            let want = Observed::exactly(prepared.expectation.outcome(filter, cr2));
            if got != want {
                wrong(&prepared.stimulus, &want, &got);
            }
            if slot.faults != 0 {
                cr2 = slot.delivery.cr2;
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
        effect == if self.stimulus.access == Access::Write { walk } else { TOKEN }
    }

    /// What was seen but exits.
    fn observed(&self, slot: &Slot, walk: u64) -> Observed {
        Observed {
            exits: 0,
            exit: None,
            deliveries: slot.faults,
            delivery: (slot.faults != 0).then_some(slot.delivery),
            executed: self.executed(walk),
        }
    }
}
