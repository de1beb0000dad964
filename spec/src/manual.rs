//! What the manual says, without a word about tests: the rule that decides about a VM exit, error codes, paging.

pub mod filter;
pub mod paging;
pub mod pfec;
