//! The port to a VMM that knows maskmatch, see [`spec::channel`].
#![allow(unsafe_code, reason = "I/O ports")]

use spec::channel::{PORT, SIGNATURE};
use x86_64::instructions::port::Port;

/// Whether the VMM answers on the channel.
pub fn present() -> bool {
    // SAFETY: the port is maskmatch's own; a VMM that does not have it returns all ones.
    unsafe { Port::<u32>::new(PORT).read() == SIGNATURE }
}
