//! Where and how to run, which `run`, `lab`, `replay` and `bench` share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser;
use spec::catalogue::case::Case;
use spec::catalogue::options::Span;
use spec::catalogue::plan::Profile;

use super::known::KnownArgs;
use super::lab::LabArgs;
use super::results::ResultArgs;
use super::value::{one_of, profile, seconds};
use super::vbox::VboxArgs;
use super::xen::XenArgs;
use crate::host::{self, Choice, Takes, parallel};
use crate::lab::kernel::Which;
use crate::request::{
    BochsRequest, DEFAULT_MEMORY_MIB, LabRequest, Request, XenRequest, selected, selection,
};
use crate::verdict::exit_code::Stop;
use crate::vmm::qemu::Accel;

/// Where and how to run, and what to do with the result.
#[derive(Clone, Debug, Args)]
pub struct OnArgs {
    /// The host under test; may be repeated.
    #[arg(long, value_parser = hosts(), default_value = "auto")]
    pub l0: Vec<Choice>,
    /// How much is tried; quick by default in the lab, standard elsewhere.
    #[arg(long, value_parser = profile, value_name = "quick|standard|exhaustive")]
    pub profile: Option<Profile>,
    /// With `--l0 qemu`: what QEMU runs the guest on.
    #[arg(long, value_parser = one_of(&ACCELERATORS), default_value = "kvm")]
    pub accel: Accel,
    #[command(flatten)]
    pub lab: LabArgs,
    #[command(flatten)]
    pub xen: XenArgs,
    #[command(flatten)]
    pub vbox: VboxArgs,
    /// With `--l0 bochs` or the lab: the processor that Bochs presents, as `bochs -help cpu` lists
    /// them.
    #[arg(long, value_name = "BOCHS_MODEL")]
    pub cpu: Option<String>,
    /// With `--l0 bochs` or the lab: another Bochs than the installed one: a program's path, or a
    /// Debian suite whose Bochs is fetched and kept. That of sid has 5-level paging and supervisor
    /// protection keys.
    #[arg(long, value_name = "SUITE|FILE")]
    pub bochs: Option<String>,
    /// Look for a newer kernel and a newer `--bochs` than those kept from an earlier run.
    #[arg(long)]
    pub refresh: bool,
    /// How many boots of the lab run at the same time; by default one for each processor.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Memory of the guest, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMORY_MIB, value_parser = clap::value_parser!(u32).range(i64::from(DEFAULT_MEMORY_MIB)..=2048))]
    pub memory: u32,
    /// Time limit of the boot; a generous one by default.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub limit: Option<Duration>,
    #[command(flatten)]
    pub known: KnownArgs,
    /// Keep the raw serial log, written as it arrives; `-` is standard output. Of several runs, each
    /// is written as FILE.1, FILE.2 and so on.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    #[command(flatten)]
    pub results: ResultArgs,
    /// Echo the exact command line of the VMM.
    #[arg(short, long)]
    pub verbose: bool,
}

/// What runs.
#[derive(Clone, Debug, Default)]
pub struct What {
    /// Patterns of groups; none: all.
    pub filters: Vec<String>,
    /// Patterns of what does not run.
    pub exclude: Vec<String>,
    /// One case in place of groups.
    pub case: Option<Case>,
}

