//! The evidence for each row: docs/evidence.md.

use std::fmt::Write;

use super::document::wrapped;
use super::row::{Party, Row};
use super::table::Tables;

const HEAD: &str = "\
# Evidence

The evidence for each known deviation: what was read in the source, what a build with a changed source
showed, and what was only inferred. Where it was seen, and how to see it again, stands in
[known-deviations.md](known-deviations.md).

This file is made from the keys `source`, `changed`, `inferred` and `fixed` of
`runner/known/*.toml` by `maskmatch list --evidence`; a test holds it up to date and complete. A
*changed build* is the same host or processor with the cause removed, and with nothing else changed.
";

/// The whole of docs/evidence.md.
pub fn text(tables: &Tables) -> String {
    let rows = tables.rows();
    let mut text = String::from(HEAD);
    let _ = writeln!(text, "\n| | rows |\n|---|---|");
    for strength in Strength::ALL {
        let of: Vec<String> = rows
            .iter()
            .filter(|row| Strength::of(row) == strength)
            .map(|row| row.name.clone())
            .collect();
        let _ = writeln!(text, "| {} | {}: {} |", strength.title(), of.len(), of.join(", "));
    }
    for (of, title) in [(Party::Processor, "Of the processor"), (Party::Host, "Of the host")] {
        let _ = writeln!(text, "\n## {title}");
        rows.iter().filter(|row| row.of == of).for_each(|row| write_row(&mut text, row));
    }
    text
}

/// What shows that the cause is the one that the row names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// A changed build does not show the deviation.
    Changed,
    /// The source has it, and a version with a fix of it does not show it.
    Fixed,
    /// The source has it.
    Read,
    /// It was seen, and no more.
    Seen,
}

impl Strength {
    const ALL: [Self; 4] = [Self::Changed, Self::Fixed, Self::Read, Self::Seen];

    fn of(row: &Row) -> Self {
        match (&row.text.changed, &row.text.fixed, &row.text.source) {
            (Some(_), _, _) => Self::Changed,
            (None, Some(_), Some(_)) => Self::Fixed,
            (None, None, Some(_)) => Self::Read,
            (None, _, None) => Self::Seen,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Changed => "shown by a changed build",
            Self::Fixed => "read in the source, and gone in a later version",
            Self::Read => "read in the source only",
            Self::Seen => "found by its effect only",
        }
    }
}

fn write_row(text: &mut String, row: &Row) {
    let told = &row.text;
    let _ = writeln!(text, "\n### {}\n\n{}\n", row.name, wrapped(&told.reason, ""));
    let fields = [
        ("Read in the source", &told.source, "nothing."),
        ("Shown by a changed build", &told.changed, "nothing; none was tried."),
        ("Inferred", &told.inferred, "nothing."),
        ("Fixed", &told.fixed, "no fix is known."),
    ];
    for (name, value, nothing) in fields {
        let value = value.as_deref().unwrap_or(nothing);
        let _ = writeln!(text, "{}", wrapped(&format!("- {name}: {value}"), "  "));
    }
}

#[cfg(test)]
mod tests {
    use super::{Tables, text};

    #[test]
    fn the_document_is_current_and_has_each_row() {
        let written = include_str!("../../../../docs/evidence.md");
        let tables = Tables::built_in();
        let now = text(&tables);
        assert!(
            written == now,
            "write it anew: cargo run --release -- list --evidence > docs/evidence.md"
        );
        for row in tables.rows() {
            assert!(now.contains(&format!("\n### {}\n", row.name)), "{}", row.name);
        }
    }
}
