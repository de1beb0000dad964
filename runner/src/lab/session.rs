//! Runs one kernel in the lab with every parameter set. Each result is kept, whatever happens to
//! others.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use spec::catalogue::plan::Profile;
use spec::log::CRC32;

use super::collect::{Collected, Collector, SILENCE};
use super::initramfs::{self, Extra};
use super::job::Guest;
use super::kernel::{self, Kernel, Which};
use super::linux::{self, Linux};
use super::modules::{self, Module};
use super::params::{self, ParamSet};
use super::qemu::Packed;
use crate::output::remark;
use crate::request::{Request, cmdline_on};
use crate::verdict::result::{Column, Origin, RunResult};
use crate::verdict::subject::{Product, Subject, TOLD};
use crate::vmm::Unavailable;
use crate::vmm::bochs::Bochs;
use crate::vmm::process::quote;

/// The lab's name on the command line.
pub const L0: &str = "lab";
/// RAM of the machine that Linux runs in.
const MEMORY_MIB: u32 = 256;
/// The same with QEMU in it, whose libraries are 60 MiB.
const MEMORY_WITH_QEMU_MIB: u32 = 768;

/// What the lab is to do with each kernel.
pub struct Plan<'a> {
    /// The Bochs that Linux boots in.
    pub bochs: &'a Bochs,
    /// The QEMU that boots the image inside, if not the built-in VMM.
    pub qemu: Option<&'a Packed>,
    /// What is to run, and how.
    pub request: &'a Request,
    /// How much of each group.
    pub profile: Profile,
    /// Parameter sets, in order.
    pub sets: Vec<ParamSet>,
    /// Time limit of each boot of a kernel.
    pub limit: Duration,
}

/// One kernel, ready to boot.
pub struct Ready {
    kernel: Kernel,
    /// Options that choose this kernel again, each with a space before it.
    options: String,
    modules: Vec<Module>,
    /// The executable that is process 1 inside, and its libraries.
    init: Vec<Extra>,
}

impl Ready {
    /// The modules that are part of the kernel.
    fn built_in(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().filter(|module| module.elf.is_none()).map(|module| &*module.name)
    }

    /// The checksum of what it boots.
    pub fn checksum(&self) -> u32 {
        let image = std::fs::read(&self.kernel.image).unwrap_or_default();
        let mut sum = CRC32.digest();
        sum.update(&image);
        self.modules.iter().flat_map(|module| &module.elf).for_each(|elf| sum.update(elf));
        sum.finalize()
    }

    /// What is under test with a set.
    pub fn title(&self, bochs: &Bochs, qemu: Option<&Packed>, set: &dyn fmt::Display) -> String {
        let (major, minor) = bochs.version();
        let on = qemu.map_or_else(String::new, |qemu| format!("QEMU {} on ", qemu.version));
        let release = &self.kernel.release;
        format!("{on}KVM of Linux {release} with {set} in Bochs {major}.{minor}")
    }
}

/// Runs all sets on one kernel. What is part of the kernel has its parameters from the kernel's
/// command line, so then each set has a boot.
pub fn run(plan: &Plan<'_>, ready: &Ready) -> Vec<RunResult> {
    let at_once = if ready.built_in().next().is_some() { 1 } else { plan.sets.len().max(1) };
    let boots = plan.sets.chunks(at_once);
    boots
        .flat_map(|sets| linux::run_all(sets, plan.request.strict, |sets| boot(ready, plan, sets)))
        .collect()
}

/// Finds or fetches all that a kernel needs to boot and run these sets.
///
/// # Errors
/// The kernel cannot be had, what the user named does not fit, a value is none that a parameter can
/// have, or the image's command line would be too long.
pub fn prepare(
    request: &Request,
    bochs: &Bochs,
    which: &Which,
    sets: &[ParamSet],
) -> Result<Ready, Unavailable> {
    let kernel = kernel::obtain(which, &mut |stage| remark(stage))?;
    let of_user = which.modules.is_some() || which.kvm_intel.is_some();
    let modules = modules::gather(&kernel.modules, which.kvm_intel.as_deref())
        .and_then(|modules| modules::check(&modules, &kernel.release).map(|()| modules))
        .map_err(|error| Unavailable { is_usage: of_user, ..error })?;
    let parameters = modules::parameters(&modules);
    if let Some(why) = sets.iter().find_map(|set| set.misfit(&parameters)) {
        return Err(Unavailable::usage(why, "give --param such a value"));
    }
    for set in sets {
        // What will be in force, unless the kernel wills otherwise.
        let usual =
            [("ept".into(), "1".into())].into_iter().chain(params::always(bochs.version().0));
        let host =
            Product::kvm(&kernel.release, usual.chain(set.values().iter().cloned()).collect());
        let subject = Subject { processor: Some(bochs.product()), host: Some(host) };
        cmdline_on(&request.cmdline(Profile::Exhaustive), &request.tables.asks(), &subject)?;
    }
    let init = linux::own_executable()?;
    Ok(Ready { options: kernel_options(which, &kernel.label), kernel, modules, init })
}

