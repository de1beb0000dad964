use std::vec::Vec;

use spec::catalogue::case::Case;
use spec::manual::paging::Privilege;
use spec::walk::case::{WalkCase, WalkGroup};
use spec::walk::family::Family;
use spec::walk::outcome::Delivery;
use spec::walk::setting::{BASE, SETTINGS};
use spec::walk::stimulus::LOOPS;

use super::*;
use crate::fake::begin;

const MAXPHYADDR: Maxphyaddr = 39;
/// Exits for writes only, and for all others only.
const WRITES: Filter = Filter::new(true, 2, 2);
const OTHERS: Filter = Filter::new(false, 2, 2);
const FILTERS: [Filter; 4] = [Filter::ALWAYS, Filter::NEVER, WRITES, OTHERS];

fn l2() -> Header {
    Header {
        magic: Header::MAGIC,
        init: 0,
        walk: 0,
        user_start: 0,
        user_end: 0,
        end: 0,
        access: core::array::from_fn::<_, LOOPS, _>(|at| 0x1000 + at as u64),
        resume: [0; LOOPS],
        asked: 0,
        user_cs: 0x23,
        supervisor_cs: 8,
    }
}

fn judge(setting: &Setting) -> Judge {
    Judge::new(setting, Stimulus::all(setting, MAXPHYADDR), &l2(), MAXPHYADDR)
}

/// What a walk leaves: exits, and in the shared area slots and effects. A right host's.
struct Left {
    number: u64,
    exits: Vec<ExitRecord>,
}

impl Left {
    fn by_right_host(judge: &mut Judge, filter: Filter, number: u64) -> Self {
        let mut exits = Vec::new();
        let mut cr2 = CR2_AT_START;
        for (at, prepared) in judge.prepared.iter().enumerate() {
            let stimulus = &prepared.stimulus;
            let slot = slot(at);
            *slot = Slot { result: number, ..Slot::new(stimulus.address()) };
            match prepared.expectation.outcome(filter, cr2) {
                Outcome::Exit(exit) => {
                    exits.push(ExitRecord {
                        exit,
                        slot: walker::slot_address(at, stimulus.privilege),
                    });
                }
                Outcome::Delivered(delivery) => {
                    (slot.faults, slot.delivery) = (1, delivery);
                    cr2 = stimulus.address();
                }
                // SAFETY: an address in the frame, a static that `begin` gave to this test.
                Outcome::Silent if stimulus.access == Access::Write => unsafe {
                    guest::frame_at(stimulus.address()).write(number);
                },
                Outcome::Silent => slot.result = TOKEN,
            }
        }
        Self { number, exits }
    }

    /// The exit of a slot, if there is one.
    fn exit(&mut self, at: usize, privilege: Privilege) -> Option<&mut ExitRecord> {
        self.exits.iter_mut().find(|record| record.slot == walker::slot_address(at, privilege))
    }

    fn walked(&self) -> Walked<'_> {
        Walked { number: self.number, cr2: CR2_AT_START, exits: &self.exits }
    }

    /// The places of the cases that are not right.
    fn wrong(&self, judge: &mut Judge, filter: Filter) -> Vec<usize> {
        let mut wrong = Vec::new();
        judge.walk(filter, &self.walked(), |stimulus, want, got| {
            assert_ne!(want, got);
            wrong.push(*stimulus);
        });
        let place =
            |wrong: &Stimulus| judge.stimuli().position(|stimulus| stimulus == wrong).unwrap();
        wrong.iter().map(place).collect()
    }
}

/// A slot of the shared area. No two are held at a time.
fn slot(at: usize) -> &'static mut Slot {
    // SAFETY: a slot of a static that `begin` gave to the test.
    unsafe { &mut *walker::slots().add(at) }
}