impl OnArgs {
    /// Resolves all options: which hosts are asked for, and what is to run on them.
    ///
    /// # Errors
    /// Options that contradict each other, a file that cannot be written, or a pattern that no
    /// group matches.
    pub fn request(self, what: What) -> Result<(Vec<Choice>, Request), Stop> {
        let choices = self.choices()?;
        let tables = self.known.tables()?;
        // A result that cannot be written ends the run before it begins.
        let outputs = self.results.outputs(self.log);
        outputs.check()?;
        let What { filters, exclude, case } = what;
        selected(&selection(&filters, &exclude, Profile::Standard))?;
        let Self { profile, accel, lab, xen, vbox, refresh, limit, known, verbose, .. } = self;
        let LabArgs { kernel, kernel_image, modules, kvm_intel, params: sets, vmm } = lab;
        let XenArgs { xen_image: image, xen_options: options, isolate } = xen;
        let usual = Which { kernel: None, image: kernel_image, modules, kvm_intel, refresh };
        let mut kernels: Vec<Which> = kernel
            .into_iter()
            .map(|kernel| Which { kernel: Some(kernel), ..usual.clone() })
            .collect();
        if kernels.is_empty() {
            kernels.push(usual);
        }
        let request = Request {
            filters,
            exclude,
            groups: Span::ALL,
            part: None,
            keep: None,
            case,
            bench: false,
            profile,
            memory_mib: self.memory,
            limit,
            tables,
            strict: known.strict,
            verbose,
            jobs: self.jobs.unwrap_or_else(parallel::usual_jobs),
            outputs,
            accel,
            bochs: BochsRequest { program: self.bochs, refresh, cpu: self.cpu },
            lab: LabRequest { kernels, sets, vmm },
            xen: XenRequest { image, options, isolate },
            vbox: vbox.vbox_options,
        };
        Ok((choices, request))
    }

    /// The hosts. An option that says which Bochs also asks for Bochs.
    fn choices(&self) -> Result<Vec<Choice>, Stop> {
        let asks_for_bochs = self.cpu.is_some() || self.bochs.is_some();
        let chosen = |choice: &Choice| match choice {
            Choice::Best if asks_for_bochs => Choice::This(&host::bochs::KIND),
            choice => *choice,
        };
        let choices: Vec<Choice> = self.l0.iter().map(chosen).collect();
        let takes = |choice: &Choice| match choice {
            Choice::Best => &[Takes::Refresh][..],
            Choice::This(kind) => kind.takes,
        };
        let takes: Vec<Takes> = choices.iter().flat_map(takes).copied().collect();
        for (is_given, of, why) in [
            (
                self.accel != Accel::default(),
                Takes::Accel,
                "--accel chooses what QEMU runs on: add --l0 qemu",
            ),
            (self.cpu.is_some(), Takes::Bochs, "--cpu names a processor of Bochs: add --l0 bochs"),
            (self.bochs.is_some(), Takes::Bochs, "--bochs names another Bochs: add --l0 bochs"),
            (
                self.refresh && self.bochs.is_none(),
                Takes::Refresh,
                "--refresh is for the lab's kernel and for --bochs: add one of them",
            ),
            (
                LabArgs { kernel: Vec::new(), ..self.lab.clone() } != LabArgs::default(),
                Takes::Lab,
                "--param, --vmm and their like are for the lab's KVM: use `maskmatch lab`",
            ),
            (
                !self.lab.kernel.is_empty(),
                Takes::Kernel,
                "--kernel is the lab's: use `maskmatch lab`",
            ),
            (
                self.jobs.is_some(),
                Takes::Kernel,
                "--jobs is the lab's, which can boot several times at once: use `maskmatch lab`",
            ),
            (
                self.xen != XenArgs::default(),
                Takes::Xen,
                "--xen-image, --xen-options and --isolate are for Xen: use `maskmatch lab --host xen`",
            ),
            (
                self.vbox != VboxArgs::default(),
                Takes::VirtualBox,
                "--vbox-options is for VirtualBox: use `maskmatch lab --host virtualbox`",
            ),
        ] {
            if is_given && !takes.contains(&of) {
                return Err(Stop::usage(why));
            }
        }
        Ok(choices)
    }
}

/// What QEMU runs a guest on.
const ACCELERATORS: [(&str, &str, Accel); 2] = [
    ("kvm", "This machine's KVM", Accel::Kvm),
    ("tcg", "Emulation. It has no VMX: the image boots and says so", Accel::Tcg),
];

/// Takes the name of a host, or `auto`.
fn hosts() -> impl TypedValueParser<Value = Choice> {
    let auto = (
        "auto",
        "This machine's KVM if it offers nested VMX, else the lab, else Bochs",
        Choice::Best,
    );
    let kinds = host::TABLE.map(|kind| (kind.name, kind.help, Choice::This(kind)));
    one_of(&[&[auto], &kinds[..]].concat())
}
