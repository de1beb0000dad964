//! Options of `run`, `lab`, `replay` and `bench`.

use std::path::PathBuf;

use clap::Args;
use spec::catalogue::case::Case;

use super::known::KnownArgs;
use super::on::OnArgs;
use super::results::ResultArgs;
use super::value::{case, glob, one_of};
use crate::host::{self, Choice};
use crate::request::Part;

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which groups run: a pattern in which `*` stands for anything and `?` for one character; may
    /// be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob, conflicts_with = "case")]
    pub filter: Vec<String>,
    /// Which do not: a pattern of groups; or of cases, as GROUP:ACCESS or GROUP:SCENE or
    /// GROUP:SCENE:FILTER. Of host.*, action.* and smp.* only whole groups can be left out. May be
    /// repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob, conflicts_with = "case")]
    pub exclude: Vec<String>,
    /// One case instead of groups: an id as a report or `maskmatch list --cases` shows it.
    #[arg(long, value_name = "ID", value_parser = case)]
    pub case: Option<Case>,
    /// Exit codes for `git bisect run`: 0 pass, 1 fail, and 125, which leaves a commit out, for all
    /// that is no verdict on the host.
    #[arg(long)]
    pub bisect: bool,
    #[command(flatten)]
    pub share: ShareArgs,
    #[command(flatten)]
    pub on: OnArgs,
}

/// How a run is shared out.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sharing a run out")]
pub struct ShareArgs {
    /// Print the jobs as JSON, with the instructions that each is estimated to take, and boot
    /// nothing.
    #[arg(long, conflicts_with_all = ["case", "bisect", "results"])]
    pub plan: bool,
    /// Run only part I of N, which cost about the same: the sets in an order that a hash of their
    /// names gives, cut between groups. The same command line gives the same parts everywhere.
    #[arg(long, value_name = "hash:I/N", conflicts_with = "case")]
    pub partition: Option<Part>,
    /// Keep each job that is done as a file in this folder, for --resume and `maskmatch gather`.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["case", "bisect"])]
    pub results: Option<PathBuf>,
    /// Do not run again what is kept in the folder of --results.
    #[arg(long, requires = "results")]
    pub resume: bool,
}

/// Options of `gather`.
#[derive(Debug, Args)]
pub struct GatherArgs {
    /// Folders that --results wrote, each with those below it.
    #[arg(value_name = "DIR", required = true)]
    pub folders: Vec<PathBuf>,
    #[command(flatten)]
    pub known: KnownArgs,
    #[command(flatten)]
    pub results: ResultArgs,
}

/// Options of `lab`.
#[derive(Clone, Debug, Args)]
pub struct HostedArgs {
    /// The hypervisor under test; may be repeated.
    #[arg(long, value_parser = one_of(&LAB_HOSTS), default_value = "kvm")]
    pub host: Vec<Choice>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// What can be under test in the lab.
const LAB_HOSTS: [(&str, &str, Choice); 3] = [
    ("kvm", "KVM of Linux", Choice::This(&host::lab::KIND)),
    ("xen", "Xen, with a first domain of maskmatch's own", Choice::This(&host::xen::KIND)),
    ("virtualbox", "VirtualBox on Linux", Choice::This(&host::virtualbox::KIND)),
];

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
