//! What a group saw: its cases, and those that were not as the manual says, counted by what differs
//! in them.
//!
//! The image has no room to report millions of cases one by one. So it keeps, for each access or
//! scene, what differed (see [`Difference`]) and how often. Who is to blame, and whether the
//! difference is known, is not asked here.

pub mod difference;
pub mod ending;

use core::fmt;

pub use difference::Difference;

use crate::manual::filter::Filter;

/// How many buckets there are for entries.
const BUCKETS: usize = 256;
/// How many accesses or scenes one line names, so that no line of the log is long.
const NAMES: usize = 24;

/// How many reasons for a case to come to no end are told apart.
pub const MAX_WORDS: usize = 8;

/// What was seen of one access or scene, in one way to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<P> {
    probe: P,
    difference: Difference,
    cases: u64,
    /// The first case's.
    filter: Filter,
    /// The first entry with the same difference, once [`Tally::gather`] has looked for it.
    first: u16,
    /// The next entry of the same bucket, plus one; 0 if there is none.
    next: u16,
}

/// The cases of a group that differ. `P` names an access or a scene.
#[derive(Debug)]
pub struct Tally<'a, P> {
    /// As many pairs of an access (or a scene) and a way to differ can be told apart.
    room: &'a mut [Option<Entry<P>>],
    len: usize,
    /// The last entry of each bucket, plus one; 0 if there is none. There can be hundreds of
    /// entries, and a case is to be found among them at once.
    buckets: [u16; BUCKETS],
    /// Cases that differ in ways for which there was no entry left.
    others: u64,
    /// Cases that came to no end, by the word that says why.
    incomplete: [Option<(&'static str, u64)>; MAX_WORDS],
}

/// The ways to differ that were seen in a whole run, so that the first case of each is reported in
/// full.
#[derive(Debug)]
pub struct Kinds<'a> {
    room: &'a mut [Option<Difference>],
    len: usize,
}

impl<'a> Kinds<'a> {
    /// Nothing was seen yet. What `room` holds does not matter.
    #[must_use]
    pub const fn new(room: &'a mut [Option<Difference>]) -> Self {
        Self { room, len: 0 }
    }

    /// Whether no case of the run differed in these words at these ends. Where there is no room to
    /// remember it, it counts as seen.
    pub fn is_new(&mut self, difference: &Difference) -> bool {
        let mut seen = self.room[..self.len].iter().flatten();
        if seen.any(|known| known.is_like(difference)) {
            return false;
        }
        let free = self.room.get_mut(self.len);
        self.len += usize::from(free.is_some());
        free.map(|free| *free = Some(*difference)).is_some()
    }
}

/// Cases that differ in the same words, at the same ends, in the same bits.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a, P> {
    /// What differs.
    pub difference: Difference,
    /// How many cases.
    pub cases: u64,
    /// The first case's filter; its access or scene is the first of [`Line::probes`].
    pub filter: Filter,
    first: u16,
    entries: &'a [Option<Entry<P>>],
    /// Where the next line of the same difference begins.
    end: Option<usize>,
}

impl<'a, P: Copy + PartialEq> Tally<'a, P> {
    /// Nothing was seen yet. What `room` holds does not matter.
    #[must_use]
    pub const fn new(room: &'a mut [Option<Entry<P>>]) -> Self {
        Self { room, len: 0, buckets: [0; BUCKETS], others: 0, incomplete: [None; MAX_WORDS] }
    }

    /// Takes in cases of an access or scene that differ; `filter` is that of the first one.
    /// `number` is any number that is the same for the same access or scene, and as a rule another
    /// for another one.
    pub fn add(
        &mut self,
        probe: P,
        number: usize,
        filter: Filter,
        difference: &Difference,
        cases: u64,
    ) {
        let bucket = number % BUCKETS;
        let mut at = self.buckets[bucket];
        while let Some(entry) = usize::from(at).checked_sub(1).and_then(|at| self.room[at].as_mut())
        {
            if entry.probe == probe && entry.difference.is_like(difference) {
                entry.difference.widen(difference);
                entry.cases += cases;
                return;
            }
            at = entry.next;
        }
        let (first, next) = (self.len as u16, self.buckets[bucket]);
        match self.room.get_mut(self.len) {
            Some(free) => {
                *free = Some(Entry { probe, difference: *difference, cases, filter, first, next });
                self.len += 1;
                self.buckets[bucket] = self.len as u16;
            }
            None => self.others += cases,
        }
    }

