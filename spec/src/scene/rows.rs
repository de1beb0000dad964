//! The scenes, one module an act. To add one, add a row.

pub mod access;
pub mod device;
pub mod forced;
pub mod implicit;
pub mod modify;
pub mod ept;
pub mod page;
pub mod pkey;
pub mod ports;
pub mod priority;
pub mod shadow;
pub mod stack;
pub mod stale;
pub mod strings;
pub mod unpaged;
