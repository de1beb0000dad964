//! The parts of Xen's first domain that run on any machine: the shapes of what it tells Xen, which
//! groups run in which domain, the guest's devices.
//!
//! The image itself is `main.rs`.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod plan;
pub mod ports;
