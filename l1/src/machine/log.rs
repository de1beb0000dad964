//! The one log of a run, and its ends.
#![allow(unsafe_code, reason = "the log is reached from exception handlers too")]

use core::fmt::{self, Display, Write};

use spec::log::Writer;

use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::global::Global;
use crate::machine::loader::Boot;
use crate::machine::power;
use crate::machine::serial::Serial;

/// COM1 from [`begin`] on.
pub struct Sink;

static SERIAL: Global<Option<Serial>> = Global::new(None);
static LOG: Global<Option<Writer<Sink>>> = Global::new(None);

fn serial() -> Option<&'static mut Serial> {
    // SAFETY: only `Sink` and `end` call this, and neither keeps the reference.
    unsafe { (*SERIAL.get()).as_mut() }
}

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        serial().map_or(Ok(()), |serial| serial.write_str(text))
    }
}

/// The facts of the log's second line.
struct Facts<'a> {
    boot: &'a Boot,
    cpu: &'a Cpu,
}

impl Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "boot={} memory_kib={} channel={} {} options={}",
            self.boot.protocol(),
            self.boot.memory_kib(),
            if channel::present() { "yes" } else { "no" },
            self.cpu,
            OneWord(self.boot.command_line()),
        )
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

/// Begins the log.
pub fn begin(serial: Serial, boot: &Boot, cpu: &Cpu) {
    // SAFETY: nothing else refers to the two statics before the log begins.
    unsafe {
        *SERIAL.get() = Some(serial);
        *LOG.get() = Some(Writer::begin(Sink, env!("CARGO_PKG_VERSION"), &Facts { boot, cpu }));
    }
}

/// The log. Before [`begin`] there is none, and what comes then is told on a log that begins with it.
pub fn log() -> &'static mut Writer<Sink> {
    // SAFETY: callers use the reference for one line; an exception handler that takes it while another
    // has it never returns to that one.
    let log = unsafe { &mut *LOG.get() };
    log.get_or_insert_with(|| {
        // SAFETY: as in `begin`: without a log nothing refers to the serial port.
        unsafe { *SERIAL.get() = Some(Serial::com1()) };
        Writer::begin(Sink, env!("CARGO_PKG_VERSION"), &"boot=unknown")
    })
}

/// Ends the log and the machine.
pub fn end() -> ! {
    log().end();
    if let Some(serial) = serial() {
        serial.drain();
    }
    power::off()
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
