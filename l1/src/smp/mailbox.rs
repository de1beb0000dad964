//! How the two processors' L1s talk: one job at a time for the second one, and what came of it.
#![allow(unsafe_code, reason = "shares statics between two processors")]

use core::fmt::{self, Write};
#[cfg(not(test))]
use core::hint::spin_loop;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
#[cfg(test)]
use std::thread::yield_now as spin_loop;

use spec::manual::filter::Filter;
use spec::smp::shootdown::Change;
use spec::smp::together::MAX_STIMULI;

use super::vcpu::Seen;
use crate::machine::global::Global;

/// What the second processor is to do.
#[derive(Clone, Copy)]
pub enum Job {
    /// All accesses of `smp.filters` under a filter, in step with the first processor.
    Walk {
        /// Its filter.
        filter: Filter,
        /// What writes write.
        number: u64,
    },
    /// The accesses around a change.
    Shoot {
        /// Its filter.
        filter: Filter,
        /// The change.
        change: &'static Change,
        /// Whether an interrupt announces it.
        interrupt: bool,
        /// What writes write.
        number: u64,
    },
    /// Leave VMX operation and halt.
    Halt,
}

/// What came of a job.
pub struct Results {
    /// Of [`Job::Walk`], in the order of the accesses.
    pub walk: [Option<Seen>; MAX_STIMULI],
    /// Of [`Job::Shoot`]: before the invalidation and after it.
    pub shot: [Option<Seen>; 2],
}

/// Where the second processor is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SecondState {
    /// Not started.
    Off,
    /// Takes jobs.
    Ready,
    /// Will never do anything more; [`last_words`] says why.
    Dead,
    /// Halted as it was asked to.
    Halted,
}

static SECOND: AtomicU32 = AtomicU32::new(SecondState::Off as u32);
/// Its APIC ID.
static SECOND_ID: AtomicU32 = AtomicU32::new(0);
/// Jobs posted, and jobs done.
static POSTED: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
/// Whether both L2s have the first processor's root table.
static SHARED: AtomicBool = AtomicBool::new(false);
/// How far each processor is in a walk.
static STEPS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

static JOB: Global<Job> = Global::new(Job::Halt);
static RESULTS: Global<MaybeUninit<Results>> = Global::new(MaybeUninit::uninit());
static LAST_WORDS: Global<Words> = Global::new(Words { bytes: [0; 160], len: 0 });

/// How often one processor looks whether the other is there. Many times what a slow host needs, so
/// that only one that is stuck is given up.
const POLLS: u32 = 40_000_000;

/// Waits for something that the other processor does; whether it did.
pub fn wait(polls: u32, mut happened: impl FnMut() -> bool) -> bool {
    (0..polls).any(|_| {
        let seen = happened();
        if !seen {
            spin_loop();
        }
        seen
    })
}

/// Where the second processor is.
pub fn second_state() -> SecondState {
    let word = SECOND.load(Ordering::Acquire);
    [SecondState::Ready, SecondState::Dead, SecondState::Halted]
        .into_iter()
        .find(|state| *state as u32 == word)
        .unwrap_or(SecondState::Off)
}

/// Says where the second processor is.
pub fn set_second_state(state: SecondState) {
    SECOND.store(state as u32, Ordering::Release);
}

/// Second processor: it takes jobs, and has this APIC ID.
pub fn ready(apic_id: u32) {
    SECOND_ID.store(apic_id, Ordering::Relaxed);
    set_second_state(SecondState::Ready);
}

/// First processor: the APIC ID of the second one, which was ready.
pub fn second_id() -> u32 {
    SECOND_ID.load(Ordering::Relaxed)
}

/// First processor, before it starts the second one: empties the results, and says whether both L2s
/// have its root table.
pub fn prepare(shared: bool) {
    // SAFETY: no second processor runs yet, and the first one has dropped the results of the group
    // before.
    unsafe { (*RESULTS.get()).write(Results { walk: [None; MAX_STIMULI], shot: [None; 2] }) };
    SHARED.store(shared, Ordering::Release);
}

