//! A part of the page for each group: on which host it fails, how, what the manual wants, and how to
//! run it again.

use maud::{Markup, html};
use spec::catalogue::group::Group;
use spec::manual::paging::Maxphyaddr;

use super::matrix::found;
use super::{fragment, fragment_on, heat, mark};
use crate::command::explain;
use crate::command::list::around;
use crate::results::document::{GroupResult, HostResult, KnownDeviation, Results};
use crate::results::points;
use crate::verdict::account::{GroupVerdict, Way};
use crate::verdict::difference::differences;
use crate::verdict::findings::Failure;
use crate::verdict::judge::{counted, thousands};
use crate::verdict::known::Party;
use crate::verdict::suspects::Hypothesis;

/// Ways to differ of one group on one host beyond these are left to the JSON.
const WAYS: usize = 20;
/// The address width where a log does not say.
const USUAL_MAXPHYADDR: Maxphyaddr = 40;

/// The part of a group.
pub fn section(results: &Results, name: &str) -> Markup {
    let seen: Vec<(usize, &HostResult, &GroupResult)> = results
        .results
        .iter()
        .enumerate()
        .filter_map(|(at, result)| Some((at, result, found(result, name)?)))
        .collect();
    let passed: Vec<&str> = seen
        .iter()
        .filter(|(_, _, group)| group.verdict == GroupVerdict::Pass)
        .map(|(_, result, _)| result.name.as_str())
        .collect();
    let group = Group::from_name(name);
    html! {
        section.group id=(fragment(name)) {
            h3 { (name) }
            @if let Some(group) = group { p { (around(group).1) "." } }
            @if !passed.is_empty() {
                p { (mark(GroupVerdict::Pass)) " on " (passed.join(", ")) "." }
            }
            @for (at, result, seen) in &seen {
                @if seen.verdict != GroupVerdict::Pass { (on_host(*at, result, seen)) }
            }
            @if let Some(group) = group { (heat::maps(group, &seen)) }
            p { a href="#results" { "Back to the table" } }
        }
    }
}

fn on_host(at: usize, result: &HostResult, group: &GroupResult) -> Markup {
    let failing: Vec<&Way> = points::ways(group).collect();
    let in_full =
        |failure: &&Failure| failing.iter().any(|way| way.example.as_ref() == Some(*failure));
    html! {
        article id=(fragment_on(&group.name, at)) {
            h4 {
                (mark(group.verdict)) " on " (result.name)
                @if let Some(counts) = counts(group) { ": " (counts) }
            }
            @if let Some(why) = &group.skip_reason { p { "Skipped: " (why) "." } }
            @if group.verdict == GroupVerdict::Unfinished {
                p { "The group did not finish: " (result.sentence) "." }
            }
            @for suspect in &group.suspects { p { "Suspected cause: " (meaning(suspect)) "." } }
            @if group.verdict == GroupVerdict::Fail {
                @for way in failing.iter().take(WAYS) { (of_way(result, way)) }
                @if failing.len() > WAYS {
                    p { "And " (failing.len() - WAYS) " more ways, which the JSON has." }
                }
            }
            @for incomplete in &group.incomplete {
                p { (counted(incomplete.cases, "case")) " did not end: " (incomplete.word) "." }
            }
            @if matches!(group.verdict, GroupVerdict::Fail | GroupVerdict::Unfinished) {
                @for failure in group.failures.iter().filter(|one| !in_full(one)).take(WAYS) {
                    (case_in_full(failure))
                    (replay(result, &failure.id))
                }
            }
            @for known in &group.known_deviations { (of_known(known)) }
        }
    }
}

/// A suspect in words.
fn meaning(suspect: &str) -> String {
    match Hypothesis::from_name(suspect) {
        Some(hypothesis) => format!("the host {} ({suspect})", hypothesis.meaning()),
        None => suspect.into(),
    }
}

fn counts(group: &GroupResult) -> Option<String> {
    let cases = group.cases?;
    let differing = group.differing.unwrap_or_default();
    Some(match group.failed.unwrap_or_default() {
        0 => format!("{} of {} differ, all known", thousands(differing), counted(cases, "case")),
        failed => format!("{} of {} fail", thousands(failed), counted(cases, "case")),
    })
}

fn of_way(result: &HostResult, way: &Way) -> Markup {
    html! {
        div.way {
            p {
                code.difference { (way.difference) } " in " (counted(way.cases, "case"))
                @if !way.probes.is_empty() { ": " (way.probes.join(", ")) }
            }
            @if let Some(failure) = &way.example { (case_in_full(failure)) }
            @if let Some(id) = &way.id { (replay(result, id)) }
        }
    }
}

fn case_in_full(Failure { id, want, got }: &Failure) -> Markup {
    html! {
        p { "Case " code { (id) } }
        ul { @for line in differences(want, got) { li { (line) } } }
        dl {
            dt { "want" } dd { code { (want) } }
            dt { "got" } dd { code { (got) } }
        }
    }
}

/// How to run a case again, and what the manual says about it.
fn replay(result: &HostResult, id: &str) -> Markup {
    let maxphyaddr = result.facts.get("maxphyaddr").and_then(|bits| bits.parse().ok());
    html! {
        @if let Some(case) = points::replayable(id) {
            @if let Some(command) = points::replay(result, id) {
                p { "Run it again:" }
                pre tabindex="0" { code { (command) } }
            }
            details {
                summary { "What the case does, and what the manual wants" }
                pre tabindex="0" {
                    (explain::text(&case, maxphyaddr.unwrap_or(USUAL_MAXPHYADDR)))
                }
            }
        }
    }
}

fn of_known(known: &KnownDeviation) -> Markup {
    let of = match known.of {
        Party::Host => "of the host",
        Party::Processor => "of the processor",
    };
    html! {
        p {
            "Known deviation " strong { (known.name) } " " (of) " in "
            (counted(known.cases, "case")) ": " (known.reason)
        }
    }
}
