//! `maskmatch lab`: from the command line to the table, the JSON and the exit code.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use spec::catalogue::plan::Profile;
use spec::deviation::Host;
use spec::log::Verdict;

use crate::cli::{L0, LabVmm, OnArgs};
use crate::command::run::{What, default_limit};
use crate::host;
use crate::interrupt;
use crate::lab::kernel::Request;
use crate::lab::params;
use crate::lab::qemu;
use crate::lab::session::{self, Plan, SetResult};
use crate::lab::table;
use crate::output::{self, remark};
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::json::Document;
use crate::vmm::Unavailable;
use crate::vmm::bochs::DefaultModel;
use crate::vmm::qemu::Accel;

/// Runs all kernels with all parameter sets. The outer error is that nothing could be run at all; the inner one,
/// that a result cannot be written.
///
/// # Errors
/// No kernel can be had, or Bochs (or QEMU, if it is wanted) cannot be used.
pub fn run(what: What<'_>, on: &OnArgs) -> Result<Result<Exit, Stop>, Unavailable> {
    let (results, missing) = execute(what, on)?;
    let text = table::text(&results, on.strict);
    Ok(publish(&text, &results, missing.as_ref(), on))
}

/// Runs all kernels with all parameter sets: what came of them, and the first kernel that could not be had.
///
/// # Errors
/// As [`run`].
pub fn execute(what: What<'_>, on: &OnArgs) -> Result<(Vec<SetResult>, Option<Unavailable>), Unavailable> {
    let bochs = host::find_bochs(on, DefaultModel::Plain)?;
    let (major, minor) = bochs.version();
    let profile = on.profile_for(L0::Lab);
    let sets =
        if on.lab.params.is_empty() { params::matrix(profile == Profile::Exhaustive) } else { on.lab.params.clone() };
    // A boot runs all sets one after the other.
    let limit = default_limit(profile, Host::Bochs { major, minor }) * u32::try_from(sets.len()).unwrap_or(u32::MAX);
    let qemu = match on.lab.vmm {
        LabVmm::Kvm => None,
        // Here it only has to start: the KVM is inside.
        LabVmm::Qemu => Some(qemu::pack(&host::find_qemu(Accel::Tcg)?)?),
    };
    let plan = Plan {
        options: what.options(profile),
        memory_mib: on.memory,
        sets,
        qemu,
        limit: on.limit.unwrap_or(limit),
        strict: on.strict,
        verbose: on.verbose,
        bochs_options: host::bochs_options(on),
    };
    let mut results = Vec::new();
    let mut missing: Option<Unavailable> = None;
    for request in requests(on) {
        if interrupt::pending() {
            break;
        }
        match session::run(&bochs, &request, &plan) {
            Ok(more) => results.extend(more),
            Err(unavailable) => {
                remark(&unavailable.to_string());
                missing.get_or_insert(unavailable);
            }
        }
    }
    match missing {
        Some(missing) if results.is_empty() => Err(missing),
        missing => Ok((results, missing)),
    }
}

/// One request for each kernel.
fn requests(OnArgs { lab, refresh, .. }: &OnArgs) -> Vec<Request> {
    let request = |kernel: Option<String>| Request {
        kernel,
        image: lab.kernel_image.clone(),
        modules: lab.modules.clone(),
        kvm_intel: lab.kvm_intel.clone(),
        refresh: *refresh,
    };
    if lab.kernel.is_empty() {
        return vec![request(None)];
    }
    lab.kernel.iter().map(|kernel| request(Some(kernel.clone()))).collect()
}

/// Prints the text and writes the files. A kernel that could not be had spoils a pass: it was asked for.
///
/// # Errors
/// A file or standard output cannot be written.
pub fn publish(text: &str, results: &[SetResult], missing: Option<&Unavailable>, on: &OnArgs) -> Result<Exit, Stop> {
    output::text(text)?;
    let verdict = match table::worst(results) {
        Verdict::Pass if missing.is_some() => Verdict::Skip,
        verdict => verdict,
    };
    if let Some(missing) = missing {
        output::text(&format!("maskmatch: {verdict}: a kernel is missing: {missing}\n"))?;
    }
    if let Some(path) = &on.log {
        write_logs(path, results)?;
    }
    if let Some(path) = &on.json {
        write_json(path, results, verdict, on.strict)?;
    }
    Ok(verdict.into())
}

/// One raw log is FILE; of several, each is FILE.N, counted from 1 in the order of the table.
fn write_logs(path: &Path, results: &[SetResult]) -> Result<(), Stop> {
    for (number, result) in (1..).zip(results) {
        let mut name = path.as_os_str().to_owned();
        if results.len() > 1 {
            name.push(format!(".{number}"));
        }
        let path = Path::new(&name);
        std::fs::write(path, &result.raw).map_err(|error| Stop::file("write", path, &error))?;
    }
    Ok(())
}

/// The lab's result as JSON: one document as [`crate::verdict::json`] describes for each kernel and parameter set.
#[derive(Serialize)]
struct LabDocument<'a> {
    l0: &'static str,
    verdict: &'static str,
    exit_code: u8,
    results: Vec<LabResult<'a>>,
}

#[derive(Serialize)]
struct LabResult<'a> {
    kernel: &'a str,
    params: &'a str,
    in_force: BTreeMap<&'a str, &'a str>,
    kernel_trouble: Vec<String>,
    #[serde(flatten)]
    document: Document<'a>,
}

fn write_json(path: &Path, results: &[SetResult], verdict: Verdict, strict: bool) -> Result<(), Stop> {
    let results = results.iter().map(|result| {
        let conclusion = &result.conclusion;
        let (l0, measured) = (&conclusion.origin.l0, conclusion.measured);
        LabResult {
            kernel: &result.kernel,
            params: &result.set,
            in_force: result.effective.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            kernel_trouble: result.trouble.iter().map(ToString::to_string).collect(),
            document: Document::new(
                &conclusion.findings,
                &conclusion.judgement,
                &conclusion.source,
                strict,
                l0,
                measured,
            ),
        }
    });
    let exit_code = Exit::from(verdict) as u8;
    let document = LabDocument { l0: "lab", verdict: verdict.name(), exit_code, results: results.collect() };
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    std::fs::write(path, text).map_err(|error| Stop::file("write", path, &error))
}
