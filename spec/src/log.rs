//! The serial log: its grammar, written by L1 and read by the runner.
//!
//! `ok` and `not ok` follow the manual alone. The reader decides who is to blame for a difference,
//! and whether the host is known for it.
//!
//! It is KTAP, so a person, `grep '^not ok'` and any TAP consumer can read it. Every line that is
//! not KTAP's own is a comment, `# WORD ...`. Between the version line and the end record nothing
//! else may stand. The end record carries the CRC-32 of all bytes before it, so what was cut,
//! garbled or mixed with another program's text never reads as complete.
//!
//! ```text
//!                                                 an empty line, wherever the cursor is
//! KTAP version 1
//! # maskmatch 0.1.0 log=2 boot=pvh ...            once, KEY=VALUE words
//! 1..12                                           the number of groups; 1..0 # SKIP reason
//! # progress filter.basic.long 64/2048            heartbeat
//! # fail id=CASE want=OUTCOME got=OUTCOME         the first case of each kind, in full
//! # differs filter.basic.long exit0:rflags^10000 cases=99 first=1,0,0 in=user-read-np-pte
//! # differs filter.basic.long others cases=9      more kinds than can be told apart
//! # incomplete filter.basic.long unexpected-exit cases=7    cases that came to no end
//! # note ...                                      anything that a reader should know
//! # trace ...                                     a step of a single case
//! # cost 1,9,1 user-read-np-pte exits=0 ...       what a walk of `bench` cost
//! # counts filter.basic.long cases=1 differing=0 exits=1 delivered=0 tsc=9 digest=0123abcd
//! ok 1 filter.basic.long                          one a group; not ok; ok ... # SKIP reason
//! # error ...                                     maskmatch is wrong; only the end follows
//! # end passed=1 failed=0 skipped=0 errors=0 cases=1 crc32=0123abcd
//! ```

pub mod cost;
mod line;
mod read;
mod verdict;
mod write;

use crc::{CRC_32_ISO_HDLC, Crc};

pub use line::{Line, Summary, words};
pub use read::{BadLog, Reader};
pub use verdict::Verdict;
pub use write::Writer;

/// CRC-32 as in Ethernet and zlib: of the log's bytes, and of a group's exits.
pub static CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The first line.
pub const VERSION_LINE: &str = "KTAP version 1";
/// The version of this grammar, `log=` in the line that follows.
pub const FORMAT: u32 = 2;
/// The word in place of a difference, for cases that differ in more ways than can be told apart.
pub const OTHERS: &str = "others";

/// What a group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Cases tried.
    pub cases: u64,
    /// Cases that were not as the manual says.
    pub differing: u64,
    /// Faults that exited to L1.
    pub exits: u64,
    /// Faults that L2's handler got.
    pub delivered: u64,
    /// Time stamp counter from the group's start to its end; on Bochs, instructions.
    pub tsc: u64,
    /// CRC-32 of which faults exited, in the order of the cases: equal hosts give equal digests.
    pub digest: u32,
}

/// What the cheapest walk of `bench` under one filter cost, see [`crate::log::cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cost {
    /// Faults that exited to L1.
    pub exits: u64,
    /// Faults that L2's handler got.
    pub delivered: u64,
    /// Time stamp counter from the VM entry to the VMCALL's exit; on Bochs, instructions.
    pub tsc: u64,
    /// VM exits that L0 took meanwhile, or `None` if the VMM does not count them.
    pub l0_exits: Option<u64>,
}

#[cfg(test)]
mod tests;
