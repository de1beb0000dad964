//! Runs one virtual machine by VirtualBox's VMM, which is a shared library, until it powers off.
//!
//! VirtualBox's own programs do the same from a description in XML, by several processes that talk to
//! each other. What they give the VMM in the end is a tree of settings; here it comes as JSON: an
//! object is a node, a number an integer, an array of numbers bytes.
//!
//! On entry: root, and the kernel has the module vboxdrv. The arguments are the file of the settings,
//! that with what is in RAM from 1 MiB up, the address in RAM where the image keeps its log, and the
//! file that the log is added to. On exit: status 0 if the machine was powered off or reset, and the
//! log is whole; 3 if VirtualBox refuses to make the machine; else 1. The last line on standard output
//! says why.

mod kept;
mod library;
mod vmm;

use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::Value;

use kept::Kept;
use vmm::{Machine, Vmm};

/// Where the RAM's content begins.
const RAM: u64 = 0x10_0000;
/// How often to look at the machine's state and its log.
const POLL: Duration = Duration::from_millis(20);

/// How long VirtualBox may take to say why it stopped a machine.
const LAST_WORDS: Duration = Duration::from_millis(500);

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
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [settings, ram, address, log] = &arguments[..] else {
        return Err(String::from("four arguments are needed").into());
    };
    let file = |path: &String| fs::read(path).map_err(|error| format!("{path}: {error}"));
    let ram = file(ram)?;
    let settings: Value =
        serde_json::from_slice(&file(settings)?).map_err(|error| error.to_string())?;
    let mut kept = Kept::new(address, log)?;
    let vmm = Vmm::load()?;
    let machine = Machine::new(&vmm, &settings).map_err(|why| Failure { status: REFUSED, why })?;
    machine.write(RAM, &ram)?;
    machine.power_on()?;
    loop {
        // The state comes first: what the image wrote before its end is then certainly there.
        let state = machine.state();
        kept.pass_on(&machine)?;
        match state.as_str() {
            "CREATED" | "POWERING_ON" | "RUNNING" | "RESETTING" | "SOFT_RESETTING" => {
                thread::sleep(POLL);
            }
            "POWERING_OFF" | "OFF" => return Ok(()),
            state => {
                thread::sleep(LAST_WORDS);
                return Err(format!("VirtualBox stopped the machine: {state}").into());
            }
        }
    }
}
