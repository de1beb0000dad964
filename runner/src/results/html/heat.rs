//! MASK x MATCH of a group's filters: how many of its faults exit to L1 under each, for both values
//! of EB.PF.
//!
//! What is wanted follows from the manual. What happened is the same where no fault went to the
//! wrong party. Where some did, the log has counts and the first filter of each way; what happened
//! under each filter is shown if a suspected cause says it, which explains every decision of the
//! group.

use maud::{Markup, PreEscaped, html};
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;
use std::fmt::Write;

use crate::results::document::{GroupResult, HostResult};
use crate::verdict::account::Way;
use crate::verdict::suspects::Hypothesis;
use crate::verdict::suspects::hypothesis::{Entry, Memory};

/// MASK and MATCH over the five basic bits.
const SIDE: usize = 32;
/// With fewer filters in it a map shows nothing that the text does not.
const FEWEST: usize = 16;
/// How many shades there are from no fault to all faults.
const SHADES: u32 = 4;

/// How many of the group's faults there are under each filter, or `None` where the filter was not
/// tried: `[MASK][MATCH]`.
type Map = [[Option<u32>; SIDE]; SIDE];

/// The filters and error codes that a group tried.
struct Tried {
    filters: Vec<Filter>,
    codes: Vec<Pfec>,
}

impl Tried {
    fn of(group: Group, result: &HostResult) -> Option<Self> {
        let profile = Profile::from_name(result.profile.as_deref()?)?;
        let maxphyaddr = result.facts.get("maxphyaddr")?.parse().ok()?;
        let filters: Vec<Filter> = group.filters(profile).collect();
        let mut codes: Vec<Pfec> = Vec::new();
        for case in group.cases_with(*filters.first()?, profile, maxphyaddr) {
            codes.extend(case.pfec(maxphyaddr).filter(|code| !codes.contains(code)));
        }
        Some(Self { filters, codes })
    }

    /// A map of the filters with this EB.PF; `count` says how many faults there are under the filter
    /// of a number.
    fn map(&self, eb_pf: bool, count: impl Fn(usize, Filter) -> u32) -> Map {
        let mut map = [[None; SIDE]; SIDE];
        for (at, filter) in self.filters.iter().enumerate() {
            let (mask, matching) = (filter.mask as usize, filter.matching as usize);
            if filter.eb_pf == eb_pf && mask < SIDE && matching < SIDE {
                map[mask][matching] = Some(count(at, *filter));
            }
        }
        map
    }

    fn count(&self, goes: impl Fn(Pfec) -> bool) -> u32 {
        self.codes.iter().filter(|code| goes(**code)).count() as u32
    }

    /// Whether a fault exits on a host with such a fault.
    fn exits(&self, suspect: Hypothesis, at: usize, code: Pfec) -> bool {
        let now = self.filters[at];
        let before = at.checked_sub(1).map_or(now, |at| self.filters[at]);
        suspect.exits(&Entry { now, before, kept: now }, code, Some(code), now, false)
    }
}

/// The maps of a group of walks; nothing for groups that try few filters over the basic bits.
pub fn maps(group: Group, seen: &[(usize, &HostResult, &GroupResult)]) -> Markup {
    let Group::Walk(_) = group else { return html! {} };
    let ran = seen.iter().find(|(_, _, group)| group.cases.is_some());
    let Some(tried) = ran.and_then(|(_, result, _)| Tried::of(group, result)) else {
        return html! {};
    };
    let in_map = |filter: &&Filter| filter.mask < SIDE as u32 && filter.matching < SIDE as u32;
    if tried.filters.iter().filter(in_map).count() < FEWEST {
        return html! {};
    }
    let all = tried.codes.len() as u32;
    let wanted = |_: usize, filter: Filter| tried.count(|code| filter.exits(code));
    let wrong = seen.iter().filter(|(_, _, group)| decisions(group).next().is_some());
    html! {
        details.heat open[wrong.clone().next().is_some()] {
            summary { "MASK x MATCH: which faults exit to L1" }
            p {
                (tried.codes.len()) " different error codes. Rows are MASK, columns MATCH, each from 0 to 1f; "
                "the darker, the more of the codes exit. Hatched: not tried in this profile."
            }
            (pair("wanted by the manual", all, |eb_pf| tried.map(eb_pf, wanted)))
            @for (_, result, of) in wrong {
                (on_host(&tried, result, of))
            }
        }
    }
}

