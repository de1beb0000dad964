//! The results as JUnit XML: a suite for each result, a case for each group. Names are the same in
//! every run.

use std::fmt::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::document::{HostResult, Results};
use super::points::{self, Outcome, Point};
use crate::verdict::exit_code::Stop;

/// Ways to fail beyond these are left to the JSON.
const WAYS: usize = 10;

/// The XML.
///
/// # Errors
/// It cannot be written.
pub fn text(results: &Results) -> Result<String, Stop> {
    let mut report = Report::new("maskmatch");
    report.set_timestamp(results.made);
    report.add_test_suites(results.results.iter().map(|result| suite(results, result)));
    report.to_string().map_err(|error| Stop::usage(format!("cannot write JUnit: {error}")))
}

fn suite(results: &Results, result: &HostResult) -> TestSuite {
    let mut suite = TestSuite::new(result.name.as_str());
    suite.set_timestamp(results.made);
    if let Some(time) = result.seconds.and_then(|time| Duration::try_from_secs_f64(time).ok()) {
        suite.set_time(time);
    }
    let known = |key: &str, value: &Option<String>| {
        value.as_ref().map(|value| Property::new(key, value.as_str()))
    };
    suite.add_property(Property::new("l0", result.l0.as_str()));
    suite.add_property(Property::new("maskmatch", results.maskmatch.as_str()));
    suite.add_property(Property::new("options", result.options.as_str()));
    suite.add_properties(known("release", &result.release));
    suite.add_properties(known("profile", &result.profile));
    let conclusion = result.conclusion.as_ref();
    suite.add_properties(
        conclusion.map(|conclusion| Property::new("conclusion", conclusion.sentence.as_str())),
    );
    suite.add_properties(
        result.unexpected_passes.iter().map(|name| Property::new("unexpected-pass", name.as_str())),
    );
    suite.add_test_cases(points::of(result).iter().map(case));
    suite
}

fn case(point: &Point<'_>) -> TestCase {
    let status = match &point.outcome {
        Outcome::Passed | Outcome::Known(_) => TestCaseStatus::success(),
        Outcome::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        }
        Outcome::Failed(why) => wrong(point, NonSuccessKind::Failure, "fail", why),
        Outcome::Broken(why) => wrong(point, NonSuccessKind::Error, "crash", why),
    };
    let mut case = TestCase::new(point.name, status);
    case.set_classname(point.of.name.as_str());
    if let Some(group) = point.group {
        case.add_properties(group.known_deviations.iter().map(|known| {
            Property::new(
                "known-deviation",
                format!("{} in {} cases: {}", known.name, known.cases, known.reason),
            )
        }));
        if let Some(cases) = group.cases {
            case.add_property(Property::new("cases", cases.to_string()));
        }
    }
    case
}

fn wrong(point: &Point<'_>, kind: NonSuccessKind, of: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(of).set_message(why).set_description(details(point));
    status
}

/// What differs, with want, got and the command that runs it again.
fn details(point: &Point<'_>) -> String {
    let mut text = String::new();
    let Some(group) = point.group else {
        for line in point.of.kernel_trouble.iter().chain(&point.of.errors) {
            let _ = writeln!(text, "{line}");
        }
        return text;
    };
    if !group.suspects.is_empty() {
        let _ = writeln!(text, "suspected cause: {}", group.suspects.join(", "));
    }
    for way in points::ways(group).take(WAYS) {
        let _ =
            writeln!(text, "{} in {} cases: {}", way.difference, way.cases, way.probes.join(", "));
        if let Some(example) = &way.example {
            let _ =
                writeln!(text, "  {}\n  want {}\n  got  {}", example.id, example.want, example.got);
        }
        if let Some(replay) = way.id.as_ref().and_then(|id| points::replay(point.of, id)) {
            let _ = writeln!(text, "  run it again: {replay}");
        }
    }
    for incomplete in &group.incomplete {
        let _ = writeln!(text, "{} cases did not end: {}", incomplete.cases, incomplete.word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::results::fixture::{ID, results};

    #[test]
    fn a_suite_has_its_groups_with_the_same_names_in_every_run() {
        let xml = text(&results()).unwrap();
        for part in [
            "tests=\"11\" skipped=\"2\" failures=\"1\" errors=\"2\"",
            "<testsuite name=\"kvm 6.1 ept=0\" tests=\"4\" skipped=\"1\" errors=\"0\" failures=\"1\"",
            "<testcase name=\"filter.basic.long\" classname=\"kvm 6.1 ept=0\">",
            "<failure message=\"34 of 672 cases\" type=\"fail\">suspected cause: eb-always-clear\n",
            "  want exit,ec=6\n  got  delivered,ec=6,cr2=1000\n",
            &format!("run it again: maskmatch replay {ID} --l0 lab"),
            "<property name=\"known-deviation\" value=\"rf0 in 7 cases: Bochs saves RFLAGS.RF = 0",
            "<skipped message=\"no &quot;SMAP&quot; # here\"/>",
            "<error message=\"the group did not finish\" type=\"crash\">",
        ] {
            assert!(xml.contains(part), "{part}\n{xml}");
        }
        // Nothing in a name changes from run to run.
        assert!(!xml.contains("name=\"KVM of"), "{xml}");
    }
}
