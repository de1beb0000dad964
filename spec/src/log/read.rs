//! Reads the log: the runner's side of the grammar.

use core::fmt;

use crc::Digest;

use super::{CRC32, Counts, FORMAT, Line, Summary, VERSION_LINE, Verdict};

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
            Self::NoLog => {
                f.write_str("it holds no log of maskmatch: the line 'KTAP version 1' is missing")
            }
            Self::Garbled { line } => {
                write!(
                    f,
                    "line {line} of the log is not maskmatch's: it is garbled, or another program wrote on the line"
                )
            }
            Self::OutOfPlace { line } => {
                write!(
                    f,
                    "line {line} of the log is in the wrong place: lines are missing or doubled"
                )
            }
            Self::Format(format) => {
                write!(f, "the log has format {format}, this maskmatch reads format {FORMAT}")
            }
            Self::Cut => f.write_str(
                "the log has no end record: the guest crashed, hung, or its output was cut",
            ),
            Self::Checksum => {
                f.write_str("the log's checksum is wrong: bytes were lost or changed")
            }
            Self::Contradiction => {
                f.write_str("the log contradicts itself: lines are missing, doubled or changed")
            }
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
                Line::Progress { .. } | Line::Cost { .. } | Line::Note(_) | Line::Trace(_),
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

    /// Takes in what another log of the same run says. Both must be sound.
    pub fn join(&mut self, other: &Self) {
        self.bad = self.sound().and(other.sound()).err();
        self.place = Place::Ended;
        let Summary { passed, failed, skipped, errors, cases, .. } = other.counted;
        let counted = &mut self.counted;
        for (sum, more) in [
            (&mut counted.passed, passed),
            (&mut counted.failed, failed),
            (&mut counted.skipped, skipped),
            (&mut counted.errors, errors),
            (&mut counted.cases, cases),
        ] {
            *sum += more;
        }
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
        if self.sound().is_err() { Verdict::Crash } else { self.counted.verdict() }
    }
}