    /// Takes in cases that came to no end, so that nothing of them can be compared. The word says
    /// why.
    pub fn add_incomplete(&mut self, word: &'static str, cases: u64) {
        let slot =
            self.incomplete.iter_mut().find(|slot| slot.is_none_or(|(known, _)| known == word));
        match slot {
            Some(slot) => slot.get_or_insert((word, 0)).1 += cases,
            None => self.others += cases,
        }
    }

    /// Cases that came to no end, by the word that says why.
    pub fn incomplete(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.incomplete.into_iter().flatten()
    }

    /// Cases that differ in more ways than can be told apart.
    #[must_use]
    pub const fn others(&self) -> u64 {
        self.others
    }

    /// All that differs, in the order in which it was first seen: a line for each way, and more
    /// than one where it has many accesses or scenes.
    pub fn lines(&mut self) -> impl Iterator<Item = Line<'_, P>> {
        self.gather();
        let entries = &self.room[..self.len];
        let firsts = (0..self.len)
            .filter(|at| entries[*at].as_ref().is_some_and(|entry| entry.is_first(*at)));
        firsts.flat_map(move |first| {
            let mut rest = Some(first);
            core::iter::from_fn(move || {
                let line = Line::from(entries, rest?, first as u16)?;
                rest = line.end;
                Some(line)
            })
        })
    }

    /// Finds for each entry the first with the same difference. There are many entries and few
    /// differences.
    fn gather(&mut self) {
        for at in 0..self.len {
            let (before, rest) = self.room.split_at_mut(at);
            let Some(entry) = &mut rest[0] else { continue };
            let mut firsts =
                before.iter().flatten().enumerate().filter(|(at, other)| other.is_first(*at));
            let same = firsts.find(|(_, other)| other.difference == entry.difference);
            entry.first = same.map_or(at, |(first, _)| first) as u16;
        }
    }
}

impl<P> Entry<P> {
    fn is_first(&self, at: usize) -> bool {
        usize::from(self.first) == at
    }
}

impl<'a, P: Copy> Line<'a, P> {
    /// The line that begins with the entry at `begin`, of those whose first is `first`.
    fn from(entries: &'a [Option<Entry<P>>], begin: usize, first: u16) -> Option<Self> {
        let Entry { difference, filter, .. } = *entries.get(begin)?.as_ref()?;
        let alike = |at: &usize| entries[*at].as_ref().is_some_and(|entry| entry.first == first);
        let end = (begin..entries.len()).filter(alike).nth(NAMES);
        let entries = &entries[begin..end.unwrap_or(entries.len())];
        let mut line = Self { difference, cases: 0, filter, first, entries, end };
        line.cases = line.alike().map(|entry| entry.cases).sum();
        Some(line)
    }

    /// The accesses or scenes that differ so.
    pub fn probes(&self) -> impl Iterator<Item = P> + use<'a, P> {
        self.alike().map(|entry| entry.probe)
    }

    fn alike(&self) -> impl Iterator<Item = &'a Entry<P>> + use<'a, P> {
        let first = self.first;
        self.entries.iter().flatten().filter(move |entry| entry.first == first)
    }
}

