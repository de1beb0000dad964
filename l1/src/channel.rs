//! The port to a VMM that knows maskmatch, see [`spec::channel`].
#![allow(unsafe_code, reason = "I/O ports")]

use spec::channel::{ACTION_REARM_DIRTY_LOG, PORT, SIGNATURE};
use x86_64::instructions::port::Port;

/// Whether the VMM answers on the channel.
pub fn present() -> bool {
    // SAFETY: the port is maskmatch's own; a VMM that does not have it returns all ones.
    unsafe { Port::<u32>::new(PORT).read() == SIGNATURE }
}

/// Makes the VMM track writes anew.
pub fn rearm_dirty_log() {
    // SAFETY: as in `present`; a VMM that does not know the port ignores what is written.
    unsafe { Port::<u32>::new(PORT).write(ACTION_REARM_DIRTY_LOG) }
}