/// Options that choose the same kernel and module again, each with a space before it.
fn kernel_options(which: &Which, label: &str) -> String {
    let own = [
        ("--kernel-image", &which.image),
        ("--modules", &which.modules),
        ("--kvm-intel", &which.kvm_intel),
    ];
    let own = own
        .into_iter()
        .filter_map(|(option, path)| Some((option, path.as_ref()?.to_string_lossy())));
    let mut options =
        if which.modules.is_some() { String::new() } else { format!(" --kernel {label}") };
    for (option, path) in own {
        let _ = write!(options, " {option} {}", quote(&path));
    }
    options
}

/// Boots the kernel once with these sets. Returns their results as far as it came, at least one if
/// any set was begun.
fn boot(ready: &Ready, plan: &Plan<'_>, sets: &[ParamSet]) -> Result<Vec<RunResult>, Unavailable> {
    let Plan { bochs, qemu, request, profile, .. } = *plan;
    let (major, _) = bochs.version();
    let guest = Guest {
        cmdline: request.cmdline(profile),
        asks: request.tables.asks(),
        memory_mib: request.memory_mib,
        processor: bochs.product(),
        qemu: qemu.map(|qemu| qemu.program.clone()),
    };
    let files = ready.init.iter().chain(qemu.map_or(&[][..], |qemu| &qemu.files));
    let initramfs = initramfs::build(&ready.modules, sets, params::always(major), guest, files)
        .map_err(|error| Unavailable::failed("build the lab's initramfs", error))?;
    let (of_progress, processor, release) =
        (request.clone(), bochs.product(), ready.kernel.release.clone());
    let progress = Box::new(move |set: &str, effective: &BTreeMap<String, String>| {
        let host = Product::kvm(&release, effective.clone());
        let subject = Subject { processor: Some(processor.clone()), host: Some(host) };
        of_progress.progress(profile, subject, &format!("{release} {set}"))
    });
    let mut collector = Collector::new(SILENCE, progress, request.verbose);
    let always = params::always(major);
    let of_kvm = ready.built_in().filter_map(|name| Some(sets.first()?.kernel_line(name, &always)));
    let linux = Linux {
        bochs,
        kernel: &ready.kernel,
        of_kvm: &of_kvm.collect::<Vec<_>>().join(" "),
        memory_mib: if qemu.is_some() { MEMORY_WITH_QEMU_MIB } else { MEMORY_MIB },
        limit: plan.limit,
        verbose: request.verbose,
    };
    let why = linux.boot(initramfs, sets.first(), &mut collector)?;
    let concluded = |collected: Collected| {
        let origin = origin(&collected, ready, plan);
        linux::conclude(collected, origin, request.strict, &why)
    };
    Ok(collector.sets.into_iter().map(concluded).collect())
}

/// What a set ran on.
fn origin(collected: &Collected, ready: &Ready, plan: &Plan<'_>) -> Origin {
    let Plan { bochs, qemu, request, profile, .. } = *plan;
    let (release, options) = (&ready.kernel.release, &ready.options);
    let Collected { set, effective, boots, .. } = collected;
    let vmm = if qemu.is_some() { " --vmm qemu" } else { "" };
    let shown = |name: &str| TOLD.contains(&name) || set.contains(name);
    let in_force = effective
        .iter()
        .filter(|(name, _)| shown(name))
        .map(|(name, value)| format!("{name}={value}"));
    let width = boots.iter().find_map(|(findings, _)| findings.fact("maxphyaddr"));
    let width = width.map(|bits| format!("guest MAXPHYADDR={bits}"));
    Origin {
        l0: ready.title(bochs, qemu, set),
        subject: Subject {
            processor: Some(bochs.product()),
            host: Some(Product::kvm(release, effective.clone())),
        },
        options: format!(
            " --l0 {L0}{options} --param '{set}'{vmm}{}{}",
            request.bochs.options(),
            request.memory_option()
        ),
        tables: Arc::clone(&request.tables),
        asked: Some(request.cmdline(profile)),
        column: Some(Column {
            l0: L0.into(),
            host: "KVM of Linux".into(),
            release: release.clone(),
            set: set.clone(),
            in_force: in_force.chain(width).collect::<Vec<_>>().join(" "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Which, kernel_options};

    #[test]
    fn the_kernel_is_chosen_again_by_the_same_options() {
        let which = Which::default();
        assert_eq!(kernel_options(&which, "bookworm"), " --kernel bookworm");
        let swapped = Which { kvm_intel: Some("/x/kvm intel.ko".into()), ..Which::default() };
        assert_eq!(kernel_options(&swapped, "6.1"), " --kernel 6.1 --kvm-intel '/x/kvm intel.ko'");
        let own = Which {
            image: Some("/b/bzImage".into()),
            modules: Some("/b/m".into()),
            ..Which::default()
        };
        assert_eq!(kernel_options(&own, "bzImage"), " --kernel-image /b/bzImage --modules /b/m");
    }
}
