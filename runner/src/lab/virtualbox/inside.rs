//! What process 1 of the lab does for VirtualBox: loads its driver, and runs one machine after the
//! other.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;
use std::time::Duration;

use spec::catalogue::options::Options as ImageOptions;

use super::job::Job;
use super::machine::{FIRMWARE, SERIAL, settings};
use super::options::Options;
use super::session::subject;
use crate::lab::init::{Serial, load};
use crate::lab::message::{DRIVER_LOADED, Message};
use crate::lab::port::Sender;
use crate::payload;
use crate::request::{cmdline_on, processors};
use crate::vmm::bochs::machine::Machine;
use crate::vmm::bochs::rom::rom_image;
use crate::vmm::process::{Ended, Source, Tail, run as watch};
use crate::vmm::{Boot, Flow, Unavailable};

/// The driver, inside.
pub const DRIVER: &str = "/vboxdrv.ko";
/// What runs a machine, inside. VirtualBox trusts programs of its own folder.
pub const PROGRAM: &str = "/usr/lib/virtualbox/vbox";
/// Its status if VirtualBox refuses to make the machine.
const REFUSED: i32 = 3;
/// The settings of the machine.
const SETTINGS: &str = "/tmp/machine.json";
/// What is in its RAM when it starts.
const RAM: &str = "/tmp/ram.bin";
/// The guest's clock runs slower than the user's, and only the user's time limit counts.
const LIMIT: Duration = Duration::from_hours(24);

/// Does the job. `drain` passes on what the kernel has logged.
///
/// # Errors
/// The driver does not load.
pub fn run(job: &Job, sender: &Sender, drain: &dyn Fn()) -> Result<(), String> {
    load(DRIVER, "").map_err(|error| format!("VirtualBox's driver does not load: {error}"))?;
    sender.send(&Message::Stage(DRIVER_LOADED.into()));
    for options in &job.machines {
        let set = options.to_string();
        sender.send(&Message::Begin { set: set.clone(), effective: options.in_force() });
        let mut serial = Serial::new(sender);
        let result = machine(job, options, &mut serial);
        serial.flush();
        drain();
        sender.send(&match result {
            Err(Failure::Refused(why)) => Message::Skip { set, why },
            Err(Failure::Failed(why)) => Message::End { set, failure: Some(why) },
            Ok(()) => Message::End { set, failure: None },
        });
    }
    Ok(())
}

/// Why a machine did not come to its end.
enum Failure {
    /// VirtualBox does not make it, in its words.
    Refused(String),
    /// Anything else.
    Failed(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Runs one machine to its end.
fn machine(job: &Job, options: &Options, serial: &mut Serial<'_>) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| format!("{what} cannot be made: {error}");
    let subject = subject(&job.version, options, &job.processor);
    let cmdline = cmdline_on(&job.cmdline, &job.asks, &subject).map_err(|error| error.why)?;
    let needed = ImageOptions::parse(&cmdline).map_or(1, |options| processors(&options));
    let boot = Boot {
        elf: payload::L1_ELF,
        cmdline: &cmdline,
        memory_mib: job.memory_mib,
        processors: options.processors(needed),
        limit: LIMIT,
        verbose: false,
    };
    let why = |unavailable: Unavailable| unavailable.why;
    let firmware = rom_image(payload::ROM_ELF).map_err(why)?;
    let settings = settings(options, boot.processors, boot.memory_mib).to_string();
    for (path, bytes) in [(FIRMWARE, &firmware[..]), (SETTINGS, settings.as_bytes())] {
        fs::write(path, bytes).map_err(|error| failed(path, error))?;
    }
    let ram = File::create(RAM).map_err(|error| failed(RAM, error))?;
    let written = Machine::of_image(&boot).and_then(|machine| machine.write_ram(&ram));
    written.map_err(why)?.map_err(|error| failed(RAM, error))?;
    // A file in memory: to be woken by each byte would cost more than the byte.
    let line = File::create(SERIAL).and_then(|_| File::open(SERIAL));
    let mut line = line.map_err(|error| failed(SERIAL, error))?;
    let mut said = Tail::default();
    let mut command = Command::new(PROGRAM);
    command.args([SETTINGS, RAM]).env_clear().env("HOME", "/tmp").env("LC_ALL", "C");
    let mut pass_on = |serial: &mut Serial<'_>| {
        let mut bytes = Vec::new();
        // What cannot be read now is read later, or the log lacks its end.
        let _ = line.read_to_end(&mut bytes);
        serial.take(&bytes);
    };
    let ended = watch(&mut command, Vec::new(), LIMIT, &mut |source, bytes| {
        match source {
            Source::Nothing => pass_on(serial),
            _ => said.add(bytes),
        }
        Flow::Continue
    });
    pass_on(serial);
    match ended.map_err(|error| format!("{PROGRAM} cannot be started: {error}"))? {
        Ended::Exited(status) if status.success() => Ok(()),
        Ended::Exited(status) if status.code() == Some(REFUSED) => {
            Err(Failure::Refused(said.last_line()))
        }
        Ended::Exited(status) if status.code() == Some(1) => Err(said.last_line().into()),
        Ended::Exited(status) => {
            Err(format!("VirtualBox ended with {status}: {}", said.last_line()).into())
        }
        Ended::TimedOut | Ended::Stopped => Err("VirtualBox was stopped".to_string().into()),
    }
}
