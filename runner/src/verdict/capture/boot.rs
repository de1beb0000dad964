//! One boot's log in a capture: its lines, read in each way in which terminals change them.
//!
//! As the lines come, they are read as they are. If that gives no sound log, they are read again
//! without terminal escapes and without blanks at their ends, and with lines put together that a
//! console cut. A log's checksum fits only one reading, so there is nothing to guess.

use std::borrow::Cow;

use anstream::adapter::strip_str;
use spec::log::{BadLog, VERSION_LINE};

use super::Read;
use super::frame::Frame;
use super::mark::after_version;
use super::pieces::joined;
use crate::verdict::findings::{Findings, News};

/// What is left out of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Without {
    escapes: bool,
    blanks: bool,
}

/// The lines of a log as far as they came.
pub struct Boot {
    lines: Vec<u8>,
    reading: Reading,
    has: Without,
    /// Bytes of the log without what is around its lines.
    own: u64,
}

/// One way to read the lines of a log.
#[derive(Default)]
struct Reading {
    without: Without,
    suffix: String,
    frame: Option<Frame>,
    lines: u64,
    /// The first line with another frame than the lines before it.
    misframed: Option<u64>,
    findings: Findings,
}

impl Boot {
    /// A log begins with a line that ends in its version line.
    pub fn begin(line: &str) -> Self {
        let mut boot = Self {
            lines: Vec::new(),
            reading: Reading::default(),
            has: Without::default(),
            own: 0,
        };
        boot.line(line);
        boot
    }

    /// Takes the next line. Returns what it brought, and how many bytes of the log it has.
    pub fn line(&mut self, line: &str) -> (News, usize) {
        self.lines.extend(line.as_bytes());
        self.lines.push(b'\n');
        self.has.escapes |= line.contains(char::is_control);
        self.has.blanks |= line.ends_with([' ', '\t']);
        let (news, length) = self.reading.line(line);
        self.own += length as u64 + 1;
        (news, length)
    }

    /// What was read so far.
    pub fn findings(&self) -> &Findings {
        &self.reading.findings
    }

    /// Bytes of the log so far.
    pub fn own(&self) -> u64 {
        self.own
    }

    /// Bytes that are kept of it, with what is around its lines.
    pub fn kept(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Whether a line begins another log. It ends as this one's version line did.
    pub fn is_begin(&self, line: &str) -> bool {
        after_version(line)
            .is_some_and(|after| after.trim().is_empty() || after == self.reading.suffix)
    }

    /// The input ended within this line, unless the line is whole.
    pub fn last(&mut self, line: &str) {
        if self.reading.is_whole(line) {
            self.line(line);
        } else {
            self.reading.findings.broken_off(line);
        }
    }

    /// The best reading of the log that is over, and why it cannot be read if that is known better
    /// here.
    pub fn end(self) -> Read {
        let mut best = self.reading;
        let has = self.has;
        let lines = String::from_utf8_lossy(&self.lines);
        let whole = joined(&lines);
        let ways = [(false, false), (true, false), (false, true), (true, true)];
        let ways = ways.map(|(escapes, blanks)| Without { escapes, blanks });
        let ways = ways.iter().filter(|way| way.escapes <= has.escapes && way.blanks <= has.blanks);
        let of_text = |text| ways.clone().map(move |way| (text, *way));
        // The first way of these lines was tried as they came.
        for (text, without) in
            of_text(&*lines).skip(1).chain(whole.iter().flat_map(|text| of_text(text)))
        {
            if best.findings.reader.sound().is_ok() {
                break;
            }
            let mut reading = Reading { without, ..Reading::default() };
            for line in text.split_terminator('\n') {
                reading.line(line);
            }
            reading.findings.broken_off |= best.findings.broken_off;
            if reading.depth() > best.depth() {
                best = reading;
            }
        }
        let why = best.why();
        (best.findings, why)
    }
}

impl Reading {
    fn line(&mut self, line: &str) -> (News, usize) {
        self.lines += 1;
        let line = self.without.of(line);
        match (self.lines, &self.frame) {
            (1, _) => {
                self.suffix = after_version(&line).unwrap_or_default().to_string();
                return (self.findings.line(VERSION_LINE), VERSION_LINE.len());
            }
            (2, None) => self.frame = Frame::of(&line, &self.suffix),
            _ => {}
        }
        let content = match &self.frame {
            Some(frame) => frame.content(&line),
            None => Some(&*line),
        };
        if content.is_none() {
            self.misframed.get_or_insert(self.lines);
        }
        let content = content.unwrap_or(&line);
        (self.findings.line(content), content.len())
    }

    /// Whether this is a whole line of the log.
    fn is_whole(&self, line: &str) -> bool {
        let content = self.frame.as_ref().map_or(Some(line), |frame| frame.content(line));
        content.is_some_and(|content| spec::log::Line::parse(content.trim_end()).is_some())
    }

    /// How far the reading is sound.
    fn depth(&self) -> u64 {
        match self.findings.reader.sound() {
            Ok(()) => u64::MAX,
            Err(BadLog::Cut) => u64::MAX - 1,
            Err(BadLog::Checksum | BadLog::Contradiction) => u64::MAX - 2,
            Err(BadLog::Garbled { line } | BadLog::OutOfPlace { line }) => line,
            Err(BadLog::Format(_) | BadLog::NoLog) => 0,
        }
    }

    /// Why a log with something around its lines cannot be read.
    fn why(&self) -> Option<String> {
        let prefix = &self.frame.as_ref().filter(|frame| !frame.is_bare())?.prefix;
        match self.findings.reader.sound().err()? {
            BadLog::Garbled { line } if self.misframed == Some(line) => Some(format!(
                "line {line} of the log holds no line of maskmatch's after a prefix such as '{prefix}': it is \
                 garbled, or another program wrote it"
            )),
            bad @ (BadLog::Checksum | BadLog::Garbled { .. }) => Some(format!(
                "{bad}; each line has a prefix such as '{prefix}', which was left out"
            )),
            _ => None,
        }
    }
}

/// A line without what a terminal or a modem would take for commands.
pub fn without_escapes(line: &str) -> Cow<'_, str> {
    if line.contains(char::is_control) {
        Cow::Owned(strip_str(line).to_string())
    } else {
        Cow::Borrowed(line)
    }
}

impl Without {
    /// A line without what is to be left out.
    fn of(self, line: &str) -> Cow<'_, str> {
        let line = if self.escapes { without_escapes(line) } else { Cow::Borrowed(line) };
        match line {
            Cow::Borrowed(line) if self.blanks => Cow::Borrowed(line.trim_end_matches([' ', '\t'])),
            Cow::Owned(line) if self.blanks => {
                Cow::Owned(line.trim_end_matches([' ', '\t']).to_string())
            }
            line => line,
        }
    }
}
