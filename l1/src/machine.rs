//! The machine that L1 runs on, without a word about VMX: how it boots, what the processor is,
//! where the log goes.

pub mod apic;
pub mod boot;
pub mod builtins;
pub mod channel;
pub mod cpu;
mod early;
pub mod exception;
pub mod expected;
pub mod global;
pub mod loader;
pub mod log;
pub mod page;
pub mod pic;
pub mod power;
pub mod screen;
pub mod serial;
pub mod trace;
