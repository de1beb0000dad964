//! The one log of a run, and its ends.
#![allow(unsafe_code, reason = "the log is reached from exception handlers too")]

use core::fmt::{self, Display, Write};

use spec::catalogue::options::Options;
use spec::log::Writer;

use crate::machine::acpi::Acpi;
use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::global::Global;
use crate::machine::kept::Kept;
use crate::machine::loader::Boot;
use crate::machine::power;
use crate::machine::serial::Serial;

/// The log's outlets from [`begin`] on.
pub struct Sink;

static SERIAL: Global<Option<Serial>> = Global::new(None);
static LOG: Global<Option<Writer<Sink>>> = Global::new(None);

fn serial() -> Option<&'static mut Serial> {
    // SAFETY: only `Sink::write_str` and `end` call this, for one call of `Serial` each, and that
    // calls neither. An exception in between that logs never goes back.
    unsafe { (*SERIAL.get()).as_mut() }
}

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        serial().map_or(Ok(()), |serial| serial.write_str(text))
    }
}

/// Sends what the serial port gathered.
fn flush() {
    if let Some(serial) = serial() {
        serial.flush();
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The facts of the log's second line.
struct Facts<'a> {
    boot: &'a Boot,
    cpu: &'a Cpu,
    vmx_basic: Option<u64>,
    /// How many processors the firmware lists.
    processors: Option<usize>,
}

impl Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "boot={} memory_kib={} channel={} {}",
            self.boot.protocol(),
            self.boot.memory_kib(),
            if channel::present() { "yes" } else { "no" },
            self.cpu,
        )?;
        if let Some(basic) = self.vmx_basic {
            write!(f, " vmx_basic={basic:x}")?;
        }
        if let Some(processors) = self.processors {
            write!(f, " processors={processors}")?;
        }
        write!(f, " options={}", OneWord(self.boot.command_line()))
    }
}

/// Text as one word of printable characters, so that the line keeps its form.
struct OneWord<'a>(&'a str);

impl Display for OneWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            f.write_char(match c {
                ' ' => '+',
                '!'..='~' => c,
                _ => '?',
            })?;
        }
        Ok(())
    }
}

/// Begins the log where the options or the firmware say. IA32_VMX_BASIC is in it where there is VMX.
pub fn begin(
    options: &Options<'_>,
    acpi: Option<Acpi<'_>>,
    boot: &Boot,
    cpu: &Cpu,
    vmx_basic: Option<u64>,
) {
    let memory = options.memory.and_then(Kept::begin);
    let is_kept = memory.is_some();
    let serial = Serial::open(options.serial, acpi.and_then(Acpi::console), memory);
    let is_hidden = options.serial.is_none() && !serial.is_present();
    let facts = Facts { boot, cpu, vmx_basic, processors: acpi.and_then(Acpi::processors) };
    // SAFETY: `main` calls this once, on the first processor, before anything is logged: there are
    // no references yet.
    unsafe {
        *SERIAL.get() = Some(serial);
        *LOG.get() = Some(Writer::begin(Sink, VERSION, &facts).flushed_by(flush));
    }
    if options.memory.is_some() && !is_kept {
        end_with_error(&"there is no memory where the option memory= says");
    }
    if is_hidden {
        log().note(&"no COM1: this log is on port 0xe9 and on the screen");
    }
}

/// The log. Before [`begin`] there is none, and what comes then is in a log that begins with
/// it.
// Inlined, it takes more room than a call in each of many places.
#[inline(never)]
pub fn log() -> &'static mut Writer<Sink> {
    // SAFETY: only the first processor logs. Callers use the reference for one call of a method of
    // `Writer`, which calls nothing that logs; an exception handler that takes it meanwhile never
    // goes back.
    let log = unsafe { &mut *LOG.get() };
    log.get_or_insert_with(begin_unknown)
}

/// A log before the loader's words were read.
#[cold]
#[inline(never)]
fn begin_unknown() -> Writer<Sink> {
    // SAFETY: as in `begin`: without a log nothing refers to the serial port.
    unsafe { *SERIAL.get() = Some(Serial::open(None, None, None)) };
    Writer::begin(Sink, VERSION, &"boot=unknown").flushed_by(flush)
}

/// Ends the log and the machine.
pub fn end() -> ! {
    log().end();
    if let Some(serial) = serial() {
        serial.drain();
    }
    power::end(log().verdict())
}

/// Ends both with an error of maskmatch.
pub fn end_with_error(error: &dyn Display) -> ! {
    log().error(error);
    end()
}

/// Ends both, since this host lacks something.
pub fn end_with_skip(reason: &dyn Display) -> ! {
    log().skip_all(reason);
    end()
}
