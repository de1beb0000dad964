//! What all parts of maskmatch share, and the only place where it is written what must happen.
//!
//! No I/O, no allocation, no `unsafe`: the same code judges inside the image (`l1`) and reads logs
//! on the host (`runner`), and every line of it runs in host tests.
//!
//! Sections are those of the *Intel 64 and IA-32 Architectures Software Developer's Manual*,
//! combined volumes, order number 325462-075US (June 2021), cited as "SDM" with number and title.
//!
//! | to find | look in |
//! |---|---|
//! | the rule that decides about a VM exit | [`filter`] |
//! | the error code of a page fault | [`pfec`] |
//! | which access faults, and with what error code | [`paging`] |
//! | the accesses that L2 makes | [`page`], [`setting`], [`stimulus`] |
//! | accesses that L0 must see for itself | [`host`] |
//! | what the VMM does while L2 is active | [`action`] |
//! | the filters that L1 asks for | [`plan`] |
//! | two processors at once | [`smp`] |
//! | scenes: single instructions and events with all that is reported of them | [`scene`] |
//! | what L1 and L2 must see | [`outcome`], [`deviation`] |
//! | what a wrong host seems to do | [`hypothesis`] |
//! | one filter for L0 and L1: merge policies, and what they are worth | [`merge`] |
//! | what `bench` measures | [`cost`] |
//! | names on command lines and in logs | [`group`], [`case`], [`options`], [`log`] |
//! | the memory that L1 and L2 share | [`layout`] |
//! | the port that reaches the VMM | [`channel`] |
#![no_std]

#[cfg(test)]
extern crate std;

pub mod catalogue;
pub mod channel;
pub mod deviation;
pub mod log;
pub mod manual;
pub mod scene;
pub mod smp;
pub mod suspects;
pub mod walk;
