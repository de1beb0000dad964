//! `maskmatch lab`: every kernel with every parameter set, each result kept, whatever happens to the others.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use spec::catalogue::options::Options;
use spec::log::Verdict;

use super::boot_params;
use super::cmdline;
use super::collect::{Collected, Collector, SetEnd, Trouble};
use super::initramfs;
use super::inside::Wanted;
use super::kernel::{self, Kernel, Request};
use super::known;
use super::modules::{self, Module};
use super::params::{self, ParamSet};
use super::qemu::Packed;
use super::vmlinux;
use crate::debian;
use crate::interrupt;
use crate::output::remark;
use crate::verdict::conclusion::{Conclusion, Origin};
use crate::verdict::json::Measured;
use crate::verdict::judge::Source;
use crate::verdict::missed::Played;
use crate::verdict::progress::Progress;
use crate::vmm::bochs::Bochs;
use crate::vmm::bochs::machine::{Entry, Machine, Serial};
use crate::vmm::process::quote;
use crate::vmm::{End, Unavailable};

/// RAM of the machine that Linux runs in.
const MEMORY_MIB: u32 = 256;
/// With QEMU in it, whose libraries alone are 60 MiB.
const MEMORY_WITH_QEMU_MIB: u32 = 768;
/// A kernel that says nothing for so long hangs: the slowest group has a heartbeat every few seconds.
const SILENCE: Duration = Duration::from_mins(3);

/// What the lab is to do.
pub struct Plan<'a> {
    /// The image's options but for the known deviations.
    pub options: Options<'a>,
    /// RAM of the guest under test.
    pub memory_mib: u32,
    /// Parameter sets, in order.
    pub sets: Vec<ParamSet>,
    /// The QEMU that boots the image inside; without one, the built-in VMM does.
    pub qemu: Option<Packed>,
    /// Time limit of each boot of a kernel.
    pub limit: Duration,
    /// Whether known deviations are failures.
    pub strict: bool,
    /// Whether to echo the command line of Bochs.
    pub verbose: bool,
    /// Options that choose the same Bochs again, with a space in front of each.
    pub bochs_options: String,
}

/// One kernel with one parameter set.
pub struct SetResult {
    /// The kernel's release.
    pub kernel: String,
    /// The set as it prints.
    pub set: String,
    /// The parameters in force.
    pub effective: Vec<(String, String)>,
    /// The verdict and what it is made of.
    pub conclusion: Conclusion,
    /// The raw serial log.
    pub raw: Vec<u8>,
    /// What L0's kernel said that shows it in trouble.
    pub trouble: Vec<Trouble>,
}

/// One kernel, ready to boot.
struct Ready {
    release: String,
    /// Options that choose this kernel again, with a space in front.
    options: String,
    image: PathBuf,
    unpacked: Option<PathBuf>,
    modules: Vec<Module>,
    init: Vec<u8>,
}

/// Runs all sets on one kernel. A boot that ends early is followed by another for the sets that are left.
///
/// # Errors
/// The kernel cannot be had, or the lab not started at all.
pub fn run(bochs: &Bochs, request: &Request, plan: &Plan<'_>) -> Result<Vec<SetResult>, Unavailable> {
    let ready = prepare(request)?;
    let mut results = Vec::new();
    let mut left = plan.sets.clone();
    while !left.is_empty() && !interrupt::pending() {
        let done = boot(bochs, &ready, plan, &left)?;
        // Without any result a second boot would end the same way.
        let stuck = done.is_empty();
        left.drain(..done.len().min(left.len()));
        results.extend(done);
        if stuck {
            break;
        }
        if !left.is_empty() && !interrupt::pending() {
            remark("the lab boots again for the parameter sets that are left");
        }
    }
    Ok(results)
}

fn prepare(request: &Request) -> Result<Ready, Unavailable> {
    let cache = debian::cache_folder()?;
    let Kernel { label, release, image, modules, kvm_intel, unpacked } =
        kernel::obtain(request, &cache, &mut |stage| remark(stage))?;
    let modules = modules::gather(&modules, kvm_intel.as_deref())?;
    let init = std::env::current_exe()
        .and_then(std::fs::read)
        .map_err(|error| Unavailable::failed("read maskmatch's own executable", error))?;
    Ok(Ready { release, options: kernel_options(request, &label), image, unpacked, modules, init })
}

/// Options that choose the same kernel and module again, with a space in front of each.
fn kernel_options(request: &Request, label: &str) -> String {
    let own =
        [("--kernel-image", &request.image), ("--modules", &request.modules), ("--kvm-intel", &request.kvm_intel)];
    let own = own.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?.to_string_lossy())));
    let mut options = if request.image.is_some() { String::new() } else { format!(" --kernel {label}") };
    for (option, path) in own {
        let _ = write!(options, " {option} {}", quote(&path));
    }
    options
}

