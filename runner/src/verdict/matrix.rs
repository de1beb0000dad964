//! Several results side by side, with groups as rows, and the verdict over all. The results of one host
//! have a table for each version of it, with parameter sets as columns. Those of several hosts have
//! one table, with hosts as columns.

use std::fmt::Write;

use spec::log::Verdict;

use crate::output;
use crate::verdict::judge::{counted, thousands};
use crate::verdict::result::{Column, RunResult, overall};
use crate::verdict::subject::Product;

/// More columns than these go into a table of their own.
const COLUMNS: usize = 8;

/// The tables, one after the other.
pub fn tables(text: &mut String, results: &[RunResult]) {
    let placed: Vec<(&Column, &RunResult)> = results
        .iter()
        .filter_map(|result| Some((result.origin.column.as_ref()?, result)))
        .collect();
    if placed.windows(2).any(|pair| pair[0].0.host != pair[1].0.host) {
        let head = |column: &Column, result: &RunResult| {
            let product = result.origin.subject.tested().map(Product::title);
            format!("{}\n{}", product.unwrap_or_else(|| column.host.clone()), column.set)
        };
        for part in placed.chunks(COLUMNS) {
            let _ = writeln!(text, "verdict and million instructions\n{}", table(part, &head));
        }
        return;
    }
    let is_same = |a: &Column, b: &Column| (&a.host, &a.release) == (&b.host, &b.release);
    for version in placed.chunk_by(|(a, _), (b, _)| is_same(a, b)) {
        for part in version.chunks(COLUMNS) {
            let Column { host, release, .. } = part[0].0;
            let _ = writeln!(
                text,
                "{host} {release} (verdict and million instructions)\n{}",
                table(part, &|column, _| column.set.clone())
            );
        }
    }
}

/// What is said of a result in a table.
type CellOf<'a> = &'a dyn Fn(&Column, &RunResult) -> String;

/// Rows are groups, columns are parameter sets, each with this head.
fn table(columns: &[(&Column, &RunResult)], head: CellOf<'_>) -> String {
    let row = |name: &str, cells: CellOf<'_>| -> Vec<String> {
        std::iter::once(name.to_string())
            .chain(columns.iter().map(|(column, result)| cells(column, result)))
            .collect()
    };
    let mut names: Vec<&str> = Vec::new();
    for group in columns.iter().flat_map(|(_, result)| &result.findings.groups) {
        if !names.contains(&group.name.as_str()) {
            names.push(&group.name);
        }
    }
    let mut rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| {
            row(name, &|_, result| {
                let place = result.findings.groups.iter().position(|group| group.name == *name);
                place.map_or_else(String::new, |at| cell(result, at))
            })
        })
        .collect();
    rows.push(row("all", &|_, result| {
        let instructions = result.measured.instructions.unwrap_or_default();
        format!("{} {}", result.judgement.verdict, millions(instructions))
    }));
    output::table(row("group", head), rows, 1)
}

fn cell(result: &RunResult, at: usize) -> String {
    let group = &result.findings.groups[at];
    let verdict = result.accounts.verdict(at, group, result.strict);
    match group.counts() {
        // A group in which the guest moves from VM to VM measures none.
        Some(counts) if counts.tsc > 0 => format!("{verdict} {}", millions(counts.tsc)),
        _ => verdict.to_string(),
    }
}

/// The time stamp counter of a guest inside Bochs counts instructions.
fn millions(instructions: u64) -> String {
    thousands((instructions + 500_000) / 1_000_000)
}

/// The verdict over all, and the results that it comes from.
pub fn verdict_line(text: &mut String, results: &[RunResult]) {
    let ran: Vec<&RunResult> = results.iter().filter(|result| result.is_available()).collect();
    let of =
        |wanted: Verdict| ran.iter().filter(|result| result.judgement.verdict == wanted).count();
    let parts: Vec<String> =
        [Verdict::Pass, Verdict::Fail, Verdict::Error, Verdict::Crash, Verdict::Skip]
            .into_iter()
            .filter(|verdict| of(*verdict) > 0)
            .map(|verdict| format!("{} {verdict}", of(verdict)))
            .collect();
    let cases = ran.iter().map(|result| result.findings.reader.summary().cases).sum();
    let mut hosts: Vec<String> = ran
        .iter()
        .filter_map(|result| result.origin.column.as_ref())
        .map(|Column { host, release, .. }| format!("{host} {release}"))
        .collect();
    hosts.dedup();
    let _ = write!(
        text,
        "maskmatch: {}: {} ({}), {} on {}",
        overall(results),
        counted(ran.len() as u64, "parameter set"),
        parts.join(", "),
        counted(cases, "case"),
        hosts.join(", ")
    );
    let missing = results.len() - ran.len();
    let _ = if missing > 0 { writeln!(text, "; {missing} not available") } else { writeln!(text) };
}

#[cfg(test)]
mod tests {
    use crate::verdict::findings::Findings;
    use crate::verdict::judge::Source;
    use crate::verdict::report;
    use crate::verdict::result::{Column, Measured, Origin, RunResult, overall};
    use crate::verdict::subject::Subject;
    use crate::vmm::{End, Unavailable};
    use spec::log::{Counts, Verdict, Writer};
    use spec::manual::filter::Filter;
    use spec::tally::Tally;

    fn origin(release: &str, set: &str) -> Origin {
        let (release, set) = (release.to_string(), set.to_string());
        let column = Column {
            l0: "lab".into(),
            host: "KVM of Linux".into(),
            release,
            set,
            in_force: "ept=N".into(),
        };
        Origin { l0: "KVM".into(), column: Some(column), ..Origin::default() }
    }

