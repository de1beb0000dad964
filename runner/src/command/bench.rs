//! `bench`: what a page fault costs on a host, and on Bochs what a profile costs. Judges nothing but the log.

mod prices;

use std::fmt::Write;

use spec::log::Verdict;
use spec::log::cost::{FAULTS, WALKS};

use crate::cli::{L0, OnArgs};
use crate::command;
use crate::command::run::{What, check, execute};
use crate::lab::session::SetResult;
use crate::output::{self, remark};
use crate::payload;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::Group;
use crate::verdict::judge::thousands;
use crate::vmm::Unavailable;
use crate::vmm::kvm::{Kvm, KvmOptions};

/// Faults in place of groups.
const PRICES: What<'_> = What { filter: "*", case: None, bench: true };

/// Runs and prints the measurements.
///
/// # Errors
/// The options cannot be, or a file or standard output cannot be written.
pub fn bench(on: &OnArgs) -> Result<Exit, Stop> {
    let automatic = || if Kvm::open(KvmOptions::default()).is_ok() { L0::Kvm } else { L0::Lab };
    let asked_for = on.l0 != L0::Auto;
    let l0 = if asked_for { on.l0 } else { automatic() };
    let on = OnArgs { l0, ..on.clone() };
    check(PRICES, &on)?;
    if on.profile.is_some() && l0 != L0::Bochs {
        return Err(Stop::usage("bench runs a profile on Bochs alone: leave out --profile, or add --l0 bochs"));
    }
    let done = match l0 {
        L0::Lab => in_lab(&on).or_else(|no_lab| {
            if !asked_for {
                remark(&format!("{no_lab}; Bochs takes the host's place"));
                return one_boot(&OnArgs { l0: L0::Bochs, ..on.clone() });
            }
            Err(no_lab)
        }),
        _ => one_boot(&on),
    };
    done.unwrap_or_else(|unavailable| Conclusion::unavailable(&unavailable, on.strict).publish(on.json.as_deref()))
}

/// The prices on each kernel with each parameter set.
fn in_lab(on: &OnArgs) -> Result<Result<Exit, Stop>, Unavailable> {
    let (results, missing) = command::lab::execute(PRICES, on)?;
    let text: String = results.iter().map(|SetResult { conclusion, .. }| prices_of(conclusion)).collect();
    Ok(command::lab::publish(&text, &results, missing.as_ref(), on))
}

/// The prices on one host, and on Bochs a profile.
fn one_boot(on: &OnArgs) -> Result<Result<Exit, Stop>, Unavailable> {
    let mut text = String::new();
    if on.l0 == L0::Bochs {
        let conclusion = execute(What::groups("*", None), on, None)?;
        if conclusion.judgement.verdict != Verdict::Pass {
            return Ok(conclusion.publish(on.json.as_deref()));
        }
        profile(&mut text, &conclusion, on);
    }
    let mut log = None;
    if let Some(path) = &on.log {
        match std::fs::File::create(path) {
            Ok(file) => log = Some(file),
            Err(error) => return Ok(Err(Stop::file("write", path, &error))),
        }
    }
    let conclusion = execute(PRICES, on, log.as_mut())?;
    if conclusion.judgement.verdict != Verdict::Pass {
        return Ok(conclusion.publish(on.json.as_deref()));
    }
    text += &prices_of(&conclusion);
    let written = on.json.as_deref().map_or(Ok(()), |path| conclusion.write_json(path));
    Ok(output::text(&text).and(written).map(|()| Exit::Pass))
}

/// What a profile costs on Bochs.
fn profile(text: &mut String, conclusion: &Conclusion, on: &OnArgs) {
    let counts: Vec<_> = conclusion.findings.groups.iter().filter_map(Group::counts).collect();
    // The time stamp counter of Bochs counts instructions.
    let (cases, instructions): (u64, u64) = (counts.iter().map(|c| c.cases).sum(), counts.iter().map(|c| c.tsc).sum());
    let _ = writeln!(text, "{} profile on {}", on.profile_for(L0::Bochs).name(), conclusion.origin.l0);
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
    text.push('\n');
}

/// The prices with what they mean; where the run did not pass, the report in their place.
fn prices_of(conclusion: &Conclusion) -> String {
    if conclusion.judgement.verdict != Verdict::Pass {
        return conclusion.report() + "\n";
    }
    let l0 = &conclusion.origin.l0;
    let unit = if l0.contains("Bochs") { "instructions" } else { "ticks of the time stamp counter" };
    format!(
        "page faults of L2 on {l0}\n{}\nOne fault of each kind: the 18 error codes without PK, SS, HLAT and SGX, those with RSVD by two bits. {FAULTS} of them in \
         a walk,\nthe cheapest of {WALKS} walks less one without faults. each: {unit} for one fault. L0: VM exits that L0 takes for it.\nunseen: kinds that \
         L0 takes no exit for. all: one fault of each kind.\n\n",
        prices::table(&conclusion.findings.prices),
    )
}

/// A quotient with one decimal.
fn tenths(number: u64, by: u64) -> String {
    let tenths = number.saturating_mul(10) / by.max(1);
    format!("{}.{}", thousands(tenths / 10), tenths % 10)
}
