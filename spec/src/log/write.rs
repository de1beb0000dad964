//! Writing the log: L1's side of the grammar.

use core::fmt::{self, Display, Write};

use crc::Digest;

use super::{CRC32, Cost, Counts, FORMAT, VERSION_LINE};

/// Writes a log line by line and keeps what the end record needs.
///
/// An error of the sink is ignored: a serial line has none, and a log with a hole fails its checksum.
pub struct Writer<W: Write> {
    sink: Summing<W>,
    passed: u64,
    failed: u64,
    skipped: u64,
    errors: u64,
    cases: u64,
}

/// A sink that keeps the CRC-32 of all that went through.
struct Summing<W> {
    sink: W,
    digest: Digest<'static, u32>,
}

impl<W: Write> Write for Summing<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.digest.update(text.as_bytes());
        self.sink.write_str(text)
    }
}

/// Text in which line ends are blanks: a panic's message has several lines.
struct OneLine<'a>(&'a dyn Display);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Blanks<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Blanks<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for (at, part) in text.split(['\n', '\r']).enumerate() {
                    if at > 0 {
                        self.0.write_char(' ')?;
                    }
                    self.0.write_str(part)?;
                }
                Ok(())
            }
        }
        write!(Blanks(f), "{}", self.0)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a log: version line, then the line that names maskmatch, with `facts` behind it (words
    /// of the form KEY=VALUE).
    pub fn begin(sink: W, version: &str, facts: &dyn Display) -> Self {
        let sink = Summing { sink, digest: CRC32.digest() };
        let mut log = Self { sink, passed: 0, failed: 0, skipped: 0, errors: 0, cases: 0 };
        log.line(format_args!("{VERSION_LINE}"));
        log.line(format_args!("# maskmatch {version} log={FORMAT} {facts}"));
        log
    }

    /// The plan: how many groups follow.
    pub fn plan(&mut self, groups: usize) {
        self.line(format_args!("1..{groups}"));
    }

    /// Nothing can run here, and why.
    pub fn skip_all(&mut self, reason: &dyn Display) {
        self.line(format_args!("1..0 # SKIP {reason}"));
    }

    /// The heartbeat: how far a group is.
    pub fn progress(&mut self, group: &dyn Display, done: usize, of: usize) {
        self.line(format_args!("# progress {group} {done}/{of}"));
    }

    /// A failing case in full.
    pub fn fail(&mut self, id: &dyn Display, want: &dyn Display, got: &dyn Display) {
        self.line(format_args!("# fail id={id} want={want} got={got}"));
    }

    /// What a failing group's host seems to do.
    pub fn cause(&mut self, group: &dyn Display, suspects: &dyn Display) {
        self.line(format_args!("# cause {group} {suspects}"));
    }

    /// A known deviation that a group showed.
    pub fn known(&mut self, group: &dyn Display, deviation: &str, cases: u64, reason: &str) {
        self.line(format_args!("# known {group} {deviation} cases={cases} {reason}"));
    }

    /// What a walk cost. Without a stimulus it was a bare round trip.
    pub fn cost(&mut self, filter: &dyn Display, stimulus: Option<&dyn Display>, cost: &Cost) {
        let Cost { exits, delivered, tsc, l0_exits } = cost;
        let stimulus = stimulus.unwrap_or(&"-");
        let l0: &dyn Display = l0_exits.as_ref().map_or(&"-", |l0| l0);
        self.line(format_args!("# cost {filter} {stimulus} exits={exits} delivered={delivered} tsc={tsc} l0={l0}"));
    }

    /// A remark.
    pub fn note(&mut self, text: &dyn Display) {
        self.line(format_args!("# note {text}"));
    }

    /// A group's result.
    pub fn result(&mut self, number: usize, group: &dyn Display, counts: &Counts) {
        let not = if counts.failed == 0 {
            self.passed += 1;
            ""
        } else {
            self.failed += 1;
            "not "
        };
        self.cases += counts.cases;
        let Counts { cases, failed, known, exits, delivered, tsc, digest } = counts;
        self.line(format_args!(
            "{not}ok {number} {group} # cases={cases} failed={failed} known={known} exits={exits} \
             delivered={delivered} tsc={tsc} digest={digest:08x}"
        ));
    }

    /// A group that cannot run here, and why.
    pub fn skip(&mut self, number: usize, group: &dyn Display, reason: &dyn Display) {
        self.skipped += 1;
        self.line(format_args!("ok {number} {group} # SKIP {reason}"));
    }

    /// Something is wrong with maskmatch itself or how it was started.
    pub fn error(&mut self, what: &dyn Display) {
        self.errors += 1;
        self.line(format_args!("# error {}", OneLine(what)));
    }

    /// The end record. What follows it is not the log's.
    pub fn end(&mut self) {
        let Self { passed, failed, skipped, errors, cases, .. } = *self;
        let crc = self.sink.digest.clone().finalize();
        self.line(format_args!(
            "# end passed={passed} failed={failed} skipped={skipped} errors={errors} cases={cases} crc32={crc:08x}"
        ));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = self.sink.write_fmt(line);
        let _ = self.sink.write_char('\n');
    }
}
