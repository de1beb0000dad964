//! The built `maskmatch`, end to end. Nothing here passes by being skipped: The runs install Bochs
//! and QEMU themselves. Where a machine lacks nested VMX, the tests expect a clean skip.

mod bios;
mod boot;
mod boots;
mod broken;
mod browser;
mod built_in;
mod cache;
mod check;
mod command;
mod consumers;
mod display;
mod files;
mod fleet;
mod interrupt;
mod iso;
mod known;
mod lab;
mod listing;
mod machines;
mod missing;
mod player;
mod results;
mod robust;
mod share;
mod suites;
mod usage;
mod virtualbox;
mod xen;
