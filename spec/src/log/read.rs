//! Reads the log: the runner's side of the grammar.

use core::fmt;

use crc::Digest;

use super::{CRC32, Cost, Counts, FORMAT, OTHERS, VERSION_LINE, Verdict};
use crate::manual::filter::Filter;
use crate::tally::Difference;

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The version line.
    Version,
    /// The line that names maskmatch: its version, and words for [`words`].
    Maskmatch {
        /// maskmatch's own version.
        version: &'a str,
        /// The grammar's version.
        format: u32,
        /// KEY=VALUE words about CPU, host and options.
        facts: &'a str,
    },
    /// How many groups follow.
    Plan(u64),
    /// Nothing can run, and why.
    SkipAll(&'a str),
    /// The heartbeat.
    Progress {
        /// The group that runs.
        group: &'a str,
        /// Filters done.
        done: u64,
        /// Filters to do.
        of: u64,
    },
    /// A failing case.
    Fail {
        /// The case's id.
        id: &'a str,
        /// What must happen.
        want: &'a str,
        /// What happened.
        got: &'a str,
    },
    /// What a failing group's host seems to do.
    Cause {
        /// The group.
        group: &'a str,
        /// Names of hypotheses joined by commas, or `unknown`.
        suspects: &'a str,
    },
    /// Cases that differ in the same way.
    Differs {
        /// The group.
        group: &'a str,
        /// What differs, or `None` if there were more ways than can be told apart.
        difference: Option<Difference>,
        /// How many cases.
        cases: u64,
        /// The filter of the first case.
        filter: Option<Filter>,
        /// The accesses or scenes, joined by commas, with the first case's first.
        probes: &'a str,
    },
    /// Cases that came to no end.
    Incomplete {
        /// The group.
        group: &'a str,
        /// Why.
        word: &'a str,
        /// How many cases.
        cases: u64,
    },
    /// What a walk of `bench` cost.
    Cost {
        /// L1's filter.
        filter: &'a str,
        /// The access that raised the faults, or `None` if there was none.
        stimulus: Option<&'a str>,
        /// The cost.
        cost: Cost,
    },
    /// A remark.
    Note(&'a str),
    /// A step of a single case.
    Trace(&'a str),
    /// What a group did.
    Counts {
        /// Its name.
        group: &'a str,
        /// What it did.
        counts: Counts,
    },
    /// A group's result.
    Group {
        /// Its place in the plan, from 1.
        number: u64,
        /// Its name.
        group: &'a str,
        /// Whether every case was as the manual says.
        ok: bool,
    },
    /// A group that cannot run here.
    Skip {
        /// Its place in the plan, from 1.
        number: u64,
        /// Its name.
        group: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// maskmatch is wrong.
    Error(&'a str),
    /// The end record.
    End(Summary),
}

/// What the end record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// Groups without a failure.
    pub passed: u64,
    /// Groups with one.
    pub failed: u64,
    /// Groups that could not run.
    pub skipped: u64,
    /// Errors of maskmatch.
    pub errors: u64,
    /// Cases tried.
    pub cases: u64,
    /// CRC-32 of all bytes before the end record.
    pub crc32: u32,
}

/// The KEY=VALUE words of a line.
pub fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_ascii_whitespace().filter_map(|word| word.split_once('='))
}

/// The value of the next word, which must have this key.
fn value<'a>(words: &mut dyn Iterator<Item = &'a str>, key: &str) -> Option<&'a str> {
    words.next()?.strip_prefix(key)?.strip_prefix('=')
}

fn number(words: &mut dyn Iterator<Item = &str>, key: &str) -> Option<u64> {
    decimal(value(words, key)?)
}

/// Only digits: a sign, or a leading zero, would be a second way to write the same.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Eight hexadecimal digits.
fn hex32(words: &mut dyn Iterator<Item = &str>, key: &str) -> Option<u32> {
    let text = value(words, key)?;
    let canonical = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u32::from_str_radix(text, 16).ok() } else { None }
}

