//! The results as one HTML file that needs nothing else: no network, no script.
//!
//! | part of the page | made by |
//! |---|---|
//! | hosts and parameter sets beside each other, a row for each group | [`matrix`] |
//! | what differs in a group, what the manual wants, how to replay it | [`group`] |
//! | MASK x MATCH of a group's filters | [`heat`] |
//! | earlier runs, and what changed from one to the next | [`history`] |
//!
//! Colours and widths are in `style.css`, which follows the reader's light or dark scheme.

mod group;
mod heat;
mod history;
mod matrix;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{Results, Verdict};
use crate::escape::for_terminal;
use crate::verdict::account::GroupVerdict;

/// The page. `earlier` are older runs, the oldest first.
pub fn page(results: &Results, earlier: &[Results]) -> String {
    let names = matrix::groups(results);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "maskmatch: " (results.verdict.word()) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                a.jump href="#groups" { "Skip to the groups" }
                header {
                    h1 { "maskmatch: " (badge(results.verdict)) }
                    p {
                        "How hypervisors (L0) handle page faults of a nested guest (L2), compared with \
                         Intel's manual. Made on " (day(results)) " by maskmatch "
                        (results.maskmatch) ": " code { "maskmatch " (results.command.join(" ")) }
                    }
                    p {
                        "A group is " (mark(GroupVerdict::Pass)) " if all its cases are as the manual \
                         says, " (mark(GroupVerdict::Known)) " if they differ only in known deviations, "
                        (mark(GroupVerdict::Fail)) " if the host is wrong, " (mark(GroupVerdict::Skip))
                        " if something that it needs is missing, " (mark(GroupVerdict::Unfinished))
                        " if the run ended in it. Each word leads to the group."
                    }
                }
                main {
                    (matrix::section(results, &names))
                    (history::section(results, earlier))
                    section id="groups" {
                        h2 { "Groups" }
                        @for name in &names { (group::section(results, name)) }
                    }
                }
            }
        }
    };
    // Text of a log may have characters that a reader obeys in place of showing them.
    for_terminal(&page.into_string()).into_owned() + "\n"
}

fn badge(verdict: Verdict) -> Markup {
    let word = verdict.word();
    html! { span class={ "verdict " (word) } { (word) } }
}

fn mark(verdict: GroupVerdict) -> Markup {
    html! { span class={ "verdict " (verdict) } { (verdict) } }
}

fn day(results: &Results) -> String {
    results.made.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The fragment of a group's part.
fn fragment(group: &str) -> String {
    format!("g-{group}")
}

/// The fragment of what a host did in a group.
fn fragment_on(group: &str, host: usize) -> String {
    format!("g-{group}-{host}")
}
