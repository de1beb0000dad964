//! The catalogue: every group with what it tries, as docs/catalogue.md has it.

use std::fmt::Write;

use spec::catalogue::case::{Case, Probe};
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::scene::{Act, Scene};

use crate::command::list::{around, bits};
use crate::verdict::judge::thousands;

/// The address width with which the catalogue is written: that of Bochs.
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
    let _ =
        writeln!(text, "\nThe columns count cases on a processor with MAXPHYADDR {MAXPHYADDR} that has every feature.");
    for act in Act::ALL {
        scenes(&mut text, act);
    }
    let mut seen: Vec<&str> = Vec::new();
    for group in Group::all().filter(|group| !matches!(group, Group::Scene { .. })) {
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
        Group::Scene { act, environment } => format!("{}; {}", act.what(), environment.what),
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
    for scene in act.scenes() {
        let code = Group::all().find_map(|group| match group {
            Group::Scene { act: its, environment } if its == act && scene.plays_in(environment) => {
                Some(scene.pfec(environment, MAXPHYADDR))
            }
            _ => None,
        });
        let code = code.flatten().map_or_else(|| "none".into(), |pfec| format!("{:#x} {}", pfec.bits(), bits(pfec)));
        let Scene { name, what, cpl, text: instruction, .. } = scene;
        let instruction = if instruction.is_empty() { String::new() } else { format!("`{instruction}`") };
        let _ = writeln!(text, "| `{name}` | {what} | {} | {instruction} | {code} |", *cpl as u8 * 3);
    }
}

/// The accesses of a setting, a wish or an action.
fn accesses(text: &mut String, group: Group, name: &str, what: &str) {
    let _ = writeln!(text, "\n## Around `{name}`: {what}\n\n| access | error code |\n|---|---|");
    for probe in group.probes(MAXPHYADDR).filter(|probe| !matches!(probe, Probe::Scene(_))) {
        let code = (Case { group, probe, filter: Filter::NEVER }).pfec(MAXPHYADDR);
        let code = code.map_or_else(|| "none".into(), |pfec| format!("{:#x} {}", pfec.bits(), bits(pfec)));
        let _ = writeln!(text, "| `{probe}` | {code} |");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_catalogue_is_current() {
        let written = include_str!("../../../docs/catalogue.md");
        assert!(written == super::text(), "write it anew: cargo run --release -- list --catalogue > docs/catalogue.md");
    }
}