/// Whether a value is written as exactly this text.
pub(crate) fn displays_as(value: &dyn fmt::Display, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    fmt::write(&mut rest, format_args!("{value}")).is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Difference, Kinds, NAMES, Tally};
    use crate::manual::filter::Filter;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Few, so that it is soon full.
    const ROOM: usize = 4;
    const FILTER: Filter = Filter::ALWAYS;

    fn difference(text: &str) -> Difference {
        text.parse().unwrap()
    }

    fn lines(tally: &mut Tally<'_, usize>) -> Vec<(String, u64, Vec<usize>)> {
        tally
            .lines()
            .map(|line| (line.difference.to_string(), line.cases, line.probes().collect()))
            .collect()
    }

    #[test]
    fn cases_are_counted_by_what_differs_in_them() {
        let mut room = [None; ROOM];
        let mut tally = Tally::new(&mut room);
        let (rf, code) = (difference("exit0:rflags^10000"), difference("exit0:ec^8"));
        tally.add(3, 3, FILTER, &rf, 2);
        tally.add(4, 4, Filter::NEVER, &rf, 1);
        tally.add(3, 3, Filter::NEVER, &code, 1);
        tally.add(3, 3, Filter::NEVER, &rf, 5);
        let counted =
            [("exit0:rflags^10000".into(), 8, [3, 4].into()), ("exit0:ec^8".into(), 1, [3].into())];
        assert_eq!(lines(&mut tally), counted);
        assert_eq!(
            tally.lines().map(|line| line.filter).collect::<Vec<_>>(),
            [FILTER, Filter::NEVER]
        );
        tally.add_incomplete("unexpected-exit", 3);
        tally.add_incomplete("unexpected-exit", 4);
        assert_eq!(tally.incomplete().collect::<Vec<_>>(), [("unexpected-exit", 7)]);
        let mut tally = Tally::new(&mut room);
        assert_eq!((lines(&mut tally), tally.incomplete().count()), (Vec::new(), 0));
    }

    #[test]
    fn each_access_keeps_its_own_bits() {
        let mut room = [None; ROOM];
        let mut tally = Tally::new(&mut room);
        tally.add(1, 1, FILTER, &difference("exit0:rflags^10000"), 1);
        tally.add(2, 2, FILTER, &difference("exit0:rflags^10044"), 1);
        tally.add(2, 2, FILTER, &difference("exit0:rflags^40"), 1);
        let expected = [
            ("exit0:rflags^10000".into(), 1, [1].into()),
            ("exit0:rflags^10044".into(), 2, [2].into()),
        ];
        assert_eq!(lines(&mut tally), expected);
    }

    #[test]
    fn what_has_no_room_is_counted_and_told_apart_no_more() {
        let mut room = [None; ROOM];
        let mut tally = Tally::new(&mut room);
        let rf = difference("exit0:rflags^10000");
        for probe in 0..ROOM {
            tally.add(probe, probe, FILTER, &rf, 1);
        }
        assert_eq!(tally.others(), 0);
        tally.add(ROOM, ROOM, FILTER, &rf, 7);
        tally.add(0, 0, FILTER, &rf, 1);
        assert_eq!(tally.others(), 7);
        assert_eq!(lines(&mut tally)[0].1, ROOM as u64 + 1);
    }

    #[test]
    fn a_line_names_no_more_than_a_few() {
        let mut room = [None; 2 * NAMES + 2];
        let mut tally = Tally::new(&mut room);
        for probe in 0..=2 * NAMES {
            tally.add(probe, probe * BUCKETS, FILTER, &difference("exit0:rflags^10000"), 2);
        }
        tally.add(0, 0, FILTER, &difference("exit0:rip^1"), 1);
        let lines = lines(&mut tally);
        assert_eq!(
            lines.iter().map(|(_, cases, _)| *cases).collect::<Vec<_>>(),
            [2 * NAMES as u64, 2 * NAMES as u64, 2, 1]
        );
        let named: Vec<usize> = lines[..3].iter().flat_map(|(.., probes)| probes.clone()).collect();
        assert_eq!(named, (0..=2 * NAMES).collect::<Vec<_>>());
    }

    #[test]
    fn a_way_to_differ_is_new_once() {
        let mut room = [None; 2];
        let mut kinds = Kinds::new(&mut room);
        let mut new = |text| kinds.is_new(&difference(text));
        assert!(new("exit0:rflags^10000") && !new("exit0:rflags^44"));
        assert!(new("exit0:rip^1") && !new("exit0:rip^1"));
        assert!(!new("exit0:ec^8"), "there is no room for it");
    }
}
