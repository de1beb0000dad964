use super::case::SceneGroup;
use super::environment::{ENVIRONMENTS, Environment, Width};
use super::{Act, Answer, FORCED_EMULATION_PREFIX, Feature, Scene, SceneId};
use crate::catalogue::kind::Kind;
use crate::catalogue::plan::{FORMS, Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::paging::format::Format;
use std::collections::{HashMap, HashSet};
use std::vec::Vec;

#[test]
fn names_are_unique_and_fit_ids() {
    for group in SceneGroup::all() {
        let mut names = HashSet::new();
        for scene in group.scenes() {
            let name = scene.name();
            assert!(names.insert(name), "{name} {}", group.environment.name);
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
    }
}

mod freedom;
mod in_turn;

/// Widths of physical addresses that processors have: the smallest, and those of clients and
/// servers. With 52 bits no address bit is reserved.
pub(super) const WIDTHS: [Maxphyaddr; 5] = [36, 39, 46, 48, 52];

/// All scenes that a processor with an address width has, in each environment.
pub(super) fn all_scenes(
    maxphyaddr: Maxphyaddr,
) -> impl Iterator<Item = (&'static Environment, Scene)> {
    SceneGroup::all().flat_map(move |group| {
        let scenes = group.scenes().map(SceneId::scene);
        scenes.filter_map(move |scene| {
            scene.exists(group.environment, maxphyaddr).then_some((group.environment, scene))
        })
    })
}

#[test]
fn each_profile_plays_in_each_environment_of_an_act() {
    for group in SceneGroup::all() {
        for width in WIDTHS {
            let name = (group.act.name(), group.environment.name, width);
            for profile in [Profile::Quick, Profile::Standard] {
                let cases: Vec<_> = group.cases(profile, width).collect();
                assert_eq!(group.case_count(profile, width), cases.len(), "{name:?}");
                let scenes: HashSet<_> = cases.iter().map(|case| case.id).collect();
                // A sample can be of one scene, which such a processor does not have.
                assert!(!cases.is_empty() || width == 52, "{name:?}");
                if profile == Profile::Quick {
                    assert_eq!(scenes.len(), cases.len(), "each scene has one filter");
                    continue;
                }
                let exist = group.scenes().filter(|id| id.scene().exists(group.environment, width));
                assert_eq!(scenes, exist.collect(), "{name:?}");
            }
        }
    }
}

/// What the standard profile plays a scene under, at least: always and never in both forms, its own
/// error code and all but it. Others come in turns, and exhaustive plays all.
#[test]
fn each_scene_is_asked_about_its_own_code_and_others_in_turns() {
    for group in SceneGroup::all() {
        let mut under: HashMap<SceneId, HashSet<Filter>> = HashMap::new();
        for case in group.cases(Profile::Standard, 40) {
            assert!(under.entry(case.id).or_default().insert(case.filter), "{case:?} twice");
        }
        let mut seen = HashSet::new();
        for (id, filters) in &under {
            let name = (group.act.name(), group.environment.name, id);
            let mut most: HashSet<_> = QUICK_BASIC[..FORMS].iter().copied().collect();
            if let Some(code) = id.scene().pfec(group.environment, 40) {
                let code = code.bits() & 0x1f;
                most.extend([true, false].map(|eb_pf| Filter::new(eb_pf, 0x1f, code)));
            }
            assert!(filters.is_superset(&most), "{name:?}");
            seen.extend(filters.difference(&most).copied());
        }
        let singles: HashSet<_> =
            QUICK_BASIC[FORMS..].iter().copied().filter(|filter| filter.mask != 0x1f).collect();
        let many = under.len() >= 10 && group.act != Act::Page;
        assert!(!many || seen.is_superset(&singles), "{:?}", group.act);
    }
}

#[test]
fn an_entry_with_a_reserved_bit_is_where_bits_are_reserved() {
    let reserved = |maxphyaddr, format| {
        let scenes =
            all_scenes(maxphyaddr).filter(move |(environment, _)| environment.format == format);
        scenes.filter(|(_, scene)| scene.pages.iter().any(|(_, kind)| kind.reserved)).count()
    };
    for width in WIDTHS {
        assert_eq!(reserved(width, Format::Level4) > 0, width < 52);
        assert!(reserved(width, Format::Pae) > 0);
    }
}

#[test]
fn every_scene_plays_somewhere() {
    for scene in Act::ALL.into_iter().flat_map(Act::scenes) {
        assert!(ENVIRONMENTS.iter().any(|environment| scene.plays_in(environment)), "{scene}");
    }
}

#[test]
fn a_scene_with_a_fault_faults() {
    for width in WIDTHS {
        for (environment, scene) in all_scenes(width).filter(|(_, scene)| scene.tested.is_none()) {
            let at = (environment.name, scene.id, width);
            assert_eq!(scene.fault.is_some(), scene.pfec(environment, width).is_some(), "{at:?}");
            assert_eq!(
                scene.first.is_some(),
                scene.first_pfec(environment, width).is_some(),
                "{at:?}"
            );
        }
    }
}

#[test]
fn an_answer_is_given_to_exits_only_and_between_plays_always() {
    for width in WIDTHS {
        for (environment, scene) in all_scenes(width).filter(|(_, scene)| scene.nested.is_none()) {
            let second = |filter| scene.expect(environment, filter, width).second.is_some();
            let again =
                scene.flaw.is_some() || matches!(scene.answer, Answer::Again(_) | Answer::Spoil(_));
            let goes_on = scene.answer == Answer::GoOn;
            assert_eq!(second(Filter::NEVER), again || goes_on, "{}", scene.id);
            let answered = !goes_on && scene.answer != Answer::Nothing;
            let faults = scene.pfec(environment, width).is_some();
            assert_eq!(second(Filter::ALWAYS), again || faults && answered);
        }
    }
}

/// Code without its forced-emulation prefixes.
fn without_prefix(code: &[u8]) -> Vec<u8> {
    let mut left = code.to_vec();
    while let Some(at) = left
        .windows(FORCED_EMULATION_PREFIX.len())
        .position(|bytes| bytes == FORCED_EMULATION_PREFIX)
    {
        left.drain(at..at + FORCED_EMULATION_PREFIX.len());
    }
    left
}

/// The text of an instruction of 32 bits as it stands in 64-bit mode.
fn widened(text: &str) -> std::string::String {
    let registers = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
    let wide = |text: std::string::String, before: &str, after: &str| {
        registers.iter().fold(text, |text, register| {
            text.replace(
                &std::format!("{before}e{register}{after}"),
                &std::format!("{before}r{register}{after}"),
            )
        })
    };
    let text = wide(wide(text.into(), "[", ""), "", ",cr");
    (0..=4).fold(text, |text, number| wide(text, &std::format!("cr{number},"), ""))
}

#[test]
fn instructions_are_what_their_text_says() {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    let mut wrong = std::vec::Vec::new();
    for environment in ENVIRONMENTS {
        let scenes = Act::ALL.into_iter().flat_map(|act| SceneGroup { act, environment }.scenes());
        for id in scenes.filter(|id| !id.scene().code.is_empty()) {
            let scene = id.scene();
            let code = &without_prefix(scene.code);
            assert_eq!(
                code != scene.code,
                scene.needs == Some(Feature::ForcedEmulation),
                "{}",
                scene.id
            );
            let bits = environment.width.address_bits();
            let mut decoder = Decoder::with_ip(bits, code, scene.rip, DecoderOptions::NONE);
            let mut texts = std::vec::Vec::new();
            while decoder.can_decode() {
                let mut text = std::string::String::new();
                IntelFormatter::new().format(&decoder.decode(), &mut text);
                texts.push(if environment.width == Width::Bits64 { text } else { widened(&text) });
            }
            let text = texts.join("; ");
            if text != id.texts().instruction {
                wrong.push((environment.name, scene.id, text));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn quick_plays_all_that_is_about_mode_based_execute_control() {
    let mut played = 0;
    for group in SceneGroup::all().filter(|group| group.act == Act::Ept) {
        let is_about_modes =
            |id: &SceneId| id.scene().spoiled().is_some_and(|(_, entry)| entry.user.is_some());
        let quick: HashSet<_> = group.scenes_in(Profile::Quick).filter(is_about_modes).collect();
        assert_eq!(quick, group.scenes().filter(is_about_modes).collect());
        played += quick.len();
    }
    assert!(played > 0);
}
