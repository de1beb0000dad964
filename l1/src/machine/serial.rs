//! Where the log goes: to serial ports, to port 0xe9, to the screen.
//!
//! A port access is a trip to the host, so a line goes out in as few as the UART allows: in bursts
//! that fill its FIFO, with one look at the line status before each (`uart_16550` sends byte by
//! byte where there is no FIFO). A VMM that knows maskmatch's channel takes a line at once.
#![allow(unsafe_code, reason = "I/O ports")]

use core::fmt;
use core::hint::spin_loop;

use spec::catalogue::machine::{COM1, Outlet, Outlets};
use spec::channel::{LINE, LINE_PORT};
use uart_16550::backend::Backend;
use uart_16550::spec::registers::LSR;
use uart_16550::{BaudRate, Config, Uart16550};
use x86_64::instructions::port::Port;

use crate::machine::acpi::Console;
use crate::machine::channel;
use crate::machine::global::Global;
use crate::machine::kept::Kept;
use crate::machine::pci;
use crate::machine::register::{Register, Registers};
use crate::machine::screen::Screen;

/// What is written here appears in a VMM's own log, if it has this port.
pub const DEBUG_PORT: u16 = 0xe9;
/// The speed of a serial port of which nobody says another.
const BAUD: u32 = 115_200;

/// The log's sink.
pub struct Serial {
    uarts: [Option<Uart16550<Registers>>; 4],
    /// Whether the VMM takes lines. Then nothing else does.
    takes_lines: bool,
    /// Whether [`DEBUG_PORT`] gets it.
    debug: bool,
    screen: Option<Screen>,
    memory: Option<Kept>,
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

impl Backend for Registers {
    unsafe fn read(&mut self, offset: u8) -> u8 {
        // SAFETY: whoever opened the port says that a UART is there, whose registers touch nothing
        // of L1. `Serial::open` finds out if none is.
        unsafe { self.at.plus(offset << self.shift).read() }
    }

    unsafe fn write(&mut self, offset: u8, value: u8) {
        // SAFETY: as in `read`.
        unsafe { self.at.plus(offset << self.shift).write(value) }
    }
}

impl Serial {
    /// The outlets that are asked for. Otherwise COM1 and the firmware's console. If neither is
    /// there, a PCI device; without that, port 0xe9 and the screen.
    pub fn open(
        asked: Option<Outlets<'_>>,
        console: Option<Console>,
        memory: Option<Kept>,
    ) -> Self {
        // SAFETY: only this function refers to the static, and the log, which has the serial port,
        // drops an old one before it uses a new one.
        let gathered = unsafe { &mut *GATHERED.get() };
        let mut serial = Self {
            uarts: [const { None }; 4],
            takes_lines: channel::present(),
            debug: false,
            screen: None,
            memory,
            gathered,
        };
        if let Some(asked) = asked {
            asked.iter().for_each(|outlet| serial.add(outlet));
            return serial;
        }
        serial.add(Outlet::Serial(COM1));
        if let Some(Console { registers, baud }) = console {
            serial.add_uart(registers, baud.unwrap_or(BAUD));
        }
        if !serial.is_present() {
            serial.add(Outlet::Pci);
        }
        if !serial.is_present() {
            serial.debug = true;
            serial.screen = Some(Screen::new());
        }
        serial
    }

    fn add(&mut self, outlet: Outlet) {
        let at = match outlet {
            Outlet::Serial(port) => Some(Register::Port(port)),
            Outlet::Pci => pci::serial_port(),
            Outlet::Debug => {
                self.debug = true;
                None
            }
            Outlet::Screen => {
                self.screen = Some(Screen::new());
                None
            }
        };
        if let Some(at) = at {
            self.add_uart(Registers { at, shift: 0 }, BAUD);
        }
    }

    /// Adds a UART with 8 data bits, no parity, 1 stop bit, if it is there.
    fn add_uart(&mut self, registers: Registers, baud: u32) {
        let config = Config { baud_rate: BaudRate::Custom(baud), ..Config::DEFAULT };
        let is_new = self.uarts.iter().flatten().all(|uart| *uart.backend() != registers);
        // SAFETY: no other code of L1 uses the registers of a port that somebody gave for this.
        // Where there is no UART, `init` finds that out.
        let mut uart = unsafe { Uart16550::new_with_backend(registers) };
        if let Some(free) = self.uarts.iter_mut().find(|uart| uart.is_none())
            && is_new
            && uart.init(config).is_ok()
        {
            *free = Some(uart);
        }
    }

    /// Whether what is written leaves the machine by a serial port, or by the VMM's own way.
    pub fn is_present(&self) -> bool {
        self.takes_lines || self.uarts.iter().any(Option::is_some)
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) {
        let Gathered { length, bytes } = &*self.gathered;
        let bytes = &bytes[..*length as usize];
        if self.takes_lines {
            // SAFETY: the VMM only reads, at the physical address of `gathered`: L1 maps memory one
            // to one, and its statics and stacks are below 4 MiB.
            unsafe { Port::<u32>::new(LINE_PORT).write(&raw const *self.gathered as u32) };
        } else {
            for uart in self.uarts.iter_mut().flatten() {
                uart.send_bytes_exact(bytes);
                // A VMM may hold back what is written until the guest reads; a line must be out
                // before anything can hang.
                uart.lsr();
            }
            if self.debug {
                // SAFETY: a write to this port is recorded, or where no device has it does nothing.
                bytes.iter().for_each(|&byte| unsafe { Port::new(DEBUG_PORT).write(byte) });
            }
            if let Some(screen) = &mut self.screen {
                screen.write(bytes);
            }
        }
        if let Some(memory) = &mut self.memory {
            memory.write(bytes);
        }
        self.gathered.length = 0;
    }

    /// Waits until the last byte has left: powering off earlier would lose it.
    pub fn drain(&mut self) {
        self.flush();
        for uart in self.uarts.iter_mut().flatten() {
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
