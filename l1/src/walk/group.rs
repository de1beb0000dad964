//! Running the groups that walk: `filter.*`, `host.*` and `action.*`.

pub mod action;
pub mod filter;
pub mod host;
