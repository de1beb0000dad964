//! The commands, one file each.

pub mod bench;
pub mod check;
pub mod doctor;
pub mod explain;
pub mod image;
pub mod list;
pub mod merge;
pub mod run;
