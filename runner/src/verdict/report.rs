//! The report for people: results as a table, failing cases, causes, known deviations, and last the
//! verdict line.
//!
//! One result has a table of groups. For several results [`matrix`] makes the table and the last
//! line, and each result is reported between them.

use std::fmt::Write;

use spec::catalogue::case::Case;
use spec::log::Verdict;

use crate::output;
use crate::verdict::account::{Account, Total};
use crate::verdict::conclusion::Conclusion;
use crate::verdict::difference::differences;
use crate::verdict::findings::{Failure, Fate, Group};
use crate::verdict::judge::{Judgement, counted, thousands};
use crate::verdict::matrix;
use crate::verdict::result::RunResult;
use crate::verdict::vmcs_field;

/// Ways to fail of one group beyond these are left to the log and the JSON.
const FAILURES_SHOWN: usize = 4;
/// Accesses or scenes beyond these are left to the JSON.
const PROBES_SHOWN: usize = 6;

/// The whole report, with the verdict as its last line.
pub fn text(results: &[RunResult]) -> String {
    let mut text = String::new();
    for result in results {
        conclusion(&mut text, result);
    }
    let [one] = results else {
        matrix::tables(&mut text, results);
        for result in results {
            details(&mut text, result);
            text.push('\n');
        }
        matrix::verdict_line(&mut text, results);
        return text;
    };
    if !one.findings.groups.is_empty() {
        let _ = writeln!(text, "{}", groups(one));
    }
    details(&mut text, one);
    text
}

/// What seems to be wrong, as the first line.
fn conclusion(text: &mut String, RunResult { conclusion, origin, .. }: &RunResult) {
    let Some(Conclusion { sentence, groups, failing, .. }) = conclusion else { return };
    let of =
        origin.column.as_ref().map(|column| format!(" for {}", column.set)).unwrap_or_default();
    let all = counted(*failing as u64, "failing group");
    let _ = writeln!(text, "conclusion{of}: {sentence}; in {groups} of {all}");
}

/// Everything about a result that a table does not say. The last line is its verdict.
fn details(text: &mut String, result: &RunResult) {
    let RunResult { findings, judgement: Judgement { verdict, sentence }, origin, trouble, .. } =
        result;
    if let Some(column) = &origin.column {
        let in_force = if column.in_force.is_empty() { "nothing" } else { &column.in_force };
        let _ = writeln!(text, "{}: in force {in_force}", column.set);
    }
    for line in trouble {
        let _ = writeln!(text, "  L0's kernel: {line}");
    }
    for step in &findings.trace {
        let _ = writeln!(text, "trace: {}", vmcs_field::named(step));
    }
    for note in findings.notes.iter().chain(&result.accounts.asked) {
        let _ = writeln!(text, "note: {note}");
    }
    if findings.left_out > 0 {
        let _ = writeln!(
            text,
            "note: {} of the log are not shown",
            counted(findings.left_out, "more line")
        );
    }
    for (group, account) in findings.groups.iter().zip(&result.accounts.groups) {
        failures(text, group, account, &origin.options);
    }
    known(text, result);
    for error in &findings.errors {
        let _ = writeln!(text, "error: {error}");
    }
    for (number, Judgement { verdict, sentence }) in (1..).zip(&result.boots) {
        let _ = writeln!(text, "boot {number} of {}: {verdict}: {sentence}", result.boots.len());
    }
    let _ = match (verdict, origin.l0.as_str()) {
        (_, "") => writeln!(text, "maskmatch: {verdict}: {sentence}"),
        (Verdict::Pass | Verdict::Fail, l0) => {
            writeln!(text, "maskmatch: {verdict}: {sentence} on {l0}")
        }
        // The sentence comes first, so that it reads as one. The host after it is a remark.
        (_, l0) => writeln!(text, "maskmatch: {verdict}: {sentence} ({l0})"),
    };
}

