//! The command line: every command and option, with the help that users read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use spec::catalogue::case::Case;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;

use crate::command::merge::wording::parse as parse_filter;
use crate::files;
use crate::host::{self, Choice, Takes};
use crate::lab::kernel::Which;
use crate::lab::params::ParamSet;
use crate::request::{BochsRequest, DEFAULT_MEMORY_MIB, LabRequest, LabVmm, Request, selected};
use crate::verdict::exit_code::Stop;
use crate::verdict::known::Tables;
use crate::vmm::qemu::Accel;

/// Checks how a hypervisor handles page faults of a nested guest.
///
/// Boots a small hypervisor (L1) on the host under test (L0). L1 runs a tiny guest (L2) under every
/// page-fault error-code MASK and MATCH and compares each fault with what Intel's manual says.
/// Without a command, `run`.
///
/// Exit codes: 0 pass, 1 fail (the host is wrong), 2 usage, 3 nothing could be run, 4 crash, time
/// limit or damaged log, 5 error in maskmatch itself.
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
    /// Run one case again, on its own.
    Replay(ReplayArgs),
    /// Give the verdict on a serial log that was made anywhere.
    Check(CheckArgs),
    /// Show groups, stimuli or case ids, without booting anything.
    List(ListArgs),
    /// Say what a case does, what the manual says about it, and what must happen.
    Explain(ExplainArgs),
    /// Show what merge policies make of two parties' filters, and what it costs.
    ///
    /// A filter can be written as fields ('eb=0 mask=0x1 match=0x1'), as in logs (0,1,1), or in
    /// words: 'P,!RSVD' for faults with P set and RSVD clear, '!(P,RSVD)' for all except those with
    /// both, all, none.
    Merge(MergeArgs),
    /// Write the test image, to boot it in any VMM or on bare metal.
    Image(ImageArgs),
    /// Say what this machine can run, and how to fix what it cannot.
    Doctor,
    /// Measure what a page fault of L2 costs under filters of L1 that hypervisors use, and what a
    /// bare VMCALL costs.
    ///
    /// On Bochs and in the lab, time is counted in instructions. On Bochs the cost of a profile is
    /// measured too.
    Bench(BenchArgs),
}

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which groups run: a pattern in which `*` stands for anything and `?` for one character; may
    /// be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob, conflicts_with = "case")]
    pub filter: Vec<String>,
    /// Which do not: a pattern of groups; or of cases, as GROUP:ACCESS or GROUP:SCENE or GROUP:SCENE:FILTER. Of
    /// host.*, action.* and smp.* only whole groups can be left out. May be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob, conflicts_with = "case")]
    pub exclude: Vec<String>,
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
    #[arg(long, value_parser = hosts(), default_value = "auto")]
    pub l0: Choice,
    /// How much is tried; quick by default in the lab, standard elsewhere.
    #[arg(long, value_parser = profile, value_name = "quick|standard|exhaustive")]
    pub profile: Option<Profile>,
    /// With `--l0 qemu`: what QEMU runs the guest on.
    #[arg(long, value_parser = one_of(&ACCELERATORS), default_value = "kvm")]
    pub accel: Accel,
    #[command(flatten)]
    pub lab: LabArgs,
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
    /// Memory of the guest, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMORY_MIB, value_parser = clap::value_parser!(u32).range(i64::from(DEFAULT_MEMORY_MIB)..=2048))]
    pub memory: u32,
    /// Time limit of the boot; a generous one by default.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub limit: Option<Duration>,
    /// Known deviations of the host are failures, and so are those that had to show and did not.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub known: KnownArgs,
    /// Keep the raw serial log, written as it arrives. Of several runs, each is written as FILE.1,
    /// FILE.2 and so on.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Echo the exact command line of the VMM.
    #[arg(short, long)]
    pub verbose: bool,
}

/// No table of known deviations is larger.
const MAX_TABLE: u64 = 1 << 20;

/// What is known of hosts.
#[derive(Clone, Debug, Default, Args)]
pub struct KnownArgs {
    /// Known deviations of your own, in the form of runner/known/*.toml; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub known: Vec<PathBuf>,
    /// Leave out the known deviations that are built in.
    #[arg(long)]
    pub no_known: bool,
}

