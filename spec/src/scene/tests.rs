use super::environment::ENVIRONMENTS;
use super::{Act, Answer, FORCED_EMULATION_PREFIX, Feature};
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
    let mut wrong = std::vec::Vec::new();
    for scene in Act::ALL.into_iter().flat_map(|act| act.scenes().iter()).filter(|scene| !scene.code.is_empty()) {
        let code = scene.code.strip_prefix(&FORCED_EMULATION_PREFIX).unwrap_or(scene.code);
        assert_eq!(code != scene.code, scene.needs == Some(Feature::ForcedEmulation), "{}", scene.name);
        let mut decoder = Decoder::with_ip(64, code, scene.rip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        let mut text = std::string::String::new();
        IntelFormatter::new().format(&instruction, &mut text);
        if instruction.len() != code.len() || text != scene.text {
            wrong.push((scene.name, text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