/// The table of groups.
fn groups(result: &RunResult) -> String {
    let cost = if result.origin.subject.counts_instructions() {
        "instructions/case"
    } else {
        "TSC ticks/case"
    };
    let header =
        ["group", "verdict", "cases", "failed", "known", "processor", "exits", "delivered", cost];
    let rows = result.findings.groups.iter().zip(&result.accounts.groups).enumerate().map(
        |(at, (group, account))| {
            let mut row = vec![
                group.name.clone(),
                result.accounts.verdict(at, group, result.strict).to_string(),
            ];
            if let Some(counts) = group.counts() {
                let Account { failed, known, below, .. } = account;
                let numbers =
                    [counts.cases, *failed, *known, *below, counts.exits, counts.delivered];
                row.extend(numbers.map(thousands));
                row.push(counts.tsc.checked_div(counts.cases).map(thousands).unwrap_or_default());
            }
            row
        },
    );
    output::table(header.map(String::from).into(), rows, 2)
}

fn failures(text: &mut String, group: &Group, account: &Account, options: &str) {
    if let Fate::Skipped(reason) = &group.fate {
        let _ = writeln!(text, "skip {}: {reason}", group.name);
    }
    let told = account.failures(group);
    let is_unfinished = group.fate == Fate::Unfinished && !told.is_empty();
    if account.failed == 0 && !is_unfinished {
        return;
    }
    let _ = match group.counts() {
        Some(counts) => {
            writeln!(
                text,
                "FAIL {}: {} of {} cases",
                group.name,
                thousands(account.failed),
                thousands(counts.cases)
            )
        }
        None => writeln!(text, "FAIL {}: the group did not finish", group.name),
    };
    let failing: Vec<_> = account.ways.iter().filter(|way| way.is_failure()).collect();
    for way in failing.iter().take(FAILURES_SHOWN) {
        let _ = writeln!(
            text,
            "  {} in {}{}",
            way.failure.as_ref().unwrap_or(&way.difference),
            counted(way.cases, "case"),
            places(&way.unknown)
        );
        way.example.iter().for_each(|failure| in_full(text, failure));
    }
    if failing.len() > FAILURES_SHOWN {
        let _ = writeln!(
            text,
            "  and {} more ways in the log and in --json",
            failing.len() - FAILURES_SHOWN
        );
    }
    for incomplete in &group.incomplete {
        let _ = writeln!(
            text,
            "  {} did not end: {}",
            counted(incomplete.cases, "case"),
            incomplete.word
        );
    }
    let shown =
        |failure: &&&Failure| failing.iter().any(|way| way.example.as_ref() == Some(**failure));
    told.iter()
        .filter(|failure| !shown(failure))
        .take(FAILURES_SHOWN)
        .for_each(|failure| in_full(text, failure));
    // A whole walk that failed has no id of its own.
    let examples = failing
        .iter()
        .filter_map(|way| way.id.as_ref())
        .chain(told.iter().map(|failure| &failure.id));
    if let Some(id) = examples.into_iter().find(|id| Case::from_id(id).is_some()) {
        let _ = writeln!(text, "  run it again: maskmatch replay {id}{options}");
        let _ = writeln!(text, "            or: maskmatch run --case {id}{options}");
        let _ = writeln!(text, "  what it does: maskmatch explain {id}");
    }
    text.push('\n');
}

