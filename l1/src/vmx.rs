//! VMX, without a word about tests: what the processor offers, VMX operation, vmcs12, and entering
//! L2.
//!
//! | to find | look in |
//! |---|---|
//! | which controls a processor allows | [`capabilities`], [`controls`] |
//! | VMXON and VMXOFF | [`operation`] |
//! | a VMCS, and the names of its fields | [`vmcs`], [`field`]; one in memory in [`enlightened`] |
//! | what is written to vmcs12 | [`vmcs12`]; the L1 filter in [`filter`] |
//! | the one way into L2 and back | [`enter`]; with page faults noted on the way, [`enter_walk`] |
//! | what a VM exit reports | [`exit`] |
//! | how long L2 may run | [`limit`] |

pub mod capabilities;
pub mod changes;
pub mod controls;
pub mod enlightened;
pub mod enter;
pub mod enter_walk;
pub mod exit;
pub mod field;
pub mod filter;
pub mod invalidate;
pub mod limit;
pub mod operation;
pub mod vmcs;
pub mod vmcs12;

pub use capabilities::{Capabilities, basic};
pub use controls::{Controls, PinBased, ProcessorBased, Secondary};
pub use field::Field;
pub use filter::FilterFields;
pub use operation::Vmx;
pub use vmcs::{Region, VmFail, Vmcs, vmread, vmwrite};