impl KnownArgs {
    /// Reads the tables.
    ///
    /// # Errors
    /// A file cannot be read, or is not a table.
    pub fn tables(&self) -> Result<Arc<Tables>, Stop> {
        let mut tables = if self.no_known { Tables::none() } else { Tables::built_in() };
        for path in &self.known {
            let text = files::read(path, MAX_TABLE)
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(|error| Stop::file("read", path, &error))?;
            tables.add_file(&path.display().to_string(), &text).map_err(Stop::usage)?;
        }
        Ok(Arc::new(tables))
    }
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
    /// Resolves all options: which host is asked for, and what is to run on it.
    ///
    /// # Errors
    /// Options that contradict each other, a file that cannot be written, or a pattern that no
    /// group matches.
    pub fn request(self, what: What) -> Result<(Choice, Request), Stop> {
        let choice = self.choice()?;
        let tables = self.known.tables()?;
        // A result that cannot be written ends the run before it begins.
        let results: Vec<&Path> = [&self.log, &self.json].into_iter().flatten().map(PathBuf::as_path).collect();
        files::check_results(&results)?;
        let What { filters, exclude, case } = what;
        selected(&filters, &exclude, Profile::Standard)?;
        let Self { profile, accel, lab, refresh, limit, strict, verbose, log, json, .. } = self;
        let LabArgs { kernel, kernel_image: image, modules, kvm_intel, params: sets, vmm } = lab;
        let usual = Which { kernel: None, image, modules, kvm_intel, refresh };
        let mut kernels: Vec<Which> =
            kernel.into_iter().map(|kernel| Which { kernel: Some(kernel), ..usual.clone() }).collect();
        if kernels.is_empty() {
            kernels.push(usual);
        }
        let request = Request {
            filters,
            exclude,
            case,
            bench: false,
            profile,
            memory_mib: self.memory,
            limit,
            tables,
            strict,
            verbose,
            log,
            json,
            accel,
            bochs: BochsRequest { program: self.bochs, refresh, cpu: self.cpu },
            lab: LabRequest { kernels, sets, vmm },
        };
        Ok((choice, request))
    }

    /// The host. An option that says which Bochs also asks for Bochs.
    fn choice(&self) -> Result<Choice, Stop> {
        let choice = match self.l0 {
            Choice::Best if self.cpu.is_some() || self.bochs.is_some() => Choice::This(&host::bochs::KIND),
            choice => choice,
        };
        let takes = match choice {
            Choice::Best => &[Takes::Refresh][..],
            Choice::This(kind) => kind.takes,
        };
        for (is_given, of, why) in [
            (self.accel != Accel::default(), Takes::Accel, "--accel chooses what QEMU runs on: add --l0 qemu"),
            (self.cpu.is_some(), Takes::Bochs, "--cpu names a processor of Bochs: add --l0 bochs"),
            (self.bochs.is_some(), Takes::Bochs, "--bochs names another Bochs: add --l0 bochs"),
            (
                self.refresh && self.bochs.is_none(),
                Takes::Refresh,
                "--refresh is for the lab's kernel and for --bochs: add one of them",
            ),
            (
                self.lab != LabArgs::default(),
                Takes::Lab,
                "--kernel, --param, --vmm and their like are the lab's: use `maskmatch lab`",
            ),
        ] {
            if is_given && !takes.contains(&of) {
                return Err(Stop::usage(why));
            }
        }
        Ok(choice)
    }
}

/// Options of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of the lab")]
pub struct LabArgs {
    /// Debian's kernel of a suite (bullseye, bookworm, trixie, sid) or of a version (6.1); may be
    /// repeated. By default that of this machine's suite.
    #[arg(long, value_name = "SUITE|VERSION")]
    pub kernel: Vec<String>,
    /// A kernel of your own, with --modules.
    #[arg(long, value_name = "BZIMAGE", requires = "modules", conflicts_with = "kernel")]
    pub kernel_image: Option<PathBuf>,
    /// The folder with the modules of --kernel-image.
    #[arg(long, value_name = "DIR", requires = "kernel_image")]
    pub modules: Option<PathBuf>,
    /// A kvm-intel.ko to load in place of the kernel's.
    #[arg(long, value_name = "FILE.ko")]
    pub kvm_intel: Option<PathBuf>,
    /// Parameters of kvm_intel, as in `ept=0` or `ept=1,vpid=0`; `guest_maxphyaddr=36` is the
    /// guest's. May be repeated: each is a run of its own. By default ept=1, ept=0,
    /// allow_smaller_maxphyaddr=1 and enable_shadow_vmcs=0.
    #[arg(long = "param", value_name = "NAME=VALUE,...")]
    pub params: Vec<ParamSet>,
    /// What boots the test image on the lab's KVM.
    #[arg(long, value_parser = one_of(&LAB_VMMS), default_value = "kvm")]
    pub vmm: LabVmm,
}

/// What QEMU runs a guest on.
const ACCELERATORS: [(&str, &str, Accel); 2] = [
    ("kvm", "This machine's KVM", Accel::Kvm),
    ("tcg", "Emulation. It has no VMX: the image boots and says so", Accel::Tcg),
];

/// What boots the test image on the lab's KVM.
const LAB_VMMS: [(&str, &str, LabVmm); 2] = [
    ("kvm", "The built-in VMM", LabVmm::Kvm),
    (
        "qemu",
        "This machine's QEMU, copied into the lab. It is slower and lacks the channel that some groups need; `action.migrate*` need it",
        LabVmm::Qemu,
    ),
];

