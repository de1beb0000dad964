//! The command line: every command and option, with the help that users read.

mod check;
mod help;
mod image;
mod known;
mod lab;
mod list;
mod merge;
mod on;
mod results;
mod run;
mod value;
mod vbox;
mod xen;

use clap::{Parser, Subcommand};

pub use check::CheckArgs;
pub use help::{CompletionsArgs, ManArgs, WithArgs};
pub use image::ImageArgs;
pub use list::{ExplainArgs, ListArgs};
pub use merge::MergeArgs;
pub use on::{OnArgs, What};
pub use results::{CompareArgs, ReportArgs};
pub use run::{BenchArgs, GatherArgs, HostedArgs, ReplayArgs, RunArgs, ShareArgs};

/// Checks how a hypervisor handles page faults of a nested guest.
///
/// Boots a small hypervisor (L1) on the host under test (L0). L1 runs a tiny guest (L2) under every
/// page-fault error-code MASK and MATCH and compares each fault with what Intel's manual says.
/// Without a command, `run`.
///
/// Exit codes: 0 pass, 1 fail (the host is wrong), 2 usage, 3 nothing could be run, 4 crash, time
/// limit or damaged log, 5 error in maskmatch itself.
#[derive(Debug, Parser)]
#[command(
    name = "maskmatch",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
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
    /// Run on real Linux/KVM or real Xen inside Bochs, on any machine: `run --l0 lab`, or `run --l0
    /// xen`.
    Lab(HostedArgs),
    /// Run one case again, on its own.
    Replay(ReplayArgs),
    /// Give the verdict on a serial log that was made anywhere.
    Check(CheckArgs),
    /// Give the verdict on the parts of a run that --results kept, as if one machine had done all.
    Gather(GatherArgs),
    /// Say what got worse, what got better, what is new and what is gone between two results of
    /// --json. The exit code is 1 only if something got worse.
    Compare(CompareArgs),
    /// Show the results of many runs: a table, and with --html one page with their history.
    Report(ReportArgs),
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
    /// Run a command line that maskmatch.toml has under a name.
    ///
    /// The file is in this folder or in one above. `[nightly]` with `command = "lab"`, `param =
    /// ["ept=1", "ept=0"]` and `strict = true` is `maskmatch lab --param ept=1 --param ept=0
    /// --strict`.
    With(WithArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Write man pages into a folder.
    Man(ManArgs),
    /// Measure what a page fault of L2 costs under filters of L1 that hypervisors use, and what a
    /// bare VMCALL costs.
    ///
    /// On Bochs and in the lab, time is counted in instructions. On Bochs the cost of a profile is
    /// measured too.
    Bench(BenchArgs),
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, RunArgs, What};
    use crate::host::{self, Choice};
    use crate::lab::kernel::Which;
    use crate::request::{LabVmm, Request};
    use crate::verdict::exit_code::Stop;
    use clap::{CommandFactory, Parser};

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_command_if_none_is_given() {
        let cli =
            Cli::try_parse_from(["maskmatch", "--profile", "quick", "--limit", "0.5"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.on.limit.unwrap().as_millis(), 500);
    }

    #[test]
    fn the_lab_boots_by_the_vmm_that_is_named() {
        let vmm = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Lab(args)) => args.run.on.lab.vmm,
            _ => panic!("the lab"),
        };
        assert_eq!(vmm("maskmatch lab"), LabVmm::Kvm);
        assert_eq!(vmm("maskmatch lab --vmm qemu --param ept=1"), LabVmm::Qemu);
        assert!(Cli::try_parse_from(["maskmatch", "lab", "--vmm", "bochs"]).is_err());
    }

    fn resolved(line: &str) -> Result<(Vec<Choice>, Request), Stop> {
        let cli =
            Cli::try_parse_from(std::iter::once("maskmatch").chain(line.split_ascii_whitespace()))
                .unwrap();
        let RunArgs { filter: filters, exclude, case, on, .. } = cli.run;
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
            ("--l0 xen --kernel 4.17 --xen-options vpid=0 --isolate", Some("xen")),
        ] {
            let (choices, _) = resolved(line).unwrap();
            assert_eq!(choices, [name.map_or(Choice::Best, named)], "{line}");
        }
        assert_eq!(
            resolved("--l0 lab --l0 xen --param ept=0 --isolate").unwrap().0,
            ["lab", "xen"].map(named)
        );
        for line in [
            "--param ept=0",
            "--accel tcg",
            "--l0 kvm --cpu x",
            "--l0 bochs --refresh",
            "--l0 qemu --vmm qemu",
            "--l0 xen --param ept=0",
            "--l0 lab --isolate",
        ] {
            assert!(resolved(line).is_err(), "{line}");
        }
    }

    fn named(name: &str) -> Choice {
        Choice::This(host::TABLE.into_iter().find(|kind| kind.name == name).unwrap())
    }

    #[test]
    fn each_kernel_is_asked_for_with_what_holds_for_all() {
        let kernels = |line| resolved(line).unwrap().1.lab.kernels;
        let named: Vec<_> =
            kernels("--l0 lab --kernel sid --kernel 6.1 --kvm-intel x.ko --refresh");
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
            assert!(
                Cli::try_parse_from(std::iter::once("maskmatch").chain(line.split(' '))).is_err(),
                "{line}"
            );
        }
        let id = "filter.basic.long:user-read-user:1,0,0";
        assert!(matches!(
            Cli::try_parse_from(["maskmatch", "replay", id, "--l0", "bochs"]).unwrap().command,
            Some(Command::Replay(_))
        ));
    }
}