    fn ran(release: &str, set: &str, failed: u64) -> RunResult {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        log.plan(1);
        let counts = Counts { cases: 1000, differing: failed, tsc: 2_500_000, ..Counts::default() };
        if failed > 0 {
            let mut room = [None; 1];
            let mut tally = Tally::new(&mut room);
            tally.add(
                "user-read-np-pte",
                0,
                Filter::ALWAYS,
                &"exit0:ec^8".parse().unwrap(),
                failed,
            );
            log.fail(&"filter.basic.long:user-read-np-pte:1,0,0", &"exit,ec=4", &"exit,ec=c");
            log.differs(&"filter.basic.long", &mut tally);
        }
        log.result(1, &"filter.basic.long", &counts);
        log.end();
        let findings = Findings::of_text(&text);
        let measured = Measured { instructions: Some(7_499_999), seconds: None };
        RunResult::new(
            (findings, None),
            Source::Run(End::PoweredOff),
            false,
            origin(release, set),
            measured,
        )
    }

    fn skipped(set: &str) -> RunResult {
        RunResult::skipped("no parameter warp".into(), false, origin("6.1", set))
    }

    fn missing() -> RunResult {
        RunResult::unavailable(&Unavailable::new("there is no such kernel", ""), false)
    }

    fn words(text: &str, first: &str) -> Vec<Vec<String>> {
        let rows = text
            .lines()
            .map(|line| line.split_ascii_whitespace().map(String::from).collect::<Vec<_>>());
        rows.filter(|row| row.first().is_some_and(|word| word == first)).collect()
    }

    #[test]
    fn sets_are_columns_and_each_version_has_a_table() {
        let mut trouble = ran("6.1", "ept=0", 3);
        trouble.trouble.push("BUG: x".into());
        let text = report::text(&[ran("6.1", "ept=1", 0), trouble, ran("7.2", "ept=1", 0)]);
        assert_eq!(
            words(&text, "group"),
            [vec!["group", "ept=1", "ept=0"], vec!["group", "ept=1"]]
        );
        let rows = [
            vec!["filter.basic.long", "pass", "3", "fail", "3"],
            vec!["filter.basic.long", "pass", "3"],
        ];
        assert_eq!(words(&text, "filter.basic.long"), rows);
        assert_eq!(
            words(&text, "all"),
            [vec!["all", "pass", "7", "fail", "7"], vec!["all", "pass", "7"]]
        );
        for part in [
            "KVM of Linux 6.1 (",
            "KVM of Linux 7.2 (",
            "ept=0: in force ept=N",
            "  L0's kernel: BUG: x",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let last = "maskmatch: fail: 3 parameter sets (2 pass, 1 fail), 3,000 cases on KVM of Linux 6.1, \
                    KVM of Linux 7.2";
        assert_eq!(text.lines().last(), Some(last));
    }

    #[test]
    fn hosts_are_columns_of_one_table() {
        let mut xen = ran("4.17.5", "default", 0);
        if let Some(column) = &mut xen.origin.column {
            column.host = "Xen".into();
        }
        xen.origin.subject = Subject::of(["bochs 2.7", "xen 4.17"]).unwrap();
        let mut kvm = ran("6.1.0-57", "ept=0", 3);
        kvm.origin.subject = Subject::of(["bochs 2.7", "kvm 6.1"]).unwrap();
        let text = report::text(&[kvm, xen]);
        assert_eq!(words(&text, "group"), [vec!["group", "KVM", "6.1", "Xen", "4.17"]]);
        assert_eq!(words(&text, "ept=0"), [vec!["ept=0", "default"]]);
        assert_eq!(words(&text, "all"), [vec!["all", "fail", "7", "pass", "7"]]);
        let last = "maskmatch: fail: 2 parameter sets (1 pass, 1 fail), 2,000 cases on KVM of Linux 6.1.0-57, Xen 4.17.5";
        assert_eq!(text.lines().last(), Some(last));
    }

    #[test]
    fn many_sets_make_several_tables() {
        let results: Vec<RunResult> = (0..9).map(|_| ran("6.1", "ept=1", 0)).collect();
        let columns: Vec<usize> =
            words(&report::text(&results), "group").iter().map(Vec::len).collect();
        assert_eq!(columns, [9, 2]);
    }

    #[test]
    fn a_skip_takes_nothing_from_a_pass_but_what_is_missing_does() {
        assert_eq!(overall(&[ran("6.1", "ept=1", 0), skipped("warp=1")]), Verdict::Pass);
        assert_eq!(overall(&[skipped("warp=1")]), Verdict::Skip);
        assert_eq!(overall(&[]), Verdict::Skip);
        assert_eq!(overall(&[missing(), ran("6.1", "ept=0", 1)]), Verdict::Fail);
        let results = [ran("6.1", "ept=1", 0), missing()];
        assert_eq!(overall(&results), Verdict::Skip);
        let text = report::text(&results);
        assert!(text.contains("\nmaskmatch: skip: there is no such kernel\n"), "{text}");
        let last = "maskmatch: skip: 1 parameter set (1 pass), 1,000 cases on KVM of Linux 6.1; 1 not available";
        assert_eq!(text.lines().last(), Some(last));
        assert_eq!(report::text(&[missing()]), "maskmatch: skip: there is no such kernel\n");
    }
}
