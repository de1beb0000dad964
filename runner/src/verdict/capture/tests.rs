//! Captures as people make them, of logs of a real run: `pass.log` and `fail.log` are Bochs'.

mod fuzz;
mod kinds;
mod ways;

use std::io::Read;

use super::unpack::{damage, unpacked};
use super::{Capture, Limits, Read as Boot};
use spec::log::Verdict;

/// A log in which every group passed.
const PASS: &str = include_str!("tests/pass.log");
/// A log with groups that failed.
const FAIL: &str = include_str!("tests/fail.log");

/// A log without its second half.
fn cut(log: &str) -> &str {
    &log[..log.len() / 2]
}

/// Reads a capture as `check` does.
fn read(bytes: &[u8]) -> Vec<Boot> {
    let mut capture = Capture::new(Limits::FILE);
    let mut input = unpacked(bytes).unwrap();
    let mut buffer = [0; 1000];
    while !capture.is_stopped() {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                capture.bytes(&buffer[..count], &mut |_, _| {});
            }
            Err(error) => capture.stop(damage(&error).unwrap()),
        }
    }
    capture.finish()
}

/// The verdict on a boot by the manual alone.
fn verdict((findings, stopped): &Boot) -> Verdict {
    if stopped.is_some() { Verdict::Crash } else { findings.verdict() }
}

fn verdicts(bytes: &[u8]) -> Vec<Verdict> {
    read(bytes).iter().map(verdict).collect()
}

/// Why a boot's log cannot be judged.
fn why((findings, stopped): &Boot) -> String {
    stopped.clone().or_else(|| findings.sound().err()).unwrap_or_default()
}
