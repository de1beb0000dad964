//! `bench`: what a page fault costs on a host, and on Bochs what a profile costs. Judges only the
//! log.

mod prices;

use std::fmt::Write;
use std::slice::from_ref;

use spec::catalogue::options::Options;
use spec::log::Verdict;
use spec::log::cost::{FAULTS, WALKS};

use crate::host::{self, Choice};
use crate::payload;
use crate::request::Request;
use crate::results::publish::Outputs;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::Group;
use crate::verdict::judge::thousands;
use crate::verdict::report;
use crate::verdict::result::RunResult;

/// Runs and prints the measurements.
///
/// # Errors
/// The options contradict each other, or a file or standard output cannot be written.
pub fn bench(choices: &[Choice], request: &Request) -> Result<Exit, Stop> {
    let bochs = [Choice::This(&host::bochs::KIND)];
    if request.profile.is_some() && choices != bochs {
        return Err(Stop::usage(
            "bench runs a profile only on Bochs: leave out --profile, or add --l0 bochs",
        ));
    }
    let prices = host::run(choices, &Request { bench: true, ..request.clone() })?;
    let mut text = String::new();
    if let [one] = &prices[..]
        && one.origin.subject.host.is_none()
        && one.origin.subject.counts_instructions()
    {
        let without_log = Outputs { log: None, ..request.outputs.clone() };
        let of_profile = Request { outputs: without_log, ..request.clone() };
        let groups = host::run(&bochs, &of_profile)?;
        if let [groups] = &groups[..]
            && is_passed(groups)
        {
            profile(&mut text, groups, request.memory_mib);
        } else {
            return of_profile.outputs.publish(&report::text(&groups), &groups);
        }
    }
    for result in &prices {
        text += &if is_passed(result) { prices_of(result) } else { report::text(from_ref(result)) };
    }
    request.outputs.publish(&text, &prices)
}

fn is_passed(result: &RunResult) -> bool {
    result.judgement.verdict == Verdict::Pass
}

/// What a profile costs on Bochs, whose time stamp counter counts instructions.
fn profile(text: &mut String, result: &RunResult, memory_mib: u32) {
    let counts: Vec<_> = result.findings.groups.iter().filter_map(Group::counts).collect();
    let (cases, instructions): (u64, u64) =
        (counts.iter().map(|c| c.cases).sum(), counts.iter().map(|c| c.tsc).sum());
    let line = result.findings.image_options();
    let profile = Options::parse(&line).unwrap_or_default().profile;
    let _ = writeln!(text, "{} profile on {}", profile.name(), result.origin.l0);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:28} {value}");
    };
    row("cases", &thousands(cases));
    if let Some(seconds) = result.measured.seconds {
        row("wall time", &format!("{seconds:.1} s"));
    }
    row("instructions per case", &tenths(instructions, cases));
    if let Some(all) = result.measured.instructions {
        row("instructions from reset on", &thousands(all));
    }
    row("image", &format!("{} KiB", tenths(payload::L1_ELF.len() as u64, 1024)));
    row("guest memory", &format!("{memory_mib} MiB"));
    text.push('\n');
}

/// The prices with what they mean.
fn prices_of(result: &RunResult) -> String {
    let l0 = &result.origin.l0;
    let unit = if result.origin.subject.counts_instructions() {
        "instructions"
    } else {
        "ticks of the time stamp counter"
    };
    format!(
        "page faults of L2 on {l0}\n{}\n\
         One fault of each kind: the 18 error codes without PK, SS, HLAT and SGX, those with RSVD by two bits. \
         {FAULTS} of them in a walk,\nthe cheapest of {WALKS} walks less one without faults. each: {unit} for one \
         fault. L0: VM exits that L0 takes for it.\nunseen: kinds that L0 takes no exit for. all: one fault of each \
         kind.\n\n",
        prices::table(&result.findings.prices),
    )
}

/// A quotient with one decimal.
fn tenths(number: u64, by: u64) -> String {
    let tenths = number.saturating_mul(10) / by.max(1);
    format!("{}.{}", thousands(tenths / 10), tenths % 10)
}
