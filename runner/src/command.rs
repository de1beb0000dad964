//! The commands, one file each.

pub mod bench;
pub mod check;
pub mod compare;
pub mod doctor;
pub mod explain;
pub mod gather;
pub mod help;
pub mod image;
pub mod list;
pub mod merge;
pub mod report;
pub mod run;
pub mod with;
