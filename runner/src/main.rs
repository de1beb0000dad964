//! `maskmatch`: boots the test image on a host, reads its log, and says pass or fail.
//!
//! | to find | look in |
//! |---|---|
//! | options, and what they ask for | [`cli`], [`request`] |
//! | what a command does | [`command`] |
//! | hosts under test, and how one is chosen | [`host`] |
//! | log -> findings -> verdict -> report, exit code | [`verdict`] |
//! | results as files, and what compares and shows them | [`results`] |
//! | how an image is booted | [`vmm`] |
//! | the image as disk, CD and what else boots | [`media`] |
//! | real Linux/KVM inside Bochs | [`lab`] |
//! | what comes from Debian | [`debian`] |
//! | files that the user names | [`files`] |
//! | the end of memory | [`memory`] |
//! | colours | [`color`] |
//! | Ctrl-C | [`interrupt`] |
//! | text from elsewhere, made harmless | [`escape`] |

mod cli;
mod color;
mod command;
mod debian;
mod escape;
mod files;
mod host;
mod interrupt;
mod lab;
mod media;
mod memory;
mod output;
mod payload;
mod request;
mod results;
mod verdict;
mod vmm;

use std::process::ExitCode;

use clap::Parser;

use cli::{BenchArgs, Cli, Command, HostedArgs, OnArgs, ReplayArgs, RunArgs, ShareArgs, What};
use host::Choice;
use request::Request;
use results::record::Shelf;
use verdict::exit_code::{self, Exit, Stop};

fn main() -> ExitCode {
    if lab::init::is_init() {
        lab::init::run();
    }
    if let Err(error) = interrupt::outlive_file_size_limit() {
        output::remark(&format!("a file that grows too large ends maskmatch: {error}"));
    }
    let exit = dispatch(Cli::parse()).unwrap_or_else(|stop| {
        output::remark(&stop.to_string());
        stop.exit
    });
    interrupt::end_by_signal();
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run(args),
        Command::Lab(HostedArgs { host, run: args }) => {
            let in_lab = |choice: &Choice| {
                *choice == Choice::Best || *choice == Choice::This(&host::lab::KIND)
            };
            if let Some(Choice::This(kind)) = args.on.l0.iter().find(|choice| !in_lab(choice)) {
                let name = kind.name;
                let why = format!(
                    "lab runs in the lab: leave out --l0 {name}, or use `maskmatch run --l0 {name}`"
                );
                return Err(Stop::usage(why));
            }
            let on = OnArgs { l0: host, ..args.on };
            run(RunArgs { on, ..args })
        }
        Command::Replay(ReplayArgs { case, on }) => {
            let (choices, request) = on.request(What { case: Some(case), ..What::default() })?;
            command::run::run(&choices, &request)
        }
        Command::Bench(BenchArgs { on }) => {
            let (choices, request) = on.request(What::default())?;
            command::bench::bench(&choices, &request)
        }
        Command::Check(args) => command::check::check(&args),
        Command::Gather(args) => command::gather::gather(args),
        Command::Compare(args) => command::compare::compare(&args),
        Command::Report(args) => command::report::report(args),
        Command::List(args) => command::list::list(&args),
        Command::Explain(args) => command::explain::explain(&args),
        Command::Image(args) => command::image::image(&args),
        Command::Merge(args) => command::merge::merge(&args),
        Command::Doctor => command::doctor::doctor(),
        Command::With(args) => command::with::with(&args)?.map_or(Ok(Exit::Pass), dispatch),
        Command::Completions(args) => command::help::completions(&args),
        Command::Man(args) => command::help::man(&args),
    }
}

fn run(
    RunArgs { filter: filters, exclude, case, bisect, share, on }: RunArgs,
) -> Result<Exit, Stop> {
    let run = || {
        let (choices, request) = on.request(What { filters, exclude, case })?;
        let ShareArgs { plan, partition: part, results, resume } = share;
        let keep = results.map(|folder| Shelf::open(folder, resume)).transpose()?;
        let request = Request { part, keep, ..request };
        if plan {
            return command::run::plan(&choices, &request);
        }
        command::run::run(&choices, &request)
    };
    let ended = run();
    if bisect { exit_code::for_bisect(ended) } else { ended }
}
