//! `run` and `replay`: choose the host, boot, read the log as it comes, conclude.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::deviation::{Deviations, Host};

use crate::cli::{L0, OnArgs};
use crate::command;
use crate::host::{self, Chosen};
use crate::interrupt;
use crate::output::remark;
use crate::payload;
use crate::verdict::conclusion::{Conclusion, Origin};
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::intake::{Intake, Limits};
use crate::verdict::json::Measured;
use crate::verdict::judge::Source;
use crate::verdict::missed::Played;
use crate::verdict::progress::Progress;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::{Boot, Unavailable};

/// What is to run.
#[derive(Clone, Copy, Debug)]
pub struct What<'a> {
    /// Which groups.
    pub filter: &'a str,
    /// One case in place of groups.
    pub case: Option<Case>,
    /// What faults cost, in place of groups.
    pub bench: bool,
}

impl<'a> What<'a> {
    /// Groups, or one case.
    pub const fn groups(filter: &'a str, case: Option<Case>) -> Self {
        Self { filter, case, bench: false }
    }

    /// The image's options for it.
    pub fn options(self, profile: Profile) -> Options<'a> {
        Options { filter: self.filter, profile, case: self.case, bench: self.bench, ..Options::default() }
    }
}

/// Runs and reports.
///
/// # Errors
/// The options cannot be, or a file cannot be written. A host that cannot be used is a verdict: skip.
pub fn run(what: What<'_>, on: &OnArgs) -> Result<Exit, Stop> {
    check(what, on)?;
    if let Err(error) = interrupt::watch() {
        remark(&format!("a run that is interrupted may leave files behind: {error}"));
    }
    match on.l0 {
        L0::Lab => match command::lab::run(what, on) {
            Ok(exit) => exit,
            Err(unavailable) => Conclusion::unavailable(&unavailable, on.strict).publish(on.json.as_deref()),
        },
        L0::Auto if !on.names_bochs() => automatic(what, on),
        _ => one_boot(what, on),
    }
}

/// This machine's KVM if it offers nested VMX, else the lab if that can be had, else Bochs.
fn automatic(what: What<'_>, on: &OnArgs) -> Result<Exit, Stop> {
    let on_host = |l0| OnArgs { l0, ..on.clone() };
    let Err(no_kvm) = Kvm::open(KvmOptions::default()) else {
        remark("this machine's KVM offers nested VMX");
        return one_boot(what, &on_host(L0::Kvm));
    };
    remark(&format!("{}: the lab takes its place", no_kvm.why));
    match command::lab::run(what, &on_host(L0::Lab)) {
        Ok(exit) => exit,
        Err(no_lab) => {
            remark(&format!("{no_lab}; Bochs takes the host's place"));
            one_boot(what, &on_host(L0::Bochs))
        }
    }
}

/// One boot on one host.
fn one_boot(what: What<'_>, on: &OnArgs) -> Result<Exit, Stop> {
    let mut log = match &on.log {
        Some(path) => Some(File::create(path).map_err(|error| Stop::file("write", path, &error))?),
        None => None,
    };
    let conclusion = match execute(what, on, log.as_mut()) {
        Ok(conclusion) => conclusion,
        Err(unavailable) => Conclusion::unavailable(&unavailable, on.strict),
    };
    conclusion.publish(on.json.as_deref())
}

/// Refuses what cannot be before anything runs.
///
/// # Errors
/// Options that contradict each other, a file that cannot be written, or a pattern that no group matches.
pub fn check(what: What<'_>, on: &OnArgs) -> Result<(), Stop> {
    host::check(on)?;
    // A result that cannot be written is told before the run, not behind it.
    for path in [&on.log, &on.json].into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Stop::file("write", path, &ErrorKind::NotFound.into()));
        }
    }
    if Group::selected(what.filter, Profile::Standard).next().is_none() {
        let filter = what.filter;
        return Err(Stop::usage(format!("no group matches '{filter}': `maskmatch list` shows them all")));
    }
    Ok(())
}

/// Boots the image and reads its log to the end.
///
/// # Errors
/// The host cannot be used on this machine.
pub fn execute(what: What<'_>, on: &OnArgs, log: Option<&mut File>) -> Result<Conclusion, Unavailable> {
    let Chosen { vmm, host, options, why } = host::choose(on)?;
    let profile = on.profile_for(on.l0);
    if let Some(why) = why {
        remark(&format!("on {}: {why}", vmm.describe()));
    }
    let expected = Deviations::of(host);
    let cmdline = Options { known: expected, ..what.options(profile) }.to_string();
    let boot = Boot {
        elf: payload::L1_ELF,
        cmdline: &cmdline,
        memory_mib: on.memory,
        processors: processors(&what.options(profile)),
        limit: on.limit.unwrap_or_else(|| default_limit(profile, host)),
        verbose: on.verbose,
    };
    let progress =
        if what.case.is_some() || what.bench { Progress::none() } else { Progress::of_run(what.filter, profile) };
    let mut intake = Intake::new(Limits::RUN, log.map(|log| log as &mut dyn Write), progress);
    let start = Instant::now();
    let outcome = vmm.run(&boot, &mut intake);
    let seconds = start.elapsed().as_secs_f64();
    if let (Some(error), Some(path)) = (&intake.log_error, &on.log) {
        remark(&format!("the log in {} is incomplete: {error}", path.display()));
    }
    let read = intake.finish();
    let outcome = outcome?;
    let played = Played { profile, case: what.case, processor: Deviations::NONE };
    let origin = Origin { l0: vmm.describe(), options, expected, played };
    let measured = Measured { instructions: outcome.instructions, seconds: Some(seconds) };
    Ok(Conclusion::new(read, Source::Run(outcome.end), on.strict, origin, measured))
}

/// How many processors the guest must have for what is to run.
pub fn processors(options: &Options<'_>) -> u32 {
    let two = |group: &Group| matches!(group, Group::Smp(_));
    let of_groups = || Group::selected(options.filter, options.profile).any(|group| two(&group));
    let wanted = options.case.map_or_else(of_groups, |case| two(&case.group));
    if wanted { 2 } else { 1 }
}

/// Many times what a healthy host takes. Bochs runs nothing but emulated code.
pub fn default_limit(profile: Profile, host: Host) -> Duration {
    let minutes = match profile {
        Profile::Quick => 5,
        Profile::Standard => 30,
        Profile::Exhaustive => 120,
    };
    let factor = if matches!(host, Host::Bochs { .. }) { 2 } else { 1 };
    Duration::from_secs(60 * minutes * factor)
}
