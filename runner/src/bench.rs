//! `bench`: what the standard profile costs on Bochs. Measures and judges nothing but the log.

use std::fmt::Write;

use spec::log::Verdict;

use crate::cli::{L0, OnArgs};
use crate::exit_code::{Exit, Stop};
use crate::findings::Group;
use crate::judge::thousands;
use crate::output;
use crate::payload;
use crate::run::{What, execute};

/// Runs and prints the measurements.
///
/// # Errors
/// Bochs cannot be used, or standard output cannot be written.
pub fn bench() -> Result<Exit, Stop> {
    let on = OnArgs { l0: L0::Bochs, ..OnArgs::default() };
    let conclusion = execute(What { filter: "*", case: None }, &on, None)?;
    if conclusion.judgement.verdict != Verdict::Pass {
        return conclusion.publish(None);
    }
    let counts: Vec<_> = conclusion.findings.groups.iter().filter_map(Group::counts).collect();
    // The time stamp counter of Bochs counts instructions.
    let (cases, instructions): (u64, u64) = (counts.iter().map(|c| c.cases).sum(), counts.iter().map(|c| c.tsc).sum());
    let mut text = format!("standard profile on {}\n", conclusion.origin.l0);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:28} {value}");
    };
    row("cases", &thousands(cases));
    if let Some(seconds) = conclusion.measured.seconds {
        row("wall time", &format!("{seconds:.1} s"));
    }
    row("instructions per case", &tenths(instructions, cases));
    if let Some(all) = conclusion.measured.instructions {
        row("instructions from reset on", &thousands(all));
    }
    row("image", &format!("{} KiB", tenths(payload::L1_ELF.len() as u64, 1024)));
    row("guest memory", &format!("{} MiB", on.memory));
    output::text(&text)?;
    Ok(Exit::Pass)
}

/// A quotient with one decimal.
fn tenths(number: u64, by: u64) -> String {
    let tenths = number.saturating_mul(10) / by.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}
