//! What a log tells, collected line by line: the one source of the text report and the JSON.
//!
//! Nothing here judges; [`Findings::reader`] does, and [`crate::verdict::judge`] joins it with how the run ended.
//! What stands in a log that is cut or garbled is kept all the same.

use spec::log::{Cost, Counts, Line, REASON_ABOVE, Reader, words};

/// A failing case that the log has in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case's id.
    pub id: String,
    /// What must happen.
    pub want: String,
    /// What happened.
    pub got: String,
}

/// A known deviation that a group showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// How many cases showed it.
    pub cases: u64,
    /// What it is.
    pub reason: String,
}

/// What a walk of `bench` cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// L1's filter as the log writes it.
    pub filter: String,
    /// The access that raised the faults; `None`: a bare round trip.
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
    /// Names of the hypotheses that explain it, or `unknown`; empty if nothing was to explain.
    pub suspects: Vec<String>,
    /// Its first failing cases.
    pub failures: Vec<Failure>,
    /// The known deviations that it showed.
    pub known: Vec<Known>,
}

impl Group {
    /// The counts, if it ran.
    pub fn counts(&self) -> Option<&Counts> {
        match &self.fate {
            Fate::Ran(counts) => Some(counts),
            Fate::Unfinished | Fate::Skipped(_) => None,
        }
    }

    /// How many cases failed, as far as the log tells.
    pub fn failed(&self) -> u64 {
        self.counts().map_or(self.failures.len() as u64, |counts| counts.failed)
    }

    /// The word in reports.
    pub fn verdict(&self, strict: bool) -> &'static str {
        match &self.fate {
            Fate::Unfinished => "unfinished",
            Fate::Skipped(_) => "skip",
            Fate::Ran(counts) if counts.failed > 0 || (strict && counts.known > 0) => "fail",
            Fate::Ran(_) => "pass",
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

/// All that a log tells.
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
    /// What `bench` measured.
    pub prices: Vec<Price>,
    /// What is wrong with maskmatch itself.
    pub errors: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
    /// The newest heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// The newest line with anything in it, of the log or not.
    pub last_line: String,
    /// Whether the input ended within [`Findings::last_line`].
    pub broken_off: bool,
}

/// What a line meant to whoever shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// The log began, or its plan is known.
    Begun,
    /// A heartbeat.
    Heartbeat,
    /// A group has its result: its place in [`Findings::groups`].
    Group(usize),
}

impl Findings {
    /// Takes in the next line, without its line feed.
    pub fn line(&mut self, text: &str) -> News {
        if !text.trim().is_empty() && !self.reader.ended() {
            self.last_line = text.trim_end().to_string();
        }
        let Some(line) = self.reader.line(text) else { return News::Nothing };
        match line {
            Line::Version | Line::End(_) => return News::Nothing,
            Line::Maskmatch { version, facts, .. } => {
                self.version = Some(version.to_string());
                self.facts = words(facts).map(|(key, value)| (key.to_string(), value.to_string())).collect();
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
                let failure = Failure { id: id.to_string(), want: want.to_string(), got: got.to_string() };
                self.group(group).1.failures.push(failure);
            }
            Line::Cause { group, suspects } => {
                self.group(group).1.suspects = suspects.split(',').map(ToString::to_string).collect();
            }
            Line::Known { group, deviation, cases, reason } => {
                let mut earlier = self.groups.iter().flat_map(|group| &group.known);
                let above = earlier.find(|known| reason == REASON_ABOVE && known.name == deviation);
                let reason = above.map_or_else(|| reason.to_string(), |known| known.reason.clone());
                let known = Known { name: deviation.to_string(), cases, reason };
                self.group(group).1.known.push(known);
            }
            Line::Cost { filter, stimulus, cost } => {
                let (filter, stimulus) = (filter.to_string(), stimulus.map(ToString::to_string));
                self.prices.push(Price { filter, stimulus, cost });
            }
            // What is so of each filter or group is said once.
            Line::Note(text) if self.notes.iter().any(|note| note == text) => {}
            Line::Note(text) => self.notes.push(text.to_string()),
            Line::Error(text) => self.errors.push(text.to_string()),
            Line::Group { group, counts, .. } => {
                let (at, found) = self.group(group);
                found.fate = Fate::Ran(counts);
                return News::Group(at);
            }
            Line::Skip { group, reason, .. } => {
                let (at, found) = self.group(group);
                found.fate = Fate::Skipped(reason.to_string());
                return News::Group(at);
            }
        }
        News::Nothing
    }

    /// The input ended within this line.
    pub fn broken_off(&mut self, text: &str) {
        if !text.trim().is_empty() && !self.reader.ended() {
            self.last_line = text.trim_end().to_string();
            self.broken_off = true;
        }
    }

    /// The group of a name, with its place; a new one at its first mention.
    fn group(&mut self, name: &str) -> (usize, &mut Group) {
        let at = self.groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            self.groups.push(Group { name: name.to_string(), ..Group::default() });
            self.groups.len() - 1
        });
        (at, &mut self.groups[at])
    }

    /// A fact's value.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Where the guest was when the log broke off, as far as it tells.
    pub fn last_seen(&self) -> Option<String> {
        let finished = self.groups.iter().rfind(|group| group.fate != Fate::Unfinished);
        let place = self.place(finished);
        if self.broken_off && !place.as_deref().is_some_and(|place| place.starts_with("at the line")) {
            let line = shortened(&self.last_line);
            return Some(format!("{}, within the line '{line}'", place.unwrap_or_else(|| "at the start".into())));
        }
        place
    }

    fn place(&self, finished: Option<&Group>) -> Option<String> {
        match (&self.heartbeat, finished) {
            (Some(beat), finished) if finished.is_none_or(|group| group.name != beat.group) => {
                Some(format!("in group {} at {} of {} filters", beat.group, beat.done, beat.of))
            }
            (_, Some(group)) => Some(format!("behind group {}", group.name)),
            _ if !self.last_line.is_empty() => Some(format!("at the line '{}'", shortened(&self.last_line))),
            _ => None,
        }
    }
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
    use spec::log::{Counts, REASON_ABOVE, Writer};

    #[test]
    fn a_reason_that_is_told_once_is_known_of_each_group() {
        let mut findings = Findings::default();
        let counts = Counts { cases: 1, known: 1, ..Counts::default() };
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        log.plan(2);
        log.known(&"filter.basic.long", "rf0", 1, "RF is lost");
        log.result(1, &"filter.basic.long", &counts);
        log.known(&"filter.high.long", "rf0", 1, REASON_ABOVE);
        log.result(2, &"filter.high.long", &counts);
        for line in text.lines() {
            findings.line(line);
        }
        let reasons: Vec<&str> =
            findings.groups.iter().flat_map(|group| &group.known).map(|known| known.reason.as_str()).collect();
        assert_eq!(reasons, ["RF is lost", "RF is lost"]);
    }

    #[test]
    fn a_note_is_kept_once() {
        let mut findings = Findings::default();
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        for note in ["the page was there", "no PKU", "the page was there"] {
            log.note(&note);
        }
        for line in text.lines() {
            findings.line(line);
        }
        assert_eq!(findings.notes, ["the page was there", "no PKU"]);
    }
}
