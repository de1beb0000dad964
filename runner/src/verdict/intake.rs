//! Takes serial bytes and gives lines: cuts the stream into lines, keeps the raw log, and ends a
//! flood.
//!
//! The bytes come from a guest that may have gone mad, or from a file that may be anything. So both
//! a line and the whole have a limit. Bytes that are not UTF-8 become replacement characters, which
//! no log contains.

use std::io::Write;
use std::time::{Duration, Instant};

use spec::log::Line;

use crate::verdict::findings::Findings;
use crate::verdict::progress::Progress;
use crate::vmm::{Flow, Sink};

/// What a sane guest stays below.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one line.
    pub line: usize,
    /// Bytes in all.
    pub total: u64,
    /// Time without a new line. It is checked whenever the VMM calls the sink, with or without
    /// bytes.
    pub silence: Option<Duration>,
}

impl Limits {
    /// For a log that is read from a file, which has no time limit.
    pub const FILE: Self = Self { line: 4096, total: 64 << 20, silence: None };
    /// For a guest that runs. The image writes a heartbeat every few dozen filters; the exhaustive
    /// profile's whole log is far below a megabyte.
    pub const RUN: Self = Self { silence: Some(Duration::from_mins(2)), ..Self::FILE };
}

/// Reads a log as it comes.
pub struct Intake<'a> {
    /// The first error of writing the raw log.
    pub log_error: Option<std::io::Error>,
    findings: Findings,
    stopped: Option<String>,
    line: Vec<u8>,
    total: u64,
    last_line: Instant,
    limits: Limits,
    log: Option<&'a mut dyn Write>,
    progress: Progress,
}

impl<'a> Intake<'a> {
    /// Reads from the start. The raw bytes also go to `log`.
    pub fn new(limits: Limits, log: Option<&'a mut dyn Write>, progress: Progress) -> Self {
        Self {
            log_error: None,
            findings: Findings::default(),
            stopped: None,
            line: Vec::new(),
            total: 0,
            last_line: Instant::now(),
            limits,
            log,
            progress,
        }
    }

    /// What was read so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Whether a limit was passed.
    pub fn flooded(&self) -> bool {
        self.stopped.is_some()
    }

    fn end_line(&mut self) {
        let news = self.findings.line(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        self.last_line = Instant::now();
        self.progress.news(news, &self.findings);
    }

    /// Which limit was passed, as a sentence.
    fn excess(&self) -> Option<String> {
        let Limits { line, total, silence } = self.limits;
        if self.line.len() > line {
            return Some(format!("the guest wrote a line of more than {line} bytes"));
        }
        if self.total > total {
            return Some(format!("the guest wrote more than {} MiB", total >> 20));
        }
        let silence = silence.filter(|limit| self.last_line.elapsed() > *limit)?;
        Some(format!("no heartbeat: the guest wrote no line for {} s", silence.as_secs_f64()))
    }

    /// Ends the input. Returns what was read, and why reading stopped early if it did.
    ///
    /// A last line without a line feed counts if it is one of the log's. Otherwise the log was cut
    /// in the middle of it.
    pub fn finish(mut self) -> (Findings, Option<String>) {
        let rest = String::from_utf8_lossy(&self.line).into_owned();
        if Line::parse(rest.trim_end_matches('\r')).is_some() {
            self.end_line();
        } else {
            self.findings.broken_off(&rest);
        }
        self.progress.finish();
        (self.findings, self.stopped)
    }
}

impl Sink for Intake<'_> {
    fn bytes(&mut self, serial: &[u8]) -> Flow {
        if let Some(log) = self.log.as_mut()
            && self.log_error.is_none()
        {
            self.log_error = log.write_all(serial).and_then(|()| log.flush()).err();
        }
        for piece in serial.split_inclusive(|&byte| byte == b'\n') {
            if self.stopped.is_some() || self.findings.reader.ended() {
                break;
            }
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            // One byte beyond the limit shows the excess. No more need be kept.
            let room = (self.limits.line + 1).saturating_sub(self.line.len());
            self.line.extend(&text[..text.len().min(room)]);
            self.total += piece.len() as u64;
            self.stopped = self.excess();
            if text.len() < piece.len() && self.stopped.is_none() {
                self.end_line();
            }
        }
        if self.stopped.is_none() && !self.findings.reader.ended() {
            self.stopped = self.excess();
        }
        if self.stopped.is_some() || self.findings.reader.ended() { Flow::Stop } else { Flow::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::{Intake, Limits};
    use crate::verdict::progress::Progress;
    use crate::vmm::{Flow, Sink};
    use spec::log::{BadLog, Counts, Verdict, Writer};
    use std::time::Duration;

    fn log() -> String {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        log.plan(1);
        log.result(1, &"filter.basic.long", &Counts { cases: 1, ..Counts::default() });
        log.end();
        text
    }

    #[test]
    fn bytes_may_be_cut_anywhere_and_the_raw_log_is_kept() {
        let text = log();
        let mut raw = Vec::new();
        let mut intake = Intake::new(Limits::FILE, Some(&mut raw), Progress::none());
        for (at, byte) in text.bytes().enumerate() {
            let flow = intake.bytes(&[byte]);
            assert_eq!(flow == Flow::Stop, at + 1 == text.len());
        }
        let (findings, flood) = intake.finish();
        assert_eq!(flood, None);
        assert_eq!(findings.reader.verdict(), Verdict::Pass);
        assert_eq!(raw, text.as_bytes());
    }

    #[test]
    fn a_last_line_without_line_feed_is_not_lost() {
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let _ = intake.bytes(log().trim_end().as_bytes());
        assert_eq!(intake.finish().0.reader.verdict(), Verdict::Pass);
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let _ = intake.bytes(b"KTAP version 1\n# maskmatch 0.1.0 lo");
        let findings = intake.finish().0;
        assert_eq!(findings.last_line, "# maskmatch 0.1.0 lo");
        assert_eq!(findings.reader.sound(), Err(BadLog::Cut));
    }

    #[test]
    fn a_flood_is_stopped() {
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let mut flow = Flow::Continue;
        for _ in 0..=Limits::FILE.line {
            flow = intake.bytes(b"x");
        }
        assert_eq!(flow, Flow::Stop);
        assert!(intake.finish().1.unwrap().contains("4096"));

        let limits = Limits { total: 1 << 20, ..Limits::FILE };
        let mut intake = Intake::new(limits, None, Progress::none());
        assert!((0..=1 << 16).any(|_| intake.bytes(b"noise noise noise\n") == Flow::Stop));
        assert!(intake.finish().1.unwrap().contains("more than 1 MiB"));
    }

    #[test]
    fn silence_is_the_end_even_if_half_a_line_comes_now_and_then() {
        let limits = Limits { silence: Some(Duration::from_millis(1)), ..Limits::RUN };
        let mut intake = Intake::new(limits, None, Progress::none());
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(intake.bytes(b""), Flow::Stop);
        assert!(intake.finish().1.unwrap().starts_with("no heartbeat"));
        // What was complete in time stays so.
        let mut intake =
            Intake::new(Limits { silence: Some(Duration::from_mins(9)), ..limits }, None, Progress::none());
        let _ = intake.bytes(log().as_bytes());
        assert_eq!(intake.finish().1, None);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_pass() {
        let mut bytes = log().into_bytes();
        let at = bytes.len() / 2;
        bytes.insert(at, 0xff);
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let _ = intake.bytes(&bytes);
        assert_eq!(intake.finish().0.reader.verdict(), Verdict::Crash);
    }
}