#[test]
fn a_right_host_has_nothing_wrong_and_both_ways_to_judge_agree() {
    let _turn = begin();
    for setting in SETTINGS {
        let mut judge = judge(setting);
        for (filter, number) in FILTERS.into_iter().zip(1..) {
            let left = Left::by_right_host(&mut judge, filter, number);
            let quick = judge.if_as_ever(filter, &left.walked()).expect("nothing differs");
            let slow =
                judge.one_by_one(filter, &left.walked(), |stimulus, _, _| panic!("{stimulus:?}"));
            assert_eq!(
                (quick.exited, quick.exits, quick.delivered),
                (slow.exited, slow.exits, slow.delivered),
                "{} {filter}",
                setting.name
            );
            let faults = Stimulus::all(setting, MAXPHYADDR)
                .filter(|it| it.pfec(setting, MAXPHYADDR).is_some());
            assert_eq!(quick.exits + quick.delivered, faults.count() as u64);
        }
        assert!(!judge.has_learned());
    }
}

#[test]
fn each_field_that_differs_shows_in_its_own_case() {
    const EXIT: [fn(&mut Exit) -> &mut u64; FIELDS + 1] = [
        |exit| &mut exit.info,
        |exit| &mut exit.error_code,
        |exit| &mut exit.qualification,
        |exit| &mut exit.rip,
        |exit| &mut exit.rflags,
        |exit| &mut exit.idt_vectoring,
        |exit| &mut exit.cr2,
    ];
    const DELIVERY: [fn(&mut Delivery) -> &mut u64; 4] =
        [|it| &mut it.error_code, |it| &mut it.rip, |it| &mut it.cs, |it| &mut it.rflags];
    let _turn = begin();
    let mut judge = judge(BASE);
    for filter in FILTERS {
        for at in 0..judge.len() {
            let privilege = judge.prepared[at].stimulus.privilege;
            let left = &mut Left::by_right_host(&mut judge, filter, 7);
            let mut differs =
                |left: &Left| assert_eq!(left.wrong(&mut judge, filter), [at], "{filter}");
            for bit in [0, 63] {
                for field in EXIT {
                    let Some(record) = left.exit(at, privilege) else { continue };
                    *field(&mut record.exit) ^= 1 << bit;
                    differs(left);
                    *field(&mut left.exit(at, privilege).unwrap().exit) ^= 1 << bit;
                }
                for field in DELIVERY.into_iter().filter(|_| slot(at).faults != 0) {
                    *field(&mut slot(at).delivery) ^= 1 << bit;
                    differs(left);
                    *field(&mut slot(at).delivery) ^= 1 << bit;
                }
            }
            assert!(left.wrong(&mut judge, filter).is_empty());
        }
    }
}

#[test]
fn a_fault_counts_once_and_at_one_party() {
    let _turn = begin();
    let mut judge = judge(BASE);
    for filter in FILTERS {
        for at in 0..judge.len() {
            let left = &mut Left::by_right_host(&mut judge, filter, 7);
            // One fault more than there is, at L2.
            slot(at).faults += 1;
            assert_eq!(left.wrong(&mut judge, filter)[0], at);
            slot(at).faults -= 1;
            let own = walker::slot_address(at, judge.prepared[at].stimulus.privilege);
            if let Some(place) = left.exits.iter().position(|record| record.slot == own) {
                let record = left.exits.remove(place);
                assert_eq!(left.wrong(&mut judge, filter), [at], "no exit");
                left.exits.splice(place..place, [record, record]);
                assert_eq!(left.wrong(&mut judge, filter), [at], "two exits");
                left.exits.remove(place);
                left.exits[place].slot ^= 64;
                assert!(left.wrong(&mut judge, filter).contains(&at), "the exit of another slot");
            }
            // The exit of a case that has none; its fields do not matter.
            if slot(at).faults == 0 && left.exits.is_empty() {
                left.exits.push(ExitRecord { slot: own, ..ExitRecord::EMPTY });
                assert_eq!(left.wrong(&mut judge, filter), [at], "an exit too many");
            }
        }
    }
}

