//! What the manual says, without a word about tests: the rule for VM exits, error codes, paging,
//! descriptors, vectors, and where it says so. [`enlightened`] is of another manual, Hyper-V's.

pub mod descriptor;
pub mod enlightened;
pub mod ept;
pub mod filter;
pub mod paging;
pub mod pfec;
pub mod section;
pub mod vector;
