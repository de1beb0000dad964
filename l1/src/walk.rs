//! Walks: L2 makes many accesses under one filter. [`group`] runs them.

pub mod action;
pub mod async_fault;
pub mod broken;
pub mod difference;
pub mod group;
pub mod guest;
pub mod host;
pub mod interrupt;
pub mod judge;
pub mod l1_faults;
pub mod own_operand;
pub mod tables;
pub mod walker;
