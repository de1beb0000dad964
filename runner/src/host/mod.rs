//! The hosts under test, and how one is chosen.
//!
//! To add a host: write a file here with its [`Kind`], and add a row to [`TABLE`]. The command
//! line, `doctor`, report and JSON follow. A host that boots the image once is a [`boot::OneBoot`].
//!
//! Known deviations depend on a result's [`Subject`](crate::verdict::subject::Subject); a new
//! family of products is a variant of [`Family`](crate::verdict::subject::Family). Options that
//! only the new host has need a variant of [`Takes`], a field of [`Request`], and their lines in
//! `cli`.

pub mod bochs;
mod boot;
mod kind;
mod kvm;
pub mod lab;
pub mod parallel;
mod qemu;
pub mod virtualbox;
pub mod xen;

pub use kind::{Kind, Takes};

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
        results.push(RunResult::unavailable(
            &Unavailable::new("interrupted before anything ran", ""),
            request.strict,
        ));
    }
    Ok(results)
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
    match (kind.find)(request) {
        Ok(host) => {
            found();
            Ok(host.run(request))
        }
        Err(unavailable) if unavailable.is_usage => Err(unavailable.into()),
        Err(unavailable) => Ok(vec![RunResult::unavailable(&unavailable, request.strict)]),
    }
}
