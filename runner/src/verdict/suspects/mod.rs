//! What a wrong host seems to do with L1's filter: hypotheses that are held against which faults
//! exited in each group.
//!
//! The log has a digest of that, and the numbers of exits and deliveries. A [`Suspect`] is played
//! through the group's filters and accesses, and explains the group if it comes to the same.

pub mod hypothesis;
pub mod plan;
pub mod raised;
mod suspect;
#[cfg(test)]
mod tests;

pub use hypothesis::Hypothesis;
pub use plan::{Plan, Walks};
pub use raised::Raised;
pub use suspect::Suspect;
