//! Compares what a walk left with what `spec` says must be.
//!
//! Each stimulus' records are made once for a group. A walk is then judged by comparing memory. The
//! whole outcome is put together only where something differs.
#![allow(unsafe_code, reason = "reads what L2 wrote")]

use core::mem::MaybeUninit;
use core::slice;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr};
use spec::manual::pfec::Pfec;
use spec::tally::{Difference as Differing, Tally};
use spec::walk::layout::{ExitRecord, Header, MAX_SLOTS, Slot, TOKEN};
use spec::walk::outcome::{Exit, Expectation, Observed, Outcome};
use spec::walk::setting::Setting;
use spec::walk::stimulus::Stimulus;

use crate::machine::global::Global;
use crate::probe::Probe;
use crate::walk::difference::Difference;
use crate::walk::guest;
use crate::walk::walker::{self, CR2_AT_START, Walked};

/// One stimulus with all that a walk needs to judge it.
struct Prepared {
    /// What an exit must look like, changed as the host changes every exit; CR2 is set per walk.
    record: ExitRecord,
    /// What the slot must look like after a delivery, from [`Slot::faults`] on.
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
    seen: u32,
    habit: Habit,
}

/// What every exit of the last walk had wrong, in the same bits. A host that does so once does so
/// each time: later walks are compared with exits that have it, because reporting millions of equal
/// cases is too expensive.
#[derive(Default)]
struct Habit {
    /// The bits that differ, field by field. CR2 is never among them.
    bits: [u64; FIELDS],
    /// Whether there are any.
    is_bad: bool,
    /// Exits that had it, by basic error code, in walks that had nothing else.
    cases: [u64; 32],
    /// The bits of the last walk, if they are others.
    learned: Option<[u64; FIELDS]>,
}

/// The fields of an exit, except CR2.
const FIELDS: usize = 6;

/// An exit with the bits of a habit changed.
const fn changed(exit: Exit, bits: &[u64; FIELDS]) -> Exit {
    Exit {
        info: exit.info ^ bits[0],
        error_code: exit.error_code ^ bits[1],
        qualification: exit.qualification ^ bits[2],
        rip: exit.rip ^ bits[3],
        rflags: exit.rflags ^ bits[4],
        idt_vectoring: exit.idt_vectoring ^ bits[5],
        cr2: exit.cr2,
    }
}

/// The bits in which two exits differ; `None` if CR2 is among them.
fn bits_between(one: &Exit, other: &Exit) -> Option<[u64; FIELDS]> {
    let fields = |exit: &Exit| {
        [exit.info, exit.error_code, exit.qualification, exit.rip, exit.rflags, exit.idt_vectoring]
    };
    let (one_fields, other_fields) = (fields(one), fields(other));
    (one.cr2 == other.cr2).then(|| core::array::from_fn(|at| one_fields[at] ^ other_fields[at]))
}

