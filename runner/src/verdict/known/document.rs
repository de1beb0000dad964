//! The tables for people: docs/known-deviations.md.

use std::fmt::{Display, Write};

use super::row::{Clause, Party, Row, When};
use super::table::Tables;

/// The column at which prose ends.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Known deviations

What certain processors and hosts do wrong, found by maskmatch or before, and understood. A
difference that the rows of a subject cover is counted apart and shown with its reason. It is a
failure with `--strict` if it is the fault of what is tested; anywhere else the same difference is
a plain failure.

This file is made from `runner/known/*.toml` by `maskmatch list --known`; a test holds it up to
date. `--known FILE` adds rows of your own in the same form, `--no-known` takes all rows away. What
each key means is written in `runner/src/verdict/known/row.rs`. The evidence for each row, read or
shown or inferred, stands in [evidence.md](evidence.md). All sections of the manual that are cited
stand in [sections.md](sections.md).
";

const TAIL: &str = "
## No deviation but a failure: a warning of KVM with ept=0

L2 with 5-level paging executes INVLPG of an address beyond 48 bits, and an L0 that runs with
4-level paging itself logs a warning, \"invvpid_error\". What L1 and L2 see is right. A warning of
L0's kernel is a failure in the lab, whatever the reason; this one is explained in
[results.md](results.md), \"5-level paging with KVM\".
";

/// The whole of docs/known-deviations.md.
pub fn text(tables: &Tables) -> String {
    let mut text = String::from(HEAD);
    for (of, title) in [(Party::Processor, "Of the processor"), (Party::Host, "Of the host")] {
        let _ = writeln!(text, "\n## {title}");
        tables.rows().iter().filter(|row| row.of == of).for_each(|row| write_row(&mut text, row));
    }
    text.push_str(TAIL);
    text
}

fn write_row(text: &mut String, row: &Row) {
    let told = &row.text;
    let _ = writeln!(text, "\n### {}\n\n{}\n", row.name, wrapped(&told.reason, ""));
    let code = |items: &mut dyn Iterator<Item = String>| {
        items.map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
    };
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{}", wrapped(&format!("- {name}: {value}"), "  "));
        }
    };
    field("Hosts", Some(&code(&mut row.hosts.iter().map(ToString::to_string))));
    field("Required", told.required().as_deref());
    field("Source", told.source.as_deref());
    field("Since", told.since.as_deref());
    field("Fixed", told.fixed.as_deref());
    field("Seen", told.seen.as_deref());
    field("Note", told.note.as_deref());
    for Clause { cases, differs } in &row.clauses {
        field(
            "Differs",
            Some(&format!("{} in {}", code(&mut strings(differs)), code(&mut strings(cases)))),
        );
    }
    if let Some(shows) = &row.shows {
        let when = match shows.when {
            When::Always => "",
            When::Faults => ", where the case faults",
            When::Exits => ", where L1's filter takes the fault",
        };
        field("Must show", Some(&format!("{}{when}", code(&mut strings(&shows.cases)))));
    }
    if !row.exclude.is_empty() {
        field("Left out", Some(&code(&mut strings(&row.exclude))));
    }
    field(
        "Option of the image",
        row.option.as_ref().map(|option| format!("`{option}`")).as_deref(),
    );
    field("Run", told.run.as_ref().map(|run| format!("`{run}`")).as_deref());
}

fn strings<T: Display>(items: &[T]) -> impl Iterator<Item = String> {
    items.iter().map(ToString::to_string)
}

/// Breaks the text into lines, the later ones indented. Code is not broken.
pub fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    let mut in_code = false;
    let mut word = String::new();
    for part in text.split(' ') {
        if !word.is_empty() {
            word.push(' ');
        }
        word.push_str(part);
        in_code ^= part.matches('`').count() % 2 == 1;
        if in_code {
            continue;
        }
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            let _ = write!(lines, "\n{indent}");
            column = indent.len();
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(&word);
        column += width;
        word.clear();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Tables, WIDTH, text, wrapped};

    #[test]
    fn the_document_is_current() {
        let written = include_str!("../../../../docs/known-deviations.md");
        let now = text(&Tables::built_in());
        assert!(
            written == now,
            "write it anew: cargo run --release -- list --known > docs/known-deviations.md"
        );
    }

    #[test]
    fn each_row_is_in_it_and_lines_end_where_they_can() {
        let tables = Tables::built_in();
        let text = text(&tables);
        for row in tables.rows() {
            assert!(text.contains(&format!("\n### {}\n", row.name)), "{}", row.name);
        }
        // Code is not broken.
        let long = text.lines().filter(|line| line.chars().count() > WIDTH);
        assert!(long.clone().all(|line| line.contains('`')), "{:?}", long.collect::<Vec<_>>());
    }

    #[test]
    fn code_is_not_broken() {
        let words = vec!["word"; 19].join(" ");
        assert_eq!(wrapped(&format!("{words} `a b c`"), "  "), format!("{words}\n  `a b c`"));
    }
}