impl<'a> Line<'a> {
    /// Reads one line, without its line feed.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        if line == VERSION_LINE {
            return Some(Self::Version);
        }
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ')?;
            return Self::comment(word, rest);
        }
        if let Some(plan) = line.strip_prefix("1..") {
            return match plan.split_once(" # SKIP ") {
                Some(("0", reason)) => Some(Self::SkipAll(reason)),
                Some(_) => None,
                None => Some(Self::Plan(decimal(plan)?)),
            };
        }
        let (ok, result) = match line.strip_prefix("ok ") {
            Some(result) => (true, result),
            None => (false, line.strip_prefix("not ok ")?),
        };
        let (place, group) = result.split_once(' ')?;
        let number = decimal(place)?;
        match group.split_once(" # SKIP ") {
            Some((group, reason)) if ok => Some(Self::Skip { number, group, reason }),
            None if !group.contains(' ') => Some(Self::Group { number, group, ok }),
            _ => None,
        }
    }

    fn comment(word: &str, rest: &'a str) -> Option<Self> {
        let mut words = rest.split(' ');
        let line = match word {
            "maskmatch" => {
                let (version, rest) = rest.split_once(" log=")?;
                let (format, facts) = rest.split_once(' ')?;
                return Some(Self::Maskmatch { version, format: decimal(format)?.try_into().ok()?, facts });
            }
            "progress" => {
                let group = words.next()?;
                let (done, of) = words.next()?.split_once('/')?;
                Self::Progress { group, done: decimal(done)?, of: decimal(of)? }
            }
            "fail" => Self::Fail {
                id: value(&mut words, "id")?,
                want: value(&mut words, "want")?,
                got: value(&mut words, "got")?,
            },
            "cause" => Self::Cause { group: words.next()?, suspects: words.next()? },
            "differs" => {
                let (group, difference) = (words.next()?, words.next()?);
                let cases = number(&mut words, "cases")?;
                if difference == OTHERS {
                    Self::Differs { group, difference: None, cases, filter: None, probes: "" }
                } else {
                    let difference = Some(difference.parse().ok()?);
                    let filter = Some(value(&mut words, "first")?.parse().ok()?);
                    Self::Differs { group, difference, cases, filter, probes: value(&mut words, "in")? }
                }
            }
            "incomplete" => {
                let (group, word) = (words.next()?, words.next()?);
                Self::Incomplete { group, word, cases: number(&mut words, "cases")? }
            }
            "counts" => Self::Counts {
                group: words.next()?,
                counts: Counts {
                    cases: number(&mut words, "cases")?,
                    differing: number(&mut words, "differing")?,
                    exits: number(&mut words, "exits")?,
                    delivered: number(&mut words, "delivered")?,
                    tsc: number(&mut words, "tsc")?,
                    digest: hex32(&mut words, "digest")?,
                },
            },
            "cost" => Self::Cost {
                filter: words.next()?,
                stimulus: Some(words.next()?).filter(|&stimulus| stimulus != "-"),
                cost: Cost {
                    exits: number(&mut words, "exits")?,
                    delivered: number(&mut words, "delivered")?,
                    tsc: number(&mut words, "tsc")?,
                    l0_exits: match value(&mut words, "l0")? {
                        "-" => None,
                        exits => Some(decimal(exits)?),
                    },
                },
            },
            "note" => return Some(Self::Note(rest)),
            "trace" => return Some(Self::Trace(rest)),
            "error" => return Some(Self::Error(rest)),
            "end" => Self::End(Summary {
                passed: number(&mut words, "passed")?,
                failed: number(&mut words, "failed")?,
                skipped: number(&mut words, "skipped")?,
                errors: number(&mut words, "errors")?,
                cases: number(&mut words, "cases")?,
                crc32: hex32(&mut words, "crc32")?,
            }),
            _ => return None,
        };
        if words.next().is_some() { None } else { Some(line) }
    }
}

