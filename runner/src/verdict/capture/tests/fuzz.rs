//! Mutations of captures: none may panic, take long, or pass without a whole log that passed.
//!
//! ```console
//! $ cargo test --release -p runner --bins a_million_mutations -- --ignored --nocapture
//! ```
//!
//! prints the table of docs/robustness.md.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use super::super::unpack::unpacked;
use super::ways::WAYS;
use super::{FAIL, PASS, cut, read, verdict};
use spec::log::Verdict;

/// The boots of captures.
fn boots() -> [String; 6] {
    let boots = [
        &[PASS][..],
        &[FAIL],
        &[PASS, FAIL],
        &[FAIL, PASS],
        &[cut(FAIL), PASS],
        &[PASS, cut(FAIL)],
    ];
    boots.map(<[&str]>::concat)
}

/// Numbers that look random: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A range of at most `longest`.
    fn range(&mut self, len: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let end = (start + self.below(longest)).min(len);
        start..end
    }

    /// Where a line begins.
    fn line(&mut self, bytes: &[u8]) -> usize {
        let at = self.below(bytes.len() + 1);
        bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const WORDS: [&[u8]; 12] = [
            b"\n",
            b"\r",
            b"\0",
            b" ",
            b"\x1b[31m",
            b"KTAP version 1\n",
            b"ok 1 ",
            b"not ",
            b"# end passed=1 ",
            b"[    0.1] ",
            b"# note x\n",
            b"\xff\xfe",
        ];
        let len = bytes.len();
        match self.below(10) {
            0 if len > 0 => {
                let at = self.below(len);
                bytes[at] ^= 1 << self.below(8);
            }
            1 if len > 0 => {
                let at = self.below(len);
                bytes[at] = self.next() as u8;
            }
            2 => drop(bytes.drain(self.range(len, 16))),
            3 => drop(bytes.drain(self.range(len, len))),
            4 => {
                let at = self.below(len + 1);
                let word = WORDS[self.below(WORDS.len())];
                drop(bytes.splice(at..at, word.iter().copied()));
            }
            5 => {
                let copy = bytes[self.range(len, 400)].to_vec();
                let at = self.below(len + 1);
                drop(bytes.splice(at..at, copy));
            }
            6 => {
                let (from, to) = (self.line(bytes), self.line(bytes));
                drop(bytes.drain(from.min(to)..from.max(to)));
            }
            7 => {
                let (from, to, at) = (self.line(bytes), self.line(bytes), self.line(bytes));
                let copy = bytes[from.min(to)..from.max(to)].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            8 => bytes.truncate(self.below(len + 1)),
            _ => {
                let other = [PASS, FAIL][self.below(2)].as_bytes();
                let (at, part) = (self.line(bytes), self.range(other.len(), other.len()));
                drop(bytes.splice(at..at, other[part].iter().copied()));
            }
        }
    }
}

/// The sums of a log whose groups all passed, and the lines of one whose groups did not.
struct Truth {
    pass: String,
    failures: Vec<&'static str>,
}

impl Truth {
    fn new() -> Self {
        let pass = format!("{:?}", read(PASS.as_bytes())[0].0.reader.summary());
        Self { pass, failures: FAIL.lines().filter(|line| line.starts_with("not ok ")).collect() }
    }

    /// The verdict on a capture, and whether it is a pass that it must not be: of a log that is not
    /// the one that passed, or beside one that did not.
    fn judge(&self, bytes: &[u8]) -> (Verdict, bool) {
        let boots = read(bytes);
        let worst = boots.iter().map(verdict).max().unwrap_or(Verdict::Crash);
        let is_pass =
            |(findings, _): &super::Boot| format!("{:?}", findings.reader.summary()) == self.pass;
        let is_false =
            worst == Verdict::Pass && (!boots.iter().all(is_pass) || self.has_failure(bytes));
        (worst, is_false)
    }

    fn has_failure(&self, bytes: &[u8]) -> bool {
        let mut plain = Vec::new();
        // What is packed and damaged is plain up to the damage.
        let _ = unpacked(bytes).map(|mut input| input.read_to_end(&mut plain));
        plain.retain(|byte| *byte != 0);
        let text = String::from_utf8_lossy(&plain);
        let ends =
            |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || "-. ".contains(c));
        let has =
            |line: &&str| text.match_indices(*line).any(|(at, _)| ends(&text[at + line.len()..]));
        self.failures.iter().any(has)
    }
}

/// What came of the mutations of a kind of capture.
#[derive(Default)]
struct Row {
    verdicts: BTreeMap<Verdict, u64>,
    false_passes: u64,
    panics: u64,
    slowest: Duration,
}

impl Row {
    fn add(&mut self, truth: &Truth, random: &mut Random, capture: &[u8]) {
        let mut bytes = capture.to_vec();
        (0..=random.below(4)).for_each(|_| random.mutate(&mut bytes));
        let start = Instant::now();
        match std::panic::catch_unwind(|| truth.judge(&bytes)) {
            Ok((verdict, is_false)) => {
                *self.verdicts.entry(verdict).or_default() += 1;
                self.false_passes += u64::from(is_false);
                if is_false {
                    println!("false pass: {:?}", String::from_utf8_lossy(&bytes));
                }
            }
            Err(_) => self.panics += 1,
        }
        self.slowest = self.slowest.max(start.elapsed());
    }

    fn print(&self, name: &str) {
        let of = |verdict| self.verdicts.get(&verdict).copied().unwrap_or_default();
        let Self { false_passes, panics, slowest, .. } = self;
        let all = self.verdicts.values().sum::<u64>() + panics;
        let [pass, fail, crash] = [Verdict::Pass, Verdict::Fail, Verdict::Crash].map(of);
        let slowest = slowest.as_secs_f64() * 1e3;
        println!(
            "| {name} | {all} | {pass} | {fail} | {crash} | {false_passes} | {panics} | {slowest:.1} ms |"
        );
    }
}

/// Mutates captures of every way and with every kind of boots. Gives a row for each way.
fn mutations(each: u64) -> impl Iterator<Item = (&'static str, Row)> {
    let (truth, mut random) = (Truth::new(), Random(1));
    WAYS.iter().map(move |(name, way)| {
        let mut row = Row::default();
        for log in boots() {
            let capture = way(&log);
            (0..each).for_each(|_| row.add(&truth, &mut random, &capture));
        }
        (*name, row)
    })
}

#[test]
fn mutated_captures_do_not_pass() {
    for (name, row) in mutations(20) {
        assert_eq!((row.false_passes, row.panics), (0, 0), "{name}");
    }
}

#[test]
#[ignore = "takes minutes, and prints a table"]
fn a_million_mutations() {
    println!("| capture | mutations | pass | fail | crash | false passes | panics | slowest |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut sum = Row::default();
    for (name, row) in mutations(1_000_000 / (WAYS.len() * boots().len()) as u64 + 1) {
        row.print(name);
        row.verdicts
            .iter()
            .for_each(|(verdict, count)| *sum.verdicts.entry(*verdict).or_default() += count);
        sum.false_passes += row.false_passes;
        sum.panics += row.panics;
        sum.slowest = sum.slowest.max(row.slowest);
    }
    sum.print("all");
    assert_eq!((sum.false_passes, sum.panics), (0, 0));
}
