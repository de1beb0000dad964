//! `docs/sensitivity.md`: what noticed each change.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::change::{self, Change};
use crate::lab::Profile;
use crate::stop::Stop;
use crate::store::{Record, Store};

/// Where it is.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sensitivity.md");
/// What stands before the tables.
const HEAD: &str = include_str!("head.md");
/// The longest line of its prose.
const WIDTH: usize = 100;
/// The longest cause that a table shows: a kernel's line is longer.
const MAX_CAUSE: usize = 140;

/// Writes the document.
///
/// # Errors
/// The file cannot be written.
pub fn write(changes: &[Change], store: &Store, kernel: &str) -> Result<(), Stop> {
    let known: Vec<(&Change, Record)> =
        changes.iter().map(|change| (change, store.load(change))).collect();
    let path = Path::new(PATH);
    fs::write(path, text(&known, kernel)).map_err(|error| Stop::file(path, error))
}

fn text(known: &[(&Change, Record)], kernel: &str) -> String {
    let mut text = HEAD.replace("KERNEL", kernel);
    let count =
        |of: &dyn Fn(&Record) -> bool| known.iter().filter(|(_, record)| of(record)).count();
    let quick = count(&|record| matches!(record.noticed(), Some((Profile::Quick, _))));
    let all = count(&|record| record.noticed().is_some());
    let percent = |part: usize| 100 * part / known.len().max(1);
    let _ = write!(
        text,
        "\n{} changes: {quick} ({} %) are noticed by quick, {all} ({} %) by quick or standard.\n",
        known.len(),
        percent(quick),
        percent(all)
    );
    for kind in change::kinds() {
        let of_kind = || known.iter().filter(|(change, _)| change.kind == kind);
        let noticed = of_kind().filter(|(_, record)| record.noticed().is_some()).count();
        let _ = write!(text, "\n## {kind}: {noticed} of {}\n\n", of_kind().count());
        text.push_str(
            "| change | what goes wrong | noticed first by | cause named |\n|---|---|---|---|\n",
        );
        for (change, record) in of_kind() {
            let (by, cause) = noticed_by(record);
            let _ = writeln!(text, "| {} | {} | {by} | {cause} |", change.name, change.why);
        }
    }
    text.push_str("\n## Survivors\n\n");
    text.push_str("The reasons are inferred from KVM's source and from the catalogue.\n\n");
    for (change, record) in known.iter().filter(|(_, record)| record.noticed().is_none()) {
        let reason = change.survives.as_deref().unwrap_or("No reason is known.");
        let ran = match (&record.quick, &record.standard) {
            (None, _) => "not run",
            (_, None) => "quick only",
            _ => "quick and standard",
        };
        text.push_str(&wrapped(&format!(
            "- **{}** ({}; {ran}). {} {reason}",
            change.name, change.kind, change.why
        )));
    }
    text
}

/// What noticed a change, and the cause that the report names.
fn noticed_by(record: &Record) -> (String, String) {
    let Some((profile, seen)) = record.noticed() else { return ("nothing".into(), String::new()) };
    let by = match (&seen.group, seen.verdict.as_str()) {
        (Some(group), "fail") => format!("{}, {}: `{group}`", profile.name(), seen.set),
        (Some(group), verdict) => format!("{}, {}: `{group}`, {verdict}", profile.name(), seen.set),
        (None, verdict) => format!("{}, {}: {verdict}", profile.name(), seen.set),
    };
    (
        by,
        without_folders(&seen.cause)
            .chars()
            .take(MAX_CAUSE)
            .map(|c| if c == '|' { '/' } else { c })
            .collect(),
    )
}

/// A kernel's complaint names the file with the folders of the machine that built it.
fn without_folders(cause: &str) -> String {
    let place = cause
        .split_once(" at /")
        .and_then(|(what, place)| Some((what, &place[place.find("arch/x86/")?..])));
    place.map_or_else(|| cause.to_string(), |(what, place)| format!("{what} at {place}"))
}

/// An item of a list in lines of the document's width.
fn wrapped(item: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in item.split(' ') {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push_str("\n ");
            column = 1;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text + "\n"
}
