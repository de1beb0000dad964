//! The hosts under test, and how one is chosen.
//!
//! To add a host: write a file here with its [`Kind`], and add a row to [`TABLE`]. The command
//! line, `doctor`, report and JSON follow. A host that boots the image once is a [`boot::OneBoot`];
//! one with versions and parameter sets has [`versions::Versions`]. What a host has is cut into
//! [`jobs`], which are shared out and run several at a time.
//!
//! Known deviations depend on a result's [`Subject`](crate::verdict::subject::Subject); a new
//! family of products is a variant of [`Family`](crate::verdict::subject::Family). Options that
//! only the new host has need a variant of [`Takes`], a field of [`Request`], and their lines in
//! `cli`.

pub mod bochs;
mod boot;
mod cost;
mod jobs;
mod kind;
mod kvm;
pub mod lab;
pub mod parallel;
mod qemu;
mod versions;
pub mod virtualbox;
pub mod xen;

pub use jobs::Planned;
pub use kind::{Kind, Takes};

use jobs::Jobs;

use crate::interrupt;
use crate::output::remark;
use crate::request::Request;
use crate::verdict::exit_code::Stop;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;

/// All kinds of hosts.
pub const TABLE: [&Kind; 6] =
    [&kvm::KIND, &qemu::KIND, &lab::KIND, &xen::KIND, &virtualbox::KIND, &bochs::KIND];

/// The kinds to try if none is asked for, the best first.
const BEST: [&Kind; 3] = [&kvm::KIND, &lab::KIND, &bochs::KIND];

/// Which host is tested.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Choice {
    /// The best one on this machine.
    #[default]
    Best,
    /// One of this kind.
    This(&'static Kind),
}

/// Finds the hosts and runs what is asked for, one after the other. A host that cannot be used is also
/// a result.
///
/// # Errors
/// The command line, or a file that it names, cannot be used. Then nothing was booted.
pub fn run(choices: &[Choice], request: &Request) -> Result<Vec<RunResult>, Stop> {
    if let Err(error) = interrupt::watch() {
        remark(&format!("a run that is interrupted may leave files: {error}"));
    }
    let mut results = Vec::new();
    for choice in choices.iter().take_while(|_| !interrupt::pending()) {
        results.extend(match choice {
            Choice::This(kind) => run_on(kind, request, || {})?,
            Choice::Best => best(request)?,
        });
    }
    if results.is_empty() {
        let why = if interrupt::pending() {
            "interrupted before anything ran"
        } else {
            "this part of the run has no group"
        };
        results.push(RunResult::unavailable(&Unavailable::new(why, ""), request.strict));
    }
    Ok(results)
}

/// The jobs of the hosts, which would run.
///
/// # Errors
/// As [`run`], or a host is not available.
pub fn plan(choices: &[Choice], request: &Request) -> Result<Vec<Planned>, Stop> {
    let mut planned = Vec::new();
    for choice in choices {
        let Choice::This(kind) = choice else {
            return Err(Stop::usage("a plan is of a host that is named: add --l0"));
        };
        let host = (kind.find)(request)?;
        planned.extend(Jobs::of(kind, &*host, request).planned(kind));
    }
    Ok(planned)
}

/// Runs on the best host; one on which nothing could be run gives way to the next.
fn best(request: &Request) -> Result<Vec<RunResult>, Stop> {
    let mut results: Vec<RunResult> = Vec::new();
    for kind in BEST {
        // The last one's reason is the verdict.
        for result in &results {
            remark(&result.judgement.sentence);
        }
        results = run_on(kind, request, || remark(&format!("the host is {}", kind.title)))?;
        if interrupt::pending() || results.iter().any(RunResult::is_available) {
            break;
        }
        for result in &mut results {
            let sentence = &mut result.judgement.sentence;
            *sentence = format!("{} cannot be used: {sentence}", kind.title);
        }
    }
    Ok(results)
}

/// Runs on a host of a kind; `found` is called when there is one.
fn run_on(kind: &Kind, request: &Request, found: impl FnOnce()) -> Result<Vec<RunResult>, Stop> {
    let host = match (kind.find)(request) {
        Ok(host) => host,
        Err(unavailable) if unavailable.is_usage => return Err(unavailable.into()),
        Err(unavailable) => return Ok(vec![RunResult::unavailable(&unavailable, request.strict)]),
    };
    found();
    let mut results = Jobs::of(kind, &*host, request).run(kind, &*host, request)?;
    if results.iter().any(RunResult::is_available) {
        // The table does not say why.
        let missing = results.iter().filter(|result| !result.is_available());
        missing.for_each(|result| remark(&result.judgement.sentence));
    } else {
        // Where nothing ran, one reason is enough.
        results.truncate(1);
    }
    Ok(results)
}
