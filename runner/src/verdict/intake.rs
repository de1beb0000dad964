//! Takes the serial bytes of a guest that runs: keeps the raw log, shows progress, and ends a flood
//! or silence.
//!
//! The bytes come from a guest that may have gone mad. So all that is read has a limit, see
//! [`Limits`]. A guest that writes its whole log is not read on.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::verdict::capture::{Capture, Limits, Read};
use crate::verdict::findings::Findings;
use crate::verdict::progress::Progress;
use crate::vmm::{Flow, Sink};

/// How long a guest may write no new line. The image writes a heartbeat every few dozen filters.
pub const SILENCE: Duration = Duration::from_mins(2);

/// Reads a log as it comes.
pub struct Intake<'a> {
    /// The first error of writing the raw log.
    pub log_error: Option<std::io::Error>,
    capture: Capture,
    last_line: Instant,
    /// It is looked at whenever the VMM calls the sink, with or without bytes.
    silence: Duration,
    log: Option<&'a mut dyn Write>,
    progress: Progress,
}

impl<'a> Intake<'a> {
    /// Reads from the start. The raw bytes also go to `log`.
    pub fn new(silence: Duration, log: Option<&'a mut dyn Write>, progress: Progress) -> Self {
        let (capture, last_line) = (Capture::new(Limits::RUN), Instant::now());
        Self { log_error: None, capture, last_line, silence, log, progress }
    }

    /// What was read so far.
    pub fn findings(&self) -> &Findings {
        self.capture.findings()
    }

    /// Whether a limit was passed.
    pub fn flooded(&self) -> bool {
        self.capture.is_stopped()
    }

    /// Whether nothing more is read.
    pub fn is_over(&self) -> bool {
        self.capture.is_stopped() || self.capture.has_ended()
    }

    /// Ends the input. Returns what was read of each boot.
    pub fn finish(self) -> Vec<Read> {
        self.progress.finish();
        self.capture.finish()
    }
}

impl Sink for Intake<'_> {
    fn bytes(&mut self, serial: &[u8]) -> Flow {
        if let Some(log) = self.log.as_mut()
            && self.log_error.is_none()
        {
            self.log_error = log.write_all(serial).and_then(|()| log.flush()).err();
        }
        if !self.is_over() {
            let progress = &self.progress;
            if self.capture.bytes(serial, &mut |news, findings| progress.news(news, findings)) {
                self.last_line = Instant::now();
            }
            if self.last_line.elapsed() > self.silence && !self.capture.has_ended() {
                let seconds = self.silence.as_secs_f64();
                self.capture.stop(format!("no heartbeat: the guest wrote no line for {seconds} s"));
            }
        }
        if self.is_over() { Flow::Stop } else { Flow::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::{Intake, SILENCE};
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

    fn intake<'a>() -> Intake<'a> {
        Intake::new(SILENCE, None, Progress::none())
    }

    #[test]
    fn bytes_may_be_cut_anywhere_and_the_raw_log_is_kept() {
        let text = log();
        let mut raw = Vec::new();
        let mut intake = Intake::new(SILENCE, Some(&mut raw), Progress::none());
        for (at, byte) in text.bytes().enumerate() {
            let flow = intake.bytes(&[byte]);
            assert_eq!(flow == Flow::Stop, at + 1 == text.len());
        }
        let [(findings, stopped)] = &intake.finish()[..] else { panic!("one boot") };
        assert_eq!(*stopped, None);
        assert_eq!(findings.verdict(), Verdict::Pass);
        assert_eq!(raw, text.as_bytes());
    }

    #[test]
    fn a_last_line_without_line_feed_is_not_lost() {
        let mut whole = intake();
        let _ = whole.bytes(log().trim_end().as_bytes());
        assert_eq!(whole.finish()[0].0.verdict(), Verdict::Pass);
        let mut cut = intake();
        let _ = cut.bytes(b"KTAP version 1\n# maskmatch 0.1.0 lo");
        let findings = &cut.finish()[0].0;
        assert_eq!(findings.last_line, "# maskmatch 0.1.0 lo");
        assert_eq!(findings.reader.sound(), Err(BadLog::Cut));
    }

    #[test]
    fn a_flood_is_stopped() {
        let mut line = intake();
        let _ = line.bytes(b"KTAP version 1\n# maskmatch 0.1.0 log=2 boot=pvh\n");
        assert!((0..=1 << 16).any(|_| line.bytes(b"x") == Flow::Stop));
        assert!(line.finish()[0].1.as_ref().unwrap().contains("4096"));
    }

    #[test]
    fn silence_is_the_end_even_if_half_a_line_comes_now_and_then() {
        let mut silent = Intake::new(Duration::from_millis(1), None, Progress::none());
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(silent.bytes(b""), Flow::Stop);
        assert!(silent.finish()[0].1.as_ref().unwrap().starts_with("no heartbeat"));
        // What was complete in time stays so.
        let mut whole = Intake::new(Duration::ZERO, None, Progress::none());
        let _ = whole.bytes(log().as_bytes());
        assert_eq!(whole.finish()[0].1, None);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_pass() {
        let mut bytes = log().into_bytes();
        let at = bytes.len() / 2;
        bytes.insert(at, 0xff);
        let mut intake = intake();
        let _ = intake.bytes(&bytes);
        assert_eq!(intake.finish()[0].0.verdict(), Verdict::Crash);
    }
}
