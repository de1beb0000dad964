//! What a log says, collected line by line. The text report and the JSON are made only of this.
//!
//! Nothing here judges. [`Findings::reader`] does, and [`crate::verdict::judge`] joins it with how
//! the run ended. What a cut or garbled log holds is kept all the same.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::log::{Cost, Counts, Line, Reader, Verdict, words};
use spec::manual::filter::Filter;
use spec::tally::Difference;

use crate::verdict::answer;
use crate::verdict::contradiction::Contradictions;
use crate::verdict::names;

/// More failing cases, differences and reasons than the image writes for a group.
const MOST_OF_GROUP: usize = 1000;
/// More remarks, steps and prices are counted and not kept.
const MOST_OF_LOG: usize = 1000;

/// A failing case that the log has in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The case's id.
    pub id: String,
    /// What must happen.
    pub want: String,
    /// What happened.
    pub got: String,
}

/// Cases of a group that differ from the manual in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// What differs, or `None` if there were more ways than the image can tell apart.
    pub difference: Option<Difference>,
    /// How many cases.
    pub cases: u64,
    /// The filter of the first case, or `None` where the image could not tell them apart.
    pub filter: Option<Filter>,
    /// The accesses or scenes, joined by commas, with the first case's first.
    pub probes: String,
}

impl Differing {
    /// Whether the case with this id is the first.
    fn is_first(&self, id: &str) -> bool {
        let mut parts = id.split(':').skip(1);
        let first = self.probes.split(',').next();
        parts.next() == first && parts.next().and_then(|filter| filter.parse().ok()) == self.filter
    }
}

/// Cases of a group that came to no end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incomplete {
    /// Why, in a word.
    pub word: String,
    /// How many cases.
    pub cases: u64,
}

/// What a walk of `bench` cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// L1's filter as the log writes it.
    pub filter: String,
    /// The access that raised the faults, or `None` for a bare round trip.
    pub stimulus: Option<String>,
    /// The cost of the walk.
    pub cost: Cost,
}

/// How a group came out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Fate {
    /// No result line was seen.
    #[default]
    Unfinished,
    /// It ran.
    Ran(Counts),
    /// It could not run, and why.
    Skipped(String),
}

/// What the log has about one group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How it came out.
    pub fate: Fate,
    /// The first case of each way to differ, and of each reason to come to no end.
    pub failures: Vec<Failure>,
    /// The cases that differ.
    pub differing: Vec<Differing>,
    /// The cases that came to no end.
    pub incomplete: Vec<Incomplete>,
    /// Its counts, until its result is known.
    counted: Counts,
}

impl Group {
    /// The group without failing cases that the image would not have written after these
    /// differences: it writes the first case of each kind.
    fn without_seen(mut self, seen: &[Difference]) -> Self {
        let differing = &self.differing;
        self.failures.retain(|failure| {
            let own = differing.iter().find(|one| one.is_first(&failure.id));
            let difference = own.and_then(|one| one.difference);
            difference.is_none_or(|own| !seen.iter().any(|seen| seen.is_like(&own)))
        });
        self
    }

    /// The counts, if it ran.
    pub fn counts(&self) -> Option<&Counts> {
        match &self.fate {
            Fate::Ran(counts) => Some(counts),
            Fate::Unfinished | Fate::Skipped(_) => None,
        }
    }
}

/// The newest heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group that runs.
    pub group: String,
    /// Filters done.
    pub done: u64,
    /// Filters to do.
    pub of: u64,
}

/// Everything that a log says.
#[derive(Clone, Default)]
pub struct Findings {
    /// Judges whether the log is complete and sound.
    pub reader: Reader,
    /// The image's version.
    pub version: Option<String>,
    /// KEY=VALUE words about CPU, host and options.
    pub facts: Vec<(String, String)>,
    /// How many groups the plan has.
    pub planned: Option<u64>,
    /// Why nothing can run.
    pub skip: Option<String>,
    /// The groups in the order of their first mention.
    pub groups: Vec<Group>,
    index: HashMap<String, usize>,
    /// What `bench` measured.
    pub prices: Vec<Price>,
    /// What is wrong in maskmatch itself.
    pub errors: Vec<String>,
    /// Remarks. One that holds for each filter or group is kept once.
    pub notes: Vec<String>,
    noted: HashSet<String>,
    /// Remarks, steps and prices that are not kept, because there are too many.
    pub left_out: u64,
    contradictions: Contradictions,
    /// Why the log is not the answer to what was asked.
    mismatch: Option<String>,
    /// The steps of a single case.
    pub trace: Vec<String>,
    /// The newest heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// The newest line with anything in it, of the log or not.
    pub last_line: String,
    /// Whether the input ended within [`Findings::last_line`].
    pub broken_off: bool,
}

/// What a line means for showing progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// The log began, or its plan is known.
    Begun,
    /// A heartbeat.
    Heartbeat,
    /// A group has its first result; this is its index in [`Findings::groups`].
    Group(usize),
}

