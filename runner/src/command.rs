//! The commands, one file each.

pub mod bench;
pub mod check;
pub mod compare;
pub mod doctor;
pub mod explain;
pub mod image;
pub mod list;
pub mod merge;
pub mod report;
pub mod run;
