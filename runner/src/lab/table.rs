//! The lab's one table: kernels, parameter sets and groups, with verdicts and costs.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use spec::log::Verdict;

use super::session::SetResult;
use crate::verdict::findings::Group;
use crate::verdict::judge::{counted, thousands};
use crate::verdict::report::Report;

/// Below these a set is told with its own table of groups; more sets are told in the big one alone.
const COLUMNS: usize = 8;

/// The whole report, its last line the verdict.
pub fn text(results: &[SetResult], strict: bool) -> String {
    let mut text = String::new();
    let mut kernels: Vec<&str> = results.iter().map(|result| result.kernel.as_str()).collect();
    kernels.dedup();
    for kernel in kernels {
        let sets: Vec<&SetResult> = results.iter().filter(|result| result.kernel == kernel).collect();
        for part in sets.chunks(COLUMNS) {
            let _ = writeln!(text, "Linux {kernel} (verdict and million instructions)\n{}\n", table(part, strict));
        }
        for result in &sets {
            details(&mut text, result, strict);
        }
    }
    let _ = writeln!(text, "maskmatch: {}", verdict_line(results));
    text
}

/// Rows are groups, columns are parameter sets.
fn table(sets: &[&SetResult], strict: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(std::iter::once("group".to_string()).chain(sets.iter().map(|result| result.set.clone())));
    let mut names: Vec<&str> = Vec::new();
    for group in sets.iter().flat_map(|result| &result.conclusion.findings.groups) {
        if !names.contains(&group.name.as_str()) {
            names.push(&group.name);
        }
    }
    for name in names {
        let cells = sets.iter().map(|result| {
            let group = result.conclusion.findings.groups.iter().find(|group| group.name == name);
            group.map_or_else(String::new, |group| cell(group, strict))
        });
        table.add_row(std::iter::once(name.to_string()).chain(cells));
    }
    let totals = sets.iter().map(|result| {
        let instructions = result.conclusion.measured.instructions.unwrap_or_default();
        format!("{} {}", result.conclusion.judgement.verdict, millions(instructions))
    });
    table.add_row(std::iter::once("all".to_string()).chain(totals));
    for column in 1..=sets.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

fn cell(group: &Group, strict: bool) -> String {
    match group.counts() {
        // A group in which the guest moves from VM to VM measures none.
        Some(counts) if counts.tsc == 0 => group.verdict(strict).to_string(),
        Some(counts) => format!("{} {}", group.verdict(strict), millions(counts.tsc)),
        None => group.verdict(strict).to_string(),
    }
}

/// The time stamp counter of a guest in the lab counts the instructions of Bochs.
fn millions(instructions: u64) -> String {
    thousands((instructions + 500_000) / 1_000_000)
}

/// What the table does not tell of a set: the parameters in force, failures, deviations, trouble.
fn details(text: &mut String, result: &SetResult, strict: bool) {
    let SetResult { set, effective, conclusion, trouble, .. } = result;
    let shown = ["ept", "allow_smaller_maxphyaddr", "enable_shadow_vmcs", "unrestricted_guest", "vpid", "nested"];
    let mut in_force: Vec<String> = effective
        .iter()
        .filter(|(name, _)| shown.contains(&name.as_str()) || set.contains(name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let facts = &conclusion.findings.facts;
    in_force.extend(
        facts.iter().filter(|(key, _)| key == "maxphyaddr").map(|(_, bits)| format!("guest MAXPHYADDR={bits}")),
    );
    let _ =
        writeln!(text, "{set}: in force {}", if in_force.is_empty() { "nothing".into() } else { in_force.join(" ") });
    for line in trouble {
        let _ = writeln!(text, "  L0's kernel: {line}");
    }
    let report = Report {
        findings: &conclusion.findings,
        judgement: &conclusion.judgement,
        strict,
        l0: &conclusion.origin.l0,
        options: &conclusion.origin.options,
        expected: conclusion.origin.expected,
        played: conclusion.origin.played,
    };
    let _ = writeln!(text, "{}", report.without_table());
}

/// The verdict over all sets, and its line.
fn verdict_line(results: &[SetResult]) -> String {
    let verdict = worst(results);
    let of = |wanted: Verdict| results.iter().filter(|result| result.conclusion.judgement.verdict == wanted).count();
    let cases = results.iter().map(|result| result.conclusion.findings.reader.summary().cases).sum();
    let mut parts = Vec::new();
    for wanted in [Verdict::Pass, Verdict::Fail, Verdict::Error, Verdict::Crash, Verdict::Skip] {
        if of(wanted) > 0 {
            parts.push(format!("{} {wanted}", of(wanted)));
        }
    }
    let mut kernels: Vec<&str> = results.iter().map(|result| result.kernel.as_str()).collect();
    kernels.dedup();
    let sets = counted(results.len() as u64, "parameter set");
    format!(
        "{verdict}: {sets} ({}), {} on KVM of Linux {}",
        parts.join(", "),
        counted(cases, "case"),
        kernels.join(", ")
    )
}

/// The worst verdict; a skip beside a pass takes nothing from it.
pub fn worst(results: &[SetResult]) -> Verdict {
    let verdicts = || results.iter().map(|result| result.conclusion.judgement.verdict);
    match verdicts().max() {
        Some(Verdict::Skip) | None if verdicts().any(|verdict| verdict == Verdict::Pass) => Verdict::Pass,
        Some(worst) => worst,
        None => Verdict::Skip,
    }
}
