//! Two runs side by side: what got worse, what got better, what is new and what is gone.
//!
//! Results are paired by name; those that are left by their parameter sets, so that 6.1 can be held
//! against 7.2; one that is left on each side is a pair too. Within a pair a difference is one kind
//! of case (access or scene) of one group that differs in one way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::document::{GroupResult, HostResult, Results, Verdict};
use crate::verdict::account::{GroupVerdict, Way};
use crate::verdict::judge::counted;

/// Case kinds of a line beyond these are counted.
const PROBES: usize = 6;

/// What two runs differ in.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Lines on what is worse in the second.
    pub worse: Vec<String>,
    /// On what is better.
    pub better: Vec<String>,
    /// On results and groups that only the second has.
    pub new: Vec<String>,
    /// On those that only the first has.
    pub gone: Vec<String>,
}

/// Compares two runs.
pub fn compare(before: &Results, after: &Results) -> Comparison {
    let mut comparison = Comparison::default();
    let (pairs, only_before, only_after) = pairs(&before.results, &after.results);
    for (old, new) in pairs {
        comparison.pair(old, new);
    }
    let line = |result: &HostResult| format!("{}: {}", result.name, result.sentence);
    comparison.gone.extend(only_before.into_iter().map(line));
    comparison.new.extend(only_after.into_iter().map(line));
    comparison
}

type Paired<'a> = (Vec<(&'a HostResult, &'a HostResult)>, Vec<&'a HostResult>, Vec<&'a HostResult>);

fn pairs<'a>(before: &'a [HostResult], after: &'a [HostResult]) -> Paired<'a> {
    let mut pairs = Vec::new();
    let (mut old, mut new): (Vec<_>, Vec<_>) = (before.iter().collect(), after.iter().collect());
    let by: [fn(&HostResult) -> Option<&String>; 2] =
        [|result| Some(&result.name), |result| result.params.as_ref()];
    for key in by {
        let mut left = Vec::new();
        for result in old {
            let only = |results: &[&HostResult]| {
                let mut same = (0..results.len()).filter(|at| key(results[*at]) == key(result));
                let first = same.next();
                first.filter(|_| same.next().is_none() && key(result).is_some())
            };
            match only(&new) {
                Some(at) => pairs.push((result, new.remove(at))),
                None => left.push(result),
            }
        }
        old = left;
    }
    if let ([one], [other]) = (&old[..], &new[..]) {
        pairs.push((one, other));
        return (pairs, Vec::new(), Vec::new());
    }
    (pairs, old, new)
}

/// How bad something is. The order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Badness {
    Right,
    Known,
    Failure,
}

impl Badness {
    fn of(way: &Way, probe: &str) -> Self {
        let is_unknown = way.is_failure()
            && (way.unknown.is_empty() || way.unknown.iter().any(|unknown| unknown == probe));
        if is_unknown { Self::Failure } else { Self::Known }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Known => "known",
            Self::Failure => "failure",
        }
    }
}

/// How bad each case kind with each difference is.
fn kinds(group: &GroupResult) -> BTreeMap<(&str, &str), Badness> {
    let mut kinds = BTreeMap::new();
    for way in &group.differences {
        for probe in &way.probes {
            let badness =
                kinds.entry((way.difference.as_str(), probe.as_str())).or_insert(Badness::Right);
            *badness = (*badness).max(Badness::of(way, probe));
        }
        if way.probes.is_empty() {
            kinds.insert((way.difference.as_str(), ""), Badness::of(way, ""));
        }
    }
    for incomplete in &group.incomplete {
        kinds.insert(("did not end", incomplete.word.as_str()), Badness::Failure);
    }
    kinds
}

