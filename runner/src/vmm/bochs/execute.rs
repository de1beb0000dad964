//! One run of Bochs: its files, the process, and what its end means.
//!
//! Everything lives in a directory of its own that is removed afterwards. COM1 is a FIFO, so its
//! bytes come as they are written, and a flood fills no disk. Port 0xe9 comes on Bochs' stdout
//! among its own messages. The ROM's first line marks where the guest's output begins.

use crate::vmm::bochs::config::{bochsrc, names};
use crate::vmm::bochs::machine::{Machine, Serial};
use crate::vmm::bochs::rom::{DAMAGED, STARTED, with_tables};
use crate::vmm::bochs::{Bochs, display, loads_by_page, pages};
use crate::vmm::process::{Ended, Source, Tail, command_line, fifo, run};
use crate::vmm::{End, Flow, Outcome, Sink, Unavailable};
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

/// What Bochs says if it gets no memory.
const NO_MEMORY: &str = "std::bad_alloc";
/// What marks a panic in Bochs' log.
const PANIC: &str = ">>PANIC<<";
/// What Bochs' panic says when the guest asked for power-off through port 0x8900.
const SHUTDOWN_REQUESTED: &str = "shutdown requested";
/// What it says at a triple fault: "3rd (13) exception with no resolution".
const TRIPLE_FAULT: &str = "exception with no resolution";
/// No log of a good run comes near this. The tick count is in its last lines.
const MAX_LOG: usize = 1 << 20;

/// Runs `machine`.
pub fn execute(
    bochs: &Bochs,
    machine: &Machine,
    limit: Duration,
    verbose: bool,
    sink: &mut dyn Sink,
) -> Result<Outcome, Unavailable> {
    let failed = |error: io::Error| {
        let folder = env::temp_dir();
        let why = format!("cannot prepare Bochs' files below {}: {error}", folder.display());
        Unavailable::new(
            why,
            "free some space there, or set TMPDIR to a folder that can be written to",
        )
    };
    let directory =
        tempfile::Builder::new().prefix("maskmatch-bochs-").tempdir().map_err(failed)?;
    let path = directory.path();
    let config = bochsrc(machine, &bochs.cpu_model, !loads_by_page(bochs.version));
    fs::write(path.join(names::CONFIG), &config).map_err(failed)?;
    fs::write(path.join(names::ROM), with_tables(&bochs.rom, &machine.tables)).map_err(failed)?;
    let ram = File::create(path.join(names::RAM)).map_err(failed)?;
    machine.write_ram(&ram)?.map_err(failed)?;
    let mut arguments = vec!["-q", "-f", names::CONFIG, "-rc", names::DEBUGGER];
    let mut commands = String::new();
    if loads_by_page(bochs.version) {
        let ram = fs::read(path.join(names::RAM)).map_err(failed)?;
        commands = pages::write(&ram, path).map_err(failed)?;
        // This Bochs runs its debugger only if asked to.
        arguments.push("-debugger");
    }
    fs::write(path.join(names::DEBUGGER), commands + "c\n").map_err(failed)?;
    let com1 = fifo(&path.join(names::SERIAL)).map_err(failed)?;

    let mut command = bochs.program.command(&arguments);
    command.current_dir(path);
    // Bochs probes sound cards although none is configured. Without one, ALSA would fill stderr.
    command.env("ALSA_CONFIG_PATH", "/dev/null");
    display::keep_shut(&mut command);
    if verbose {
        eprintln!("maskmatch: in {}: {} </dev/null", path.display(), command_line(&command));
        config.lines().for_each(|line| eprintln!("maskmatch: bochsrc: {line}"));
    }

    let mut stdout = PortE9::default();
    let mut messages = Tail::default();
    let ended = run(&mut command, vec![com1], limit, &mut |source, bytes| {
        if source == Source::Stderr {
            messages.add(bytes);
            return Flow::Continue;
        }
        let guest = if source == Source::Stdout { &stdout.feed(bytes) } else { bytes };
        let flow = match (source, machine.serial) {
            (Source::Extra(_), Serial::PortE9) => {
                sink.console(guest);
                Flow::Continue
            }
            (Source::Stdout, Serial::Com1) => Flow::Continue,
            _ => sink.bytes(guest),
        };
        if stdout.reset || stdout.damaged { Flow::Stop } else { flow }
    })
    .map_err(|error| Unavailable::failed("run bochs", error))?;
    if messages.text().contains(NO_MEMORY) {
        let why = format!("Bochs got no memory for a machine of {} MiB", machine.memory_mib);
        return Err(Unavailable::new(why, "free some memory, or raise the limit (ulimit -v)"));
    }
    let rest = stdout.rest();
    if machine.serial == Serial::PortE9 && !rest.is_empty() {
        sink.bytes(&rest);
    }
    let log = read_log(&path.join(names::LOG));
    let said = last_words(&log);
    Ok(Outcome {
        end: meaning(ended, limit, &stdout, said, &messages),
        instructions: said.and_then(ticks),
    })
}

