use std::thread;

use spec::walk::outcome::{Observed, Outcome};

use super::*;
use crate::fake::begin;

const SILENT: Observed = Observed::exactly(Outcome::Silent);

#[test]
fn a_job_is_done_once_and_its_results_are_there_when_it_is_over() {
    let _turn = begin();
    reset();
    prepare(true);
    let second = thread::spawn(|| {
        set_second_state(SecondState::Ready);
        let mut walks = 0;
        while let Job::Walk { number, .. } = take() {
            walks += 1;
            done(|results| results.shot[0] = Some(Ok(Observed { exits: number, ..SILENT })));
        }
        set_second_state(SecondState::Halted);
        (walks, is_shared())
    });
    for number in 1..=50 {
        post(Job::Walk { filter: Filter::NEVER, number });
        let results = results().expect("the job is over");
        assert!(
            matches!(results.shot, [Some(Ok(seen)), None] if seen.exits == number),
            "job {number}"
        );
    }
    post(Job::Halt);
    assert_eq!(second.join().unwrap(), (50, true));
    assert!(second_state() == SecondState::Halted);
}

#[test]
fn processors_that_meet_are_never_a_step_apart() {
    let _turn = begin();
    reset();
    set_second_state(SecondState::Ready);
    let made = [const { AtomicU32::new(0) }; 2];
    thread::scope(|scope| {
        for processor in 0..2 {
            let made = &made;
            scope.spawn(move || {
                for step in 1..=50 {
                    assert!(meet(processor));
                    made[processor].store(step, Ordering::SeqCst);
                    let other = made[1 - processor].load(Ordering::SeqCst);
                    assert!((step - 1..=step + 1).contains(&other), "{other} at step {step}");
                }
            });
        }
    });
}

#[test]
fn nobody_waits_for_the_dead() {
    let _turn = begin();
    reset();
    assert_eq!(last_words(), "");
    post(Job::Halt);
    assert!(!is_over());
    die(&std::format_args!("#PF\nät {:0200}", 1));
    assert!(is_over() && results().is_none() && meet(0));
    let words = last_words();
    assert!(words.len() == 160 && words.starts_with("#PF  t 000"), "{words}");
    reset();
    assert_eq!(last_words(), "", "of an earlier start");
}

#[test]
fn a_wait_looks_as_often_as_it_may() {
    let mut looks = 0;
    assert!(!wait(5, || {
        looks += 1;
        false
    }));
    assert_eq!(looks, 5);
    assert!(wait(1, || true) && !wait(0, || true));
}
