//! The machine that L1 runs on, without a word about VMX: how it boots, what the processor is,
//! where the log goes.

pub mod acpi;
pub mod apic;
pub mod boot;
pub mod builtins;
pub mod channel;
pub mod cpu;
mod early;
pub mod exception;
pub mod expected;
pub mod global;
mod kept;
pub mod loader;
pub mod log;
pub mod page;
mod pci;
pub mod pic;
pub mod power;
mod register;
pub mod screen;
pub mod serial;
pub mod trace;
