//! The command line: every command and option, with the help that users read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use spec::catalogue::case::Case;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;

use crate::lab::params::ParamSet;

/// Memory of the guest unless asked otherwise.
pub const DEFAULT_MEMORY_MIB: u32 = 8;

/// Checks how a hypervisor treats page faults of a nested guest.
///
/// Boots a small hypervisor (L1) on the host under test (L0). L1 runs a tiny guest (L2) under every page-fault
/// error-code MASK and MATCH and compares each fault with what Intel's manual says. Without a command, `run`.
///
/// Exit codes: 0 pass, 1 fail (the host is wrong), 2 usage, 3 nothing could be run, 4 crash, time limit or damaged
/// log, 5 error in maskmatch itself.
#[derive(Debug, Parser)]
#[command(name = "maskmatch", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; `run` if left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot the test image and give the verdict.
    Run(RunArgs),
    /// Run on real Linux/KVM inside Bochs: `run --l0 lab`, on any machine.
    Lab(RunArgs),
    /// Run one failing case again, alone.
    Replay(ReplayArgs),
    /// Give the verdict on a serial log that was made anywhere.
    Check(CheckArgs),
    /// Show groups, stimuli or case ids, without booting anything.
    List(ListArgs),
    /// Tell what a case does, what the manual says about it, and what must happen.
    Explain(ExplainArgs),
    /// Tell what merge policies make of two parties' filters, and what it costs.
    ///
    /// A filter can be written in words ('P,!RSVD' for faults with P set and RSVD clear, '!(P,RSVD)' for all others
    /// than those with both, all, none), as fields ('eb=0 mask=0x1 match=0x1'), and as in logs (0,1,1).
    Merge(MergeArgs),
    /// Write the test image, to boot it in any VMM or on bare metal.
    Image(ImageArgs),
    /// Tell what this machine can run, and how to mend what it cannot.
    Doctor,
    /// Measure what a page fault of L2 costs under filters of L1 that hypervisors use, beside a bare VMCALL.
    ///
    /// On Bochs, and in the lab, time is counted in instructions. On Bochs the standard profile is measured, too.
    Bench(BenchArgs),
}

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which groups run: a pattern in which `*` stands for anything and `?` for one character.
    #[arg(long, value_name = "GLOB", default_value = "*", conflicts_with = "case")]
    pub filter: String,
    /// One case instead of groups: an id as a report or `maskmatch list --cases` shows it.
    #[arg(long, value_name = "ID", value_parser = case)]
    pub case: Option<Case>,
    #[command(flatten)]
    pub on: OnArgs,
}

/// Options of `bench`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("l0", |arg| arg.default_value("bochs")))]
pub struct BenchArgs {
    #[command(flatten)]
    pub on: OnArgs,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The case's id.
    #[arg(value_name = "ID", value_parser = case)]
    pub case: Case,
    #[command(flatten)]
    pub on: OnArgs,
}

/// Where and how to run, and what to do with the result.
#[derive(Clone, Debug, Args)]
pub struct OnArgs {
    /// The host under test.
    #[arg(long, value_enum, default_value_t)]
    pub l0: L0,
    /// How much is tried; quick by default in the lab, standard elsewhere.
    #[arg(long, value_parser = profile, value_name = "quick|standard|exhaustive")]
    pub profile: Option<Profile>,
    /// With `--l0 qemu`: what QEMU runs the guest on.
    #[arg(long, value_enum, default_value_t)]
    pub accel: Accel,
    #[command(flatten)]
    pub lab: LabArgs,
    /// With `--l0 bochs` or the lab: the processor that Bochs presents, as `bochs -help cpu` lists them.
    #[arg(long, value_name = "BOCHS_MODEL")]
    pub cpu: Option<String>,
    /// With `--l0 bochs` or the lab: another Bochs than the one that is installed: that of a Debian suite (sid has a
    /// processor with 5-level paging and supervisor protection keys), which is fetched and kept, or a program's path.
    #[arg(long, value_name = "SUITE|FILE")]
    pub bochs: Option<String>,
    /// Look for a newer kernel, and a newer `--bochs`, than those that are kept from an earlier run.
    #[arg(long)]
    pub refresh: bool,
    /// Memory of the guest, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMORY_MIB, value_parser = clap::value_parser!(u32).range(2..=3072))]
    pub memory: u32,
    /// Time limit of the boot; a generous one by default.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub limit: Option<Duration>,
    /// Known deviations of the host are failures, too.
    #[arg(long)]
    pub strict: bool,
    /// Keep the raw serial log, written as it arrives; the lab writes that of each run as FILE.1, FILE.2 and so on, or
    /// FILE if there is but one.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Echo the exact command line of the VMM.
    #[arg(short, long)]
    pub verbose: bool,
}