/// The accesses or scenes of a difference.
fn places(probes: &[String]) -> String {
    let shown = probes.iter().take(PROBES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match probes.len().saturating_sub(PROBES_SHOWN) {
        _ if probes.is_empty() => String::new(),
        0 => format!(": {shown}"),
        more => format!(": {shown} and {more} more"),
    }
}

/// A case with what must happen and what did.
fn in_full(text: &mut String, Failure { id, want, got }: &Failure) {
    let _ = writeln!(text, "  {id}");
    for line in differences(want, got) {
        let _ = writeln!(text, "    - {line}");
    }
    let _ = writeln!(text, "    want {want}\n    got  {got}");
}

/// Known deviations over all groups, and those that had to show and did not.
fn known(text: &mut String, RunResult { accounts, origin, strict, .. }: &RunResult) {
    for (tested, of) in [(true, ""), (false, " of the processor")] {
        for total in accounts.totals_of(tested) {
            let Total { name, reason, example, .. } = total;
            let _ = writeln!(
                text,
                "known deviation {name}{of} in {}: {reason}",
                counted(total.all(), "case")
            );
            // With `--strict` it is a failure like any other.
            if let Some(Failure { id, want, got }) = example.as_ref().filter(|_| tested && *strict)
            {
                let _ = writeln!(text, "  for example {id}: want {want} got {got}");
            }
        }
    }
    for name in &accounts.passes {
        let l0 = if origin.l0.is_empty() { "the host" } else { &origin.l0 };
        let _ = writeln!(
            text,
            "UNEXPECTED PASS: known deviation {name} had to show and did not: {l0} may have been fixed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::verdict::intake::{Intake, SILENCE};
    use crate::verdict::judge::Source;
    use crate::verdict::known::Tables;
    use crate::verdict::progress::Progress;
    use crate::verdict::result::{Measured, Origin, RunResult};
    use crate::verdict::subject::Subject;
    use crate::vmm::Sink;
    use spec::log::{Counts, Writer};
    use spec::manual::filter::Filter;
    use spec::tally::Tally;
    use std::sync::Arc;

    const ID: &str = "filter.basic.long:user-write-np-pte:1,1f,6";
    const COUNTS: Counts = Counts {
        cases: 479_232,
        differing: 0,
        exits: 99,
        delivered: 3,
        tsc: 479_232_000,
        digest: 1,
    };
    const GROUP: &str = "filter.basic.long";

    fn report(
        body: impl FnOnce(&mut Writer<&mut String>),
        end: bool,
        processor: Option<&str>,
        strict: bool,
    ) -> String {
        let mut log_text = String::new();
        let mut log = Writer::begin(&mut log_text, "0.1.0", &"boot=pvh maxphyaddr=40");
        body(&mut log);
        if end {
            log.end();
        }
        let mut intake = Intake::new(SILENCE, None, Progress::none());
        let _ = intake.bytes(log_text.as_bytes());
        let origin = Origin {
            l0: "Bochs 2.7".into(),
            options: " --l0 bochs".into(),
            subject: Subject { processor: processor.map(|text| text.parse().unwrap()), host: None },
            tables: Arc::new(Tables::built_in()),
            ..Origin::default()
        };
        text(&[RunResult::new(
            intake.finish().remove(0),
            Source::File,
            strict,
            origin,
            Measured::default(),
        )])
    }

    /// The filter of the case in full.
    const FILTER: Filter = Filter::new(true, 0x1f, 6);

    fn tally(differences: &[(&str, &'static str, u64)]) -> Tally<'static, &'static str> {
        let mut tally = Tally::new(Box::leak(Box::new([None; 8])));
        for (difference, probe, cases) in differences {
            tally.add(*probe, 0, FILTER, &difference.parse().unwrap(), *cases);
        }
        tally
    }

    fn failing(log: &mut Writer<&mut String>) {
        log.plan(1);
        let want = "exit,info=80000b0e,ec=6,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";
        log.fail(&ID, &want, &want.replace("rflags=1", "rflags="));
        log.fail(&ID, &want, &want.replace("cr2=0", "cr2=1000"));
        log.fail(&ID, &want, &"unexpected-exit,reason=34");
        let probe = "user-write-np-pte";
        let mut tally = tally(&[("exit0:rflags^10000", probe, 7), ("exit0:cr2^1000", probe, 20)]);
        tally.add_incomplete("unexpected-exit", 3);
        log.differs(&GROUP, &mut tally);
        log.result(1, &GROUP, &Counts { differing: 30, ..COUNTS });
    }

    #[test]
    fn a_failure_has_all_that_one_needs() {
        let text = report(failing, true, Some("bochs 2.7"), false);
        for part in [
            "FAIL filter.basic.long: 23 of 479,232 cases",
            "  exit0:cr2^1000 in 20 cases: user-write-np-pte\n",
            "  3 cases did not end: unexpected-exit\n",
            "got  unexpected-exit,reason=34",
            "conclusion: CR2 is wrong, as 0x1000 in place of 0x0 (a VM exit by an exception); in 1 of 1 ",
            ID,
            "- CR2: want 0x0, got 0x1000",
            "maskmatch replay filter.basic.long:user-write-np-pte:1,1f,6 --l0 bochs",
            "maskmatch run --case filter.basic.long:user-write-np-pte:1,1f,6 --l0 bochs",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        // What is known is no failure.
        assert!(!text.contains("rflags=cd7"), "{text}");
        let verdict = text.lines().last().unwrap();
        assert_eq!(
            verdict,
            "maskmatch: fail: 1 of 1 group failed, 23 of 479,232 cases on Bochs 2.7"
        );
    }

    #[test]
    fn a_cut_log_still_shows_its_failures() {
        let text = report(failing, false, None, false);
        assert!(text.contains("- CR2: want 0x0, got 0x1000"));
        assert!(
            text.lines().last().unwrap().starts_with("maskmatch: crash: the log has no end record")
        );
    }

    fn known(log: &mut Writer<&mut String>) {
        log.plan(1);
        log.fail(&ID, &"exit,rflags=10cd7", &"exit,rflags=cd7");
        log.differs(&GROUP, &mut tally(&[("exit0:rflags^10000", "user-write-np-pte", 1234)]));
        log.result(1, &GROUP, &Counts { differing: 1234, ..COUNTS });
    }

    fn right(log: &mut Writer<&mut String>) {
        log.plan(1);
        log.result(1, &GROUP, &COUNTS);
    }

    #[test]
    fn known_deviations_are_counted() {
        let seen = report(known, true, Some("bochs 2.7"), false);
        assert!(
            seen.contains("known deviation rf0 in 1,234 cases: Bochs saves RFLAGS.RF = 0"),
            "{seen}"
        );
        assert!(
            !seen.contains("FAIL") && !seen.contains(ID) && !seen.contains("UNEXPECTED"),
            "{seen}"
        );
        assert!(seen.lines().any(|line| line.starts_with(" filter.basic.long  known ")), "{seen}");
        assert!(
            seen.contains(
                "maskmatch: pass: 1 group, 479,232 cases, 1,234 with known deviations on"
            ),
            "{seen}"
        );
        let strict = report(known, true, Some("bochs 2.7"), true);
        assert!(
            strict.contains(&format!(
                "  for example {ID}: want exit,rflags=10cd7 got exit,rflags=cd7"
            )),
            "{strict}"
        );
        let last =
            "maskmatch: fail: rf0 in 1,234 cases of 479,232, a failure by --strict on Bochs 2.7";
        assert_eq!(strict.lines().last(), Some(last));
        // On another host the same is a failure.
        assert!(
            report(known, true, Some("bochs 3.0"), false)
                .contains("maskmatch: fail: 1 of 1 group failed")
        );
    }

    #[test]
    fn an_unexpected_pass_is_told_loudly_and_a_failure_if_strict() {
        let told = report(right, true, Some("bochs 2.7"), false);
        assert!(
            told.contains("UNEXPECTED PASS: known deviation rf0 had to show and did not"),
            "{told}"
        );
        assert!(told.lines().last().unwrap().starts_with("maskmatch: pass: "));
        let strict = report(right, true, Some("bochs 2.7"), true);
        let last = "maskmatch: fail: rf0 did not show, a failure by --strict on Bochs 2.7";
        assert_eq!(strict.lines().last(), Some(last));
        assert!(!report(right, true, Some("bochs 3.0"), false).contains("UNEXPECTED"));
        assert!(!report(right, false, Some("bochs 2.7"), false).contains("UNEXPECTED"));
    }

    #[test]
    fn the_table_has_a_line_per_group_and_no_trailing_blanks() {
        let text = report(failing, true, Some("bochs 2.7"), false);
        let row =
            text.lines().find(|line| line.trim_start().starts_with("filter.basic.long ")).unwrap();
        let words: Vec<&str> = row.split_ascii_whitespace().collect();
        assert_eq!(
            words,
            ["filter.basic.long", "fail", "479,232", "23", "7", "0", "99", "3", "1,000"]
        );
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}