#[test]
fn an_access_has_its_effect_if_it_is_allowed_and_only_then() {
    let _turn = begin();
    let mut judge = judge(BASE);
    for filter in FILTERS {
        for at in 0..judge.len() {
            let Stimulus { access, .. } = judge.prepared[at].stimulus;
            let is_silent = judge.prepared[at].expectation.pfec.is_none();
            judge.forget_effects();
            let left = Left::by_right_host(&mut judge, filter, 9);
            let effect = judge.prepared[at].effect;
            let changed = match (access, is_silent) {
                (Access::Write, true) => [0, 8],
                (Access::Write, false) => [9, 9],
                (_, true) => [9, 0],
                (_, false) => [TOKEN, TOKEN],
            };
            for changed in changed {
                // SAFETY: the effect is in a static that `begin` gave to this test.
                let right = unsafe { effect.replace(changed) };
                assert_eq!(left.wrong(&mut judge, filter), [at], "{access:?}, silent: {is_silent}");
                // SAFETY: as above.
                unsafe { effect.write(right) };
            }
        }
    }
}

#[test]
fn what_every_exit_has_wrong_is_learned_counted_and_unlearned() {
    let _turn = begin();
    for flip in [
        |exit: &mut Exit| exit.info ^= 1,
        |exit: &mut Exit| exit.error_code ^= 1,
        |exit: &mut Exit| exit.qualification ^= 1,
        |exit: &mut Exit| exit.rip ^= 1,
        |exit: &mut Exit| exit.rflags ^= 1,
        |exit: &mut Exit| exit.idt_vectoring ^= 1,
    ] {
        learns(flip);
    }
}

/// A host has the same wrong in every exit, then something else too, and then is right.
fn learns(flip: fn(&mut Exit)) {
    let mut judge = judge(BASE);
    let mut room: Vec<_> = (0..MAX_SLOTS).map(|_| None).collect();
    let mut tally = Tally::new(&mut room);
    let group = WalkGroup { family: Family::Basic, setting: BASE };
    let probe =
        |stimulus| Probe::of(&Case::Walk(WalkCase { group, stimulus, filter: Filter::NEVER }));
    let flipped = |judge: &mut Judge, filter| {
        let mut left = Left::by_right_host(judge, filter, 3);
        left.exits.iter_mut().for_each(|record| flip(&mut record.exit));
        left
    };
    let left = flipped(&mut judge, Filter::ALWAYS);
    let all = left.exits.len();
    assert_eq!(
        left.wrong(&mut judge, Filter::ALWAYS).len(),
        all,
        "the first walk is judged one by one"
    );
    assert!(judge.has_learned());
    assert_eq!(judge.adapt(&mut tally, probe), 0, "nothing was only counted so far");
    let left = flipped(&mut judge, WRITES);
    let writes = left.exits.len();
    assert!(left.wrong(&mut judge, WRITES).is_empty() && writes > 0 && writes < all);
    let mut left = flipped(&mut judge, Filter::ALWAYS);
    assert!(left.wrong(&mut judge, Filter::ALWAYS).is_empty());
    left.exits[0].exit.rip ^= 2;
    assert_eq!(left.wrong(&mut judge, Filter::ALWAYS).len(), all, "something else, too");
    assert!(!judge.has_learned(), "not all have the same");
    assert_eq!(judge.count_habit(&mut tally, probe), (all + writes) as u64);
    assert_eq!(judge.count_habit(&mut tally, probe), 0, "each is counted once");
    let lines: u64 = tally.lines().map(|line| line.cases).sum();
    assert_eq!(lines, (all + writes) as u64);
    let left = Left::by_right_host(&mut judge, Filter::ALWAYS, 4);
    assert!(left.wrong(&mut judge, Filter::ALWAYS).is_empty() && judge.has_learned());
    judge.adapt(&mut tally, probe);
    assert!(judge.if_as_ever(Filter::ALWAYS, &left.walked()).is_some());
    assert_eq!(judge.count_habit(&mut tally, probe), 0, "a right host has no habit");
}