/// Whether filter and error code alone say what such a host does.
fn decides_by_filter(suspect: Hypothesis) -> bool {
    suspect.decides()
        && !suspect.is_by_l0()
        && !suspect.is_by_correction()
        && suspect.memory() == Memory::None
        && suspect != Hypothesis::MaskMatchAtExit
}

/// The ways in which faults went to the wrong party.
fn decisions(group: &GroupResult) -> impl Iterator<Item = &Way> {
    group.differences.iter().filter(|way| way.is_failure() && way.difference.contains('>'))
}

fn on_host(tried: &Tried, result: &HostResult, group: &GroupResult) -> Markup {
    let all = tried.codes.len() as u32;
    let mut suspects = group.suspects.iter().filter_map(|name| Hypothesis::from_name(name));
    if let Some(suspect) = suspects.find(|suspect| decides_by_filter(*suspect)) {
        let exits = |at, code| tried.exits(suspect, at, code);
        let got = |at: usize, _: Filter| tried.count(|code| exits(at, code));
        let wrong =
            |at: usize, filter: Filter| tried.count(|code| exits(at, code) != filter.exits(code));
        return html! {
            p {
                "On " (result.name) ", as the suspected cause " (suspect.name())
                " says, which explains every decision of the group:"
            }
            (pair("got", all, |eb_pf| tried.map(eb_pf, got)))
            (pair("wrong", all, |eb_pf| tried.map(eb_pf, wrong)))
        };
    }
    let first: Vec<Filter> = decisions(group)
        .filter_map(|way| way.id.as_deref()?.rsplit(':').next()?.parse().ok())
        .collect();
    let wrong = |_: usize, filter: Filter| if first.contains(&filter) { all } else { 0 };
    html! {
        p {
            "On " (result.name) " no single cause says what happened under each filter. "
            "Marked is the first filter of each way in which faults went to the wrong party:"
        }
        (pair("wrong", all, |eb_pf| tried.map(eb_pf, wrong)))
    }
}

/// A map for each value of EB.PF.
fn pair(what: &str, all: u32, of: impl Fn(bool) -> Map) -> Markup {
    let kind = what.split(' ').next().unwrap_or_default();
    html! {
        div.maps {
            @for eb_pf in [false, true] {
                figure class=(kind) {
                    (drawing(&of(eb_pf), all, &format!("{what}, EB.PF = {}", u8::from(eb_pf))))
                    figcaption { (what) ", EB.PF = " (u8::from(eb_pf)) }
                }
            }
        }
    }
}

/// A map as a picture: a path for each shade, with a piece for each run of equal cells.
fn drawing(map: &Map, all: u32, what: &str) -> Markup {
    let cells = || map.iter().flatten().flatten();
    let label = format!(
        "{what}: of {} filters {} have all faults, {} some, {} none",
        cells().count(),
        cells().filter(|count| **count == all).count(),
        cells().filter(|count| **count > 0 && **count < all).count(),
        cells().filter(|count| **count == 0).count()
    );
    let shade = |cell: &Option<u32>| cell.map(|count| (count * SHADES).div_ceil(all.max(1)));
    let mut paths = [const { String::new() }; SHADES as usize + 1];
    for (y, row) in map.iter().enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| shade(a) == shade(b)) {
            if let Some(shade) = shade(&run[0]) {
                let _ = write!(paths[shade as usize], "M{x} {y}h{0}v1h-{0}z", run.len());
            }
            x += run.len();
        }
    }
    html! {
        svg viewBox="0 0 32 32" role="img" aria-label=(label) {
            title { (label) }
            @for (shade, path) in paths.iter().enumerate() {
                @if !path.is_empty() { (PreEscaped(format!("<path class=\"s{shade}\" d=\"{path}\"/>"))) }
            }
        }
    }
}
