//! The port to a VMM that knows maskmatch, see [`spec::channel`].
#![allow(unsafe_code, reason = "I/O ports")]

use spec::channel::{EXITS_PORT, MOVE_PORT, PORT, SIGNATURE, STATUS_PORT, Status, is_move};
use x86_64::instructions::port::Port;

/// Whether the VMM answers on the channel.
pub fn present() -> bool {
    // SAFETY: no device of a PC has the port: a VMM that does not know it gives all ones, and
    // nothing else happens.
    unsafe { Port::<u32>::new(PORT).read() == SIGNATURE }
}

/// The number of the last move to another process of the VMM, if it moves the VM when it is asked
/// to.
pub fn moves() -> Option<u8> {
    // SAFETY: as in `present`.
    Some(unsafe { Port::<u8>::new(MOVE_PORT).read() }).filter(|&number| is_move(number))
}

/// Asks for the move after the one of this number. It comes at some time.
pub fn begin_move(number: u8) {
    // SAFETY: as in `present`; a VMM that knows the port moves the whole machine, whose memory and
    // registers stay.
    unsafe { Port::<u8>::new(MOVE_PORT).write(number) }
}

/// Asks the VMM for what a word of [`spec::channel::Ask`] says, and gives what became of it.
pub fn ask(word: u64) -> Status {
    // SAFETY: as in `present`; a VMM that does not know the port ignores what is written. Whatever
    // is asked for, the VMM keeps the guest's memory and registers as they are.
    unsafe {
        Port::<u32>::new(PORT).write(word as u32);
        Status::from_word(Port::<u32>::new(STATUS_PORT).read())
    }
}

/// The low 32 bits of how many VM exits L0 has taken, if the VMM counts them.
pub fn exits_of_l0() -> Option<u32> {
    // SAFETY: as in `present`.
    let exits = unsafe { Port::<u32>::new(EXITS_PORT).read() };
    (exits != u32::MAX).then_some(exits)
}