/// Takes one of a table's words, each with its help.
fn one_of<T: Copy + Send + Sync + 'static>(
    table: &[(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> + use<T> {
    let table = table.to_vec();
    let words = table.iter().map(|(word, help, _)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(words).try_map(move |chosen| {
        let found = table.iter().find(|(word, ..)| *word == chosen);
        found.map(|(_, _, value)| *value).ok_or("no such word")
    })
}

/// Takes the name of a host, or `auto`.
fn hosts() -> impl TypedValueParser<Value = Choice> {
    let auto = ("auto", "This machine's KVM if it offers nested VMX, else the lab, else Bochs", Choice::Best);
    let kinds = host::TABLE.map(|kind| (kind.name, kind.help, Choice::This(kind)));
    one_of(&[&[auto], &kinds[..]].concat())
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The log; `-` for standard input.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// What the image ran on, as in 'kvm 6.1 ept=0' or 'bochs 2.7'; may be repeated: the host, and
    /// the emulator below it. By default, what the log's header says.
    #[arg(long, value_name = "PRODUCT")]
    pub host: Vec<String>,
    /// Known deviations of the host are failures, and so are those that had to show and did not.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub known: KnownArgs,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Options of `list`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct ListArgs {
    /// Which groups: a pattern in which `*` stands for anything and `?` for one character; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub filter: Vec<String>,
    /// Which groups or cases not: a pattern as for `run`; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub exclude: Vec<String>,
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
    #[arg(long, conflicts_with_all = ["stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub catalogue: bool,
    /// The known deviations that are built in, as docs/known-deviations.md has them.
    #[arg(long, conflicts_with_all = ["catalogue", "stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub known: bool,
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
    /// L0's need. Given more than once, L0 needs every fault that any of them asks for; left out,
    /// none.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, conflicts_with = "survey")]
    pub l0: Vec<Filter>,
    /// L1's filter, as its vmcs12 has it.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, required_unless_present = "survey", conflicts_with = "survey")]
    pub l1: Option<Filter>,
    /// What vmcs02 has before: one of the policies does not always write it.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, default_value = "eb=0 mask=0 match=0")]
    pub before: Filter,
    /// Write merge.md and merge.svg: all of L1's filters against what hosts need.
    #[arg(long)]
    pub survey: bool,
    /// With `--survey`: the folder of both files.
    #[arg(long, value_name = "DIR", default_value = "docs", requires = "survey")]
    pub out: PathBuf,
}

/// What the stimuli depend on in the processor.
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

/// A pattern, which is a word of the image's command line.
fn glob(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("a pattern is one word".into());
    }
    Ok(text.into())
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
    use super::{Choice, Cli, Command, LabVmm, Request, RunArgs, Stop, What, Which, host};
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

    fn resolved(line: &str) -> Result<(Choice, Request), Stop> {
        let cli = Cli::try_parse_from(std::iter::once("maskmatch").chain(line.split_ascii_whitespace())).unwrap();
        let RunArgs { filter: filters, exclude, case, on } = cli.run;
        on.request(What { filters, exclude, case })
    }

    #[test]
    fn a_host_has_the_options_that_its_row_names() {
        for (line, name) in [
            ("", None),
            ("--refresh", None),
            ("--cpu tigerlake", Some("bochs")),
            ("--bochs sid --refresh", Some("bochs")),
            ("--l0 lab --cpu tigerlake --param ept=0 --refresh", Some("lab")),
            ("--l0 qemu --accel tcg", Some("qemu")),
        ] {
            let (choice, _) = resolved(line).unwrap();
            assert_eq!(choice, name.map_or(Choice::Best, named), "{line}");
        }
        for line in ["--param ept=0", "--accel tcg", "--l0 kvm --cpu x", "--l0 bochs --refresh", "--l0 qemu --vmm qemu"]
        {
            assert!(resolved(line).is_err(), "{line}");
        }
    }

    fn named(name: &str) -> Choice {
        Choice::This(host::TABLE.into_iter().find(|kind| kind.name == name).unwrap())
    }

    #[test]
    fn each_kernel_is_asked_for_with_what_holds_for_all() {
        let kernels = |line| resolved(line).unwrap().1.lab.kernels;
        let named: Vec<_> = kernels("--l0 lab --kernel sid --kernel 6.1 --kvm-intel x.ko --refresh");
        let which = |kernel: &str| Which {
            kernel: Some(kernel.into()),
            kvm_intel: Some("x.ko".into()),
            refresh: true,
            ..Which::default()
        };
        assert_eq!(named, [which("sid"), which("6.1")]);
        assert_eq!(kernels("--l0 lab"), [Which::default()]);
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
