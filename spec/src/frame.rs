//! Frames: how bytes survive a stream that others write to as well. What runs in the lab writes
//! them, and the runner reads them.
//!
//! A frame starts with a marker that no text contains, and carries its length, a sequence number
//! and a CRC-32.
//!
//! ```text
//! marker  F5 4D 4D FA
//! kind    u8
//! seq     u32   counts from 0, little endian like all that follows
//! ticks   u64   the sender's time-stamp counter: in Bochs, instructions since power-on
//! length  u32   of the payload, at most MAX_PAYLOAD
//! payload
//! crc     u32   CRC-32 of everything from kind to the payload's end
//! ```

use crate::log::CRC32;

/// The four bytes a frame starts with; the first and the last occur in no UTF-8 text.
pub const MARKER: [u8; 4] = [0xf5, b'M', b'M', 0xfa];
/// Bytes from the marker up to the payload.
pub const HEADER: usize = 4 + 1 + 4 + 8 + 4;
/// Bytes of the checksum after the payload.
pub const CRC: usize = 4;
/// The longest payload. A sender splits what is longer.
pub const MAX_PAYLOAD: usize = 0x1_0000;
/// The kind of a frame with what the guest wrote to its serial line.
pub const SERIAL: u8 = 0;
/// The kind of any other: JSON.
pub const JSON: u8 = 1;

/// What goes before and after a payload.
#[must_use]
pub fn around(kind: u8, seq: u32, ticks: u64, payload: &[u8]) -> ([u8; HEADER], [u8; CRC]) {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MARKER);
    header[4] = kind;
    header[5..9].copy_from_slice(&seq.to_le_bytes());
    header[9..17].copy_from_slice(&ticks.to_le_bytes());
    header[17..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let mut digest = CRC32.digest();
    digest.update(&header[MARKER.len()..]);
    digest.update(payload);
    (header, digest.finalize().to_le_bytes())
}