/// Why a log is not complete and sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLog {
    /// No version line.
    NoLog,
    /// A line that the grammar does not have. Line numbers count from the version line, which is 1.
    Garbled {
        /// The line's number.
        line: u64,
    },
    /// A line in the wrong place.
    OutOfPlace {
        /// The line's number.
        line: u64,
    },
    /// The grammar has another version.
    Format(u32),
    /// No end record.
    Cut,
    /// The checksum is wrong.
    Checksum,
    /// A result, the end record or the plan contradicts the lines before it.
    Contradiction,
}

impl fmt::Display for BadLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog => f.write_str("it holds no log of maskmatch: the line 'KTAP version 1' is missing"),
            Self::Garbled { line } => {
                write!(
                    f,
                    "line {line} of the log is not maskmatch's: it is garbled, or another program wrote on the line"
                )
            }
            Self::OutOfPlace { line } => {
                write!(f, "line {line} of the log is in the wrong place: lines are missing or doubled")
            }
            Self::Format(format) => write!(f, "the log has format {format}, this maskmatch reads format {FORMAT}"),
            Self::Cut => f.write_str("the log has no end record: the guest crashed, hung, or its output was cut"),
            Self::Checksum => f.write_str("the log's checksum is wrong: bytes were lost or changed"),
            Self::Contradiction => f.write_str("the log contradicts itself: lines are missing, doubled or changed"),
        }
    }
}

impl core::error::Error for BadLog {}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeLog,
    Header,
    Plan,
    Groups,
    AfterError,
    Ended,
}

/// Reads a log line by line and judges whether it is complete and sound.
#[derive(Clone)]
pub struct Reader {
    place: Place,
    digest: Digest<'static, u32>,
    lines: u64,
    planned: u64,
    counted: Summary,
    group: Current,
    bad: Option<BadLog>,
}

/// What the lines of the running group have said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    /// Cases that differ or came to no end.
    differing: u64,
    /// A case was reported in full.
    failed: bool,
    /// The group's name, as its CRC-32, and its counts.
    counts: Option<(u32, Counts)>,
}

impl Current {
    /// Whether a result agrees with the lines before it.
    fn fits(&self, group: &str, ok: bool) -> bool {
        self.counts.is_some_and(|(name, counts)| {
            name == CRC32.checksum(group.as_bytes())
                && counts.differing == self.differing
                && counts.differing <= counts.cases
                && ok == (counts.differing == 0)
                && !(ok && self.failed)
        })
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            place: Place::BeforeLog,
            digest: CRC32.digest(),
            lines: 0,
            planned: 0,
            counted: Summary::default(),
            group: Current::default(),
            bad: None,
        }
    }
}

