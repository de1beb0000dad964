//! What all parts of maskmatch share, and the only place where it is written what must happen.
//!
//! No I/O, no allocation, no `unsafe`: the same code judges inside the image (`l1`) and reads logs
//! on the host (`runner`), and every line of it runs in host tests.
//!
//! "SDM" is the *Intel 64 and IA-32 Architectures Software Developer's Manual*. It is cited by title;
//! [`manual::section`] has the numbers, in two editions.
//!
//! | to find | look in |
//! |---|---|
//! | the rule, error codes, which access faults | [`manual`] |
//! | many accesses under one filter | [`walk`] |
//! | single instructions and events, with all that is reported of them | [`scene`] |
//! | two processors at once | [`smp`] |
//! | what runs: groups, cases and their ids, the image's options | [`catalogue`] |
//! | what a group saw, counted by what differs | [`tally`] |
//! | the log's grammar | [`log`] |
//! | the port that reaches the VMM | [`channel`] |
//! | how the lab's bytes reach the runner | [`frame`] |
//! | what a PVH loader hands over | [`pvh`] |
#![no_std]

#[cfg(test)]
extern crate std;

pub mod catalogue;
pub mod channel;
pub mod frame;
mod listed;
pub mod log;
pub mod manual;
pub mod pvh;
pub mod scene;
pub mod smp;
pub mod tally;
pub mod walk;
