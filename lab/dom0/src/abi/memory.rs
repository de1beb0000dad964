//! Memory of domains: `memory.h`, `xen.h` and `hvm/hvm_op.h`.

use super::{DomainId, Handle};

/// XENMEM_populate_physmap.
pub const POPULATE_PHYSMAP: u64 = 6;
/// UVMF_INVLPG: the old translation of the page goes.
pub const INVLPG: u64 = 2;
/// HVM_PARAM_IOREQ_SERVER_PFN, in `hvm/params.h`: the first page for ioreq servers.
pub const IOREQ_SERVER_PFN: u32 = 32;
/// HVM_PARAM_NR_IOREQ_SERVER_PAGES: how many there are.
pub const NR_IOREQ_SERVER_PAGES: u32 = 33;

/// `struct xen_memory_reservation`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Reservation {
    /// Where the numbers of the first pages are.
    pub extent_start: Handle,
    /// How many extents.
    pub nr_extents: u64,
    /// Each has 2^this many pages.
    pub extent_order: u32,
    /// Zero.
    pub mem_flags: u32,
    /// Whose memory.
    pub domid: DomainId,
}

/// `struct xen_hvm_param`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HvmParam {
    /// Which guest.
    pub domid: DomainId,
    /// Zero.
    pub pad: u16,
    /// Which parameter.
    pub index: u32,
    /// Its value.
    pub value: u64,
}
