//! The manual's sections that maskmatch cites: docs/sections.md.

use std::collections::BTreeSet;
use std::fmt::Write;

use spec::manual::section::{NEWEST, Number, OLDER, Section};
use spec::scene::Act;

use crate::verdict::known::Tables;

const HEAD: &str = "\
# The manual's sections

Every section of the *Intel 64 and IA-32 Architectures Software Developer's Manual* (SDM) that
maskmatch cites, with its number in two editions of the combined volumes. In any other edition, look
for the title: titles and the numbers below the chapter hardly change, chapters do.

| chapter | 2020 | 2021 | 2022 to early 2024 | 2024, 2025 | 2026 |
|---|---|---|---|---|---|
| Virtual Machine Control Structures | 24 | 23? | 25 | 26 | 27 |
| VMX Non-Root Operation | 25 | 24? | 26 | 27 | 28 |
| VM Entries | 26 | 25? | 27 | 28 | 29 |
| VM Exits | 27 | 26? | 28 | 29 | 30 |
| VMX Support for Address Translation | 28 | 27? | 29 | 30 | 31 |

The editions of 2021 are 325462-074 to -076. Their numbers are inferred: in -075 the chapter on
Intel Processor Trace is chapter 31, four less than before, and three chapters in front of it are
gone; what cites VMX from the manual of that time has these numbers.

A number with `*` follows from the chapter's number in that edition and was not compared with the
manual. Of the numbers in 325462-072, those of the VMX chapters agree with what cites that edition;
the others were not compared again. `-` means that the edition has no such section, or that its number there is not known.
Entries of the instruction reference are found by name. Some titles changed: in 325462-092 the
subject of \"Handling Multiple NMIs\" is \"NMI Blocking\", interrupts 8 and 14 are called events, and
\"Vectored-Event Injection\" speaks of interrupts and exceptions.

The key is what `section` of a row of `runner/known/*.toml` names. *Cited by* lists known deviations
and families of scenes; comments in the code cite by title. This file is made by
`maskmatch list --sections`; a test holds it up to date, and another finds every citation that is
not in it.
";

/// The whole of docs/sections.md.
pub fn text(tables: &Tables) -> String {
    let mut text = String::from(HEAD);
    let mut chapter = None;
    for section in Section::ALL {
        let of = section.chapter();
        if chapter.replace(of) != Some(of) {
            let _ = writeln!(
                text,
                "\n## Volume {}, {}\n\n| title | {OLDER} | {NEWEST} | key | cited by |\n|---|---|---|---|---|",
                of.volume, of.title
            );
        }
        let number =
            |number: Option<Number>| number.map_or_else(|| "-".into(), |number| number.to_string());
        let mark = if section.is_derived() { "*" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {}{mark} | `{}` | {} |",
            section.title(),
            number(section.older()),
            number(section.newest()),
            section.key(),
            cited_by(section, tables).join(", ")
        );
    }
    text
}

