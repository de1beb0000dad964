//! Unexpected passes: rows that had to show and did not. The host may have been fixed, or the row
//! is wrong.

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::log::Counts;
use spec::manual::paging::Maxphyaddr;
use spec::tally::Difference;

use super::cover::Known;
use super::hosts::Fit;
use super::row::{Row, Shows, When};

/// A group that ran.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// Its name.
    pub group: &'a str,
    /// What it did.
    pub counts: &'a Counts,
}

/// Cases of a group that differ in one way.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The group.
    pub group: &'a str,
    /// What differs, if the image could tell.
    pub difference: Option<&'a Difference>,
    /// The accesses or scenes, joined by commas.
    pub probes: &'a str,
}

impl<'a> Known<'a> {
    /// The rows of what is tested that had to show in a case that ran, and did not. `options` are
    /// those that the image ran with.
    ///
    /// Whether a fault of the processor below a host shows also depends on the host. A row for a
    /// host of which too little is known need not show. Nor need one that could have had a part in
    /// what was seen: one deviation may hide another.
    pub fn unexpected_passes(
        &self,
        options: Options<'_>,
        maxphyaddr: Maxphyaddr,
        ran: &[Ran<'_>],
        seen: &[Seen<'_>],
    ) -> Vec<&'a Row> {
        let hidden = |row: &Row| {
            seen.iter().any(|seen| Known::could_show(row, seen.group, seen.difference, seen.probes))
        };
        let must = |shows: &Shows| ran.iter().any(|ran| shows.must_in(ran, options, maxphyaddr));
        let blames_tested = |row: &Row| self.party(row) == self.tested();
        let rows = self
            .rows
            .iter()
            .filter(|(row, fit)| *fit == Fit::Yes && blames_tested(row))
            .map(|(row, _)| *row);
        rows.filter(|row| row.shows.as_ref().is_some_and(must) && !hidden(row)).collect()
    }
}

impl Shows {
    /// Whether a case that must show ran in a group.
    fn must_in(&self, ran: &Ran<'_>, options: Options<'_>, maxphyaddr: Maxphyaddr) -> bool {
        let Some(group) = Group::from_name(ran.group) else { return false };
        // Where no fault came at all, none came wrong. Groups of L0's own needs try accesses that
        // must not fault.
        let quiet =
            ran.counts.exits + ran.counts.delivered == 0 && !matches!(group, Group::Host(_));
        if quiet
            || ran.counts.cases == 0
            || !self.cases.iter().any(|cases| cases.pattern().matches_group(ran.group))
        {
            return false;
        }
        let must = |case: &Case| self.must(case, maxphyaddr);
        if let Some(case) = options.case {
            return case.group() == group && must(&case);
        }
        // Cases for which the host lacks something were left out, and the log counts the rest.
        let complete = ran.counts.cases >= options.case_count(group, maxphyaddr) as u64;
        options
            .cases(group, maxphyaddr)
            .any(|case| (complete || needs_nothing(&case)) && must(&case))
    }

    /// Whether a case must show.
    pub fn must(&self, case: &Case, maxphyaddr: Maxphyaddr) -> bool {
        let happens = || match self.when {
            When::Always => true,
            When::Faults => case.pfec(maxphyaddr).is_some(),
            When::Exits => case.pfec(maxphyaddr).is_some_and(|pfec| case.filter().exits(pfec)),
        };
        let named = self.cases.iter().any(|cases| cases.pattern().matches_case(case));
        named && happens()
    }
}

/// Whether any host can run it.
fn needs_nothing(case: &Case) -> bool {
    match case {
        Case::Scene(case) => {
            let scene = case.scene();
            scene.needs.is_none() && scene.pins == 0
        }
        Case::Walk(_) | Case::Host(_) | Case::Action(_) | Case::Smp(_) => true,
    }
}
