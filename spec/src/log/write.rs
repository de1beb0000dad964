//! Writes the log: L1's side of the grammar.

use core::fmt::{self, Display, Write};

use crc::Digest;

use super::{CRC32, Cost, Counts, FORMAT, OTHERS, Summary, VERSION_LINE, Verdict};
use crate::tally::{Line, Tally};

/// Writes a log line by line and keeps what the end record needs.
///
/// It ignores errors of the sink: a serial line has none, and a log with a hole fails its checksum.
pub struct Writer<W: Write> {
    sink: Summing<W>,
    flush: fn(),
    passed: u64,
    failed: u64,
    skipped: u64,
    errors: u64,
    cases: u64,
}

/// A sink that keeps the CRC-32 of everything written to it.
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

/// Text with blanks in place of line ends: a panic's message has several lines.
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

/// Names joined by commas.
struct Joined<F>(F);

impl<I: Iterator<Item: Display>, F: Fn() -> I> Display for Joined<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)()
            .enumerate()
            .try_for_each(|(at, name)| write!(f, "{}{name}", if at == 0 { "" } else { "," }))
    }
}

impl<W: Write> Writer<W> {
    /// Begins a log: an empty line, the version line, then the line that names maskmatch, followed
    /// by `facts` (words of the form KEY=VALUE).
    pub fn begin(mut sink: W, version: &str, facts: &dyn Display) -> Self {
        let _ = sink.write_char('\n');
        let sink = Summing { sink, digest: CRC32.digest() };
        let mut log =
            Self { sink, flush: || (), passed: 0, failed: 0, skipped: 0, errors: 0, cases: 0 };
        log.line(format_args!("{VERSION_LINE}"));
        log.line(format_args!("# maskmatch {version} log={FORMAT} {facts}"));
        log
    }

    /// Sets a function to be called wherever the next line may take long. A sink must then send
    /// what it has gathered.
    #[must_use]
    pub fn flushed_by(self, flush: fn()) -> Self {
        Self { flush, ..self }
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

    /// A case that differs, in full.
    pub fn fail(&mut self, id: &dyn Display, want: &dyn Display, got: &dyn Display) {
        self.line(format_args!("# fail id={id} want={want} got={got}"));
    }

    /// What differs in a group, and where.
    pub fn differs<P: Copy + PartialEq + Display>(
        &mut self,
        group: &dyn Display,
        tally: &mut Tally<'_, P>,
    ) {
        for line in tally.lines() {
            let (Line { difference, cases, filter, .. }, probes) = (line, Joined(|| line.probes()));
            self.unsent(format_args!(
                "# differs {group} {difference} cases={cases} first={filter} in={probes}"
            ));
        }
        if tally.others() > 0 {
            self.unsent(format_args!("# differs {group} {OTHERS} cases={}", tally.others()));
        }
        for (word, cases) in tally.incomplete() {
            self.unsent(format_args!("# incomplete {group} {word} cases={cases}"));
        }
    }

    /// What a walk cost. Without a stimulus it was a bare round trip.
    pub fn cost(&mut self, filter: &dyn Display, stimulus: Option<&dyn Display>, cost: &Cost) {
        let Cost { exits, delivered, tsc, l0_exits } = cost;
        let stimulus = stimulus.unwrap_or(&"-");
        let l0: &dyn Display = l0_exits.as_ref().map_or(&"-", |l0| l0);
        self.line(format_args!(
            "# cost {filter} {stimulus} exits={exits} delivered={delivered} tsc={tsc} l0={l0}"
        ));
    }

    /// A remark.
    pub fn note(&mut self, text: &dyn Display) {
        self.line(format_args!("# note {text}"));
    }

    /// A step of a single case.
    pub fn trace(&mut self, step: &dyn Display) {
        self.line(format_args!("# trace {step}"));
    }

    /// A group's result. Its counts have their own line, so that the result's text is the same in
    /// every run.
    pub fn result(&mut self, number: usize, group: &dyn Display, counts: &Counts) {
        let not = if counts.differing == 0 {
            self.passed += 1;
            ""
        } else {
            self.failed += 1;
            "not "
        };
        self.cases += counts.cases;
        let Counts { cases, differing, exits, delivered, tsc, digest } = counts;
        self.unsent(format_args!(
            "# counts {group} cases={cases} differing={differing} exits={exits} delivered={delivered} tsc={tsc} \
             digest={digest:08x}"
        ));
        self.line(format_args!("{not}ok {number} {group}"));
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

    /// The end record. What follows it is not part of the log.
    pub fn end(&mut self) {
        let Self { passed, failed, skipped, errors, cases, .. } = *self;
        let crc = self.sink.digest.clone().finalize();
        self.line(format_args!(
            "# end passed={passed} failed={failed} skipped={skipped} errors={errors} cases={cases} crc32={crc:08x}"
        ));
    }

    /// The verdict by the manual alone, if the log ends here.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Self { passed, failed, skipped, errors, cases, .. } = *self;
        Summary { passed, failed, skipped, errors, cases, crc32: 0 }.verdict()
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.unsent(line);
        (self.flush)();
    }

    /// A line that another one follows at once.
    fn unsent(&mut self, line: fmt::Arguments<'_>) {
        let _ = self.sink.write_fmt(line);
        let _ = self.sink.write_char('\n');
    }
}