/// What a walk's cases add up to.
#[derive(Default)]
pub struct Sums {
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
        l2: &Header,
        maxphyaddr: Maxphyaddr,
    ) -> Self {
        let room = PREPARED.get().cast::<Prepared>();
        let mut len = 0;
        let mut seen = 0;
        for stimulus in stimuli {
            let pfec = stimulus.pfec(setting, maxphyaddr);
            let expectation = Expectation::new(&stimulus, pfec, setting.mode.ac, l2);
            let writes = stimulus.access == Access::Write;
            let code = pfec.and_then(Pfec::basic_index).map_or(0, |index| 1 << index);
            let silent = pfec.is_none();
            let prepared = Prepared {
                record: ExitRecord {
                    exit: expectation.exit(CR2_AT_START),
                    slot: walker::slot_address(len, stimulus.privilege),
                },
                slot: Slot { faults: 1, delivery: expectation.delivery(), ..Slot::new(0) },
                effect: if writes {
                    guest::frame_at(stimulus.address())
                } else {
                    walker::result_at(len)
                },
                // RAX holds the walk's number before the access: a write leaves it in the frame,
                // and a read or fetch that does not execute leaves it in RAX.
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
        }
        // SAFETY: the first `len` are written, and a judge's group is over before the next judge is
        // made.
        let prepared = unsafe { slice::from_raw_parts_mut(room, len) };
        let mut judge = Self { prepared, seen, habit: Habit::default() };
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
        self.prepared.iter().any(|prepared| {
            prepared.stimulus.access == Access::Write && prepared.expectation.pfec.is_none()
        })
    }

    /// How many stimuli there are.
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// The stimuli in the order of the walk.
    pub fn stimuli(&self) -> impl Iterator<Item = &Stimulus> {
        self.prepared.iter().map(|prepared| &prepared.stimulus)
    }

    /// Judges every case of a walk. `wrong` gets each that is not right: what must be and what was.
    /// Cases that have only what all exits of this host have wrong are counted here instead, see
    /// [`Judge::count_habit`].
    pub fn walk(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        wrong: impl FnMut(&Stimulus, &Observed, &Observed),
    ) -> Sums {
        match self.if_as_ever(filter, walked) {
            Some(sums) => sums,
            None => self.one_by_one(filter, walked, wrong),
        }
    }

    /// Adds to the tally what every exit had wrong, of walks of which nobody got the single cases.
    /// Returns how many there were.
    pub fn count_habit(
        &mut self,
        tally: &mut Tally<'_, Probe>,
        probe: impl Fn(Stimulus) -> Probe,
    ) -> u64 {
        let mut total = 0;
        for prepared in &*self.prepared {
            let cases = match prepared.code {
                0 => 0,
                code => self.habit.cases[code.trailing_zeros() as usize],
            };
            let exit = prepared.expectation.exit(CR2_AT_START);
            let want = Observed::exactly(Outcome::Exit(exit));
            let got = Observed::exactly(Outcome::Exit(changed(exit, &self.habit.bits)));
            if let (1.., Some(difference)) = (cases, Differing::of_observed(&want, &got)) {
                let probe = probe(prepared.stimulus);
                tally.add(probe, probe.number(), Filter::ALWAYS, &difference, cases);
                total += cases;
            }
        }
        self.habit.cases = [0; 32];
        total
    }

    /// Whether all exits of the last walk had the same bits wrong, others than those of the walks
    /// before.
    pub const fn has_learned(&self) -> bool {
        self.habit.learned.is_some()
    }

    /// From now on exits are compared with such as have the bits wrong that those of the last walk
    /// had, if these are new: what was counted of the old ones goes to the tally. To be called
    /// after each walk for which [`Judge::has_learned`]; how many cases went there.
    pub fn adapt(
        &mut self,
        tally: &mut Tally<'_, Probe>,
        probe: impl Fn(Stimulus) -> Probe,
    ) -> u64 {
        let Some(bits) = self.habit.learned.take() else { return 0 };
        let counted = self.count_habit(tally, probe);
        self.expect(bits);
        counted
    }

    fn expect(&mut self, bits: [u64; FIELDS]) {
        self.habit.bits = bits;
        self.habit.is_bad = bits != [0; FIELDS];
        for prepared in &mut *self.prepared {
            prepared.record.exit = changed(prepared.expectation.exit(CR2_AT_START), &bits);
        }
    }

    /// The sums if every case is right, except for what every exit of this host has wrong.
    /// Differences are gathered, not branched on: on a host that is right this is most of L1's
    /// work.
    #[inline(never)]
    fn if_as_ever(&mut self, filter: Filter, walked: &Walked<'_>) -> Option<Sums> {
        let wanted = filter.basic_exits();
        let mut exits = walked.exits.iter();
        let mut slot = walker::slots().cast_const();
        let mut cr2 = walked.cr2;
        let mut delivered = 0;
        let mut difference = Difference::none();
        for prepared in &mut *self.prepared {
            // SAFETY: there are as many slots as stimuli; L2 does not run; the effect is in a
            // static.
            let (seen, effect) = unsafe { (&*slot, prepared.effect.read_volatile()) };
            slot = slot.wrapping_add(1);
            difference.word |=
                effect ^ prepared.effect_constant ^ (walked.number & prepared.effect_is_walk);
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
        if !difference.is_none() || exits.len() != 0 {
            return None;
        }
        let exited = self.seen & wanted;
        if self.habit.is_bad {
            self.habit.count(exited);
        }
        let exits = walked.exits.len() as u64;
        Some(Sums { exited, exits, delivered })
    }

    /// Judges a walk in which something is not right, and learns what all of its exits have wrong.
    #[cold]
    fn one_by_one(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        mut wrong: impl FnMut(&Stimulus, &Observed, &Observed),
    ) -> Sums {
        let mut sums = Sums::default();
        let mut common = Common::default();
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
            sums.exits += got.exits;
            sums.delivered += got.deliveries;
            if got.exits != 0 {
                sums.exited |= prepared.code;
            }
            let want = Observed::exactly(prepared.expectation.outcome(filter, cr2));
            common.take(&want, &got);
            if got != want {
                wrong(&prepared.stimulus, &want, &got);
            }
            if slot.faults != 0 {
                cr2 = slot.delivery.cr2;
            }
        }
        self.habit.learned = common.habit().filter(|bits| *bits != self.habit.bits);
        sums
    }
}

impl Habit {
    /// Counts the exits of a walk that had it; `exited` is the set of their codes.
    fn count(&mut self, exited: u32) {
        let mut left = exited;
        while left != 0 {
            self.cases[left.trailing_zeros() as usize] += 1;
            left &= left - 1;
        }
    }
}

/// What the exits of a walk have in common.
#[derive(Default)]
struct Common {
    bits: Option<[u64; FIELDS]>,
    broken: bool,
}

impl Common {
    fn take(&mut self, want: &Observed, got: &Observed) {
        let exits =
            want.exit.zip(got.exit).filter(|_| Observed { exit: want.exit, ..*got } == *want);
        match exits.and_then(|(want, got)| bits_between(&want, &got)) {
            Some(bits) => self.broken |= *self.bits.get_or_insert(bits) != bits,
            None => self.broken |= want != got,
        }
    }

    /// The bits that differ in every exit, if each case is right apart from them.
    fn habit(self) -> Option<[u64; FIELDS]> {
        self.bits.filter(|_| !self.broken)
    }
}

impl Prepared {
    /// Whether the access had its effect in this walk.
    fn executed(&self, walk: u64) -> bool {
        // SAFETY: the address is in the frame or in a slot, both statics; L2 does not run.
        let effect = unsafe { self.effect.read_volatile() };
        effect == if self.stimulus.access == Access::Write { walk } else { TOKEN }
    }

    /// What was seen other than exits.
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

#[cfg(test)]
mod tests;
