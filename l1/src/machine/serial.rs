//! COM1.
//!
//! A port access is a trip to the host, so a line goes out in as few as the UART allows: in bursts
//! that fill its FIFO, with one look at the line status before each (`uart_16550` sends byte by
//! byte where there is no FIFO). A VMM that knows maskmatch's channel takes a line at once.
#![allow(unsafe_code, reason = "I/O ports")]

use core::fmt;
use core::hint::spin_loop;

use spec::channel::{LINE, LINE_PORT};
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::LSR;
use uart_16550::{BaudRate, Config, Uart16550};
use x86_64::instructions::port::Port;

use crate::machine::channel;
use crate::machine::global::Global;
use crate::machine::screen::Screen;

/// The first port of COM1.
pub const COM1: u16 = 0x3f8;

/// The log's sink. Where the machine has no COM1, the log goes to the screen.
pub struct Serial {
    uart: Option<Uart16550<PioBackend>>,
    /// Whether the VMM takes lines.
    takes_lines: bool,
    screen: Screen,
    gathered: &'static mut Gathered,
}

/// Bytes that are gathered before they are sent; as [`LINE_PORT`] takes them.
#[repr(C)]
struct Gathered {
    length: u32,
    bytes: [u8; LINE],
}

/// Apart from [`Serial`], so that the image need not hold its zeros.
static GATHERED: Global<Gathered> = Global::new(Gathered { length: 0, bytes: [0; LINE] });

impl Serial {
    /// COM1 at 115,200 baud, 8 data bits, no parity, 1 stop bit.
    pub fn com1() -> Self {
        let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
        // SAFETY: the eight ports from 3F8H on are COM1's on a PC, and no other code of L1 uses
        // them. Where there is no COM1, `init` finds that out.
        let uart = unsafe { Uart16550::new_port(COM1) };
        let uart = uart.ok().and_then(|mut uart| uart.init(config).is_ok().then_some(uart));
        // SAFETY: only this function refers to the static, and the log, which has the serial port,
        // drops an old one before it uses a new one.
        let gathered = unsafe { &mut *GATHERED.get() };
        Self { uart, takes_lines: channel::present(), screen: Screen::new(), gathered }
    }

    /// Whether what is written leaves the machine by COM1, or by the VMM's own way.
    pub fn is_present(&self) -> bool {
        self.takes_lines || self.uart.is_some()
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) {
        let Gathered { length, bytes } = &*self.gathered;
        if self.takes_lines {
            // SAFETY: the VMM only reads, at the physical address of `gathered`: L1 maps memory one
            // to one, and its statics and stacks are below 4 MiB.
            unsafe { Port::<u32>::new(LINE_PORT).write(&raw const *self.gathered as u32) };
        } else if let Some(uart) = &mut self.uart {
            uart.send_bytes_exact(&bytes[..*length as usize]);
            // A VMM may hold back what is written until the guest reads; a line must be out before
            // anything can hang.
            uart.lsr();
        } else {
            self.screen.write(&bytes[..*length as usize]);
        }
        self.gathered.length = 0;
    }

    /// Waits until the last byte has left: powering off earlier would lose it.
    pub fn drain(&mut self) {
        self.flush();
        if let Some(uart) = &mut self.uart {
            while !uart.lsr().contains(LSR::TRANSMITTER_EMPTY) {
                spin_loop();
            }
        }
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Gathered { length, bytes } = &mut *self.gathered;
            bytes[*length as usize] = byte;
            *length += 1;
            if *length as usize == LINE {
                self.flush();
            }
        }
        Ok(())
    }
}
