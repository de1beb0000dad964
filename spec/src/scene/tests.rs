use super::environment::ENVIRONMENTS;
use super::environment::Width;
use super::{Act, Answer, FORCED_EMULATION_PREFIX, Feature};
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use std::collections::HashSet;
use std::vec::Vec;

#[test]
fn names_are_unique_and_fit_ids() {
    for act in Act::ALL {
        for environment in ENVIRONMENTS {
            let mut names = HashSet::new();
            for scene in act.scenes_in(environment) {
                assert!(names.insert(scene.name), "{} {}", scene.name, environment.name);
                assert!(scene.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }
    }
}

#[test]
fn each_profile_plays_in_each_environment_of_an_act() {
    for act in Act::ALL {
        for environment in ENVIRONMENTS.iter().filter(|environment| act.scenes_in(environment).next().is_some()) {
            let all = act.scenes_in(environment).count() * act.filter_count(Profile::Standard);
            assert_eq!(act.plays(environment, Profile::Standard).count(), all, "{} {}", act.name(), environment.name);
            let quick: Vec<_> = act.plays(environment, Profile::Quick).collect();
            let scenes: HashSet<_> = quick.iter().map(|(_, scene)| scene.name).collect();
            assert!(!quick.is_empty(), "{} {}", act.name(), environment.name);
            assert_eq!(scenes.len(), quick.len(), "each scene has one filter");
        }
    }
}

#[test]
fn every_scene_plays_somewhere() {
    for scene in Act::ALL.into_iter().flat_map(Act::scenes) {
        assert!(ENVIRONMENTS.iter().any(|environment| scene.plays_in(environment)), "{}", scene.name);
    }
}

#[test]
fn a_scene_with_a_fault_faults() {
    for environment in ENVIRONMENTS {
        let scenes = Act::ALL.into_iter().flat_map(|act| act.scenes_in(environment));
        for scene in scenes.filter(|scene| scene.tested.is_none()) {
            assert_eq!(scene.fault.is_some(), scene.pfec(environment, 40).is_some(), "{}", scene.name);
            assert_eq!(scene.first.is_some(), scene.first_pfec(environment, 40).is_some(), "{}", scene.name);
        }
    }
}

#[test]
fn an_answer_is_given_to_exits_alone_and_an_interlude_always() {
    for environment in ENVIRONMENTS {
        for scene in Act::ALL.into_iter().flat_map(|act| act.scenes_in(environment)) {
            if scene.nested.is_some() {
                continue;
            }
            let second = |filter| scene.expect(environment, filter, 40).second.is_some();
            let again = matches!(scene.answer, Answer::Again(_) | Answer::Spoil(_));
            assert_eq!(second(Filter::NEVER), again, "{}", scene.name);
            let faults = scene.pfec(environment, 40).is_some();
            assert_eq!(second(Filter::ALWAYS), again || faults && scene.answer != Answer::Nothing);
        }
    }
}

/// The text of an instruction of 32 bits as it stands in 64-bit mode.
fn widened(text: &str) -> std::string::String {
    ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
        .iter()
        .fold(text.into(), |text, register| text.replace(&std::format!("[e{register}"), &std::format!("[r{register}")))
}

#[test]
fn instructions_are_what_their_text_says() {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    let mut wrong = std::vec::Vec::new();
    for environment in ENVIRONMENTS {
        let scenes = Act::ALL.into_iter().flat_map(|act| act.scenes_in(environment));
        for scene in scenes.filter(|scene| !scene.code.is_empty()) {
            let code = scene.code.strip_prefix(&FORCED_EMULATION_PREFIX).unwrap_or(scene.code);
            assert_eq!(code != scene.code, scene.needs == Some(Feature::ForcedEmulation), "{}", scene.name);
            let bits = environment.width.address_bits();
            let mut decoder = Decoder::with_ip(bits, code, scene.rip, DecoderOptions::NONE);
            let mut texts = std::vec::Vec::new();
            while decoder.can_decode() {
                let mut text = std::string::String::new();
                IntelFormatter::new().format(&decoder.decode(), &mut text);
                texts.push(if environment.width == Width::Bits64 { text } else { widened(&text) });
            }
            let text = texts.join("; ");
            if text != scene.text {
                wrong.push((environment.name, scene.name, text));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
