//! Decides whether a difference is known: whether the rows that match subject and case cover all of
//! it.
//!
//! Rows cover a difference together, even a single word of it: two faults may each change bits of
//! RFLAGS. What several rows could cover is attributed to the first, in this order: faults of the
//! processor that must show, faults of the host, faults of the processor that may show.

use spec::tally::Difference;

use super::element::{Component, components};
use super::hosts::Fit;
use super::row::{Party, Row};
use crate::verdict::subject::Subject;

/// What is known of a subject.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// The rows that match it, in the order in which they are blamed, and how well they match.
    pub(super) rows: Vec<(&'a Row, Fit)>,
    tested: Party,
}

/// The judgement on the cases of a group that differ in one way.
#[derive(Clone, Debug, Default)]
pub struct Judged<'a> {
    /// The rows that the difference is attributed to.
    pub rows: Vec<&'a Row>,
    /// The accesses or scenes in which it is not known.
    pub unknown: Vec<String>,
    /// What of it is not known there.
    pub left: Vec<Component>,
    /// Whether the image could not say what differs.
    pub untold: bool,
    /// A fault of the host is needed to explain it.
    of_host: bool,
}

impl Judged<'_> {
    /// Whether it is known everywhere.
    pub fn is_known(&self) -> bool {
        !self.untold && self.unknown.is_empty() && !self.rows.is_empty()
    }

    /// Takes in what is not known of another access or scene.
    fn leave(&mut self, left: Vec<Component>) {
        if self.left.is_empty() {
            self.left = left;
        } else {
            self.left.iter_mut().zip(left).for_each(|(all, more)| all.bits |= more.bits);
        }
    }

    /// Whose fault it is: the host's, if a row of the host is needed.
    pub fn of(&self) -> Party {
        if self.of_host { Party::Host } else { Party::Processor }
    }
}

impl<'a> Known<'a> {
    pub(super) fn new(rows: &'a [Row], subject: &Subject) -> Self {
        let rows = rows.iter().map(|row| (row, row.fit(subject)));
        let mut rows: Vec<_> = rows.filter(|(_, fit)| *fit > Fit::No).collect();
        rows.sort_by_key(|(row, _)| match (row.of, &row.shows) {
            (Party::Processor, Some(_)) => 0,
            (Party::Host, _) => 1,
            (Party::Processor, None) => 2,
        });
        Self { rows, tested: if subject.host.is_some() { Party::Host } else { Party::Processor } }
    }

    /// What is tested: the host, or the processor where nothing is the host.
    pub fn tested(&self) -> Party {
        self.tested
    }

    /// Whose fault a row is on the subject: where there is no host, all is the processor's.
    pub fn party(&self, row: &Row) -> Party {
        if self.tested == Party::Processor { Party::Processor } else { row.of }
    }

    /// The rows that match the subject.
    pub fn rows(&self) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().map(|(row, _)| *row)
    }

    /// Judges what differs in a group. `probes` are the accesses or scenes, joined by commas.
    /// Where the image could not tell what differs, nothing is known.
    pub fn judge(&self, group: &str, difference: Option<&Difference>, probes: &str) -> Judged<'a> {
        let Some(difference) = difference else {
            return Judged { untold: true, ..Judged::default() };
        };
        let components = components(difference);
        let mut judged = Judged::default();
        for probe in probes.split(',') {
            let (rows, left) = self.attribute(group, probe, &components);
            if left.iter().any(|component| component.bits != 0) {
                judged.unknown.push(probe.to_string());
                judged.leave(left);
                continue;
            }
            for row in rows {
                judged.of_host |= self.party(row) == Party::Host;
                if !judged.rows.iter().any(|other| other.name == row.name) {
                    judged.rows.push(row);
                }
            }
        }
        judged
    }

    /// The rows that cover something of what differs in a case, and what they leave.
    fn attribute(
        &self,
        group: &str,
        probe: &str,
        components: &[Component],
    ) -> (Vec<&'a Row>, Vec<Component>) {
        let mut left = components.to_vec();
        let mut blamed = Vec::new();
        for row in self.rows() {
            let mut takes = false;
            for element in row.elements(group, probe) {
                for component in &mut left {
                    let bits = element.covers(component);
                    component.bits &= !bits;
                    takes |= bits != 0;
                }
            }
            if takes {
                blamed.push(row);
            }
        }
        (blamed, left)
    }

    /// Whether a row could have a part in a difference, whichever row it is attributed to.
    pub(super) fn could_show(
        row: &Row,
        group: &str,
        difference: Option<&Difference>,
        probes: &str,
    ) -> bool {
        let Some(difference) = difference else {
            return row
                .clauses
                .iter()
                .flat_map(|clause| &clause.cases)
                .any(|cases| cases.pattern().matches_group(group));
        };
        let components = components(difference);
        let covers = |probe: &str| {
            let mut elements = row.elements(group, probe);
            elements
                .any(|element| components.iter().any(|component| element.covers(component) != 0))
        };
        probes.split(',').any(covers)
    }
}