impl Default for OnArgs {
    fn default() -> Self {
        Self {
            l0: L0::default(),
            profile: None,
            accel: Accel::default(),
            lab: LabArgs::default(),
            cpu: None,
            bochs: None,
            refresh: false,
            memory: DEFAULT_MEMORY_MIB,
            limit: None,
            strict: false,
            log: None,
            json: None,
            verbose: false,
        }
    }
}

impl OnArgs {
    /// Whether an option says which Bochs, so that it is Bochs that is wanted.
    pub const fn names_bochs(&self) -> bool {
        self.cpu.is_some() || self.bochs.is_some()
    }

    /// How much is tried on a host.
    pub fn profile_for(&self, l0: L0) -> Profile {
        self.profile.unwrap_or(if l0 == L0::Lab { Profile::Quick } else { Profile::Standard })
    }
}

/// Options of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of the lab")]
pub struct LabArgs {
    /// Debian's kernel of a suite (bullseye, bookworm, trixie, sid) or of a version (6.1); may be repeated. By default
    /// that of this machine's suite.
    #[arg(long, value_name = "SUITE|VERSION")]
    pub kernel: Vec<String>,
    /// A kernel of your own, with --modules.
    #[arg(long, value_name = "BZIMAGE", requires = "modules", conflicts_with = "kernel")]
    pub kernel_image: Option<PathBuf>,
    /// The folder with the modules of --kernel-image.
    #[arg(long, value_name = "DIR", requires = "kernel_image")]
    pub modules: Option<PathBuf>,
    /// A kvm-intel.ko to be loaded in place of the kernel's.
    #[arg(long, value_name = "FILE.ko")]
    pub kvm_intel: Option<PathBuf>,
    /// Parameters of kvm_intel, as in `ept=0` or `ept=1,vpid=0`; `guest_maxphyaddr=36` is the guest's; may be repeated,
    /// each is a run of its own. By default ept=1, ept=0, allow_smaller_maxphyaddr=1 and enable_shadow_vmcs=0.
    #[arg(long = "param", value_name = "NAME=VALUE,...")]
    pub params: Vec<ParamSet>,
    /// What boots the test image on the lab's KVM.
    #[arg(long, value_enum, default_value_t)]
    pub vmm: LabVmm,
}

/// What boots the test image on the lab's KVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum LabVmm {
    /// The VMM built in here.
    #[default]
    Kvm,
    /// This machine's QEMU, taken into the lab: slower, and without the channel that some groups need; `action.migrate*`
    /// need it.
    Qemu,
}

/// The hosts under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum L0 {
    /// This machine's KVM if it offers nested VMX, else the lab, else Bochs.
    #[default]
    Auto,
    /// This machine's KVM, by the VMM built in here.
    Kvm,
    /// QEMU, see --accel; `action.migrate*` move the guest by its own migration.
    Qemu,
    /// The Bochs emulator: a processor in place of a host.
    Bochs,
    /// Real Linux/KVM inside Bochs.
    Lab,
}

/// What QEMU runs a guest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum Accel {
    /// This machine's KVM.
    #[default]
    Kvm,
    /// Emulation. It has no VMX: the image boots and says so.
    Tcg,
}