/// The end of Bochs' own log.
fn read_log(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MAX_LOG)..]).into_owned()
}

/// The line of the log that says why Bochs ended: a panic, or from 3.1 on a warning of a triple
/// fault.
fn last_words(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.contains(PANIC) || line.contains(TRIPLE_FAULT))
}

/// The clock in such a line: `00011023819p[UNMAP ] >>PANIC<< ...`.
fn ticks(line: &str) -> Option<u64> {
    line.split_once(['p', 'w', 'e', 'i', 'd'])?.0.parse().ok()
}

/// What the run's end means.
fn meaning(
    ended: Ended,
    limit: Duration,
    stdout: &PortE9,
    said: Option<&str>,
    messages: &Tail,
) -> End {
    if stdout.damaged {
        return End::Crashed(
            "the boot ROM found that Bochs did not load the guest's memory right".into(),
        );
    }
    if stdout.reset {
        return End::Crashed("the guest reset the machine".into());
    }
    match (ended, said) {
        (Ended::TimedOut, _) => End::TimedOut(limit),
        (Ended::Stopped, _) => End::Stopped,
        (_, Some(line)) if line.contains(SHUTDOWN_REQUESTED) => End::PoweredOff,
        (_, Some(line)) if line.contains(TRIPLE_FAULT) => {
            End::Crashed("the guest died of a triple fault".into())
        }
        (_, Some(line)) => {
            let (_, text) = line.split_once(PANIC).unwrap_or(("", line));
            End::Crashed(format!("Bochs panicked: {}", text.trim()))
        }
        (Ended::Exited(status), None) => {
            End::Crashed(format!("Bochs ended with {status}: {}", complaint(&messages.text())))
        }
    }
}

/// The line in Bochs' messages that says why it gave up: the one after "Bochs is exiting".
fn complaint(messages: &str) -> &str {
    let mut lines =
        messages.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("==="));
    let exiting = lines.clone().skip_while(|line| !line.starts_with("Bochs is exiting")).nth(1);
    exiting.or_else(|| lines.next_back()).unwrap_or("no message")
}

/// Separates the guest's bytes on port 0xe9 from what Bochs writes to stdout, and notices if the
/// ROM runs again.
#[derive(Debug, Default)]
struct PortE9 {
    started: bool,
    /// The ROM ran a second time.
    reset: bool,
    /// The ROM gave up.
    damaged: bool,
    /// Bytes that may be the start of one of the ROM's lines.
    pending: Vec<u8>,
}

