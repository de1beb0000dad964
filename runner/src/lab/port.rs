//! The way out of the lab's machine: one `out` per byte to port 0xe9, which Bochs prints on its
//! standard output.
//!
//! On entry: process 1, as root. [`Sender::open`] asks the kernel for access to I/O ports once;
//! threads started after it inherit the access.
#![allow(unsafe_code, reason = "port output and the iopl system call have no safe form")]

use std::arch::asm;
use std::arch::x86_64::_rdtsc;
use std::io;
use std::sync::Mutex;

use super::frame::{Frame, MAX_PAYLOAD};
use super::message::Message;

/// Bochs prints what is written here.
const CONSOLE: u16 = 0xe9;
/// Bochs powers off when it reads [`POWER_OFF_WORD`] here.
const POWER_OFF: u16 = 0x8900;
const POWER_OFF_WORD: &[u8] = b"Shutdown";
/// Enough to go on with if a panic struck while another thread held the sequence number.
const LOCK_TRIES: usize = 1000;

/// Sends messages, one at a time and numbered.
#[derive(Debug)]
pub struct Sender {
    next: Mutex<u32>,
}

impl Sender {
    /// Gets access to the ports. Call it once: a second sender would count from 0 again.
    ///
    /// # Errors
    /// The kernel refuses, because this is not root or the kernel is locked down.
    pub fn open() -> io::Result<Self> {
        // SAFETY: iopl takes a number and no pointer; it only allows this thread's later `out`
        // instructions.
        let refused = unsafe { libc::syscall(libc::SYS_iopl, 3) } != 0;
        if refused { Err(io::Error::last_os_error()) } else { Ok(Self { next: Mutex::new(0) }) }
    }

    /// Sends one message. Serial bytes beyond a frame's size go into several frames; longer text is
    /// cut.
    pub fn send(&self, message: &Message) {
        let (kind, payload) = message.encode();
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        transmit(kind, &payload, matches!(message, Message::Serial(_)), &mut next);
    }

    /// [`Sender::send`] for a panic. It does not wait for a thread that may never let go.
    pub fn send_last(&self, message: &Message) {
        let (kind, payload) = message.encode();
        for _ in 0..LOCK_TRIES {
            if let Ok(mut next) = self.next.try_lock() {
                transmit(kind, &payload, false, &mut next);
                return;
            }
            std::thread::yield_now();
        }
        // The number is unknown: the decoder reports frames as missing, which is true.
        transmit(kind, &payload, false, &mut (u32::MAX - 1));
    }
}

/// Sends a payload in frames and counts them.
fn transmit(kind: u8, payload: &[u8], splits: bool, next: &mut u32) {
    let pieces = payload.len().div_ceil(MAX_PAYLOAD).clamp(1, if splits { usize::MAX } else { 1 });
    for i in 0..pieces {
        let rest = &payload[i * MAX_PAYLOAD..];
        let payload = rest[..rest.len().min(MAX_PAYLOAD)].to_vec();
        write(CONSOLE, &Frame { kind, seq: *next, ticks: ticks(), payload }.encode());
        *next = next.wrapping_add(1);
    }
}

/// The time-stamp counter: in Bochs, instructions since power-on.
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and Linux leaves CR4.TSD clear unless prctl asks for it.
    unsafe { _rdtsc() }
}

/// Powers Bochs off. Returns if this is some other machine.
pub fn power_off(_permission: &Sender) {
    write(POWER_OFF, POWER_OFF_WORD);
}

/// Writes bytes to a port. Only the holder of a [`Sender`] calls this, so iopl has succeeded.
fn write(port: u16, bytes: &[u8]) {
    // SAFETY: OUTSB reads exactly RCX bytes at RSI, which are those of `bytes`; the ABI has DF
    // clear; ports 0xe9 and 0x8900 drive no device that accesses memory. Without iopl the
    // instruction faults and cannot corrupt anything.
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
