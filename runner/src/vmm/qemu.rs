//! QEMU: `-kernel` with the image's PVH note, on KVM or its own TCG.
//!
//! TCG has no VMX; it serves to see that an image boots. QEMU's exit status is 0 after a power-off and after a
//! reset (`-no-reboot`) alike, so the reason is read from the SHUTDOWN event of its QMP monitor.

use crate::vmm::kvm::host::Host;
use crate::vmm::process::{Ended, Source, Tail, command_line, fifo, run};
use crate::vmm::{Boot, End, Flow, Outcome, Sink, Unavailable, Vmm};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const PROGRAM: &str = "qemu-system-x86_64";
const MEND: &str = "apt-get install --no-install-recommends qemu-system-x86";

/// Files in the run's own directory, which is QEMU's current one.
const IMAGE: &str = "image.elf";
/// The monitor's FIFOs: QEMU appends `.in` and `.out`.
const QMP: &str = "qmp";
const QMP_INPUT: &str = "qmp.in";
const QMP_OUTPUT: &str = "qmp.out";
/// Without this the monitor reports no events. It waits in the FIFO until QEMU reads it.
const QMP_HELLO: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

/// What executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// This machine's KVM, with all that the host's CPU has.
    Kvm,
    /// QEMU's translator: runs anywhere, but has no VMX.
    Tcg,
}

impl Accel {
    const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    const fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max",
        }
    }
}

/// The QEMU that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    program: PathBuf,
    version: String,
    accel: Accel,
    guest_maxphyaddr: Option<u8>,
}

impl Qemu {
    /// Looks for QEMU, and for what the accelerator needs.
    ///
    /// # Errors
    /// It is not installed or does not run, or KVM is not fit for a guest that uses VMX.
    pub fn find(accel: Accel) -> Result<Self, Unavailable> {
        if accel == Accel::Kvm {
            Host::open()?.require_vmx()?;
        }
        let mut said = Tail::default();
        let ended = run(Command::new(PROGRAM).arg("--version"), None, Duration::from_secs(20), &mut |_, bytes| {
            said.add(bytes);
            Flow::Continue
        });
        match ended {
            Ok(Ended::Exited(status)) if status.success() => {}
            Ok(_) => return Err(Unavailable::new(format!("{PROGRAM} does not run: {}", said.last_line()), MEND)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unavailable::new("QEMU is not installed", MEND));
            }
            Err(error) => return Err(Unavailable::failed(format!("start {PROGRAM}"), error)),
        }
        let version = parse_version(&said.text())
            .ok_or_else(|| Unavailable::new(format!("{PROGRAM} does not say which version it is"), MEND))?;
        Ok(Self { program: in_path(), version, accel, guest_maxphyaddr: None })
    }

    /// A QEMU that is known to be there, on KVM; its guest gets this physical-address width, or the host's. It is not
    /// asked for its version: in an emulator that takes a good part of a run.
    ///
    /// # Errors
    /// KVM is not fit for a guest that uses VMX.
    pub fn at(program: PathBuf, guest_maxphyaddr: Option<u8>) -> Result<Self, Unavailable> {
        Host::open()?.require_vmx()?;
        Ok(Self { program, version: "of unknown version".into(), accel: Accel::Kvm, guest_maxphyaddr })
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The value of `-cpu`.
    fn cpu(&self) -> String {
        let model = self.accel.cpu();
        match self.guest_maxphyaddr {
            // By default "host" has the host's width, whatever phys-bits says.
            Some(bits) => format!("{model},host-phys-bits=off,phys-bits={bits}"),
            None => model.into(),
        }
    }

    fn command(&self, boot: &Boot, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let cpu = self.cpu();
        let memory = boot.memory_mib.to_string();
        let processors = boot.processors.to_string();
        let monitor = format!("pipe,id=qmp,path={QMP}");
        command.current_dir(directory).args([
            "-machine",
            "pc",
            "-accel",
            self.accel.name(),
            "-cpu",
            &cpu,
            // Else QEMU syncs the whole vCPU at each access to the task priority, through CR8, which loses bits 3:0.
            "-global",
            "apic-common.vapic=off",
            "-m",
            &memory,
            "-smp",
            &processors,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
            "-chardev",
            &monitor,
            "-mon",
            "chardev=qmp,mode=control",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-kernel",
            IMAGE,
            "-append",
            boot.cmdline,
        ]);
        command
    }
}

