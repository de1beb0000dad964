//! The results as TAP 13, for consumers that take it literally: version and plan come first, the
//! names of the test points are the same in every run, known deviations are `# TODO`, and what failed
//! is in YAML blocks.

use std::fmt::Write;

use super::document::{HostResult, Results};
use super::points::{self, Outcome, Point};

/// Ways to fail beyond these are left to the JSON.
const WAYS: usize = 10;

/// The TAP.
pub fn text(results: &Results) -> String {
    let points: Vec<Point<'_>> = results.results.iter().flat_map(points::of).collect();
    let bonus: Vec<(&HostResult, &String)> = results
        .results
        .iter()
        .filter(|result| !result.strict)
        .flat_map(|result| result.unexpected_passes.iter().map(move |name| (result, name)))
        .collect();
    let mut text = format!("TAP version 13\n1..{}\n", points.len() + bonus.len());
    for (number, point) in (1..).zip(&points) {
        self::point(&mut text, number, point);
    }
    for (number, (result, name)) in (points.len() + 1..).zip(bonus) {
        let name = described(result, &format!("known deviation {name}"));
        let _ = writeln!(text, "ok {number} - {name} # TODO it had to show and did not");
    }
    let _ = writeln!(text, "# maskmatch {}: {}", results.maskmatch, results.verdict.word());
    text
}

fn point(text: &mut String, number: usize, point: &Point<'_>) {
    let name = described(point.of, point.name);
    let (ok, directive) = match &point.outcome {
        Outcome::Passed => ("ok", String::new()),
        Outcome::Known(why) => ("not ok", format!(" # TODO {}", one_line(why))),
        Outcome::Skipped(why) => ("ok", format!(" # SKIP {}", one_line(why))),
        Outcome::Failed(_) | Outcome::Broken(_) => ("not ok", String::new()),
    };
    let _ = writeln!(text, "{ok} {number} - {name}{directive}");
    match &point.outcome {
        Outcome::Failed(why) => block(text, point, why, "fail"),
        Outcome::Broken(why) => block(text, point, why, "error"),
        Outcome::Passed | Outcome::Known(_) | Outcome::Skipped(_) => {}
    }
}

fn described(result: &HostResult, name: &str) -> String {
    one_line(&format!("{}: {name}", result.name))
}

/// Text in which nothing begins a line or a directive.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() || c == '#' { ' ' } else { c };
    text.chars().map(plain).collect()
}

/// What failed, as YAML. Each text is in the form that JSON and YAML share.
fn block(text: &mut String, point: &Point<'_>, message: &str, severity: &str) {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let _ = writeln!(text, "  ---\n  message: {}\n  severity: {severity}", quoted(message));
    for (key, lines) in [("kernel_trouble", &point.of.kernel_trouble), ("errors", &point.of.errors)]
    {
        if point.group.is_none() && !lines.is_empty() {
            let _ = writeln!(text, "  {key}:");
            for line in lines {
                let _ = writeln!(text, "    - {}", quoted(line));
            }
        }
    }
    if let Some(group) = point.group {
        if !group.suspects.is_empty() {
            let _ = writeln!(text, "  suspects: {}", quoted(&group.suspects.join(", ")));
        }
        let ways: Vec<_> = points::ways(group).take(WAYS).collect();
        if !ways.is_empty() {
            let _ = writeln!(text, "  differences:");
        }
        for way in ways {
            let _ = writeln!(text, "    - difference: {}", quoted(&way.difference));
            let _ = writeln!(text, "      cases: {}", way.cases);
            let _ = writeln!(text, "      in: {}", quoted(&way.probes.join(", ")));
            if let Some(example) = &way.example {
                let _ = writeln!(text, "      id: {}", quoted(&example.id));
                let _ = writeln!(text, "      want: {}", quoted(&example.want));
                let _ = writeln!(text, "      got: {}", quoted(&example.got));
            }
            if let Some(replay) = way.id.as_ref().and_then(|id| points::replay(point.of, id)) {
                let _ = writeln!(text, "      replay: {}", quoted(&replay));
            }
        }
    }
    text.push_str("  ...\n");
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::results::fixture::{ID, results};

    #[test]
    fn each_point_is_a_line_that_strict_consumers_take() {
        let tap = text(&results());
        let lines: Vec<&str> = tap.lines().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(
            lines,
            [
                "TAP version 13",
                "1..11",
                "ok 1 - kvm 6.1 ept=1: the run",
                "ok 2 - kvm 6.1 ept=1: filter.basic.long",
                "ok 3 - kvm 6.1 ept=1: filter.basic.long-ac # SKIP no \"SMAP\"   here",
                "not ok 4 - kvm 6.1 ept=1: filter.high.long # TODO known: rf0 in 7 cases",
                "ok 5 - kvm 6.1 ept=0: the run",
                "not ok 6 - kvm 6.1 ept=0: filter.basic.long",
                "ok 7 - kvm 6.1 ept=0: filter.basic.long-ac # SKIP no \"SMAP\"   here",
                "not ok 8 - kvm 6.1 ept=0: filter.high.long # TODO known: rf0 in 7 cases",
                "not ok 9 - kvm 7.2 ept=1: the run",
                "ok 10 - kvm 7.2 ept=1: filter.basic.long",
                "not ok 11 - kvm 7.2 ept=1: filter.high.long",
                "# maskmatch 0.1.0: crash",
            ]
        );
    }

    #[test]
    fn what_failed_is_in_a_block_with_want_got_and_replay() {
        let tap = text(&results());
        for part in [
            "  ---\n  message: \"34 of 672 cases\"\n  severity: fail\n  suspects: \"eb-always-clear\"\n",
            "    - difference: \"exit0>delivered14\"\n      cases: 34\n",
            "      want: \"exit,ec=6\"\n      got: \"delivered,ec=6,cr2=1000\"\n",
            &format!("replay: \"maskmatch replay {ID} --l0 lab --kernel 6.1 --param 'ept=0'\""),
            "  message: \"the group did not finish\"\n  severity: error\n",
        ] {
            assert!(tap.contains(part), "{part}\n{tap}");
        }
        assert_eq!(tap.matches("\n  ---\n").count(), 3);
        assert_eq!(tap.matches("\n  ...\n").count(), 3);
    }

    #[test]
    fn an_unexpected_pass_is_a_todo_that_is_ok() {
        let mut results = results();
        results.results[0].unexpected_passes.push("rf0".into());
        let tap = text(&results);
        let line = "ok 12 - kvm 6.1 ept=1: known deviation rf0 # TODO it had to show and did not\n";
        assert!(tap.contains(line) && tap.contains("1..12\n"), "{tap}");
    }
}