/// The known deviations and the families of scenes that cite a section.
fn cited_by(section: Section, tables: &Tables) -> Vec<String> {
    let rows = tables
        .rows()
        .iter()
        .filter(|row| row.text.sections.contains(&section))
        .map(|row| row.name.clone());
    let cites = |act: &Act| {
        act.scenes().any(|id| id.texts().section.is_some_and(|cited| cited.section == section))
    };
    let acts: BTreeSet<String> =
        Act::ALL.into_iter().filter(cites).map(|act| format!("`{}.*`", act.name())).collect();
    rows.chain(acts).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use spec::manual::section::Section;

    use super::{Tables, text};

    #[test]
    fn the_document_is_current() {
        let written = include_str!("../../../../docs/sections.md");
        let now = text(&Tables::built_in());
        assert!(
            written == now,
            "write it anew: cargo run --release -- list --sections > docs/sections.md"
        );
    }

    /// The files in which a citation may stand, but the table itself, as lines without what marks
    /// a comment, joined.
    fn sources() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders: Vec<PathBuf> = ["l1", "l2", "lab", "runner/src", "runner/known", "spec"]
            .iter()
            .map(|name| root.join(name))
            .collect();
        let mut sources = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let is_source = entry
                    .extension()
                    .is_some_and(|extension| extension == "rs" || extension == "toml");
                let is_table =
                    entry.ends_with("manual/section.rs") || entry.ends_with("list/sections.rs");
                if entry.is_dir() {
                    folders.push(entry);
                } else if is_source && !is_table {
                    let text = fs::read_to_string(&entry).unwrap();
                    let lines =
                        text.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
                    sources.push((entry, lines.collect::<Vec<_>>().join(" ")));
                }
            }
        }
        assert!(sources.len() > 200, "{}", sources.len());
        sources
    }

    /// Whether a text has a number that is not part of another.
    fn has_number(text: &str, number: &str) -> bool {
        let bounds = |at: usize| {
            let before = text[..at].chars().next_back();
            let after: Vec<char> = text[at + number.len()..].chars().take(2).collect();
            let goes_on = matches!(after[..], ['.', next, ..] if next.is_ascii_digit());
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
                && !after.first().is_some_and(|c| c.is_alphanumeric() || *c == '-')
                && !goes_on
        };
        text.match_indices(number).any(|(at, _)| bounds(at))
    }

    /// The first number of the manual that a text types, if there is one. A short one may be
    /// something else, and counts where it stands as a citation's does.
    fn typed(text: &str) -> Option<String> {
        Section::ALL.into_iter().find_map(|section| {
            let volume = section.chapter().volume;
            [section.older(), section.newest()].into_iter().flatten().find_map(|number| {
                let number = number.to_string();
                let chapter =
                    number.split('.').next().and_then(|chapter| chapter.parse::<u8>().ok());
                let is_clear =
                    number.matches('.').count() >= 2 && chapter.is_none_or(|chapter| chapter >= 20);
                let citations = [
                    format!("section {number}"),
                    format!("sections {number}"),
                    format!("SDM {number}"),
                    format!("{volume}, {number}"),
                ];
                let is_typed = is_clear && has_number(text, &number)
                    || citations.iter().any(|words| has_number(text, words));
                is_typed.then_some(number)
            })
        })
    }

    /// The title that a text cites first and that is no section's, if there is one.
    fn unknown_title(text: &str) -> Option<&str> {
        text.match_indices("SDM ").find_map(|(at, sdm)| {
            let mut rest = &text[at + sdm.len()..];
            if let Some(volume) = rest.strip_prefix("vol. ") {
                rest = volume.split_once(", ").map_or("no volume", |(_, rest)| rest);
            } else if !rest.starts_with('"') {
                return None;
            }
            let title =
                rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).unwrap_or(rest);
            (!Section::ALL.iter().any(|section| section.title() == title)).then_some(title)
        })
    }

    #[test]
    fn nothing_but_the_table_cites_by_number_or_by_another_title() {
        for (path, text) in sources() {
            assert_eq!(typed(&text), None, "{}: cite by spec::manual::section", path.display());
            assert_eq!(unknown_title(&text), None, "{}: no such title", path.display());
        }
        // What these find.
        for text in [
            "see 27.3.3,",
            "SDM vol. 3C, 25.2 (Other Causes)",
            "section 4.7 says",
            "(31.3.3.2)",
            "SDM A.10",
        ] {
            assert!(typed(text).is_some(), "{text}");
        }
        for text in ["Linux 6.12.1", "kvm 4.7", "1.27.3.3", "27.3.3.1.2", "127.3.3", "25.2 %"] {
            assert_eq!(typed(text), None, "{text}");
        }
        assert_eq!(unknown_title("SDM vol. 3C, \"VM Exit\"."), Some("VM Exit"));
        assert_eq!(unknown_title("SDM \"VM Exits\". SDM vol. 3A, \"Paging\""), Some("Paging"));
        assert_eq!(unknown_title("as the SDM says"), None);
    }

    #[test]
    fn every_section_is_cited() {
        let all: String = sources().into_iter().map(|(_, text)| text + "\n").collect();
        for section in Section::ALL {
            let cited = [
                format!("Section::{}", section.name()),
                format!("\"{}\"", section.title()),
                format!("\"{}\"", section.key()),
            ];
            assert!(cited.iter().any(|text| all.contains(text)), "{section}");
        }
    }
}
