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

mod bench;
mod catalogue;
mod check;
mod cli;
mod conclusion;
mod debian;
mod difference;
mod doctor;
mod exit_code;
mod explain;
mod findings;
mod image;
mod intake;
mod interrupt;
mod json;
mod judge;
mod l0;
mod lab;
mod list;
mod merge;
mod missed;
mod output;
mod payload;
mod progress;
mod report;
mod run;
mod setup;
mod vmcs_field;
mod vmm;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, L0, OnArgs};
use exit_code::{Exit, Stop};
use run::What;

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
        Command::Run(args) => run::run(What::groups(&args.filter, args.case), &args.on),
        Command::Lab(args) => {
            let on = OnArgs { l0: L0::Lab, ..args.on };
            run::run(What::groups(&args.filter, args.case), &on)
        }
        Command::Replay(args) => run::run(What::groups("*", Some(args.case)), &args.on),
        Command::Check(args) => check::check(&args),
        Command::List(args) => list::list(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Image(args) => image::image(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Doctor => doctor::doctor(),
        Command::Bench(args) => bench::bench(&args.on),
    }
}
