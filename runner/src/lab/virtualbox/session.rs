//! Runs VirtualBox on one kernel, a machine for each set of options.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spec::catalogue::plan::Profile;
use spec::log::CRC32;

use super::files;
use super::inside::{DRIVER, PROGRAM};
use super::job::Job;
use super::machine::log_options;
use super::options::Options;
use crate::debian;
use crate::lab::collect::{Collected, Collector, SILENCE};
use crate::lab::initramfs::{self, Extra};
use crate::lab::job;
use crate::lab::kernel::{self, Kernel, Which};
use crate::lab::kmod;
use crate::lab::linux::{self, Linux};
use crate::output::remark;
use crate::payload;
use crate::request::{Request, cmdline_on};
use crate::verdict::known::Asks;
use crate::verdict::result::{Column, Origin, RunResult};
use crate::verdict::subject::{Family, Product, Subject, version};
use crate::vmm::Unavailable;
use crate::vmm::bochs::Bochs;
use crate::vmm::process::quote;

/// VirtualBox's name on the command line.
pub const L0: &str = "virtualbox";
/// RAM of the machine that Linux runs in.
const MEMORY_MIB: u32 = 512;

/// VirtualBox on one kernel, ready to boot.
pub struct Ready {
    kernel: Kernel,
    version: String,
    files: Vec<Extra>,
}

/// What is to be done.
pub struct Plan<'a> {
    /// The Bochs that Linux boots in.
    pub bochs: &'a Bochs,
    /// What is to run, and how.
    pub request: &'a Request,
    /// How much of each group.
    pub profile: Profile,
    /// The machines, in order.
    pub machines: Vec<Options>,
    /// Time limit of a boot.
    pub limit: Duration,
}

impl Ready {
    /// The checksum of what it runs.
    pub fn checksum(&self) -> u32 {
        let mut sum = CRC32.digest();
        self.files.iter().for_each(|file| sum.update(&file.bytes));
        sum.finalize()
    }

    /// What is under test with a machine.
    pub fn title(&self, bochs: &Bochs, options: &Options) -> String {
        let ((major, minor), Self { kernel, version, .. }) = (bochs.version(), self);
        format!(
            "VirtualBox {version} with options {options} on Linux {} in Bochs {major}.{minor}",
            kernel.release
        )
    }
}

/// Finds or fetches all that is needed.
///
/// # Errors
/// Kernel, packages or build tools cannot be had, or the image's command line would be too long.
pub fn prepare(
    request: &Request,
    bochs: &Bochs,
    which: &Which,
    machines: &[Options],
) -> Result<Ready, Unavailable> {
    let init = linux::own_executable()?;
    if init.len() > 1 {
        // They would be in the way of VirtualBox's own, which are of another suite.
        return Err(Unavailable::new(
            "this maskmatch needs shared libraries, and VirtualBox in the lab needs one that is static",
            "build it by `cargo build --release` in maskmatch's folder",
        ));
    }
    let mut stage = |stage: &str| remark(stage);
    let cache = debian::cache_folder()?;
    // What is missing most often comes first.
    let virtualbox = debian::virtualbox::obtain(request.bochs.refresh, &cache, &mut stage)?;
    let kernel = kernel::obtain(which, &mut stage)?;
    let driver = debian::vboxdrv::obtain(&virtualbox, &kernel, &cache, &mut stage)?;
    let asks = request.tables.asks();
    for options in machines {
        let subject = subject(&virtualbox.version, options, &bochs.product());
        image_options(&request.cmdline(Profile::Exhaustive), &asks, &subject, request.memory_mib)?;
    }
    let mut files = files::gather(&virtualbox.root)?;
    let file = |path: &str, bytes| Extra {
        path: path.trim_start_matches('/').into(),
        executable: true,
        bytes,
    };
    let driver = read_driver(&driver)?;
    files.extend([file(PROGRAM, payload::VBOX_ELF.to_vec()), file(DRIVER, driver)]);
    files.extend(init);
    Ok(Ready { kernel, version: virtualbox.version, files })
}

