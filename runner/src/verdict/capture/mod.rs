//! From the bytes of a capture to the logs of its boots.
//!
//! People capture a serial line in many ways: with what firmware wrote before the log, with a time
//! stamp before each line, with a terminal's escapes, in another encoding, packed, and with several
//! boots one after the other. Each boot's log is found by its words and read without what is around
//! its lines. Nothing here decides whether a log is right; its checksum does.
//!
//! | file | what it does |
//! |---|---|
//! | [`unpack`] | gzip, xz and zstd |
//! | [`lines`] | bytes to lines |
//! | [`mark`] | where a log begins and ends |
//! | [`frame`] | what is around each line |
//! | [`boot`] | the lines of one log |

mod boot;
mod frame;
mod lines;
mod mark;
mod pieces;
#[cfg(test)]
mod tests;
pub mod unpack;

use crate::verdict::findings::{Findings, News};
use boot::{Boot, without_escapes};
use frame::{HEADER, LONGEST};
use lines::Lines;
use mark::{after_version, is_end, is_foreign, is_stray};

/// What a log says, and why it cannot be read to its end, if it cannot.
pub type Read = (Findings, Option<String>);

/// What a sane capture stays below.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one line of a log.
    pub line: usize,
    /// Bytes of all logs.
    pub logs: u64,
    /// Bytes of anything else.
    pub other: u64,
    /// How many logs.
    pub boots: usize,
}

impl Limits {
    /// For a capture that is read from a file.
    pub const FILE: Self = Self { line: 4096, logs: 64 << 20, other: 1 << 30, boots: 1000 };
    /// For a guest that runs, of which only the first whole log is read. The exhaustive profile's
    /// whole log is far below a megabyte.
    pub const RUN: Self = Self { other: 64 << 20, ..Self::FILE };
}

/// Finds the logs in a capture as it comes.
pub struct Capture {
    limits: Limits,
    lines: Lines,
    /// A line that may be the first of a log, which the next one shows.
    first: Option<String>,
    open: Option<Boot>,
    /// The first line of a log that lacks its beginning.
    headless: Option<String>,
    boots: Vec<Read>,
    /// What was seen outside of all logs.
    outside: Findings,
    has_ended: bool,
    logs: u64,
    other: u64,
    stopped: Option<String>,
}

impl Capture {
    /// At the start of a capture.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: Lines::default(),
            first: None,
            open: None,
            headless: None,
            boots: Vec::new(),
            outside: Findings::default(),
            has_ended: false,
            logs: 0,
            other: 0,
            stopped: None,
        }
    }

    /// Takes the next bytes, which may be cut anywhere. `news` hears of each line of a log. Returns
    /// whether a line ended.
    pub fn bytes(&mut self, bytes: &[u8], news: &mut dyn FnMut(News, &Findings)) -> bool {
        let mut has_line = false;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.is_stopped() {
                break;
            }
            if self.open.is_none() {
                self.other += piece.len() as u64;
            }
            if self.lines.push(piece) {
                has_line = true;
                let line = self.lines.take();
                self.line(&line, news);
            } else if self.open.is_some() && self.lines.len() > self.limits.line + LONGEST {
                self.stop_at_line();
            }
            self.check_sums();
        }
        has_line
    }

    /// What the newest log says so far, or what was seen instead of one.
    pub fn findings(&self) -> &Findings {
        let over = self.boots.last().map_or(&self.outside, |(findings, _)| findings);
        self.open.as_ref().map_or(over, Boot::findings)
    }

    /// Whether a log was read to its end record.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether a limit was passed, so that no more is read.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// The capture cannot be read on, and why.
    pub fn stop(&mut self, why: String) {
        self.stopped.get_or_insert(why);
    }

    /// Ends the input. Returns what was read of each log, at least of one.
    pub fn finish(mut self) -> Vec<Read> {
        let rest = self.lines.take();
        self.settle(&rest, &mut |_, _| {});
        if let Some(boot) = &mut self.open {
            boot.last(&rest);
        } else if !rest.is_empty() {
            self.line(&rest, &mut |_, _| {});
            self.settle("", &mut |_, _| {});
        }
        let stopped = self.stopped.take();
        let is_open = self.open.is_some() || self.headless.is_some();
        self.close(stopped.as_deref());
        match stopped {
            Some(why) if !is_open => self.boots.push((self.outside, Some(why))),
            None if self.boots.is_empty() => self.boots.push((self.outside, None)),
            _ => {}
        }
        self.boots
    }

    fn line(&mut self, line: &str, news: &mut dyn FnMut(News, &Findings)) {
        self.settle(line, news);
        // A log's words are found whatever colours they have.
        let plain = without_escapes(line);
        let begins = |boot: &Boot| boot.is_begin(&plain);
        if after_version(&plain).is_some() && self.open.as_ref().is_none_or(begins) {
            self.close(Some("the guest restarted before the log's end record"));
            self.first = Some(line.to_string());
        } else if let Some(boot) = &mut self.open {
            let (brought, length) = boot.line(line);
            news(brought, boot.findings());
            if length > self.limits.line {
                self.stop_at_line();
            } else if is_end(&plain) {
                self.has_ended = true;
                self.close(None);
            }
        } else {
            if self.headless.is_none() && is_stray(&plain) {
                self.headless = Some(line.to_string());
            }
            if self.headless.is_some() && is_end(&plain) {
                self.close(None);
            }
            self.outside.saw(line);
        }
    }

    /// Decides by the line that follows whether one that ends in `KTAP version 1` begins a log.
    /// Other programs write such a line too, and people write about it.
    fn settle(&mut self, next: &str, news: &mut dyn FnMut(News, &Findings)) {
        let Some(first) = self.first.take() else { return };
        let next = without_escapes(next);
        let is_whole =
            || after_version(&without_escapes(&first)).is_some_and(|after| after.trim().is_empty());
        if next.contains(HEADER) || is_whole() && !is_foreign(&next) {
            let boot = Boot::begin(&first);
            news(News::Begun, boot.findings());
            self.open = Some(boot);
        } else {
            self.outside.saw(&first);
        }
    }

    /// The log is over. `why` is said of one that is not whole.
    fn close(&mut self, why: Option<&str>) {
        if let Some(boot) = self.open.take() {
            self.logs += boot.own();
            let (findings, of_boot) = boot.end();
            let why = why.filter(|_| !findings.reader.ended()).map(str::to_string).or(of_boot);
            self.boots.push((findings, why));
        }
        if let Some(first) = self.headless.take() {
            let why = format!(
                "the beginning of the log is missing: the first line that is there is '{first}'"
            );
            let mut findings = Findings::default();
            findings.saw(&first);
            self.boots.push((findings, Some(why)));
        }
    }

    fn stop_at_line(&mut self) {
        self.stop(format!("the log has a line of more than {} bytes", self.limits.line));
    }

    fn check_sums(&mut self) {
        let Limits { logs, other, boots, .. } = self.limits;
        let (own, kept) = self.open.as_ref().map_or((0, 0), |boot| (boot.own(), boot.kept()));
        if self.logs + own > logs || kept > 2 * logs {
            self.stop(format!("the log has more than {} MiB", logs >> 20));
        } else if self.other > other {
            self.stop(format!("more than {} MiB came outside of a log", other >> 20));
        } else if self.boots.len() > boots {
            self.stop(format!("there are more than {boots} logs: cut the capture into parts"));
        }
    }
}
