//! Earlier runs, and what changed from one to the next.

use maud::{Markup, html};

use super::{badge, day};
use crate::results::compare::compare;
use crate::results::document::Results;

/// Runs beyond these are left out, the oldest first.
const RUNS: usize = 60;

/// The runs as columns, and for each what changed since the one before. Nothing without history.
pub fn section(results: &Results, earlier: &[Results]) -> Markup {
    if earlier.is_empty() {
        return html! {};
    }
    let runs: Vec<&Results> = earlier.iter().chain([results]).collect();
    let runs = &runs[runs.len().saturating_sub(RUNS)..];
    let mut names: Vec<&str> = Vec::new();
    for result in runs.iter().flat_map(|run| &run.results) {
        if !names.contains(&result.name.as_str()) {
            names.push(&result.name);
        }
    }
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "History" }
            div.scroll tabindex="0" role="region" aria-labelledby="history" {
                table.matrix {
                    thead {
                        tr {
                            th scope="col" { "Host" }
                            @for run in runs { th scope="col" { (day(run)) } }
                        }
                    }
                    tbody {
                        @for name in names {
                            tr {
                                th scope="row" { (name) }
                                @for run in runs {
                                    td {
                                        @if let Some(result) =
                                            run.results.iter().find(|result| result.name == name)
                                        { (badge(result.verdict)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @for pair in runs.windows(2).rev() { (change(pair[0], pair[1])) }
        }
    }
}

fn change(before: &Results, after: &Results) -> Markup {
    let comparison = compare(before, after);
    let parts = comparison.parts();
    html! {
        @if parts.iter().all(|(_, lines)| lines.is_empty()) {
            p { (day(after)) ": the same as before." }
        } @else {
            details open[!comparison.worse.is_empty()] {
                summary { (day(after)) ": " (comparison.summary()) }
                @for (title, lines) in parts {
                    @if !lines.is_empty() {
                        h3 { (title) }
                        ul { @for line in lines { li { (line) } } }
                    }
                }
            }
        }
    }
}