/// The driver, made leaner.
fn read_driver(path: &PathBuf) -> Result<Vec<u8>, Unavailable> {
    let elf = std::fs::read(path)
        .map_err(|error| Unavailable::failed(format!("read {}", path.display()), error))?;
    Ok(kmod::lean(&elf).unwrap_or(elf))
}

/// What is under test.
pub fn subject(release: &str, options: &Options, processor: &Product) -> Subject {
    let host = Product {
        family: Family::VirtualBox,
        version: version(release),
        parameters: options.in_force(),
    };
    Subject { processor: Some(processor.clone()), host: Some(host) }
}

/// The image's whole command line in a machine.
///
/// # Errors
/// It is longer than the image takes.
pub fn image_options(
    cmdline: &str,
    asks: &[Asks],
    subject: &Subject,
    memory_mib: u32,
) -> Result<String, Unavailable> {
    cmdline_on(&format!("{cmdline} {}", log_options(memory_mib)), asks, subject)
}

/// Runs all machines.
pub fn run(plan: &Plan<'_>, ready: &Ready) -> Vec<RunResult> {
    linux::run_all(&plan.machines, plan.request.strict, |machines| boot(plan, ready, machines))
}

/// Boots the kernel once with these machines. Returns their results as far as it came.
fn boot(
    plan: &Plan<'_>,
    ready: &Ready,
    machines: &[Options],
) -> Result<Vec<RunResult>, Unavailable> {
    let Plan { bochs, request, profile, .. } = *plan;
    let job = Job {
        version: ready.version.clone(),
        machines: machines.to_vec(),
        cmdline: request.cmdline(profile),
        asks: request.tables.asks(),
        memory_mib: request.memory_mib,
        processor: bochs.product(),
    };
    let files = ready.files.iter();
    let files = files.map(|file| (file.path.clone(), file.executable, &file.bytes[..]));
    let initramfs = initramfs::pack(&job::Job::VirtualBox(job), files)
        .map_err(|error| Unavailable::failed("build the lab's initramfs", error))?;
    let of_progress = (request.clone(), ready.version.clone(), bochs.product());
    let progress = Box::new(move |set: &str, effective: &BTreeMap<String, String>| {
        let (request, release, processor) = &of_progress;
        let mut subject = subject(release, &Options::default(), processor);
        subject.host.iter_mut().for_each(|host| host.parameters.clone_from(effective));
        request.progress(profile, subject, set)
    });
    let mut collector = Collector::new(SILENCE, progress, request.verbose);
    let linux = Linux {
        bochs,
        kernel: &ready.kernel,
        of_kvm: "",
        memory_mib: MEMORY_MIB + request.memory_mib,
        limit: plan.limit,
        verbose: request.verbose,
    };
    let why = linux.boot(initramfs, machines.first(), &mut collector)?;
    let concluded = |(collected, options): (Collected, &Options)| {
        linux::conclude(collected, origin(plan, ready, options), request.strict, &why)
    };
    Ok(collector.sets.into_iter().zip(machines).map(concluded).collect())
}

/// What a machine ran on.
fn origin(plan: &Plan<'_>, ready: &Ready, options: &Options) -> Origin {
    let Plan { bochs, request, profile, .. } = *plan;
    let Ready { kernel, version, .. } = ready;
    let in_force = options.in_force().into_iter().map(|(name, value)| format!("{name}={value}"));
    Origin {
        l0: ready.title(bochs, options),
        subject: subject(version, options, &bochs.product()),
        options: format!(
            " --l0 {L0} --kernel {} --vbox-options {}{}{}",
            kernel.label,
            quote(&options.given()),
            request.bochs.options(),
            request.memory_option()
        ),
        tables: Arc::clone(&request.tables),
        asked: Some(request.cmdline(profile)),
        column: Some(Column {
            l0: L0.into(),
            host: "VirtualBox".into(),
            release: version.clone(),
            set: options.to_string(),
            in_force: in_force.collect::<Vec<_>>().join(" "),
        }),
    }
}
