//! Walks: many accesses of L2 under one filter, one VM entry for all of them.
//!
//! Three kinds of groups walk: [`case`] has those that test only a filter, [`host`] accesses that
//! L0 must intercept for itself, [`action`] what the VMM does while L2 is active.

pub mod action;
pub mod case;
pub mod family;
pub mod host;
pub mod layout;
mod meaning;
pub mod outcome;
pub mod page;
pub mod setting;
pub mod stimulus;
pub mod tables;