impl Accel {
    /// The word as QEMU takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The log; `-` for standard input.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// Known deviations of the host are failures, too.
    #[arg(long)]
    pub strict: bool,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which groups: a pattern in which `*` stands for anything and `?` for one character.
    #[arg(long, value_name = "GLOB", default_value = "*")]
    pub filter: String,
    /// How much is tried.
    #[arg(long, value_parser = profile, default_value = "standard", value_name = "quick|standard|exhaustive")]
    pub profile: Profile,
    /// Every case's id, one a line.
    #[arg(long, conflicts_with = "stimuli")]
    pub cases: bool,
    /// Every stimulus, with the error code of the fault that must arise.
    #[arg(long)]
    pub stimuli: bool,
    /// Everything, as docs/catalogue.md has it.
    #[arg(long, conflicts_with_all = ["stimuli", "cases", "filter", "profile", "maxphyaddr"])]
    pub catalogue: bool,
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The case's id.
    #[arg(value_name = "ID", value_parser = case)]
    pub case: Case,
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

/// Options of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// L0's need; more than once: all faults that any of them wants; left out: none.
    #[arg(long, value_name = "FILTER", value_parser = crate::command::merge::parse, conflicts_with = "survey")]
    pub l0: Vec<Filter>,
    /// L1's filter, as its vmcs12 has it.
    #[arg(long, value_name = "FILTER", value_parser = crate::command::merge::parse, required_unless_present = "survey", conflicts_with = "survey")]
    pub l1: Option<Filter>,
    /// What vmcs02 has before: one of the policies does not always write it.
    #[arg(long, value_name = "FILTER", value_parser = crate::command::merge::parse, default_value = "eb=0 mask=0 match=0")]
    pub before: Filter,
    /// Write merge.md and merge.svg: all of L1's filters against what hosts need.
    #[arg(long)]
    pub survey: bool,
    /// With `--survey`: the folder of both files.
    #[arg(long, value_name = "DIR", default_value = "docs", requires = "survey")]
    pub out: PathBuf,
}

/// What of the processor decides which stimuli there are.
#[derive(Clone, Copy, Debug, Args)]
pub struct ProcessorArgs {
    /// Physical-address width of the processor: which address bits are reserved.
    #[arg(long, value_name = "BITS", default_value_t = 40, value_parser = clap::value_parser!(u8).range(36..=52))]
    pub maxphyaddr: u8,
}

/// Options of `image`.
#[derive(Debug, Args)]
#[group(id = "form", required = true, multiple = false)]
pub struct ImageForm {
    /// Write an ELF file, for `qemu -kernel`, GRUB's `multiboot2`, and loaders of PVH kernels.
    #[arg(long, value_name = "FILE")]
    pub elf: Option<PathBuf>,
    /// Write a bootable CD or USB image with GRUB in it.
    #[arg(long, value_name = "FILE")]
    pub iso: Option<PathBuf>,
}

/// Options of `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(flatten)]
    pub form: ImageForm,
    /// The command line that the ISO image boots with, as in `profile=quick filter=filter.basic.*`.
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "elf")]
    pub cmdline: String,
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::from_name(text).ok_or_else(|| "a profile is quick, standard or exhaustive".to_string())
}

fn case(text: &str) -> Result<Case, String> {
    Case::from_id(text).ok_or_else(|| {
        "no case has this id; an id is GROUP:STIMULUS:EB,MASK,MATCH, and `maskmatch list --cases` shows them"
            .to_string()
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a limit is a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a limit is a number of seconds, not below 0".to_string())
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, LabVmm};
    use clap::{CommandFactory, Parser};

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_command_if_none_is_given() {
        let cli = Cli::try_parse_from(["maskmatch", "--profile", "quick", "--limit", "0.5"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.on.limit.unwrap().as_millis(), 500);
    }

    #[test]
    fn the_lab_boots_by_the_vmm_that_is_named() {
        let vmm = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Lab(run)) => run.on.lab.vmm,
            _ => panic!("the lab"),
        };
        assert_eq!(vmm("maskmatch lab"), LabVmm::Kvm);
        assert_eq!(vmm("maskmatch lab --vmm qemu --param ept=1"), LabVmm::Qemu);
        assert!(Cli::try_parse_from(["maskmatch", "lab", "--vmm", "bochs"]).is_err());
    }

    #[test]
    fn bad_values_are_refused() {
        for line in [
            "--profile fast",
            "--limit -1",
            "--limit nan",
            "--limit x",
            "run --case nonsense",
            "run --memory 0",
            "image",
            "image --elf a --iso b",
            "list --cases --stimuli",
            "replay",
            "frobnicate",
            "--filter x --case filter.basic.long:user-read-user:1,0,0",
        ] {
            assert!(Cli::try_parse_from(std::iter::once("maskmatch").chain(line.split(' '))).is_err(), "{line}");
        }
        let id = "filter.basic.long:user-read-user:1,0,0";
        assert!(matches!(
            Cli::try_parse_from(["maskmatch", "replay", id, "--l0", "bochs"]).unwrap().command,
            Some(Command::Replay(_))
        ));
    }
}
