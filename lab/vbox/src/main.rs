//! Runs one virtual machine by VirtualBox's VMM, which is a shared library, until it powers off.
//!
//! VirtualBox's own programs do the same from a description in XML, by several processes that talk to
//! each other. What they give the VMM in the end is a tree of settings; here it comes as JSON: an
//! object is a node, a number an integer, an array of numbers bytes.
//!
//! On entry: root, the kernel has the module vboxdrv, the first argument is the file of the settings,
//! and the second one that with what is in RAM from 1 MiB up. On exit: status 0 if the machine was powered off or reset; 3 if VirtualBox refuses to make
//! it; else 1. The last line on standard output says why.

mod library;
mod vmm;

use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::Value;

use vmm::{Machine, Vmm};

/// Where the RAM's content begins.
const RAM: u64 = 0x10_0000;
/// How often to look at the machine's state.
const POLL: Duration = Duration::from_millis(20);

/// The statuses if VirtualBox refuses to make the machine, and if anything else fails.
const REFUSED: u8 = 3;
const FAILED: u8 = 1;

/// Why the machine did not come to its end.
struct Failure {
    status: u8,
    why: String,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { status: FAILED, why }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, why }) => {
            // VirtualBox's messages have several lines.
            println!("{}", why.split_whitespace().collect::<Vec<_>>().join(" "));
            ExitCode::from(status)
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = env::args_os().skip(1);
    let mut file = || {
        let path = arguments.next().ok_or("a file is not named")?;
        fs::read(path).map_err(|error| error.to_string())
    };
    let (settings, ram) = (file()?, file()?);
    let settings: Value = serde_json::from_slice(&settings).map_err(|error| error.to_string())?;
    let vmm = Vmm::load()?;
    let machine = Machine::new(&vmm, &settings).map_err(|why| Failure { status: REFUSED, why })?;
    machine.write(RAM, &ram)?;
    machine.power_on()?;
    loop {
        match machine.state().as_str() {
            "CREATED" | "POWERING_ON" | "RUNNING" | "RESETTING" | "SOFT_RESETTING" => {
                thread::sleep(POLL);
            }
            "POWERING_OFF" | "OFF" => return Ok(()),
            state => return Err(format!("VirtualBox stopped the machine: {state}").into()),
        }
    }
}
