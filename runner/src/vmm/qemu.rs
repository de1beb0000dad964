//! QEMU: `-kernel` with the image's PVH note, on KVM or its own TCG.
//!
//! TCG has no VMX. It shows that an image boots. QEMU's exit status is 0 after a power-off
//! and after a reset (`-no-reboot`) alike, so the reason is read from the SHUTDOWN event of its QMP
//! monitor.
//!
//! A guest that asks for it is moved to the next QEMU, see [`migration`]. For the guest and the
//! sink it is one run.

use crate::vmm::kvm::host::Device;
use crate::vmm::process::{Ended, Source, Tail, ask, command_line, in_path, run};
use crate::vmm::{Boot, End, Flow, Outcome, Sink, Unavailable, Vmm};
use migration::Migration;
use monitor::Monitor;
use rustix::io::{FdFlags, fcntl_setfd};
use spec::channel::{MOVE_PORT, moves};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

pub mod migration;
pub mod monitor;

const PROGRAM: &str = "qemu-system-x86_64";
const MEND: &str = "apt-get install --no-install-recommends qemu-system-x86";

/// Files in the run's own directory, which is QEMU's current one.
const IMAGE: &str = "image.elf";
/// Where a guest is saved.
const STATE: &str = "state";
/// The indexes of the sockets among what is watched.
const MONITOR: usize = 0;
const PORT: usize = 1;

/// What executes the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// This machine's KVM, with all that the host's CPU has.
    #[default]
    Kvm,
    /// QEMU's translator: runs anywhere, but has no VMX.
    Tcg,
}