impl Findings {
    /// All that a log says, for tests that write one.
    #[cfg(test)]
    pub fn of_text(text: &str) -> Self {
        let mut findings = Self::default();
        for line in text.lines() {
            findings.line(line);
        }
        findings
    }

    /// Takes in the next line, without its line feed.
    pub fn line(&mut self, text: &str) -> News {
        if !text.trim().is_empty() && !self.reader.ended() {
            self.last_line = text.trim_end().to_string();
        }
        let Some(line) = self.reader.line(text) else { return News::Nothing };
        self.contradictions.line(&line);
        match line {
            Line::Version | Line::End(_) => return News::Nothing,
            Line::Maskmatch { version, facts, .. } => {
                self.version = Some(version.to_string());
                self.facts =
                    words(facts).map(|(key, value)| (key.to_string(), value.to_string())).collect();
                return News::Begun;
            }
            Line::Plan(groups) => {
                self.planned = Some(groups);
                return News::Begun;
            }
            Line::SkipAll(reason) => self.skip = Some(reason.to_string()),
            Line::Progress { group, done, of } => {
                self.heartbeat = Some(Heartbeat { group: group.to_string(), done, of });
                return News::Heartbeat;
            }
            Line::Fail { id, want, got } => {
                let group = id.split(':').next().unwrap_or_default();
                let failure =
                    Failure { id: id.to_string(), want: want.to_string(), got: got.to_string() };
                self.of_group(group, |group| &mut group.failures, failure);
            }
            Line::Differs { group, difference, cases, filter, probes } => {
                let differing = Differing { difference, cases, filter, probes: probes.to_string() };
                self.of_group(group, |group| &mut group.differing, differing);
            }
            Line::Incomplete { group, word, cases } => {
                let incomplete = Incomplete { word: word.to_string(), cases };
                self.of_group(group, |group| &mut group.incomplete, incomplete);
            }
            Line::Counts { group, counts } => {
                if let Some((_, group)) = self.group(group) {
                    group.counted = counts;
                }
            }
            Line::Cost { filter, stimulus, cost } => {
                let (filter, stimulus) = (filter.to_string(), stimulus.map(ToString::to_string));
                keep(&mut self.prices, &mut self.left_out, Price { filter, stimulus, cost });
            }
            Line::Note(text) if self.noted.contains(text) => {}
            Line::Note(text) => {
                if keep(&mut self.notes, &mut self.left_out, text.to_string()) {
                    self.noted.insert(text.to_string());
                }
            }
            Line::Trace(step) => {
                keep(&mut self.trace, &mut self.left_out, step.to_string());
            }
            Line::Error(text) => {
                keep(&mut self.errors, &mut self.left_out, text.to_string());
            }
            Line::Group { group, .. } => {
                let Some((at, found)) = self.group(group) else { return News::Nothing };
                let is_first = found.fate == Fate::Unfinished;
                found.fate = Fate::Ran(found.counted);
                return if is_first { News::Group(at) } else { News::Nothing };
            }
            Line::Skip { group, reason, .. } => {
                let Some((at, found)) = self.group(group) else { return News::Nothing };
                let is_first = found.fate == Fate::Unfinished;
                found.fate = Fate::Skipped(reason.to_string());
                return if is_first { News::Group(at) } else { News::Nothing };
            }
        }
        News::Nothing
    }

