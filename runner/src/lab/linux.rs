//! A boot of Linux in Bochs with this executable as process 1, whatever that is to do there, and
//! what the boot's sets come to.

use std::iter::once;
use std::time::Duration;

use super::boot_params;
use super::cmdline;
use super::collect::{Collected, Collector};
use super::initramfs::{self, Extra};
use super::kernel::Kernel;
use super::libraries::libraries;
use super::vmlinux;
use crate::interrupt;
use crate::output::remark;
use crate::verdict::judge::Source;
use crate::verdict::result::{Measured, Origin, RunResult};
use crate::vmm::bochs::Bochs;
use crate::vmm::bochs::machine::{Machine, Serial};
use crate::vmm::bochs::rom::Entry;
use crate::vmm::{End, Unavailable};

/// A kernel in its machine.
pub struct Linux<'a> {
    /// The Bochs that it boots in.
    pub bochs: &'a Bochs,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The parameters of a KVM that is part of the kernel.
    pub of_kvm: &'a str,
    /// RAM of the machine.
    pub memory_mib: u32,
    /// Time limit of the boot.
    pub limit: Duration,
    /// Whether to echo what is started.
    pub verbose: bool,
}

impl Linux<'_> {
    /// Boots it with an initramfs. Returns why it ended, for the set that it cut off. If it said
    /// nothing of any set, that is the `first`.
    ///
    /// # Errors
    /// The kernel does not fit the machine, or Bochs does not start.
    pub fn boot(
        &self,
        initramfs: Vec<u8>,
        first: Option<&impl ToString>,
        collector: &mut Collector,
    ) -> Result<String, Unavailable> {
        let Self { bochs, kernel, of_kvm, memory_mib, limit, verbose } = *self;
        let vmlinux = vmlinux::open(&kernel.image, kernel.unpacked.as_deref())?;
        let cmdline = cmdline::command_line(bochs.has_sound_xsaves(), of_kvm);
        let image = boot_params::lay_out(vmlinux, initramfs, &cmdline, memory_mib)?;
        let machine = Machine {
            memory_mib,
            processors: 1,
            ips: cmdline::IPS,
            blobs: image.blobs,
            entry: Entry::Linux64 { entry: image.entry, boot_params: image.boot_params },
            serial: Serial::PortE9,
            tables: Vec::new(),
        };
        let (major, minor) = bochs.version();
        remark(&format!("Linux {} boots in Bochs {major}.{minor}", kernel.release));
        if let Some(why) = bochs.kills_linux() {
            remark(&format!(
                "Linux is known to die in Bochs {major}.{minor}: {why}; `--bochs trixie` has a sound one"
            ));
        }
        let outcome = bochs.execute(&machine, limit, verbose, collector)?;
        collector.finish();
        if collector.sets.is_empty() {
            collector.sets.extend(first.map(|set| Collected::lost(set.to_string())));
        }
        if let Some(instructions) = outcome.instructions {
            let millions = instructions / 1_000_000;
            remark(&format!("the lab is over after {millions} million instructions"));
        }
        Ok(why_it_ended(&outcome.end, collector))
    }
}

/// Runs all sets by `boot`, which returns the results as far as it came. After a boot that ends
/// early, another runs the sets that are left.
pub fn run_all<T>(
    sets: &[T],
    strict: bool,
    mut boot: impl FnMut(&[T]) -> Result<Vec<RunResult>, Unavailable>,
) -> Vec<RunResult> {
    let (mut left, mut results) = (sets, Vec::new());
    while !left.is_empty() && !interrupt::pending() {
        match boot(left) {
            Ok(done) => {
                left = &left[done.len().min(left.len())..];
                results.extend(done);
            }
            Err(unavailable) => {
                results.push(RunResult::unavailable(&unavailable, strict));
                break;
            }
        }
        if !left.is_empty() && !interrupt::pending() {
            remark("the lab boots again for the parameter sets that are left");
        }
    }
    results
}

/// The boot's end as a sentence.
fn why_it_ended(end: &End, collector: &Collector) -> String {
    let mut why = match (collector.stopped(), end) {
        (Some(stopped), _) => stopped.to_string(),
        (None, End::PoweredOff) => "the lab powered off".into(),
        (None, End::Crashed(how)) => format!("the lab's machine crashed: {how}"),
        (None, End::TimedOut(limit)) => {
            format!("the time limit of {} s was reached", limit.as_secs_f64())
        }
        (None, End::Stopped) => "the lab was interrupted".into(),
    };
    let complaints = collector.complaints.text("L0's kernel: ");
    if !complaints.is_empty() {
        why.push_str("; ");
        why.push_str(&complaints);
    }
    why
}

/// Judges a set. `why` is why the boot ended.
pub fn conclude(collected: Collected, origin: Origin, strict: bool, why: &str) -> RunResult {
    let Collected { boots, raw, end, trouble, instructions, seconds, .. } = collected;
    let measured = Measured { instructions: Some(instructions), seconds: Some(seconds) };
    let mut result = match end.of_guest(|| End::Crashed(why.into())) {
        Ok(end) => {
            let source = Source::Run(end);
            RunResult::of_boots(boots, |read| {
                RunResult::new(read, source.clone(), strict, origin.clone(), measured)
            })
        }
        Err(reason) => RunResult::skipped(reason, strict, origin),
    };
    result.raw = Some(raw);
    result.in_trouble(trouble.iter().map(ToString::to_string).collect())
}

/// This very executable, which is process 1 inside, and the libraries that it needs if it is not
/// static.
///
/// # Errors
/// One of them cannot be read.
pub fn own_executable() -> Result<Vec<Extra>, Unavailable> {
    let failed = |error| Unavailable::failed("read maskmatch's own executable", error);
    let path = std::env::current_exe().map_err(failed)?;
    let elf = std::fs::read(&path).map_err(failed)?;
    let bytes = initramfs::loadable(&elf).map_err(failed)?;
    let init = Extra { path: "init".into(), executable: true, bytes };
    Ok(once(init).chain(libraries(&path, &elf, "")?).collect())
}
