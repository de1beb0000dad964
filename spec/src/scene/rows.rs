//! The scenes, one module an act. To add one, add a row.

pub mod access;
mod delivery;
pub mod event;
pub mod inject;
pub mod state;
