//! What runs: groups, cases and their ids, filters of each profile, and the image's options.

pub mod case;
pub mod glob;
pub mod group;
pub mod options;
pub mod plan;