impl Reader {
    /// Takes in the next line, without its line feed; a carriage return at its end is ignored.
    ///
    /// Anything may stand before the version line and after the end record. A bad line is
    /// remembered, and reading goes on: what follows is still shown, but is no pass.
    pub fn line<'a>(&mut self, line: &'a str) -> Option<Line<'a>> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if self.place == Place::Ended || (self.place == Place::BeforeLog && line != VERSION_LINE) {
            return None;
        }
        self.lines += 1;
        let Some(parsed) = Line::parse(line) else {
            self.note(BadLog::Garbled { line: self.lines });
            return None;
        };
        if let Line::End(summary) = parsed {
            self.end(summary);
            return Some(parsed);
        }
        self.digest.update(line.as_bytes());
        self.digest.update(b"\n");
        match self.follow(&parsed) {
            Some(place) => self.place = place,
            None => self.note(BadLog::OutOfPlace { line: self.lines }),
        }
        Some(parsed)
    }

    /// The place after a line, or `None` if the line may not stand here.
    fn follow(&mut self, line: &Line<'_>) -> Option<Place> {
        match (self.place, line) {
            (Place::BeforeLog, Line::Version) => Some(Place::Header),
            (Place::Header, Line::Maskmatch { format, .. }) => {
                if *format != FORMAT {
                    self.note(BadLog::Format(*format));
                }
                Some(Place::Plan)
            }
            (Place::Plan, Line::Plan(groups)) => {
                self.planned = *groups;
                Some(Place::Groups)
            }
            (Place::Plan | Place::Groups, Line::Error(_)) => {
                self.counted.errors += 1;
                Some(Place::AfterError)
            }
            (Place::Groups, Line::Group { number, group, ok }) => {
                let current = core::mem::take(&mut self.group);
                if !current.fits(group, *ok) {
                    self.note(BadLog::Contradiction);
                }
                if *ok {
                    self.counted.passed += 1;
                } else {
                    self.counted.failed += 1;
                }
                self.counted.cases += current.counts.map_or(0, |(_, counts)| counts.cases);
                self.numbered(*number)
            }
            (Place::Groups, Line::Counts { group, counts }) if self.group.counts.is_none() => {
                self.group.counts = Some((CRC32.checksum(group.as_bytes()), *counts));
                Some(Place::Groups)
            }
            (Place::Groups, Line::Differs { cases, .. } | Line::Incomplete { cases, .. }) => {
                self.group.differing = self.group.differing.saturating_add(*cases);
                Some(Place::Groups)
            }
            (Place::Groups, Line::Fail { .. }) => {
                self.group.failed = true;
                Some(Place::Groups)
            }
            (Place::Groups, Line::Skip { number, .. }) => {
                self.counted.skipped += 1;
                self.numbered(*number)
            }
            (Place::Plan, Line::SkipAll(_))
            | (
                Place::Groups,
                Line::Progress { .. } | Line::Cause { .. } | Line::Cost { .. } | Line::Note(_) | Line::Trace(_),
            ) => Some(Place::Groups),
            (Place::Plan | Place::AfterError, Line::Note(_)) => Some(self.place),
            _ => None,
        }
    }

    fn numbered(&self, number: u64) -> Option<Place> {
        let Summary { passed, failed, skipped, .. } = self.counted;
        if number == passed + failed + skipped { Some(Place::Groups) } else { None }
    }

    fn end(&mut self, summary: Summary) {
        let Summary { passed, failed, skipped, errors, .. } = self.counted;
        let all_groups = passed + failed + skipped == self.planned;
        if summary.crc32 != self.digest.clone().finalize() {
            self.note(BadLog::Checksum);
        } else if (Summary { crc32: summary.crc32, ..self.counted }) != summary
            || (errors == 0 && (!all_groups || self.place != Place::Groups))
        {
            self.note(BadLog::Contradiction);
        }
        self.place = Place::Ended;
    }

    fn note(&mut self, bad: BadLog) {
        self.bad.get_or_insert(bad);
    }

    /// Whether the end record was read.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.place == Place::Ended
    }

    /// What the lines so far add up to, with their checksum.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary { crc32: self.digest.clone().finalize(), ..self.counted }
    }

    /// What is wrong with the log, if the input ends here.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn sound(&self) -> Result<(), BadLog> {
        match (self.bad, self.place) {
            (Some(bad), _) => Err(bad),
            (None, Place::BeforeLog) => Err(BadLog::NoLog),
            (None, Place::Ended) => Ok(()),
            (None, _) => Err(BadLog::Cut),
        }
    }

    /// The verdict by the manual alone, if the input ends here.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.sound().is_err() {
            Verdict::Crash
        } else if self.counted.errors > 0 {
            Verdict::Error
        } else if self.counted.failed > 0 {
            Verdict::Fail
        } else if self.counted.passed == 0 {
            Verdict::Skip
        } else {
            Verdict::Pass
        }
    }
}
