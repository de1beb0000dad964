//! What is reported to the runner: frames on port 0xe9, as [`spec::frame`] has them.
//!
//! Messages other than the guest's log are JSON, as the lab's other host sends them.
#![allow(unsafe_code, reason = "port output has no safe form")]

use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayString;
use spec::frame;

use dom0::ports::SHUTDOWN_PORT;

/// Bochs prints what is written here.
const CONSOLE: u16 = 0xe9;
/// The longest message.
const MESSAGE: usize = 1024;

/// The next frame's number.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Passes on what the guest logs.
pub fn log(bytes: &[u8]) {
    send(frame::SERIAL, bytes);
}

/// Sends a message.
pub fn message(json: fmt::Arguments<'_>) {
    let mut text = ArrayString::<MESSAGE>::new();
    // What is too long is cut, and the runner says that it cannot read it.
    let _ = text.write_fmt(json);
    send(frame::JSON, text.as_bytes());
}

fn send(kind: u8, payload: &[u8]) {
    // SAFETY: every x86-64 CPU has RDTSC, and Xen lets its first domain execute it.
    let ticks = unsafe { _rdtsc() };
    let (header, crc) = frame::around(kind, NEXT.fetch_add(1, Ordering::Relaxed), ticks, payload);
    for part in [&header[..], payload, &crc] {
        write(CONSOLE, part);
    }
}

/// Powers the machine off.
pub fn power_off() -> ! {
    loop {
        write(SHUTDOWN_PORT, b"Shutdown");
    }
}

/// Writes bytes to a port of the machine.
fn write(port: u16, bytes: &[u8]) {
    // SAFETY: OUTSB reads exactly RCX bytes at RSI, which are those of `bytes`; DF is clear; ports
    // 0xe9 and 0x8900 drive no device that accesses memory.
    unsafe {
        asm!(
            "rep outsb",
            in("dx") port,
            inout("rsi") bytes.as_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(nostack, preserves_flags, readonly),
        );
    }
}
