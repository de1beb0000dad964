//! The report for people: groups as a table, failing cases, causes, known deviations, and the one verdict line.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use spec::catalogue::case::Case;
use spec::deviation::Deviations;
use spec::log::{FAILURES_IN_FULL, Verdict};
use spec::suspects::{FILTER_HONOURED, Hypothesis, L2_STUCK};

use crate::verdict::difference::differences;
use crate::verdict::findings::{Fate, Findings, Group};
use crate::verdict::judge::{Judgement, thousands};
use crate::verdict::missed::{Played, missed};
use crate::verdict::vmcs_field;

/// What a report is made of.
pub struct Report<'a> {
    /// What the log tells.
    pub findings: &'a Findings,
    /// The verdict.
    pub judgement: &'a Judgement,
    /// Whether known deviations are failures.
    pub strict: bool,
    /// The host, as it is called in the verdict line.
    pub l0: &'a str,
    /// Options of `run` and `replay` that choose this host again, with a space in front; empty for a log from elsewhere.
    pub options: &'a str,
    /// Deviations that the host was expected to show.
    pub expected: Deviations,
    /// What was to be played.
    pub played: Played,
}

/// Failing cases of one group beyond these are left to the log and the JSON.
const FAILURES_SHOWN: usize = 4;

impl Report<'_> {
    /// The whole report, its last line the verdict.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.findings.groups.is_empty() {
            let _ = writeln!(text, "{}\n", self.table());
        }
        text.push_str(&self.without_table());
        text
    }

    /// The report but for the table of groups.
    pub fn without_table(&self) -> String {
        let mut text = String::new();
        for note in &self.findings.notes {
            let _ = match vmcs_field::named(note) {
                Some(step) => writeln!(text, "trace: {step}"),
                None => writeln!(text, "note: {note}"),
            };
        }
        for group in &self.findings.groups {
            self.failures(&mut text, group);
        }
        self.known(&mut text);
        for error in &self.findings.errors {
            let _ = writeln!(text, "error: {error}");
        }
        let Judgement { verdict, sentence } = self.judgement;
        let on = if self.l0.is_empty() { String::new() } else { format!(" on {}", self.l0) };
        let line = match verdict {
            Verdict::Pass | Verdict::Fail => format!("{sentence}{on}"),
            // The sentence comes first, so that it reads as one; the host behind it is a remark.
            _ if self.l0.is_empty() => sentence.clone(),
            _ => format!("{sentence} ({})", self.l0),
        };
        let _ = writeln!(text, "maskmatch: {verdict}: {line}");
        text
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header([
            "group",
            "verdict",
            "cases",
            "failed",
            "known",
            "exits",
            "delivered",
            self.cost_unit(),
        ]);
        for group in &self.findings.groups {
            let verdict = group.verdict(self.strict).to_string();
            let mut row = vec![group.name.clone(), verdict];
            match &group.fate {
                Fate::Ran(counts) => {
                    let numbers = [counts.cases, counts.failed, counts.known, counts.exits, counts.delivered];
                    row.extend(numbers.map(thousands));
                    row.push(counts.tsc.checked_div(counts.cases).map(thousands).unwrap_or_default());
                }
                Fate::Skipped(_) | Fate::Unfinished => row.extend(std::iter::repeat_n(String::new(), 6)),
            }
            table.add_row(row);
        }
        for column in 2..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
    }

    /// On Bochs the time stamp counter counts instructions.
    fn cost_unit(&self) -> &'static str {
        if self.l0.starts_with("Bochs") { "instructions/case" } else { "TSC ticks/case" }
    }

    fn failures(&self, text: &mut String, group: &Group) {
        if let Fate::Skipped(reason) = &group.fate {
            let _ = writeln!(text, "skip {}: {reason}", group.name);
        }
        if group.failed() == 0 && group.failures.is_empty() {
            return;
        }
        let _ = match group.counts() {
            Some(counts) => {
                writeln!(text, "FAIL {}: {} of {} cases", group.name, thousands(counts.failed), thousands(counts.cases))
            }
            None => writeln!(text, "FAIL {}: the group did not finish", group.name),
        };
        for suspect in &group.suspects {
            let _ = writeln!(text, "  suspected cause: {}", cause(suspect));
        }
        for failure in group.failures.iter().take(FAILURES_SHOWN) {
            let _ = writeln!(text, "  {}", failure.id);
            for line in differences(&failure.want, &failure.got) {
                let _ = writeln!(text, "    - {line}");
            }
            let _ = writeln!(text, "    want {}\n    got  {}", failure.want, failure.got);
        }
        let logged = group.failures.len();
        if logged > FAILURES_SHOWN {
            let _ = writeln!(text, "  and {} more in the log and in --json", logged - FAILURES_SHOWN);
        }
        if group.failed() > FAILURES_IN_FULL {
            let _ = writeln!(text, "  the log has the first {FAILURES_IN_FULL} of a group in full and counts the rest");
        }
        // A whole walk that failed has no id of its own.
        if let Some(first) = group.failures.first().filter(|first| Case::from_id(&first.id).is_some()) {
            let _ = writeln!(text, "  run it again: maskmatch replay {}{}", first.id, self.options);
            let _ = writeln!(text, "            or: maskmatch run --case {}{}", first.id, self.options);
            let _ = writeln!(text, "  what it does: maskmatch explain {}", first.id);
        }
        text.push('\n');
    }

    /// Known deviations over all groups, and those that were expected and not seen.
    fn known(&self, text: &mut String) {
        let mut totals: Vec<(&str, u64, &str)> = Vec::new();
        for known in self.findings.groups.iter().flat_map(|group| &group.known) {
            match totals.iter_mut().find(|(name, ..)| *name == known.name) {
                Some((_, cases, _)) => *cases += known.cases,
                None => totals.push((&known.name, known.cases, &known.reason)),
            }
        }
        for (name, cases, reason) in &totals {
            let _ = writeln!(text, "known deviation {name} in {} cases: {reason}", thousands(*cases));
        }
        if self.findings.reader.sound().is_ok() {
            for deviation in missed(self.findings, self.played, self.expected) {
                let (name, l0) = (deviation.name(), self.l0);
                let _ = writeln!(text, "known deviation {name} did not show: {l0} may have been mended");
            }
        }
    }
}

