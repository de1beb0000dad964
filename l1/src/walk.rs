//! Walks: L2 makes many accesses under one filter.

pub mod action;
pub mod async_fault;
pub mod difference;
pub mod guest;
pub mod host;
pub mod judge;
pub mod l1_faults;
pub mod walker;