    /// A line outside of every log.
    pub fn saw(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.last_line = text.trim_end().to_string();
        }
    }

    /// Whether the log is whole and can be believed.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn sound(&self) -> Result<(), String> {
        self.reader.sound().map_err(|bad| bad.to_string())?;
        let contradiction =
            self.contradictions.first().map(|why| format!("the log contradicts itself: {why}"));
        contradiction.or_else(|| self.mismatch.clone()).map_or(Ok(()), Err)
    }

    /// The log, with whether it is the answer to what was asked: see [`answer::mismatch`].
    pub fn answering(mut self, asked: Option<&str>) -> Self {
        self.mismatch = answer::mismatch(&self, asked);
        self
    }

    /// The verdict by the manual alone.
    pub fn verdict(&self) -> Verdict {
        if self.sound().is_ok() { self.reader.verdict() } else { Verdict::Crash }
    }

    /// The input ended within this line.
    pub fn broken_off(&mut self, text: &str) {
        if !text.trim().is_empty() && !self.reader.ended() {
            self.last_line = text.trim_end().to_string();
            self.broken_off = true;
        }
    }

    /// Takes in what a later log of the same run says, which has other groups.
    pub fn join(&mut self, later: Self) {
        // The group in which this one was cut off.
        if let Some(beat) = self.heartbeat.take()
            && self.reader.sound().is_err()
        {
            self.group(&beat.group);
        }
        self.reader.join(&later.reader);
        // Each has its own.
        self.facts.retain(|(key, _)| key != "options");
        self.planned = self.planned.zip(later.planned).map(|(one, other)| one + other);
        self.skip = self.skip.take().or(later.skip);
        let seen: Vec<Difference> = self.kinds().collect();
        for group in later.groups {
            self.index.insert(group.name.clone(), self.groups.len());
            self.groups.push(group.without_seen(&seen));
        }
        self.errors.extend(later.errors);
        for note in later.notes {
            if self.noted.insert(note.clone()) {
                self.notes.push(note);
            }
        }
        self.heartbeat = later.heartbeat;
    }

    /// What differs in the groups.
    fn kinds(&self) -> impl Iterator<Item = Difference> {
        self.groups.iter().flat_map(|group| &group.differing).filter_map(|one| one.difference)
    }

    /// The group of a name with its index, made at its first mention. There are no more groups
    /// than the image has; a log with more contradicts itself.
    fn group(&mut self, name: &str) -> Option<(usize, &mut Group)> {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None if self.groups.len() > names::group_count() => return None,
            None => {
                self.index.insert(name.to_string(), self.groups.len());
                self.groups.push(Group { name: name.to_string(), ..Group::default() });
                self.groups.len() - 1
            }
        };
        Some((at, &mut self.groups[at]))
    }

    /// Keeps a thing of a group, unless it has more of them than the image writes.
    fn of_group<T>(&mut self, name: &str, things: fn(&mut Group) -> &mut Vec<T>, thing: T) {
        let Some((_, group)) = self.group(name) else { return };
        let things = things(group);
        if things.len() < MOST_OF_GROUP {
            things.push(thing);
        } else {
            self.contradictions
                .add(format!("group {name} has more than {MOST_OF_GROUP} lines of a kind"));
        }
    }

    /// A fact's value.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The image's command line.
    pub fn image_options(&self) -> String {
        self.fact("options").unwrap_or_default().replace('+', " ")
    }

    /// Where the guest was when the log broke off, as far as it tells.
    pub fn last_seen(&self) -> Option<String> {
        let finished = self.groups.iter().rfind(|group| group.fate != Fate::Unfinished);
        let place = self.place(finished);
        if self.broken_off
            && !place.as_deref().is_some_and(|place| place.starts_with("at the line"))
        {
            let line = shortened(&self.last_line);
            return Some(format!(
                "{}, within the line '{line}'",
                place.unwrap_or_else(|| "at the start".into())
            ));
        }
        place
    }

    fn place(&self, finished: Option<&Group>) -> Option<String> {
        match (&self.heartbeat, finished) {
            (Some(beat), finished) if finished.is_none_or(|group| group.name != beat.group) => {
                Some(format!("in group {} at {} of {} filters", beat.group, beat.done, beat.of))
            }
            (_, Some(group)) => Some(format!("after group {}", group.name)),
            _ if !self.last_line.is_empty() => {
                Some(format!("at the line '{}'", shortened(&self.last_line)))
            }
            _ => None,
        }
    }
}

/// Keeps one of the first things and counts the others. Returns whether it is kept.
fn keep<T>(things: &mut Vec<T>, left_out: &mut u64, thing: T) -> bool {
    let has_room = things.len() < MOST_OF_LOG;
    if has_room {
        things.push(thing);
    } else {
        *left_out += 1;
    }
    has_room
}

/// The start of a line, in printable characters.
fn shortened(line: &str) -> String {
    const SHOWN: usize = 80;
    let mut text: String = line.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if line.chars().count() > SHOWN {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Findings;
    use spec::log::{Counts, Writer};
    use spec::manual::filter::Filter;
    use spec::tally::Tally;

    #[test]
    fn what_differs_is_kept_with_the_group_s_counts() {
        let mut room = [None; 1];
        let mut tally = Tally::new(&mut room);
        tally.add("user-read", 0, Filter::ALWAYS, &"exit0:rflags^10000".parse().unwrap(), 2);
        tally.add_incomplete("unexpected-exit", 1);
        let counts = Counts { cases: 9, differing: 3, exits: 4, ..Counts::default() };
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        log.plan(1);
        log.trace(&"field 4006 value=2");
        log.fail(&"filter.basic.long:user-read:1,0,0", &"exit,rflags=10002", &"exit,rflags=2");
        log.differs(&"filter.basic.long", &mut tally);
        log.result(1, &"filter.basic.long", &counts);
        log.end();
        let findings = Findings::of_text(&text);
        assert_eq!(findings.reader.sound(), Ok(()));
        assert_eq!(findings.trace, ["field 4006 value=2"]);
        let group = &findings.groups[0];
        assert_eq!(group.counts(), Some(&counts));
        assert_eq!(
            (group.differing[0].cases, group.differing[0].probes.as_str()),
            (2, "user-read")
        );
        assert_eq!(
            (group.incomplete[0].word.as_str(), group.incomplete[0].cases),
            ("unexpected-exit", 1)
        );
    }

    #[test]
    fn a_note_is_kept_once() {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        for note in ["the page was there", "no PKU", "the page was there"] {
            log.note(&note);
        }
        assert_eq!(Findings::of_text(&text).notes, ["the page was there", "no PKU"]);
    }
}
