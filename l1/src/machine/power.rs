//! Ending the machine.
#![allow(unsafe_code, reason = "I/O ports")]

use x86_64::instructions::port::Port;
use x86_64::instructions::{hlt, interrupts};

/// PM1a control of QEMU's PC: SLP_EN with the type that means power off.
const QEMU_PM1A: (u16, u16) = (0x604, 0x2000);
/// Bochs powers off when this word arrives, and so do other VMMs.
const SHUTDOWN_PORT: u16 = 0x8900;
/// QEMU's `isa-debug-exit`.
const DEBUG_EXIT: u16 = 0xf4;

/// Powers off by each way that a VMM may have, then halts for ever.
pub fn off() -> ! {
    // SAFETY: a write to one of these ports ends the machine or, where no device has it, does
    // nothing. L1 does nothing after that but halt.
    unsafe {
        Port::<u16>::new(QEMU_PM1A.0).write(QEMU_PM1A.1);
        for byte in *b"Shutdown" {
            Port::<u8>::new(SHUTDOWN_PORT).write(byte);
        }
        Port::<u8>::new(DEBUG_EXIT).write(0);
    }
    interrupts::disable();
    loop {
        hlt();
    }
}
