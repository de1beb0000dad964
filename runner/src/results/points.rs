//! What JUnit and TAP report alike: a test point for each result's run and for each of its groups,
//! with names that are the same in every run.

use spec::catalogue::case::Case;

use super::document::{GroupResult, HostResult, Verdict};
use crate::verdict::account::{GroupVerdict, Way};
use crate::verdict::judge::{counted, thousands};

/// The point of a result that is about no group.
pub const RUN: &str = "the run";

/// A test point.
pub struct Point<'a> {
    /// The result.
    pub of: &'a HostResult,
    /// A group's name, or [`RUN`].
    pub name: &'a str,
    /// How it came out.
    pub outcome: Outcome,
    /// The group, if it is about one.
    pub group: Option<&'a GroupResult>,
}

/// How a test point came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It differs only in known deviations, which the text names.
    Known(String),
    /// It could not run, and why.
    Skipped(String),
    /// What is tested is wrong.
    Failed(String),
    /// There is no result: a crash, or an error of maskmatch.
    Broken(String),
}

/// All points of a result. The first is [`RUN`].
pub fn of(result: &HostResult) -> Vec<Point<'_>> {
    let run = Point { of: result, name: RUN, outcome: of_run(result), group: None };
    let groups = result.groups.iter().map(|group| Point {
        of: result,
        name: &group.name,
        outcome: of_group(group),
        group: Some(group),
    });
    std::iter::once(run).chain(groups).collect()
}

/// A run fails where no group says why it did: its host's kernel is in trouble, or with `--strict`
/// a known deviation did not show.
fn of_run(result: &HostResult) -> Outcome {
    let fails = |group: &GroupResult| group.verdict == GroupVerdict::Fail;
    match result.verdict {
        Verdict::Skip => Outcome::Skipped(result.sentence.clone()),
        Verdict::Crash | Verdict::Error => Outcome::Broken(result.sentence.clone()),
        Verdict::Fail if !result.groups.iter().any(fails) => {
            Outcome::Failed(result.sentence.clone())
        }
        Verdict::Pass | Verdict::Fail => Outcome::Passed,
    }
}

fn of_group(group: &GroupResult) -> Outcome {
    match group.verdict {
        GroupVerdict::Pass => Outcome::Passed,
        GroupVerdict::Known => Outcome::Known(known(group)),
        GroupVerdict::Skip => Outcome::Skipped(group.skip_reason.clone().unwrap_or_default()),
        GroupVerdict::Fail => Outcome::Failed(failed(group)),
        GroupVerdict::Unfinished => Outcome::Broken("the group did not finish".into()),
    }
}

/// The known deviations of a group, with how often each was seen.
fn known(group: &GroupResult) -> String {
    let each = group
        .known_deviations
        .iter()
        .map(|known| format!("{} in {}", known.name, counted(known.cases, "case")));
    format!("known: {}", each.collect::<Vec<_>>().join(", "))
}

fn failed(group: &GroupResult) -> String {
    let all = counted(group.cases.unwrap_or_default(), "case");
    match group.failed.unwrap_or_default() {
        0 => format!("{}; a failure by --strict", known(group)),
        failed => format!("{} of {all}", thousands(failed)),
    }
}

/// The ways in which a failing group fails. With `--strict` known ones are among them.
pub fn ways(group: &GroupResult) -> impl Iterator<Item = &Way> {
    let by_strict_only =
        group.verdict == GroupVerdict::Fail && group.failed.unwrap_or_default() == 0;
    group.differences.iter().filter(move |way| by_strict_only || way.is_failure())
}

/// The id of a case that can be replayed, of a way or of a case in full. A whole walk has none.
pub fn replayable(id: &str) -> Option<Case> {
    Case::from_id(id)
}

/// The command that runs a case again on this host.
pub fn replay(result: &HostResult, id: &str) -> Option<String> {
    replayable(id).map(|_| format!("maskmatch replay {id} {}", result.options).trim_end().into())
}