impl PortE9 {
    /// Takes the next bytes of stdout and returns those of the guest.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend(bytes);
        let mut guest = Vec::new();
        while !self.reset && !self.damaged {
            if let Some(at) = find(&self.pending, DAMAGED) {
                self.damaged = true;
                self.give(at, &mut guest);
            } else if let Some(at) = find(&self.pending, STARTED) {
                self.give(at, &mut guest);
                self.pending.drain(..STARTED.len());
                self.reset = self.started;
                self.started = true;
            } else {
                let keep = (0..STARTED.len().min(self.pending.len() + 1))
                    .rev()
                    .find(|&count| {
                        let tail = &self.pending[self.pending.len() - count..];
                        STARTED.starts_with(tail) || DAMAGED.starts_with(tail)
                    })
                    .unwrap_or(0);
                self.give(self.pending.len() - keep, &mut guest);
                break;
            }
        }
        guest
    }

    /// Returns what was held back, at the end.
    fn rest(&mut self) -> Vec<u8> {
        let mut guest = Vec::new();
        if !self.reset && !self.damaged {
            self.give(self.pending.len(), &mut guest);
        }
        guest
    }

    /// Moves the first `count` pending bytes to the guest's, or drops them if the guest does not
    /// run yet.
    fn give(&mut self, count: usize, guest: &mut Vec<u8>) {
        let given = self.pending.drain(..count);
        if self.started {
            guest.extend(given);
        }
    }
}

/// Where `needle` is in `bytes`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::{PortE9, complaint, last_words, meaning, ticks};
    use crate::vmm::End;
    use crate::vmm::process::{Ended, Tail};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    #[test]
    fn the_guests_bytes_are_told_from_bochs_banner_however_they_are_cut() {
        let all = b"Bochs x86\nNext at t=0\n\nmaskmatch-rom: started\nhello\n\nmask\nbye\n";
        for cut in 0..all.len() {
            let mut port = PortE9::default();
            let mut guest = port.feed(&all[..cut]);
            guest.extend(port.feed(&all[cut..]));
            assert_eq!(String::from_utf8_lossy(&guest), "hello\n\nmask\nbye\n", "cut at {cut}");
            assert!(!port.reset && !port.damaged);
            assert_eq!(port.feed(b"mask"), b"", "may be the start of the ROM's line");
            assert_eq!(port.rest(), b"mask");
        }
    }

    #[test]
    fn a_second_start_is_a_reset() {
        let mut port = PortE9::default();
        assert_eq!(port.feed(b"\nmaskmatch-rom: started\nab\nmaskmatch-rom: started\ncd"), b"ab\n");
        assert!(port.reset);
        let mut port = PortE9::default();
        assert!(port.feed(b"x\nmaskmatch-rom: damaged\n").is_empty());
        assert!(port.damaged);
    }

    #[test]
    fn the_end_and_its_clock_are_read_from_the_last_words() {
        let end = |log: &str| {
            let (said, exited) = (last_words(log), Ended::Exited(ExitStatus::from_raw(1 << 8)));
            let end =
                meaning(exited, Duration::from_secs(1), &PortE9::default(), said, &Tail::default());
            (end, said.and_then(ticks))
        };
        let log = "00000000000i[      ] hi\n00000024109p[UNMAP ] >>PANIC<< Shutdown port: shutdown requested\n";
        assert_eq!(end(log), (End::PoweredOff, Some(24109)));
        let died = (End::Crashed("the guest died of a triple fault".into()), Some(233));
        assert_eq!(
            end("00233p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution\n"),
            died
        );
        assert_eq!(
            end("00233w[CPU0  ] exception(): 3rd (13) exception with no resolution\n"),
            died,
            "Bochs 3.1"
        );
        let panicked = (End::Crashed("Bochs panicked: asked for too much".into()), Some(7));
        assert_eq!(end("7p[MEM0  ] >>PANIC<< asked for too much\n8i[CPU0  ] quit\n"), panicked);
        for log in ["00000024109i[CPU0  ] quit\n", ""] {
            assert!(
                matches!(end(log), (End::Crashed(why), None) if why.contains("exit status: 1")),
                "{log}"
            );
        }
    }

    #[test]
    fn the_reason_is_the_line_after_the_announcement() {
        let said = "ALSA lib x\n=====\nBochs is exiting with the following message:\n[      ] no such model\n=====\n0i[SIM]\n";
        assert_eq!(complaint(said), "[      ] no such model");
        assert_eq!(complaint("sh: not found\n\n"), "sh: not found");
        assert_eq!(complaint(""), "no message");
    }
}
