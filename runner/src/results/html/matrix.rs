//! Hosts and parameter sets beside each other, a row for each group.

use maud::{Markup, html};

use super::{badge, fragment, fragment_on, mark};
use crate::results::document::{GroupResult, HostResult, Results};
use crate::verdict::account::GroupVerdict;
use crate::verdict::judge::counted;

/// The names of all groups, in the order in which they ran.
pub fn groups(results: &Results) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for group in results.results.iter().flat_map(|result| &result.groups) {
        if !names.contains(&group.name.as_str()) {
            names.push(&group.name);
        }
    }
    names
}

/// What a host did in a group.
pub fn found<'a>(result: &'a HostResult, name: &str) -> Option<&'a GroupResult> {
    result.groups.iter().find(|group| group.name == name)
}

/// The host without its parameter set.
fn host(result: &HostResult) -> &str {
    let set = result.params.as_deref().unwrap_or_default();
    result.name.split(set).next().filter(|_| !set.is_empty()).unwrap_or(&result.name).trim()
}

/// The matrix, and what is to be said of each result as a whole.
pub fn section(results: &Results, names: &[&str]) -> Markup {
    let quiet = |name: &str| {
        results
            .results
            .iter()
            .filter_map(|result| found(result, name))
            .all(|group| matches!(group.verdict, GroupVerdict::Pass | GroupVerdict::Skip))
    };
    html! {
        section aria-labelledby="results" {
            h2 id="results" { "Hosts and groups" }
            label.switch {
                input #only type="checkbox";
                " Hide groups that pass or skip on every host"
            }
            div.scroll tabindex="0" role="region" aria-labelledby="results" {
                table.matrix {
                    thead {
                        tr {
                            th scope="col" { "Host" }
                            @for same in results.results.chunk_by(|a, b| host(a) == host(b)) {
                                th scope="colgroup" colspan=(same.len()) { (host(&same[0])) }
                            }
                        }
                        tr {
                            th scope="col" { "Parameters" }
                            @for result in &results.results {
                                th scope="col" { (result.params.as_deref().unwrap_or("")) }
                            }
                        }
                        tr {
                            th scope="row" { "All groups" }
                            @for (at, result) in results.results.iter().enumerate() {
                                td { a href={ "#host-" (at) } { (badge(result.verdict)) } }
                            }
                        }
                    }
                    tbody {
                        @for name in names {
                            tr class=[quiet(name).then_some("quiet")] {
                                th scope="row" { a href={ "#" (fragment(name)) } { (name) } }
                                @for (at, result) in results.results.iter().enumerate() {
                                    (cell(found(result, name), name, at))
                                }
                            }
                        }
                    }
                }
            }
            @for (at, result) in results.results.iter().enumerate() { (whole(at, result)) }
        }
    }
}

fn cell(group: Option<&GroupResult>, name: &str, at: usize) -> Markup {
    let Some(group) = group else { return html! { td { "" } } };
    let leads_to =
        if group.verdict == GroupVerdict::Pass { fragment(name) } else { fragment_on(name, at) };
    html! { td { a href={ "#" (leads_to) } { (mark(group.verdict)) } } }
}

/// What no single group says.
fn whole(at: usize, result: &HostResult) -> Markup {
    html! {
        article.host id={ "host-" (at) } {
            h3 { (result.name) " " (badge(result.verdict)) }
            p { (result.sentence) }
            @if let Some(conclusion) = &result.conclusion {
                p {
                    strong { "Conclusion: " } (conclusion.sentence) "; in " (conclusion.groups)
                    " of " (counted(conclusion.failing as u64, "failing group")) "."
                }
            }
            @if !result.l0.is_empty() { p.quieter { (result.l0) } }
            @for line in &result.kernel_trouble { p { "The host's kernel: " code { (line) } } }
            @for error in &result.errors { p { "Error in maskmatch: " (error) } }
            @for name in &result.unexpected_passes {
                p {
                    strong { "Unexpected pass: " } "the known deviation " (name)
                    " had to show and did not. The host may have been fixed."
                }
            }
            @if let Some(host) = &result.host {
                @if !host.parameters.is_empty() {
                    details {
                        summary { "Parameters in force" }
                        p.quieter {
                            @for (name, value) in &host.parameters { code { (name) "=" (value) } " " }
                        }
                    }
                }
            }
            @if !result.notes.is_empty() {
                details {
                    summary { "Notes" }
                    ul { @for note in &result.notes { li { (note) } } }
                }
            }
        }
    }
}
