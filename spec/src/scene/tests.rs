use super::environment::ENVIRONMENTS;
use super::{Act, Answer};
use crate::filter::Filter;
use std::collections::HashSet;

#[test]
fn names_are_unique_and_fit_ids() {
    for act in Act::ALL {
        let mut names = HashSet::new();
        for scene in act.scenes() {
            assert!(names.insert(scene.name), "{}", scene.name);
            assert!(scene.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        }
        for environment in ENVIRONMENTS {
            assert!(act.scenes_in(environment).all(|scene| scene.fits(environment)));
        }
    }
}

#[test]
fn a_scene_with_a_fault_faults() {
    for environment in ENVIRONMENTS {
        for scene in Act::ALL.into_iter().flat_map(|act| act.scenes_in(environment)) {
            assert_eq!(scene.fault.is_some(), scene.pfec(environment, 40).is_some(), "{}", scene.name);
            assert_eq!(scene.first.is_some(), scene.first_pfec(environment, 40).is_some(), "{}", scene.name);
        }
    }
}

#[test]
fn an_answer_is_given_to_exits_alone() {
    for environment in ENVIRONMENTS {
        for scene in Act::ALL.into_iter().flat_map(|act| act.scenes_in(environment)) {
            let second = |filter| scene.expect(environment, filter, 40).second.is_some();
            assert!(!second(Filter::NEVER), "{}", scene.name);
            assert_eq!(second(Filter::ALWAYS), scene.fault.is_some() && scene.answer != Answer::Nothing);
        }
    }
}

#[test]
fn instructions_are_what_their_text_says() {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    for scene in Act::ALL.into_iter().flat_map(|act| act.scenes().iter()).filter(|scene| !scene.code.is_empty()) {
        let mut decoder = Decoder::with_ip(64, scene.code, scene.rip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        assert_eq!(instruction.len(), scene.code.len(), "{}", scene.name);
        let mut text = std::string::String::new();
        IntelFormatter::new().format(&instruction, &mut text);
        assert_eq!(text, scene.text, "{}", scene.name);
    }
}