/// Second processor: whether they have.
pub fn is_shared() -> bool {
    SHARED.load(Ordering::Acquire)
}

/// First processor: forgets all of an earlier start.
pub fn reset() {
    for counter in [&POSTED, &DONE, &STEPS[0], &STEPS[1]] {
        counter.store(0, Ordering::Relaxed);
    }
    set_second_state(SecondState::Off);
}

/// First processor: gives the second one a job. It must have done the last.
pub fn post(job: Job) {
    for step in &STEPS {
        step.store(0, Ordering::Relaxed);
    }
    // SAFETY: the second processor has done its last job, as callers have seen by `results`, and
    // reads the next after `POSTED` grows.
    unsafe { JOB.get().write(job) };
    POSTED.fetch_add(1, Ordering::Release);
}

/// First processor: whether the second one has done its job, or died of it.
pub fn is_over() -> bool {
    DONE.load(Ordering::Acquire) == POSTED.load(Ordering::Relaxed)
        || second_state() == SecondState::Dead
}

/// First processor: waits for the job's results; none if the second one does not answer any more.
pub fn results() -> Option<&'static Results> {
    let answered = wait(POLLS, is_over) && second_state() != SecondState::Dead;
    // SAFETY: the second processor has done its job and writes no results before the next is
    // posted, which callers do when they have judged these. `prepare` wrote them first.
    answered.then(|| unsafe { (*RESULTS.get()).assume_init_ref() })
}

/// Second processor: waits for a job.
pub fn take() -> Job {
    while POSTED.load(Ordering::Acquire) == DONE.load(Ordering::Relaxed) {
        spin_loop();
    }
    // SAFETY: the first processor has written it before `POSTED`, and writes no other before
    // `DONE`.
    unsafe { JOB.get().read() }
}

/// Second processor: passes on what `write` makes of the results.
pub fn done(write: impl FnOnce(&mut Results)) {
    // SAFETY: the first processor has no reference: it reads the results after it sees `DONE` grow,
    // and drops them before it posts the job that brings the second one here again. `prepare` wrote
    // them first.
    write(unsafe { (*RESULTS.get()).assume_init_mut() });
    DONE.fetch_add(1, Ordering::Release);
}

/// Either processor in a walk: waits until the other is as far; whether it is.
pub fn meet(processor: usize) -> bool {
    let step = STEPS[processor].fetch_add(1, Ordering::AcqRel) + 1;
    wait(POLLS, || {
        STEPS[1 - processor].load(Ordering::Acquire) >= step || second_state() == SecondState::Dead
    })
}

/// Second processor: dies, and says why.
pub fn die(why: &dyn fmt::Display) {
    let words = Words { bytes: [0; 160], len: 0 };
    // SAFETY: the first processor reads the words after it sees `SecondState::Dead`, which this
    // processor writes last.
    let kept = unsafe {
        LAST_WORDS.get().write(words);
        &mut *LAST_WORDS.get()
    };
    // What does not fit is left out.
    let _ = write!(kept, "{why}");
    set_second_state(SecondState::Dead);
}

/// Why the second processor is dead; nothing if it is not.
pub fn last_words() -> &'static str {
    if second_state() != SecondState::Dead {
        return "";
    }
    // SAFETY: the second processor wrote the words before it said that it is dead, and writes
    // nothing after that.
    let words = unsafe { &*LAST_WORDS.get() };
    core::str::from_utf8(&words.bytes[..words.len]).unwrap_or_default()
}

/// A sentence without allocation, one line.
struct Words {
    bytes: [u8; 160],
    len: usize,
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars().map(|c| if c.is_ascii_graphic() { c as u8 } else { b' ' }) {
            let Some(byte) = self.bytes.get_mut(self.len) else { return Err(fmt::Error) };
            *byte = c;
            self.len += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
