//! Scenes that go on in L2 after a fault.

use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;
use crate::scene::end::{How, Word};
use crate::scene::environment::Environment;
use crate::scene::{Answer, Scene};

use super::all_scenes;

const WIDTH: u8 = 40;

fn scenes() -> impl Iterator<Item = (&'static Environment, Scene)> {
    all_scenes(WIDTH).filter(|(_, scene)| scene.answer == Answer::GoOn)
}

fn codes(environment: &Environment, scene: &Scene) -> (Pfec, Pfec) {
    let first = scene.first_pfec(environment, WIDTH);
    first.zip(scene.pfec(environment, WIDTH)).expect("both fault")
}

#[test]
fn the_first_fault_comes_whether_or_not_l2_s_change_counts_yet() {
    let mut count = 0;
    for (environment, scene) in scenes() {
        let tested = scene.tested_at_start();
        let before = Scene { tested, ..scene };
        let at = (environment.name, scene.id);
        assert_ne!(scene.tested, tested, "{at:?}");
        assert_eq!(
            before.first_pfec(environment, WIDTH),
            scene.first_pfec(environment, WIDTH),
            "{at:?}"
        );
        // What was cached before would allow the second access.
        assert_eq!(before.pfec(environment, WIDTH), None, "{at:?}");
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn the_second_fault_is_asked_for_where_l2_got_the_first() {
    for (environment, scene) in scenes() {
        let (first, then) = codes(environment, &scene);
        let only_then = Filter::new(true, Pfec::BASIC.bits(), then.bits());
        let rip = scene.fault.and_then(|fault| fault.rip);
        for (filter, wanted) in [(Filter::NEVER, false), (only_then, true)] {
            let ends = scene.expect(environment, filter, WIDTH);
            assert_eq!(ends.first.how, How::Delivered(14));
            assert_eq!(ends.first.word(Word::ErrorCode), u64::from(first.bits()));
            let second = ends.second.expect("L2 goes on");
            assert_eq!(second.how, if wanted { How::Exit(0) } else { How::Delivered(14) });
            assert_eq!(second.word(Word::ErrorCode), u64::from(then.bits()));
            assert_eq!(Some(second.word(Word::Rip)), rip);
        }
        let ends = scene.expect(environment, Filter::ALWAYS, WIDTH);
        assert_eq!((ends.first.how, ends.second), (How::Exit(0), None));
    }
}