/// One boot of the kernel with these sets: their results as far as it came, one at least if any was begun.
fn boot(bochs: &Bochs, ready: &Ready, plan: &Plan<'_>, sets: &[ParamSet]) -> Result<Vec<SetResult>, Unavailable> {
    let (major, minor) = bochs.version();
    let qemu = plan.qemu.as_ref();
    let wanted = Wanted {
        cmdline: plan.options.to_string(),
        memory_mib: plan.memory_mib,
        bochs: (major, minor),
        qemu: qemu.map(|qemu| qemu.program.clone()),
    };
    let (args, extra) = (wanted.to_args(), qemu.map_or(&[][..], |qemu| &qemu.files));
    let initramfs = initramfs::build(&ready.init, &ready.modules, sets, &params::always(major), &args, extra)
        .map_err(|error| Unavailable::failed("build the lab's initramfs", error))?;
    let lab_memory_mib = if qemu.is_some() { MEMORY_WITH_QEMU_MIB } else { MEMORY_MIB };
    let vmlinux = vmlinux::open(&ready.image, ready.unpacked.as_deref())?;
    let image =
        boot_params::lay_out(vmlinux, initramfs, &cmdline::command_line(bochs.has_sound_xsaves(), ""), lab_memory_mib)?;
    let machine = Machine {
        memory_mib: lab_memory_mib,
        processors: 1,
        ips: cmdline::IPS,
        blobs: image.blobs,
        entry: Entry::Linux64 { entry: image.entry, boot_params: image.boot_params },
        serial: Serial::PortE9,
    };
    remark(&format!("Linux {} boots in Bochs {major}.{minor}", ready.release));
    if let Some(why) = bochs.kills_linux() {
        remark(&format!("Linux is known to die in Bochs {major}.{minor}: {why}; `--bochs trixie` has a sound one"));
    }
    let (filter, profile) = (plan.options.filter.to_string(), plan.options.profile);
    let alone = plan.options.case.is_some() || plan.options.bench;
    let progress = move || if alone { Progress::none() } else { Progress::of_run(&filter, profile) };
    let mut collector = Collector::new(SILENCE, Box::new(progress), plan.verbose);
    let outcome = bochs.execute(&machine, plan.limit, plan.verbose, &mut collector)?;
    collector.finish();
    if let Some(instructions) = outcome.instructions {
        remark(&format!("the lab is over after {} million instructions", instructions / 1_000_000));
    }
    let why = why_it_ended(&outcome.end, &collector);
    let (on, chosen) = match qemu {
        Some(qemu) => (format!("QEMU {} on ", qemu.version), " --vmm qemu"),
        None => (String::new(), ""),
    };
    let l0 = |set: &str| format!("{on}KVM of Linux {} with {set} in Bochs {major}.{minor}", ready.release);
    let mut results: Vec<SetResult> = Vec::new();
    for collected in std::mem::take(&mut collector.sets) {
        let origin = Origin {
            l0: l0(&collected.set),
            options: format!(" --l0 lab{} --param '{}'{chosen}{}", ready.options, collected.set, plan.bochs_options),
            expected: known::of_kvm(&ready.release, &collected.effective),
            played: Played {
                profile: plan.options.profile,
                case: plan.options.case,
                processor: known::of_processor((major, minor)),
            },
        };
        let measured = Measured { instructions: Some(collected.instructions), seconds: Some(collected.seconds) };
        results.push(conclude(collected, &ready.release, &why, plan.strict, origin, measured));
    }
    if results.is_empty() {
        let Some(first) = sets.first() else { return Ok(results) };
        let set = first.to_string();
        let origin = Origin { l0: l0(&set), ..Origin::default() };
        let source = Source::Run(End::Crashed(why));
        let conclusion = Conclusion::new(<_>::default(), source, plan.strict, origin, Measured::default());
        results.push(SetResult {
            kernel: ready.release.clone(),
            set,
            effective: Vec::new(),
            conclusion,
            raw: Vec::new(),
            trouble: Vec::new(),
        });
    }
    Ok(results)
}

/// The boot's end as a sentence, for the set that it cut off.
fn why_it_ended(end: &End, collector: &Collector) -> String {
    let mut why = match (collector.stopped(), end) {
        (Some(stopped), _) => stopped.to_string(),
        (None, End::PoweredOff) => "the lab powered off".into(),
        (None, End::Crashed(how)) => format!("the lab's machine crashed: {how}"),
        (None, End::TimedOut(limit)) => format!("the time limit of {} s was reached", limit.as_secs_f64()),
        (None, End::Stopped) => "the lab was interrupted".into(),
    };
    for complaint in &collector.complaints {
        why.push_str("; ");
        why.push_str(complaint);
    }
    why
}

fn conclude(
    collected: Collected,
    release: &str,
    why: &str,
    strict: bool,
    origin: Origin,
    measured: Measured,
) -> SetResult {
    let Collected { set, effective, read, raw, end, trouble, .. } = collected;
    let kernel = release.to_string();
    let mut conclusion = match end {
        SetEnd::Skipped(reason) => {
            let mut skipped = Conclusion::unavailable(&Unavailable::new(reason, ""), strict);
            skipped.origin = origin;
            skipped
        }
        SetEnd::Ran(None) => Conclusion::new(read, Source::Run(End::PoweredOff), strict, origin, measured),
        SetEnd::Ran(Some(failure)) => {
            Conclusion::new(read, Source::Run(End::Crashed(failure)), strict, origin, measured)
        }
        SetEnd::Lost => Conclusion::new(read, Source::Run(End::Crashed(why.into())), strict, origin, measured),
    };
    if let Some(first) = trouble.first()
        && conclusion.judgement.verdict < Verdict::Fail
    {
        conclusion.judgement.verdict = Verdict::Fail;
        conclusion.judgement.sentence = format!("L0's kernel is in trouble: {first}");
    }
    SetResult { kernel, set, effective, conclusion, raw, trouble }
}

#[cfg(test)]
mod tests {
    use super::{Request, kernel_options};

    #[test]
    fn the_kernel_is_chosen_again_by_the_same_options() {
        let request = Request::default();
        assert_eq!(kernel_options(&request, "bookworm"), " --kernel bookworm");
        let swapped = Request { kvm_intel: Some("/x/kvm intel.ko".into()), ..Request::default() };
        assert_eq!(kernel_options(&swapped, "6.1"), " --kernel 6.1 --kvm-intel '/x/kvm intel.ko'");
        let own = Request { image: Some("/b/bzImage".into()), modules: Some("/b/m".into()), ..Request::default() };
        assert_eq!(kernel_options(&own, "bzImage"), " --kernel-image /b/bzImage --modules /b/m");
    }
}
