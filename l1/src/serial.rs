//! COM1.
#![allow(unsafe_code, reason = "I/O ports")]

use core::fmt;
use core::hint::spin_loop;

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::LSR;
use uart_16550::{BaudRate, Config, Uart16550};

const COM1: u16 = 0x3f8;

/// The log's sink. Where the machine has no COM1, what is written is lost.
pub struct Serial(Option<Uart16550<PioBackend>>);

impl Serial {
    /// COM1 at 115,200 baud, 8 data bits, no parity, 1 stop bit.
    pub fn com1() -> Self {
        let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
        // SAFETY: L1 owns the machine, and the ports from 3F8H on are COM1 on a PC.
        let uart = unsafe { Uart16550::new_port(COM1) };
        Self(uart.ok().and_then(|mut uart| uart.init(config).is_ok().then_some(uart)))
    }

    /// Waits until the last byte has left: powering off earlier would lose it.
    pub fn drain(&mut self) {
        if let Some(uart) = &mut self.0 {
            while !uart.lsr().contains(LSR::TRANSMITTER_EMPTY) {
                spin_loop();
            }
        }
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(uart) = &mut self.0 {
            uart.send_bytes_exact(text.as_bytes());
        }
        Ok(())
    }
}
