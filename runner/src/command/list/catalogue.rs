//! The catalogue: every group with what it tries, as docs/catalogue.md has it.

use std::fmt::Write;

use spec::catalogue::group::Group;
use spec::catalogue::kind::Kind;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::manual::pfec::Pfec;
use spec::scene::case::SceneGroup;
use spec::scene::{Act, Texts};

use super::{around, bits};
use crate::verdict::judge::thousands;

/// The address width for which the catalogue is written: that of Bochs.
const MAXPHYADDR: Maxphyaddr = 40;

/// The whole of docs/catalogue.md.
pub fn text() -> String {
    let mut text = String::from(
        "# Catalogue\n\nEverything that maskmatch tries, made from `spec` by `maskmatch list --catalogue`; a test holds it up to date. What a case does and what \
         must happen: `maskmatch explain ID`.\n\n## Groups\n\n| group | what | quick | standard | exhaustive |\n|---|---|---|---|---|\n",
    );
    for group in Group::all() {
        let _ = write!(text, "| `{group}` | {} |", what(group));
        for profile in Profile::ALL {
            let cases = group.case_count(profile, MAXPHYADDR);
            let _ = write!(text, " {} |", thousands(cases as u64));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "\nThe columns count cases on a processor with MAXPHYADDR {MAXPHYADDR} that has every feature."
    );
    for act in Act::ALL {
        scenes(&mut text, act);
    }
    let mut seen: Vec<&str> = Vec::new();
    for group in Group::all().filter(|group| !matches!(group, Group::Scene(_))) {
        let (name, what) = around(group);
        if !seen.contains(&name) {
            seen.push(name);
            accesses(&mut text, group, name, what);
        }
    }
    text
}

fn what(group: Group) -> String {
    match group {
        Group::Scene(scenes) => format!("{}; {}", scenes.act.what(), scenes.environment.what()),
        _ => around(group).1.into(),
    }
}

/// The scenes of an act. The error code is that of the first environment which has the scene.
fn scenes(text: &mut String, act: Act) {
    let _ = writeln!(
        text,
        "\n## `{}.*`: {}\n\n| scene | what | CPL | instruction | error code |\n|---|---|---|---|---|",
        act.name(),
        act.what()
    );
    for id in act.scenes() {
        let (scene, Texts { what, instruction, .. }) = (id.scene(), id.texts());
        let first =
            SceneGroup::all().find(|group| group.act == act && id.plays_in(group.environment));
        let code = code(first.and_then(|group| scene.pfec(group.environment, MAXPHYADDR)));
        let instruction =
            if instruction.is_empty() { String::new() } else { format!("`{instruction}`") };
        let _ = writeln!(
            text,
            "| `{}` | {what} | {} | {instruction} | {code} |",
            id.name(),
            scene.cpl as u8 * 3
        );
    }
}

/// The accesses of a setting, a need or an action.
fn accesses(text: &mut String, group: Group, name: &str, what: &str) {
    let _ = writeln!(text, "\n## Around `{name}`: {what}\n\n| access | error code |\n|---|---|");
    for case in group.cases_with(Filter::NEVER, Profile::Exhaustive, MAXPHYADDR) {
        let _ = writeln!(text, "| `{}` | {} |", case.access(), code(case.pfec(MAXPHYADDR)));
    }
}

fn code(pfec: Option<Pfec>) -> String {
    pfec.map_or_else(|| "none".into(), |pfec| format!("{:#x} {}", pfec.bits(), bits(pfec)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_catalogue_is_current() {
        let written = include_str!("../../../../docs/catalogue.md");
        assert!(
            written == super::text(),
            "write it anew: cargo run --release -- list --catalogue > docs/catalogue.md"
        );
    }
}
