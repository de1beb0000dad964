//! QEMU's own migration to a file and back: the guest asks for it on a port, this QEMU saves it and
//! quits, and the next one begins with what is in the file.
//!
//! On entry: QEMU was started, paused before its guest's first instruction if it is to restore one,
//! with its monitor and the port ([`spec::channel::MOVE_PORT`]) on sockets. Every step has a time
//! limit. Whatever goes wrong ends the run with a sentence.

use crate::vmm::Flow;
use crate::vmm::qemu::monitor::{Monitor, Said};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// The name under which QEMU knows the file.
const FILE: &str = "state";
/// The limit for QEMU to save its guest, to quit, or to restore a guest: many times what it takes
/// in an emulator.
const LIMIT: Duration = Duration::from_mins(2);

/// What QEMU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To run the guest.
    Running,
    /// To restore a guest.
    Restoring,
    /// To save its guest.
    Saving,
    /// To quit: the guest is in the file.
    Quitting,
}

impl Phase {
    const fn what(self) -> &'static str {
        match self {
            Self::Running => "take commands",
            Self::Restoring => "restore the guest",
            Self::Saving => "save the guest",
            Self::Quitting => "quit when it has saved the guest",
        }
    }
}

/// One QEMU from its start to its end.
#[derive(Debug)]
pub struct Migration {
    monitor: Monitor,
    file: PathBuf,
    phase: Phase,
    since: Instant,
    failed: Option<String>,
    /// QEMU says why next.
    asked_why: bool,
    /// Why the guest is off, in QEMU's word.
    pub shutdown: Option<String>,
}

impl Migration {
    /// Greets QEMU, and lets it restore the guest in the file if it is to.
    pub fn begin(monitor: Monitor, file: PathBuf, restores: bool) -> Self {
        let phase = if restores { Phase::Restoring } else { Phase::Running };
        let mut migration = Self {
            monitor,
            file,
            phase,
            since: Instant::now(),
            failed: None,
            asked_why: false,
            shutdown: None,
        };
        let begun =
            migration.greet().and_then(|()| if restores { migration.restore() } else { Ok(()) });
        migration.check(begun);
        migration
    }

    /// Why the run cannot go on, if so: a sentence.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// What it means that QEMU ended by itself with these messages, if it was at a step of a
    /// migration.
    pub fn ended(&self, status: ExitStatus, messages: &str) -> Option<String> {
        let lines: Vec<&str> =
            messages.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let step = self.phase != Phase::Running;
        step.then(|| {
            format!(
                "QEMU does not {}: it ended with {status}: {}",
                self.phase.what(),
                lines.join("; ")
            )
        })
    }

    /// Whether the guest is in the file, and this QEMU at its end.
    pub fn saved(&self) -> bool {
        self.phase == Phase::Quitting
    }

    /// Handles the guest's request to be moved.
    pub fn asked(&mut self, bytes: &[u8]) -> Flow {
        if self.phase == Phase::Running && !bytes.is_empty() {
            self.enter(Phase::Saving);
            let saving = self.save();
            self.check(saving);
        }
        self.flow()
    }

    /// Handles what the monitor says.
    pub fn hear(&mut self, bytes: &[u8]) -> Flow {
        for said in self.monitor.hear(bytes) {
            match said {
                Said::Done(answer) if self.asked_why => {
                    self.fail(answer["error-desc"].as_str().unwrap_or("it does not say why"));
                }
                Said::Done(_) => {}
                Said::Refused(why) => self.fail(&why),
                Said::Event(name, data) => self.event(&name, &data),
            }
        }
        self.flow()
    }

    /// Looks at the clock.
    pub fn tick(&mut self) -> Flow {
        if self.phase != Phase::Running && self.since.elapsed() > LIMIT {
            self.fail(&format!("nothing came of it for {} s", LIMIT.as_secs()));
        }
        self.flow()
    }

    fn event(&mut self, name: &str, data: &Value) {
        match (name, data["status"].as_str(), self.phase) {
            ("SHUTDOWN", ..) => self.shutdown = data["reason"].as_str().map(Into::into),
            ("MIGRATION", Some("completed"), Phase::Saving) => {
                self.enter(Phase::Quitting);
                let quitting = self.monitor.send("quit", &json!({}));
                self.check(quitting);
            }
            ("MIGRATION", Some("completed"), Phase::Restoring) => self.enter(Phase::Running),
            ("MIGRATION", Some("failed"), _) => {
                self.asked_why = true;
                let asking = self.monitor.send("query-migrate", &json!({}));
                self.check(asking);
            }
            _ => {}
        }
    }

    /// Without this the monitor takes no commands and reports no events.
    fn greet(&self) -> io::Result<()> {
        self.monitor.send("qmp_capabilities", &json!({}))
    }

    fn save(&self) -> io::Result<()> {
        self.transfer("migrate", &File::create(&self.file)?)
    }

    fn restore(&self) -> io::Result<()> {
        self.transfer("migrate-incoming", &File::open(&self.file)?)
    }

    /// Passes the file to QEMU and gives the command. QEMU reports its progress by events.
    fn transfer(&self, command: &str, file: &File) -> io::Result<()> {
        let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        self.monitor.send("migrate-set-capabilities", &events)?;
        self.monitor.hand_over(FILE, file)?;
        self.monitor.send(command, &json!({ "uri": format!("fd:{FILE}") }))
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn check(&mut self, sent: io::Result<()>) {
        if let Err(error) = sent {
            self.fail(&error.to_string());
        }
    }

    /// Only the first failure counts.
    fn fail(&mut self, why: &str) {
        let what = self.phase.what();
        self.failed.get_or_insert_with(|| format!("QEMU does not {what}: {}", why.trim_end()));
    }

    fn flow(&self) -> Flow {
        if self.failed.is_some() { Flow::Stop } else { Flow::Continue }
    }
}
