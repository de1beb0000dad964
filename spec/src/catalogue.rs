//! What runs: groups, cases and their ids, and the image's options.
//!
//! Each kind says what its groups try. Here the five kinds become one type.

pub mod case;
pub mod glob;
pub mod group;
pub mod kind;
pub mod machine;
pub mod name;
pub mod options;
pub mod pattern;
pub mod plan;
