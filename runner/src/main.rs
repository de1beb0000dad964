//! `maskmatch`: boots the test image on a host, reads its log, and says pass or fail.
//!
//! | to find | look in |
//! |---|---|
//! | commands and options | [`cli`] |
//! | which host is tested | [`l0`] |
//! | booting and reading, step by step | [`run`], [`intake`] |
//! | log -> verdict -> report, JSON, exit code | [`findings`], [`judge`], [`conclusion`], [`report`], [`json`], [`exit_code`] |
//! | VMMs | [`vmm`] |
//! | Ctrl-C | [`interrupt`] |
//! | real Linux/KVM inside Bochs | [`lab`] |

mod cli;
mod command;
mod debian;
mod host;
mod interrupt;
mod lab;
mod output;
mod payload;
mod verdict;
mod vmm;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, L0, OnArgs};
use command::run::What;
use verdict::exit_code::{Exit, Stop};

fn main() -> ExitCode {
    if lab::init::is_init() {
        lab::inside::run();
    }
    let exit = dispatch(Cli::parse()).unwrap_or_else(|stop| {
        output::remark(&stop.to_string());
        stop.exit
    });
    interrupt::end_by_signal();
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    match command {
        Command::Run(args) => command::run::run(What::groups(&args.filter, args.case), &args.on),
        Command::Lab(args) => {
            let on = OnArgs { l0: L0::Lab, ..args.on };
            command::run::run(What::groups(&args.filter, args.case), &on)
        }
        Command::Replay(args) => command::run::run(What::groups("*", Some(args.case)), &args.on),
        Command::Check(args) => command::check::check(&args),
        Command::List(args) => command::list::list(&args),
        Command::Explain(args) => command::explain::explain(&args),
        Command::Image(args) => command::image::image(&args),
        Command::Merge(args) => command::merge::merge(&args),
        Command::Doctor => command::doctor::doctor(),
        Command::Bench(args) => command::bench::bench(&args.on),
    }
}
