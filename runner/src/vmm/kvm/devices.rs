//! The I/O ports of the built-in VMM.
//!
//! | port | device |
//! |---|---|
//! | 0x3f8 to 0x3ff | COM1, IRQ 4 |
//! | 0x604, 0x8900 | power off: 0x2000, the letters `Shutdown` |
//! | 0x64 | 0xfe resets the machine |
//! | `spec::channel::EXITS_PORT` | reads give the number of VM exits, see [`super::exits`] |
//! | `spec::channel::LINE_PORT` | takes the address of a line for COM1 |
//! | `spec::channel::PORT` | reads give the signature, writes ask the VMM for an action |
//! | `spec::channel::STATUS_PORT` | what became of it |
//! | `spec::channel::ECHO_PORT` | reads give what was written, inverted |
//!
//! Everything else reads as ones and ignores what is written.

use kvm_ioctls::VmFd;
use spec::channel::{self, Status};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::SyncSender;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// COM1's data register.
pub const COM1: u16 = 0x3f8;
const COM1_LAST: u16 = 0x3ff;
const COM1_IRQ: u32 = 4;
const KEYBOARD_COMMAND: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;
const ACPI_PM1A_CONTROL: u16 = 0x604;
const ACPI_SLEEP_ENABLE: u16 = 0x2000;
const BOCHS_SHUTDOWN: u16 = 0x8900;
const BOCHS_LETTERS: &[u8] = b"Shutdown";

/// Words that the echo port keeps.
const ECHO_WORDS: usize = 64;
/// A piece of the log is passed on when a line ends, or when it is this long.
const CHUNK: usize = 256;

/// What the VMM has to do after an `out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    None,
    /// End the run: the guest is off.
    PowerOff,
    /// End the run: the guest asked for a reset.
    Reset,
    /// An action code that the guest wrote to the channel's port.
    Action(u32),
    /// Bytes for COM1, which lie with their length at this physical address.
    Line(u32),
}

/// The ports.
pub struct Ports {
    com1: Serial<Irq, vm_superio::serial::NoEvents, LogPipe>,
    /// How many of the letters of `Shutdown` came in order.
    letters: usize,
    /// What became of the last action.
    status: Status,
    /// Words written to the echo port that nobody has read.
    echo: VecDeque<u32>,
}

impl Ports {
    /// Makes the devices of `vm`; `log` gets what the guest writes to COM1.
    ///
    /// # Errors
    /// KVM does not take the interrupt line.
    pub fn new(vm: &VmFd, log: SyncSender<Vec<u8>>) -> io::Result<Self> {
        let irq = EventFd::new(EFD_NONBLOCK)?;
        vm.register_irqfd(&irq, COM1_IRQ)
            .map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
        let com1 = Serial::new(Irq(irq), LogPipe { log, line: Vec::new() });
        Ok(Self { com1, letters: 0, status: Status::Done, echo: VecDeque::new() })
    }

    /// Moves the interrupt line from one VM to another.
    ///
    /// # Errors
    /// KVM does not take it. The first VM then still has it.
    pub fn rewire(&mut self, from: &VmFd, to: &VmFd) -> Result<(), kvm_ioctls::Error> {
        let Irq(irq) = self.com1.interrupt_evt();
        from.unregister_irqfd(irq, COM1_IRQ)?;
        to.register_irqfd(irq, COM1_IRQ).inspect_err(|_| {
            // It had the line a moment ago. Without it COM1 still works: L1 polls.
            let _ = from.register_irqfd(irq, COM1_IRQ);
        })
    }

    /// Notes what became of an action, for the guest to read.
    pub fn answer(&mut self, status: Status) {
        self.status = status;
    }

    /// Handles a read of the guest from a port.
    pub fn read(&mut self, port: u16, data: &mut [u8]) {
        data.fill(0xff);
        match port {
            COM1..=COM1_LAST => {
                if let [byte] = data {
                    *byte = self.com1.read((port - COM1) as u8);
                }
            }
            channel::PORT if data.len() == 4 => {
                data.copy_from_slice(&channel::SIGNATURE.to_le_bytes());
            }
            channel::STATUS_PORT if data.len() == 4 => {
                data.copy_from_slice(&self.status.word().to_le_bytes());
            }
            channel::ECHO_PORT => {
                for word in data.chunks_exact_mut(4) {
                    if let Some(written) = self.echo.pop_front() {
                        word.copy_from_slice(&(!written).to_le_bytes());
                    }
                }
            }
            _ => {}
        }
    }

    /// Handles a write of the guest to a port.
    pub fn write(&mut self, port: u16, data: &[u8]) -> Request {
        match (port, data) {
            (COM1..=COM1_LAST, bytes) => {
                // More than one come from a string instruction.
                for byte in bytes {
                    // It fails when the log's reader is gone, which ends the run, or when loopback
                    // input overflows, which changes nothing here.
                    let _ = self.com1.write((port - COM1) as u8, *byte);
                }
                Request::None
            }
            (ACPI_PM1A_CONTROL, [low, high, ..])
                if u16::from_le_bytes([*low, *high]) & ACPI_SLEEP_ENABLE != 0 =>
            {
                Request::PowerOff
            }
            (BOCHS_SHUTDOWN, letters) => {
                for letter in letters {
                    let expected = BOCHS_LETTERS[self.letters] == *letter;
                    self.letters = if expected { self.letters + 1 } else { 0 };
                    if self.letters == BOCHS_LETTERS.len() {
                        self.letters = 0;
                        return Request::PowerOff;
                    }
                }
                Request::None
            }
            (KEYBOARD_COMMAND, [PULSE_RESET]) => Request::Reset,
            (channel::PORT, &[a, b, c, d]) => Request::Action(u32::from_le_bytes([a, b, c, d])),
            (channel::LINE_PORT, &[a, b, c, d]) => Request::Line(u32::from_le_bytes([a, b, c, d])),
            (channel::ECHO_PORT, words) => {
                let words = words
                    .chunks_exact(4)
                    .map(|word| word.iter().rev().fold(0, |n, &byte| n << 8 | u32::from(byte)));
                // A guest that never reads gets back no more than this.
                self.echo.extend(words.take(ECHO_WORDS.saturating_sub(self.echo.len())));
                Request::None
            }
            _ => Request::None,
        }
    }

    /// Passes on what no line end has followed yet.
    pub fn flush(&mut self) {
        self.com1.writer_mut().send();
    }
}

/// COM1's interrupt line.
struct Irq(EventFd);

impl Trigger for Irq {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// Collects COM1's bytes and sends them to the thread that feeds the sink.
struct LogPipe {
    log: SyncSender<Vec<u8>>,
    line: Vec<u8>,
}

impl LogPipe {
    fn send(&mut self) {
        if !self.line.is_empty() {
            // The reader is gone only when the run is over, and then nobody needs the bytes.
            let _ = self.log.send(std::mem::take(&mut self.line));
        }
    }
}

impl Write for LogPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend(bytes);
        if bytes.contains(&b'\n') || self.line.len() >= CHUNK {
            self.send();
        }
        Ok(bytes.len())
    }

    /// COM1 flushes after each byte. Pieces that small would cost too much.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
