//! The scenes, one module an act. To add one, add a row.

pub mod access;
mod delivery;
pub mod ept;
pub mod event;
pub mod inject;
pub mod page;
pub mod stale;
pub mod state;
pub mod unpaged;
