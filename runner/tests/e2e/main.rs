//! The built `maskmatch`, end to end. Nothing here passes by being skipped: Bochs and QEMU are installed by the
//! runs themselves, and where a machine lacks nested VMX the tests ask for the clean skip that must be.

mod boot;
mod broken;
mod check;
mod command;
mod display;
mod files;
mod interrupt;
mod lab;
mod listing;
mod missing;
mod suites;
mod usage;