/// A suspect in words.
fn cause(suspect: &str) -> String {
    match Hypothesis::from_name(suspect) {
        Some(hypothesis) => format!("the host {} ({suspect})", hypothesis.meaning()),
        None if suspect == FILTER_HONOURED => {
            "each fault went to the right party; what is reported of it is wrong (filter-honoured)".into()
        }
        None if suspect == L2_STUCK => {
            "the host does not let L2 run: L2 met an exception or a VM exit that nothing in it causes (l2-does-not-run)"
                .into()
        }
        None if suspect == "unknown" => "unknown: no single way to get filters wrong explains all of the group".into(),
        None => suspect.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::verdict::findings::Findings;
    use crate::verdict::intake::{Intake, Limits};
    use crate::verdict::judge::{Source, judge};
    use crate::verdict::missed::Played;
    use crate::verdict::progress::Progress;
    use crate::vmm::Sink;
    use spec::deviation::{Deviations, Host};
    use spec::log::{Counts, Writer};

    const ID: &str = "filter.basic.long:user-write-np-pte:1,1f,6";
    const COUNTS: Counts =
        Counts { cases: 479_232, failed: 0, known: 0, exits: 99, delivered: 3, tsc: 479_232_000, digest: 1 };

    fn report(body: impl FnOnce(&mut Writer<&mut String>), end: bool, expected: Deviations) -> String {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh maxphyaddr=40");
        body(&mut log);
        if end {
            log.end();
        }
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let _ = intake.bytes(text.as_bytes());
        let (findings, stopped): (Findings, _) = intake.finish();
        let judgement = judge(&findings, stopped.as_deref(), &Source::File, false);
        let report = Report {
            findings: &findings,
            judgement: &judgement,
            strict: false,
            l0: "Bochs 2.7",
            options: " --l0 bochs",
            expected,
            played: Played::default(),
        };
        report.text()
    }

    fn failing(log: &mut Writer<&mut String>) {
        log.plan(1);
        let want = "exit,info=80000b0e,ec=6,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";
        log.fail(&ID, &want, &want.replace("cr2=0", "cr2=1000"));
        log.cause(&"filter.basic.long", &"swapped-mask-match");
        log.result(1, &"filter.basic.long", &Counts { failed: 20, ..COUNTS });
    }

    #[test]
    fn a_failure_has_all_that_one_needs() {
        let text = report(failing, true, Deviations::NONE);
        for part in [
            "FAIL filter.basic.long: 20 of 479,232 cases",
            "suspected cause: the host behaves as with MASK and MATCH exchanged (swapped-mask-match)",
            ID,
            "- CR2: want 0x0, got 0x1000",
            "maskmatch replay filter.basic.long:user-write-np-pte:1,1f,6 --l0 bochs",
            "maskmatch run --case filter.basic.long:user-write-np-pte:1,1f,6 --l0 bochs",
            "first 16",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let verdict = text.lines().last().unwrap();
        assert_eq!(verdict, "maskmatch: fail: 1 of 1 group failed, 20 of 479,232 cases on Bochs 2.7");
    }

    #[test]
    fn a_cut_log_still_shows_its_failures() {
        let text = report(failing, false, Deviations::NONE);
        assert!(text.contains("- CR2: want 0x0, got 0x1000"));
        assert!(text.lines().last().unwrap().starts_with("maskmatch: crash: the log has no end record"));
    }

    #[test]
    fn known_deviations_are_counted_and_missed() {
        let expected = Deviations::of(Host::Bochs { major: 2, minor: 7 });
        let seen = report(
            |log| {
                log.plan(1);
                log.known(&"filter.basic.long", "rf0", 1234, "Bochs saves RF = 0");
                log.result(1, &"filter.basic.long", &Counts { known: 1234, ..COUNTS });
            },
            true,
            expected,
        );
        assert!(seen.contains("known deviation rf0 in 1,234 cases: Bochs saves RF = 0"), "{seen}");
        let missed = |log: &mut Writer<&mut String>| {
            log.plan(1);
            log.result(1, &"filter.basic.long", &COUNTS);
        };
        assert!(report(missed, true, expected).contains("rf0 did not show"));
        assert!(!report(missed, true, Deviations::NONE).contains("rf0"));
    }

    #[test]
    fn the_table_has_a_line_per_group_and_no_trailing_blanks() {
        let text = report(failing, true, Deviations::NONE);
        let row = text.lines().find(|line| line.trim_start().starts_with("filter.basic.long ")).unwrap();
        let words: Vec<&str> = row.split_ascii_whitespace().collect();
        assert_eq!(words, ["filter.basic.long", "fail", "479,232", "20", "0", "99", "3", "1,000"]);
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}