impl Accel {
    /// The word as QEMU takes it.
    pub const fn name(self) -> &'static str {
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
    /// It is not installed or does not run, or a guest on KVM cannot use VMX.
    pub fn find(accel: Accel) -> Result<Self, Unavailable> {
        if accel == Accel::Kvm {
            Device::open()?.require_vmx()?;
        }
        let said = match ask(Command::new(PROGRAM).arg("--version"), Duration::from_secs(20)) {
            Ok(said) if said.is_success() => said,
            Ok(said) => {
                return Err(Unavailable::new(
                    format!("{PROGRAM} does not run: {}", said.err.last_line()),
                    MEND,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unavailable::new("QEMU is not installed", MEND));
            }
            Err(error) => return Err(Unavailable::failed(format!("start {PROGRAM}"), error)),
        };
        let version = parse_version(&said.out).ok_or_else(|| {
            Unavailable::new(format!("{PROGRAM} does not say which version it is"), MEND)
        })?;
        Ok(Self {
            program: in_path(PROGRAM).unwrap_or_else(|| PROGRAM.into()),
            version,
            accel,
            guest_maxphyaddr: None,
        })
    }

    /// A QEMU that is known to exist, on KVM. Its guest gets this physical-address width, or the
    /// host's. It is not asked for its version, which would take a good part of a run in an
    /// emulator.
    ///
    /// # Errors
    /// A guest on KVM cannot use VMX.
    pub fn at(program: PathBuf, guest_maxphyaddr: Option<u8>) -> Result<Self, Unavailable> {
        Device::open()?.require_vmx()?;
        Ok(Self {
            program,
            version: "of unknown version".into(),
            accel: Accel::Kvm,
            guest_maxphyaddr,
        })
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version.
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

    /// The QEMU after this many moves. It has the other ends of the sockets.
    fn command(
        &self,
        boot: &Boot,
        directory: &Path,
        count: u32,
        monitor: &OwnedFd,
        port: &OwnedFd,
    ) -> Command {
        // Without vapic=off QEMU syncs the whole vCPU at each access to the task priority, through
        // CR8, which loses bits 3:0.
        let options = format!(
            "-machine pc -accel {accel} -cpu {cpu} -global apic-common.vapic=off -m {memory} -smp {processors} \
             -nodefaults -no-user-config -display none -no-reboot -serial stdio \
             -chardev socket,id=qmp,fd={monitor} -mon chardev=qmp,mode=control \
             -chardev socket,id=moves,fd={port} \
             -device isa-debugcon,iobase={MOVE_PORT:#x},readback={moves},chardev=moves \
             -kernel {IMAGE} -append",
            accel = self.accel.name(),
            cpu = self.cpu(),
            memory = boot.memory_mib,
            processors = boot.processors,
            monitor = monitor.as_raw_fd(),
            port = port.as_raw_fd(),
            moves = moves(count),
        );
        let mut command = Command::new(&self.program);
        command.current_dir(directory).args(options.split(' ')).arg(boot.cmdline);
        if count > 0 {
            command.args(["-incoming", "defer"]);
        }
        command
    }
}

impl Vmm for Qemu {
    fn describe(&self) -> String {
        format!(
            "QEMU {}, accelerator {}, CPU model {}",
            self.version,
            self.accel.name(),
            self.accel.cpu()
        )
    }

    fn run(&self, boot: &Boot, sink: &mut dyn Sink) -> Result<Outcome, Unavailable> {
        let failed = |error: io::Error| Unavailable::failed("prepare a directory for QEMU", error);
        let directory =
            tempfile::Builder::new().prefix("maskmatch-qemu-").tempdir().map_err(failed)?;
        fs::write(directory.path().join(IMAGE), boot.elf).map_err(failed)?;
        let start = Instant::now();
        let mut count = 0;
        loop {
            let left = boot.limit.saturating_sub(start.elapsed());
            if let Some(end) = self.run_one(boot, directory.path(), count, left, sink)? {
                return Ok(Outcome { end, instructions: None });
            }
            count += 1;
        }
    }
}

impl Qemu {
    /// Runs the QEMU after this many moves to its end. `None` means that it has saved its guest for
    /// the next.
    fn run_one(
        &self,
        boot: &Boot,
        directory: &Path,
        count: u32,
        limit: Duration,
        sink: &mut dyn Sink,
    ) -> Result<Option<End>, Unavailable> {
        let failed = |error: io::Error| Unavailable::failed("make sockets for QEMU", error);
        let (monitor, its_monitor) = sockets().map_err(failed)?;
        let (port, its_port) = sockets().map_err(failed)?;
        let commands = Monitor::new(monitor.try_clone().map_err(failed)?);
        let mut command = self.command(boot, directory, count, &its_monitor, &its_port);
        if boot.verbose {
            eprintln!(
                "maskmatch: in {}: {} </dev/null",
                directory.display(),
                command_line(&command)
            );
        }
        let mut migration = Migration::begin(commands, directory.join(STATE), count > 0);
        let mut messages = Tail::default();
        let ended =
            run(&mut command, vec![monitor, port], limit, &mut |source, bytes| match source {
                Source::Stdout => sink.bytes(bytes),
                Source::Stderr => {
                    messages.add(bytes);
                    Flow::Continue
                }
                Source::Extra(MONITOR) => migration.hear(bytes),
                Source::Extra(PORT..) => migration.asked(bytes),
                Source::Nothing => match migration.tick() {
                    Flow::Continue => sink.bytes(bytes),
                    Flow::Stop => Flow::Stop,
                },
            })
            .map_err(|error| Unavailable::failed(format!("run {PROGRAM}"), error))?;
        if let Some(why) = migration.failed() {
            return Ok(Some(End::Crashed(why.into())));
        }
        Ok(match ended {
            Ended::TimedOut => Some(End::TimedOut(boot.limit)),
            Ended::Stopped => Some(End::Stopped),
            Ended::Exited(status) if status.success() && migration.saved() => None,
            Ended::Exited(status) => Some(migration.ended(status, &messages.text()).map_or_else(
                || meaning(status, migration.shutdown.as_deref(), &messages),
                End::Crashed,
            )),
        })
    }
}

/// Our end of a socket, and one that QEMU inherits.
fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, its) = UnixStream::pair()?;
    fcntl_setfd(&its, FdFlags::empty())?;
    Ok((ours.into(), its.into()))
}

/// What it means that QEMU exited.
fn meaning(status: ExitStatus, reason: Option<&str>, messages: &Tail) -> End {
    match (status.code(), reason) {
        (Some(0), Some("guest-reset")) => {
            End::Crashed("the guest died of a triple fault, or reset the machine".into())
        }
        (Some(0), Some("guest-shutdown") | None) => End::PoweredOff,
        (_, Some(reason)) => End::Crashed(format!(
            "QEMU ended with {status}, reason {reason}: {}",
            messages.last_line()
        )),
        (_, None) => End::Crashed(format!("QEMU ended with {status}: {}", messages.last_line())),
    }
}

/// The version in "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)".
fn parse_version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("version ")?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod unit {
    use super::{Accel, Qemu, meaning, parse_version};
    use crate::vmm::End;
    use crate::vmm::process::Tail;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright").unwrap(),
            "7.2.22"
        );
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
        let exit = |code: i32, reason: Option<&str>, said: &[u8]| {
            let mut messages = Tail::default();
            messages.add(said);
            meaning(ExitStatus::from_raw(code << 8), reason, &messages)
        };
        assert_eq!(exit(0, Some("guest-shutdown"), b""), End::PoweredOff);
        assert!(matches!(exit(0, Some("guest-reset"), b""), End::Crashed(_)));
        let End::Crashed(why) = exit(1, None, b"qemu: no such CPU\n") else {
            panic!("QEMU's own failure")
        };
        assert!(why.contains("no such CPU"));
    }
}
