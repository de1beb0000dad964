//! The scenes, one module an act. To add one, add a row.

pub mod access;
pub mod ept;
pub mod page;
pub mod stale;
pub mod unpaged;
