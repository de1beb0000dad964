//! The machine that L1 runs on, without a word about VMX: how it boots, what the processor is, where the log goes.

pub mod apic;
pub mod boot;
pub mod builtins;
pub mod channel;
pub mod cpu;
pub mod exception;
pub mod global;
pub mod interrupt;
pub mod loader;
pub mod log;
pub mod paging;
pub mod power;
pub mod serial;
pub mod trace;
