//! Two processors at once, each with an L1 and an L2 of its own.
//!
//! `smp.filters`: both L2s make the same accesses at the same time, each under its own L1's filter.
//! A processor's VMCS is its own (SDM vol. 3C, "Overview"), so neither filter may show on the other
//! processor.
//!
//! `smp.shootdown`: both L2s have the same page tables. Processor 1 uses a page; processor 0
//! changes an entry that leads to it; processor 1 invalidates by INVLPG, notified by a flag in
//! memory or by an interrupt from processor 0. SDM vol. 3A, "Invalidation of TLBs and
//! Paging-Structure Caches", and "Propagation of Paging-Structure Changes to Multiple Processors":
//! before INVLPG the old or the new entry may count, after it the new one counts.

pub mod case;
pub mod shootdown;
pub mod together;
