//! `docs/sensitivity.md`: what noticed each change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::change::{self, Change};
use crate::host::Host;
use crate::lab::Profile;
use crate::stop::Stop;
use crate::store::{Record, Store};

/// Where it is.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sensitivity.md");
/// What stands before the hosts' parts.
const HEAD: &str = include_str!("head.md");
/// The longest line of its prose.
const WIDTH: usize = 100;
/// The longest cause that a table shows: a kernel's line is longer.
const MAX_CAUSE: usize = 200;

/// Writes a host's part of the document, and keeps those of the others.
///
/// # Errors
/// The file cannot be written.
pub fn write(host: Host, changes: &[&Change], store: &Store, package: &str) -> Result<(), Stop> {
    let path = Path::new(PATH);
    let old = fs::read_to_string(path).unwrap_or_default();
    let known: Vec<(&Change, Record)> =
        changes.iter().map(|change| (*change, store.kept(change))).collect();
    let parts = Host::ALL.map(|of| {
        if of == host { part(host, &known, package) } else { part_of(of, &old).to_string() }
    });
    fs::write(path, HEAD.to_string() + &parts.concat()).map_err(|error| Stop::file(path, error))
}

/// How a host's part begins.
fn heading(host: Host) -> String {
    format!("\n## {}\n", host.title())
}

/// A host's part of a document; empty if it has none.
fn part_of(host: Host, document: &str) -> &str {
    let Some(begin) = document.find(&heading(host)) else { return "" };
    let end = document[begin + 1..].find("\n## ").map_or(document.len(), |end| begin + 1 + end);
    &document[begin..end]
}

fn part(host: Host, known: &[(&Change, Record)], package: &str) -> String {
    let mut text = heading(host);
    let count =
        |of: &dyn Fn(&Record) -> bool| known.iter().filter(|(_, record)| of(record)).count();
    let quick = count(&|record| matches!(record.noticed(), Some((Profile::Quick, _))));
    let all = count(&|record| record.noticed().is_some());
    let ran = count(&|record| record.quick.is_some());
    let percent = |part: usize, of: usize| 100 * part / of.max(1);
    let some = if ran < known.len() { format!(", of which {ran} ran") } else { String::new() };
    let _ = write!(
        text,
        "\n    {package}\n\n{} changes{some}: {quick} ({} %) are noticed by quick, {all} ({} %) by \
         quick or standard.\n",
        known.len(),
        percent(quick, ran),
        percent(all, ran)
    );
    let is_hidden =
        |(change, record): &&(&Change, Record)| record.quick.is_some() && change.is_hidden();
    let hidden = known.iter().filter(is_hidden).count();
    if hidden > 0 {
        let shown = ran - hidden;
        let _ = writeln!(
            text,
            "\nIn {hidden}, nothing that a guest can see here is wrong; of the other {shown} they are \
             {} and {} %.",
            percent(quick, shown),
            percent(all, shown)
        );
    }
    text.push_str(&images(known));
    for kind in change::kinds(host) {
        let of_kind = || known.iter().filter(|(change, _)| change.kind == kind);
        let noticed = of_kind().filter(|(_, record)| record.noticed().is_some()).count();
        let _ = write!(text, "\n### {kind}: {noticed} of {}\n\n", of_kind().count());
        text.push_str(
            "| change | what goes wrong | noticed first by | cause named |\n|---|---|---|---|\n",
        );
        for (change, record) in of_kind() {
            let (by, cause) = noticed_by(change, record);
            let _ = writeln!(text, "| {} | {} | {by} | {cause} |", change.name, change.why);
        }
    }
    let _ = write!(
        text,
        "\n### Survivors on {0}\n\nThe reasons are inferred from {0}'s source and from the \
         catalogue.\n\n",
        host.title()
    );
    let survived = |record: &Record| record.quick.is_some() && record.noticed().is_none();
    for (change, record) in known.iter().filter(|(_, record)| survived(record)) {
        let (ran, unknown) = match record.standard {
            Some(_) => ("quick and standard", "No reason is known."),
            None => ("quick only", "The standard profile is still to be run."),
        };
        let reason = change.survives.as_deref().unwrap_or(unknown);
        let item =
            format!("- **{}** ({}; {ran}). {} {reason}", change.name, change.kind, change.why);
        text.push_str(&wrapped(&item, "  "));
    }
    text
}

/// Which image the results rest on: that of most, and which results are of another.
fn images(known: &[(&Change, Record)]) -> String {
    let mut counts = BTreeMap::new();
    for (_, record) in known.iter().filter(|(_, record)| record.quick.is_some()) {
        *counts.entry(record.digest).or_insert(0) += 1;
    }
    let Some((most, _)) = counts.iter().max_by_key(|(_, count)| **count) else {
        return String::new();
    };
    let mut text = format!("The results are of the image and known deviations {most:08x}");
    let mut link = ", except";
    for digest in counts.keys().filter(|digest| *digest != most) {
        let of =
            known.iter().filter(|(_, record)| record.quick.is_some() && record.digest == *digest);
        let names: Vec<&str> = of.map(|(change, _)| change.name.as_str()).collect();
        let _ = write!(text, "{link} those of {digest:08x}: {}", names.join(", "));
        link = "; and";
    }
    format!("\n{}", wrapped(&(text + "."), ""))
}

/// What noticed a change, and the cause that the report names.
fn noticed_by(change: &Change, record: &Record) -> (String, String) {
    let Some((profile, seen)) = record.noticed() else {
        let by = if record.quick.is_some() { "nothing" } else { "not run" };
        return (by.into(), String::new());
    };
    // Xen has its options of its own by default.
    let set = if seen.set == "default" { String::new() } else { format!(", {}", seen.set) };
    let bochs =
        change.bochs.as_deref().map_or(String::new(), |suite| format!(", Bochs of {suite}"));
    let by = match (&seen.group, seen.verdict.as_str()) {
        (Some(group), "fail") => format!("{}{set}{bochs}: `{group}`", profile.name()),
        (Some(group), verdict) => format!("{}{set}{bochs}: `{group}`, {verdict}", profile.name()),
        (None, verdict) => format!("{}{set}{bochs}: {verdict}", profile.name()),
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

/// Text in lines of the document's width; all but the first begin with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() > WIDTH {
            lines = lines + "\n" + indent;
            column = indent.len();
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::{heading, part_of};
    use crate::host::Host;

    #[test]
    fn a_host_s_part_ends_where_the_next_begins() {
        let (kvm, xen) = ("x\n\n### merge: 1 of 1\n", "y\n");
        let document = format!("# Head\n{}{kvm}{}{xen}", heading(Host::Kvm), heading(Host::Xen));
        assert_eq!(part_of(Host::Kvm, &document), format!("{}{kvm}", heading(Host::Kvm)));
        assert_eq!(part_of(Host::Xen, &document), format!("{}{xen}", heading(Host::Xen)));
        assert_eq!(part_of(Host::Xen, "# Head\n"), "");
    }
}
