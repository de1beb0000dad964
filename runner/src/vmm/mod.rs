//! How something gets booted: one trait, one file per VMM.
//!
//! A VMM takes an image and a command line, passes on what the guest writes to its serial port as
//! it comes, and says how the run ended. It never judges: whatever the end, the verdict comes from
//! the serial log. Every run has a time limit, and no process or file outlives it.
//!
//! The image is a static ELF64 at physical 2 MiB with a multiboot2 header and a PVH note; its
//! 32-bit entry serves both protocols.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod bochs;
pub mod elf;
pub mod kvm;
pub mod multiboot2_info;
pub mod process;
pub mod qemu;

/// What to boot, and within which limits.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The image: a static ELF64.
    pub elf: &'a [u8],
    /// Its command line.
    pub cmdline: &'a str,
    /// The guest's RAM.
    pub memory_mib: u32,
    /// How many processors it has from the start. The built-in VMM gives one, and another when the
    /// guest asks for it.
    pub processors: u32,
    /// How long the run may take, from the start of the VM.
    pub limit: Duration,
    /// Whether to echo the exact command line on stderr.
    pub verbose: bool,
}

/// How a guest's run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The guest powered off.
    PoweredOff,
    /// The guest or the VMM died: one sentence.
    Crashed(String),
    /// The limit was reached.
    TimedOut(Duration),
    /// The sink had seen enough, or a signal asked maskmatch to end.
    Stopped,
}

/// What is known of a finished run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// How many instructions the guest ran, if the VMM counts them.
    pub instructions: Option<u64>,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop the VMM: the log is complete, or it floods.
    Stop,
}

/// Takes what the guest writes to its serial port, as it comes.
pub trait Sink {
    /// Takes the next bytes, which may be cut anywhere. It is called without bytes now and then
    /// while nothing comes.
    fn bytes(&mut self, serial: &[u8]) -> Flow;

    /// What a guest whose serial port is not COM1 writes there: the last words of an operating
    /// system.
    fn console(&mut self, _text: &[u8]) {}
}

impl<F: FnMut(&[u8]) -> Flow> Sink for F {
    fn bytes(&mut self, serial: &[u8]) -> Flow {
        self(serial)
    }
}

/// Something that boots images.
pub trait Vmm {
    /// What it is, with its version, for the report.
    fn describe(&self) -> String;

    /// Boots, and returns when the run is over.
    ///
    /// # Errors
    /// The VMM could not be started at all.
    fn run(&self, boot: &Boot, sink: &mut dyn Sink) -> Result<Outcome, Unavailable>;
}

/// Why something cannot be used, and how to fix that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// One sentence.
    pub why: String,
    /// What to do: a command to paste, or a sentence. Empty if nothing helps.
    pub mend: String,
    /// Whether the command line, or a file that it names, is wrong. Otherwise this machine lacks
    /// something.
    pub is_usage: bool,
}

impl Unavailable {
    /// Puts the two together.
    pub fn new(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { why: why.into(), mend: mend.into(), is_usage: false }
    }

    /// The same, where the command line is wrong.
    pub fn usage(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { is_usage: true, ..Self::new(why, mend) }
    }

    /// An operation of this machine failed that should succeed.
    pub fn failed(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(format!("cannot {what}: {error}"), "")
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        if self.mend.is_empty() { Ok(()) } else { write!(f, "; to fix it: {}", self.mend) }
    }
}

impl std::error::Error for Unavailable {}
