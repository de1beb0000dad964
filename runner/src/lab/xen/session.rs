//! Runs one Xen with each of its command lines: a boot each. What the domains of a boot log is one
//! result.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use spec::catalogue::plan::Profile;
use spec::log::{CRC32, Verdict};

use super::layout::{Job, machine, read};
use crate::lab::collect::{Collected, Collector, SILENCE};
use crate::output::remark;
use crate::request::{Request, cmdline_on};
use crate::verdict::answer::mismatch_of_parts;
use crate::verdict::judge::Source;
use crate::verdict::result::{Column, Measured, Origin, RunResult};
use crate::verdict::subject::{Family, Product, Subject, version};
use crate::vmm::bochs::Bochs;
use crate::vmm::process::quote;
use crate::vmm::{End, Unavailable};

/// Xen's name on the command line.
pub const L0: &str = "xen";
/// Xen's options if none are given: each is a run of its own.
pub const MATRIX: [&str; 4] = ["", "ept=no-ad", "vpid=0", "hap_1gb=0 hap_2mb=0"];

/// What is to be done with a Xen.
pub struct Plan<'a> {
    /// The Bochs that Xen boots in.
    pub bochs: &'a Bochs,
    /// What is to run, and how.
    pub request: &'a Request,
    /// How much of each group.
    pub profile: Profile,
    /// Time limit of each boot.
    pub limit: Duration,
}

/// A Xen, ready to boot.
pub struct Ready {
    image: Vec<u8>,
    /// Its version. Only Xen itself is sure to know it: this is what the file's name says.
    name: String,
    /// Options that choose this Xen again, with a space before each.
    options: String,
}

/// Reads a Xen.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn prepare(xen: &Path, options: String) -> Result<Ready, Unavailable> {
    let name =
        xen.file_name().and_then(|name| name.to_str()?.strip_prefix("xen-")).unwrap_or_default();
    Ok(Ready { image: read(xen)?, name: name.into(), options })
}

impl Ready {
    /// Its checksum.
    pub fn checksum(&self) -> u32 {
        CRC32.checksum(&self.image)
    }

    /// What is under test with a command line.
    pub fn title(&self, bochs: &Bochs, line: &str) -> String {
        title(&self.name, line, bochs)
    }
}

/// What is under test: a release with a command line.
fn title(release: &str, line: &str, bochs: &Bochs) -> String {
    let (major, minor) = bochs.version();
    format!("Xen {release} with options {} in Bochs {major}.{minor}", shown(line))
}

fn shown(line: &str) -> &str {
    if line.is_empty() { "default" } else { line }
}

/// One boot.
///
/// # Errors
/// Bochs does not start, or the image's command line would be too long.
pub fn boot(plan: &Plan<'_>, ready: &Ready, line: &str) -> Result<RunResult, Unavailable> {
    let Ready { image, name, options } = ready;
    let Plan { bochs, request, profile, limit } = *plan;
    let subject = |release: &str| Subject {
        processor: Some(bochs.product()),
        host: Some(Product {
            family: Family::Xen,
            version: version(release),
            parameters: parameters(line),
        }),
    };
    let cmdline = cmdline_on(&request.cmdline(profile), &request.tables.asks(), &subject(name))?;
    let is_apart = request.xen.isolate && request.case.is_none() && !request.bench;
    let job = Job { line: &cmdline, isolate: request.xen.isolate, memory_mib: request.memory_mib };
    let machine = machine(image, line, &job)?;
    let (major, minor) = bochs.version();
    let shown = shown(line);
    remark(&format!("Xen boots in Bochs {major}.{minor}, options: {shown}"));
    let of_progress = (request.clone(), subject(name), format!("xen {name} {shown}"));
    let progress = Box::new(move |_: &str, _: &BTreeMap<String, String>| {
        of_progress.0.progress(profile, of_progress.1.clone(), &of_progress.2)
    });
    let mut collector = Collector::new(SILENCE, progress, request.verbose);
    let outcome = bochs.execute(&machine, limit, request.verbose, &mut collector)?;
    collector.finish();
    if collector.sets.is_empty() {
        collector.sets.push(Collected::lost(String::new()));
    }
    let effective = &collector.sets[0].effective;
    let release = effective.get("release").unwrap_or(name).clone();
    let origin = Origin {
        l0: title(&release, line, bochs),
        subject: subject(&release),
        options: format!(
            " --l0 {L0}{options} --xen-options {}{}{}{}",
            quote(line),
            if request.xen.isolate { " --isolate" } else { "" },
            request.bochs.options(),
            request.memory_option()
        ),
        tables: Arc::clone(&request.tables),
        // Each of several domains is asked for a part, and so is an isolated one.
        asked: (collector.sets.len() == 1 && !is_apart).then(|| request.cmdline(profile)),
        column: Some(Column {
            l0: L0.into(),
            host: "Xen".into(),
            release,
            set: shown.into(),
            in_force: format!(
                "{} of the guest",
                crate::verdict::judge::counted(collector.sets.len() as u64, "domain")
            ),
        }),
    };
    let measured = Measured {
        instructions: outcome.instructions,
        seconds: Some(collector.sets.iter().map(|set| set.seconds).sum()),
    };
    let stopped = collector.stopped().map(String::from);
    // The report says whose they are.
    let complaints = collector.complaints.text("");
    let ended = Ended { boot: &outcome.end, stopped: stopped.as_deref(), line: &cmdline };
    let mut result = join(collector.sets, &ended, request.strict, &origin, measured);
    result.trouble.extend(Some(complaints).filter(|complaints| !complaints.is_empty()));
    Ok(result)
}

/// How a boot ended.
struct Ended<'a> {
    boot: &'a End,
    /// Why it was stopped from outside, if it was.
    stopped: Option<&'a str>,
    /// The image's command line for all domains.
    line: &'a str,
}

/// Judges the domains of a boot as one.
fn join(
    domains: Vec<Collected>,
    &Ended { boot, stopped, line }: &Ended<'_>,
    strict: bool,
    origin: &Origin,
    measured: Measured,
) -> RunResult {
    let judged =
        |read, end| RunResult::new(read, Source::Run(end), strict, origin.clone(), measured);
    let (mut logs, mut raw, mut crash) = (Vec::new(), Vec::new(), None);
    for Collected { boots, raw: bytes, end, .. } in domains {
        // No domain is a skip.
        let end = end.of_guest(|| boot.clone()).unwrap_or_else(|_| boot.clone());
        raw.extend(bytes);
        for (findings, excess) in boots {
            let one = judged(
                (findings.clone(), excess.or_else(|| stopped.map(String::from))),
                end.clone(),
            );
            if one.judgement.verdict == Verdict::Crash && crash.is_none() {
                crash = Some(one.judgement);
            }
            logs.push(findings);
        }
    }
    // One that was asked for everything was held against that.
    let are_parts = origin.asked.is_none() && logs.iter().all(|log| log.skip.is_none());
    let mismatch =
        (are_parts && !logs.is_empty() && crash.is_none()).then(|| mismatch_of_parts(&logs, line));
    let all = logs.into_iter().reduce(|mut all, later| {
        all.join(later);
        all
    });
    let mut result = judged((all.unwrap_or_default(), mismatch.flatten()), boot.clone());
    result.raw = Some(raw);
    if let Some(crash) = crash {
        result.judgement = crash;
    }
    result
}

/// Xen's options as parameters: `vpid=0 hap_1gb=0` has two.
fn parameters(line: &str) -> BTreeMap<String, String> {
    let pairs = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}
