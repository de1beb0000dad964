//! Walks: many accesses of L2 under one filter, one VM entry for all of them.

pub mod action;
pub mod host;
pub mod layout;
pub mod outcome;
pub mod page;
pub mod setting;
pub mod stimulus;
