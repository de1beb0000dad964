//! Serial ports that are PCI devices. PCI Local Bus Specification 3.0, "Configuration Space".
#![allow(unsafe_code, reason = "I/O ports")]

use x86_64::instructions::port::Port;

use crate::machine::register::Register;

/// The ports of configuration mechanism #1.
const ADDRESS: Port<u32> = Port::new(0xcf8);
const DATA: Port<u32> = Port::new(0xcfc);
const ENABLE: u32 = 1 << 31;

/// Words of a function's configuration space.
const ID: u32 = 0;
const COMMAND: u32 = 4;
const CLASS: u32 = 8;
const HEADER: u32 = 12;
const BAR: u32 = 16;

/// The ID where there is no function.
const NONE: u32 = !0;
/// In [`COMMAND`]: answers at its ports and in its memory.
const DECODES: u32 = 3;
/// In the upper half of [`CLASS`]: a serial controller.
const SERIAL: u32 = 0x0700;
/// In [`HEADER`]: the device has more functions than one.
const MULTIFUNCTION: u32 = 1 << 23;
/// A base address of ports, and a width of 64 bits of one in memory.
const BAR_PORTS: u32 = 1;
const BAR_WIDE: u32 = 4;

const DEVICES: u32 = 256 * 32;
const FUNCTIONS: u32 = 8;

fn select(function: u32, word: u32) {
    // SAFETY: the port only selects a word of configuration space, or no device has it.
    unsafe { ADDRESS.clone().write(ENABLE | function << 8 | word) }
}

#[inline(never)]
fn read(function: u32, word: u32) -> u32 {
    select(function, word);
    // SAFETY: a read of the words above has no effect.
    unsafe { DATA.clone().read() }
}

/// The first serial port, by its first base address.
pub fn serial_port() -> Option<Register> {
    // Without the first device there is no PCI, and no need to look for more.
    (read(0, ID) != NONE).then_some(())?;
    let mut function = 0;
    while function < DEVICES * FUNCTIONS {
        if let Some(found) = registers(function) {
            return Some(found);
        }
        let header = read(function, HEADER);
        let is_whole_device = header == NONE || header & MULTIFUNCTION == 0;
        let is_first = function % FUNCTIONS == 0;
        function += if is_first && is_whole_device { FUNCTIONS } else { 1 };
    }
    None
}

/// The registers of a function, if it is a serial port that L1 can reach.
fn registers(function: u32) -> Option<Register> {
    (read(function, CLASS) >> 16 == SERIAL).then_some(())?;
    let bar = read(function, BAR);
    let is_high = bar & (BAR_PORTS | BAR_WIDE) == BAR_WIDE && read(function, BAR + 4) != 0;
    let at = if bar & BAR_PORTS == 0 {
        Register::Memory(bar & !0xf)
    } else {
        Register::Port(bar as u16 & !3)
    };
    (!is_high && bar & !0xf != 0).then_some(())?;
    let command = read(function, COMMAND);
    select(function, COMMAND);
    // SAFETY: the device answers at the addresses that the firmware gave it; zeros in the upper
    // half, its status, change nothing.
    unsafe { DATA.clone().write(command & 0xffff | DECODES) };
    Some(at)
}
