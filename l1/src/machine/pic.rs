//! The two 8259A interrupt controllers of a PC, which L1 does not use.
#![allow(unsafe_code, reason = "I/O ports")]

use x86_64::instructions::port::Port;

/// The mask registers, and a mask of all eight inputs.
const MASKS: [u16; 2] = [0x21, 0xa1];
const ALL: u8 = 0xff;

/// Masks all inputs. Firmware leaves the timer's open, and L1 does not intercept external
/// interrupts of an L2 with RFLAGS.IF set: a tick would go to L2's handlers, by a vector of the
/// BIOS.
pub fn mask_all() {
    for port in MASKS {
        // SAFETY: the port is the mask register of an interrupt controller, or no device has it; L1
        // waits for no interrupt of these.
        unsafe { Port::<u8>::new(port).write(ALL) }
    }
}
