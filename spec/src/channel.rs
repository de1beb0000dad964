//! The port by which the guest reaches a VMM that knows maskmatch.
//!
//! Harmless elsewhere: a VMM that does not know the port answers all ones and ignores what is written.

/// The I/O port, accessed with 32 bits.
pub const PORT: u16 = 0x4d4d;
/// What a read of [`PORT`] gives if the VMM knows it: "MASK", little-endian.
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"MASK");
/// Written to [`PORT`]: track writes to memory, and forget those so far, so that the next write to
/// each page is seen by L0.
pub const ACTION_REARM_DIRTY_LOG: u32 = 1;
/// Gives the low 32 bits of how many VM exits of this vCPU L0 has taken, L2's included, accessed with 32 bits; all ones
/// where nobody counts.
pub const EXITS_PORT: u16 = PORT + 4;
/// Physical address of a page whose VMM remembers what is written and gives it back.
pub const DEVICE_PAGE: u64 = 0xfeb0_0000;
