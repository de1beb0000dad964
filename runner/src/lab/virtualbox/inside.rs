//! What process 1 of the lab does for VirtualBox: loads its driver, and runs one machine after the
//! other.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;
use std::time::Duration;

use spec::catalogue::options::Options as ImageOptions;

use super::job::Job;
use super::machine::{FIRMWARE, SERIAL, log_region, settings};
use super::options::Options;
use super::session::{image_options, subject};
use crate::lab::init::{Serial, load};
use crate::lab::message::{DRIVER_LOADED, Message};
use crate::lab::port::Sender;
use crate::payload;
use crate::request::processors;
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
/// Where the log that the image keeps in memory comes.
const LOG: &str = "/tmp/log";
/// What is kept of what VirtualBox says when it stops a machine: the reason comes first.
const MOST_OF_DUMP: usize = 1 << 20;
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
    let cmdline = image_options(&job.cmdline, &job.asks, &subject, job.memory_mib);
    let cmdline = cmdline.map_err(|error| error.why)?;
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
    // Files in memory. What comes at COM1 comes before the log.
    let open = |path: &str| {
        File::create(path).and_then(|_| File::open(path)).map_err(|error| failed(path, error))
    };
    let (mut line, mut log) = (open(SERIAL)?, open(LOG)?);
    let (mut said, mut dump) = (Tail::default(), Vec::new());
    let address = format!("{:#x}", log_region(job.memory_mib).start);
    let mut command = Command::new(PROGRAM);
    command.args([SETTINGS, RAM, &address, LOG]).env_clear().env("HOME", "/tmp").env("LC_ALL", "C");
    let mut pass_on = |serial: &mut Serial<'_>| {
        let mut bytes = Vec::new();
        for file in [&mut line, &mut log] {
            // What cannot be read now is read later, or the log lacks its end.
            let _ = file.read_to_end(&mut bytes);
        }
        serial.take(&bytes);
    };
    let ended = watch(&mut command, Vec::new(), LIMIT, &mut |source, bytes| {
        match source {
            Source::Nothing => pass_on(serial),
            Source::Stderr if dump.len() < MOST_OF_DUMP => dump.extend(bytes),
            Source::Stderr => {}
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
        Ended::Exited(status) if status.code() == Some(1) => {
            let guru = guru(&dump).map(|why| format!(" ({why})")).unwrap_or_default();
            Err(format!("{}{guru}", said.last_line()).into())
        }
        Ended::Exited(status) => {
            said.add(&dump);
            Err(format!("VirtualBox ended with {status}: {}", said.last_line()).into())
        }
        Ended::TimedOut | Ended::Stopped => Err("VirtualBox was stopped".to_string().into()),
    }
}

/// Why VirtualBox stopped a machine, in its words: a line of the dump that it makes of it.
fn guru(dump: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(dump);
    let line = text.lines().find(|line| line.contains("Guru Meditation"))?;
    Some(line.trim_matches(|c: char| c == '!' || c.is_whitespace()).into())
}

#[cfg(test)]
mod tests {
    use super::guru;

    #[test]
    fn the_reason_is_found_in_the_dump() {
        let dump = b"\n!!!!!!\n!!\n!!         Guru Meditation -4005 (VERR_VMX)\n!!\n!!!!\nrax=0\n";
        assert_eq!(guru(dump).as_deref(), Some("Guru Meditation -4005 (VERR_VMX)"));
        assert_eq!(guru(b"nothing"), None);
    }
}