impl Comparison {
    fn pair(&mut self, old: &HostResult, new: &HostResult) {
        let title = if old.name == new.name {
            old.name.clone()
        } else {
            format!("{} -> {}", old.name, new.name)
        };
        let is_broken = |result: &HostResult| {
            matches!(result.verdict, Verdict::Crash | Verdict::Error | Verdict::Skip)
        };
        let sentence = |result: &HostResult| format!("{title}: {}", result.sentence);
        match (is_broken(old), is_broken(new)) {
            (false, true) => self.worse.push(sentence(new)),
            (true, false) => self.better.push(format!("{title}: no longer: {}", old.sentence)),
            _ => {}
        }
        let (was, is): (BTreeSet<_>, BTreeSet<_>) =
            (old.kernel_trouble.iter().collect(), new.kernel_trouble.iter().collect());
        self.worse.extend(is.difference(&was).map(|line| format!("{title}: {line}")));
        self.better.extend(was.difference(&is).map(|line| format!("{title}: no longer: {line}")));
        for group in &new.groups {
            match old.groups.iter().find(|other| other.name == group.name) {
                Some(other) => self.group(&title, other, group),
                None => self.new.push(format!("{title}: {} ({})", group.name, group.verdict)),
            }
        }
        let is_gone =
            |group: &&GroupResult| !new.groups.iter().any(|other| other.name == group.name);
        self.gone.extend(
            old.groups
                .iter()
                .filter(is_gone)
                .map(|group| format!("{title}: {} ({})", group.name, group.verdict)),
        );
    }

    fn group(&mut self, title: &str, old: &GroupResult, new: &GroupResult) {
        let place = format!("{title}: {}", new.name);
        let ran = |group: &GroupResult| {
            !matches!(group.verdict, GroupVerdict::Skip | GroupVerdict::Unfinished)
        };
        match (ran(old), ran(new)) {
            (true, false) => {
                self.worse.push(format!("{place}: {} -> {}", old.verdict, new.verdict));
            }
            (false, true) => {
                self.better.push(format!("{place}: {} -> {}", old.verdict, new.verdict));
            }
            _ => {}
        }
        let (was, is) = (kinds(old), kinds(new));
        let mut changed: BTreeMap<(&str, Badness, Badness), Vec<&str>> = BTreeMap::new();
        // What did not run shows nothing.
        if ran(old) && ran(new) {
            let keys: BTreeSet<_> = was.keys().chain(is.keys()).copied().collect();
            for key in keys {
                let of =
                    |kinds: &BTreeMap<_, _>| kinds.get(&key).copied().unwrap_or(Badness::Right);
                let (before, after) = (of(&was), of(&is));
                if before != after {
                    changed.entry((key.0, before, after)).or_default().push(key.1);
                }
            }
        }
        for ((difference, before, after), probes) in changed {
            let names = names(new, old, difference);
            let line = format!(
                "{place}: {difference} in {}: {} -> {}{names}",
                shown(&probes),
                before.word(),
                after.word()
            );
            if after > before { &mut self.worse } else { &mut self.better }.push(line);
        }
        // The same kinds with other counts, where as much was tried.
        if was == is && old.cases == new.cases && old.differing != new.differing {
            let [before, after] = [old, new].map(|group| group.differing.unwrap_or_default());
            let line = format!("{place}: {before} -> {} differ", counted(after, "case"));
            if after > before { &mut self.worse } else { &mut self.better }.push(line);
        }
    }