impl Vmm for Qemu {
    fn id(&self) -> &'static str {
        "qemu"
    }

    fn describe(&self) -> String {
        format!("QEMU {}, accelerator {}, CPU model {}", self.version, self.accel.name(), self.accel.cpu())
    }

    fn run(&self, boot: &Boot, sink: &mut dyn Sink) -> Result<Outcome, Unavailable> {
        let failed = |error: io::Error| Unavailable::failed("prepare a directory for QEMU", error);
        let directory = tempfile::Builder::new().prefix("maskmatch-qemu-").tempdir().map_err(failed)?;
        fs::write(directory.path().join(IMAGE), boot.elf).map_err(failed)?;
        let mut hello = File::from(fifo(&directory.path().join(QMP_INPUT)).map_err(failed)?);
        hello.write_all(QMP_HELLO).map_err(failed)?;
        let mut events = File::from(fifo(&directory.path().join(QMP_OUTPUT)).map_err(failed)?);
        let mut command = self.command(boot, directory.path());
        if boot.verbose {
            eprintln!("maskmatch: in {}: {} </dev/null", directory.path().display(), command_line(&command));
        }
        let mut messages = Tail::default();
        let ended = run(&mut command, None, boot.limit, &mut |source, bytes| match source {
            Source::Stdout | Source::Nothing => sink.bytes(bytes),
            Source::Stderr | Source::Extra => {
                messages.add(bytes);
                Flow::Continue
            }
        })
        .map_err(|error| Unavailable::failed(format!("run {PROGRAM}"), error))?;
        // Few and short: they have waited in the FIFO. Its end reads as an error, since no writer is left.
        let mut said = Vec::new();
        let _ = events.read_to_end(&mut said);
        let events = String::from_utf8_lossy(&said);
        let end = match ended {
            Ended::TimedOut => End::TimedOut(boot.limit),
            Ended::Stopped => End::Stopped,
            Ended::Exited(status) => meaning(status, shutdown_reason(&events), &messages),
        };
        Ok(Outcome { end, instructions: None })
    }
}

/// Where the search path has the program; its bare name if nowhere.
fn in_path() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file());
    found.unwrap_or_else(|| PROGRAM.into())
}

/// What it means that QEMU exited.
fn meaning(status: ExitStatus, reason: Option<&str>, messages: &Tail) -> End {
    match (status.code(), reason) {
        (Some(0), Some("guest-reset")) => End::Crashed("the guest died of a triple fault, or reset the machine".into()),
        (Some(0), Some("guest-shutdown") | None) => End::PoweredOff,
        // isa-debug-exit makes an odd status of whatever is written; 1 is QEMU's own failure unless it was silent.
        (Some(code), _) if code % 2 == 1 && (code != 1 || messages.text().trim().is_empty()) => End::PoweredOff,
        (_, Some(reason)) => {
            End::Crashed(format!("QEMU ended with {status}, reason {reason}: {}", messages.last_line()))
        }
        (_, None) => End::Crashed(format!("QEMU ended with {status}: {}", messages.last_line())),
    }
}

/// The reason in QMP's last SHUTDOWN event.
fn shutdown_reason(events: &str) -> Option<&str> {
    let event = events.lines().rev().find(|line| line.contains("\"SHUTDOWN\""))?;
    let (_, rest) = event.split_once("\"reason\":")?;
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

/// The version in "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)".
fn parse_version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("version ")?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::{Accel, Qemu, meaning, parse_version, shutdown_reason};
    use crate::vmm::End;
    use crate::vmm::process::Tail;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright").unwrap(), "7.2.22");
        assert_eq!(parse_version("no QEMU"), None);
    }

    #[test]
    fn the_guest_gets_the_width_that_is_wanted() {
        let qemu = |guest_maxphyaddr| Qemu {
            program: "qemu".into(),
            version: "7.2".into(),
            accel: Accel::Kvm,
            guest_maxphyaddr,
        };
        assert_eq!(qemu(None).cpu(), "host");
        assert_eq!(qemu(Some(36)).cpu(), "host,host-phys-bits=off,phys-bits=36");
    }

    #[test]
    fn a_reset_is_told_from_a_power_off() {
        let event = |reason: &str| {
            format!(
                "{{\"QMP\": {{}}}}\n{{\"event\": \"SHUTDOWN\", \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}}}\n"
            )
        };
        let exit = |code: i32, events: &str, said: &[u8]| {
            let mut messages = Tail::default();
            messages.add(said);
            meaning(ExitStatus::from_raw(code << 8), shutdown_reason(events), &messages)
        };
        assert_eq!(exit(0, &event("guest-shutdown"), b""), End::PoweredOff);
        assert!(matches!(exit(0, &event("guest-reset"), b""), End::Crashed(_)));
        assert_eq!(exit(1, "", b""), End::PoweredOff, "isa-debug-exit with 0");
        assert_eq!(exit(33, "", b""), End::PoweredOff, "isa-debug-exit with 16");
        let End::Crashed(why) = exit(1, "", b"qemu: no such CPU\n") else { panic!("QEMU's own failure") };
        assert!(why.contains("no such CPU"));
    }
}
