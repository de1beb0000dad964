//! Scenes: L1 enters L2 right where one instruction or event happens.

pub mod group;
pub mod stage;