    /// The lines, by what they mean.
    pub fn parts(&self) -> [(&'static str, &[String]); 4] {
        [("worse", &self.worse), ("better", &self.better), ("new", &self.new), ("gone", &self.gone)]
    }

    /// The comparison for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, lines) in self.parts() {
            if !lines.is_empty() {
                let _ = writeln!(text, "{title}:");
                for line in lines {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
        let _ = writeln!(text, "maskmatch: {}", self.summary());
        text
    }

    /// How many lines there are of each kind, in a few words.
    pub fn summary(&self) -> String {
        let parts = self.parts();
        let some = parts.iter().filter(|(_, lines)| !lines.is_empty());
        let some: Vec<String> =
            some.map(|(title, lines)| format!("{} {title}", lines.len())).collect();
        if some.is_empty() { "the same".into() } else { some.join(", ") }
    }
}

/// The known deviations that a difference is attributed to, on either side.
fn names(new: &GroupResult, old: &GroupResult, difference: &str) -> String {
    let ways = new.differences.iter().chain(&old.differences);
    let names: BTreeSet<&str> = ways
        .filter(|way| way.difference == difference)
        .flat_map(|way| way.known.iter().map(String::as_str))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn shown(probes: &[&str]) -> String {
    let first = probes.iter().take(PROBES).copied().collect::<Vec<_>>().join(", ");
    match probes.len().saturating_sub(PROBES) {
        0 if first.is_empty() => "cases that were not told apart".into(),
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, compare};
    use crate::results::document::{HostResult, Results};
    use crate::results::fixture::{Body, crashes, fails, host, passes};
    use crate::results::of_run::document;

    fn one(release: &str, set: &str, body: Body) -> Results {
        document(&[host(release, set, body)])
    }

    fn counts(comparison: &Comparison) -> [usize; 4] {
        comparison.parts().map(|(_, lines)| lines.len())
    }

    #[test]
    fn the_same_is_the_same_and_each_way_is_told() {
        let (good, bad) = (one("6.1", "ept=0", passes), one("6.1", "ept=0", fails));
        assert_eq!(compare(&good, &good).text(), "maskmatch: the same\n");
        let worse = compare(&good, &bad);
        let line = "kvm 6.1 ept=0: filter.basic.long: exit0>delivered14 in user-read-np-pte, \
                    user-write-np-pte: right -> failure";
        assert_eq!((counts(&worse), worse.worse[0].as_str()), ([1, 0, 0, 0], line));
        let better = compare(&bad, &good);
        assert_eq!(counts(&better), [0, 1, 0, 0]);
        assert!(better.better[0].ends_with("failure -> right"), "{better:?}");
    }

    #[test]
    fn versions_are_paired_by_their_parameters() {
        let old = document(&[host("6.1", "ept=1", passes), host("6.1", "ept=0", passes)]);
        let new = document(&[host("7.2", "ept=0", fails), host("7.2", "vpid=0", passes)]);
        let comparison = compare(&old, &new);
        // What is left on each side is a pair too.
        assert_eq!(counts(&comparison), [1, 0, 0, 0], "{comparison:?}");
        assert!(comparison.worse[0].starts_with("kvm 6.1 ept=0 -> kvm 7.2 ept=0: "));
    }

    #[test]
    fn a_crash_is_worse_and_what_it_did_not_reach_is_gone() {
        let comparison = compare(&one("6.1", "ept=1", passes), &one("6.1", "ept=1", crashes));
        let worse = &comparison.worse;
        assert!(worse[0].contains("end record"), "{comparison:?}");
        assert!(worse[1].ends_with("filter.high.long: known -> unfinished"), "{comparison:?}");
        assert_eq!(comparison.gone, ["kvm 6.1 ept=1: filter.basic.long-ac (skip)"]);
    }

    #[test]
    fn a_known_deviation_that_is_known_no_more_is_worse() {
        let old = one("6.1", "ept=1", passes);
        let mut new = old.clone();
        let of_group = |result: &mut HostResult| {
            let way = &mut result.groups[2].differences[0];
            way.unknown = std::mem::take(&mut way.known);
            way.unknown = way.probes.clone();
        };
        new.results.iter_mut().for_each(of_group);
        assert_eq!(counts(&compare(&old, &new)), [1, 0, 0, 0]);
        assert_eq!(counts(&compare(&new, &old)), [0, 1, 0, 0]);
    }

    #[test]
    fn more_cases_of_the_same_kind_are_worse_only_where_as_much_was_tried() {
        let old = one("6.1", "ept=0", fails);
        let mut new = old.clone();
        new.results[0].groups[0].differing = Some(40);
        assert!(compare(&old, &new).worse[0].ends_with("34 -> 40 cases differ"));
        new.results[0].groups[0].cases = Some(9999);
        assert_eq!(counts(&compare(&old, &new)), [0; 4]);
    }
}
