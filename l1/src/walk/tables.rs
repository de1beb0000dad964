//! L2's page tables in L1's memory, see [`spec::walk::tables`].
//!
//! L1 and L2 have the same physical memory (vmcs12 has no EPT), and L1 maps it one to one.
#![allow(unsafe_code, reason = "fills tables in a static")]

use spec::manual::paging::Maxphyaddr;
use spec::walk::layout::{Header, MAX_PAGES};
use spec::walk::tables::{Memory, Tables};

use crate::machine::global::Global;

static TABLES: Global<Tables> = Global::new(Tables::EMPTY);

/// The tables, and their physical address.
fn tables() -> (&'static mut Tables, u64) {
    let tables = TABLES.get();
    // SAFETY: only the first processor comes here, no function of this module calls another one
    // with the reference alive, and L2, whose walks read the tables and set flags in them, does not
    // run meanwhile.
    (unsafe { &mut *tables }, tables as u64)
}

/// Fills the tables and returns the address of the root, for CR3.
pub fn build(memory: Memory, l2: &Header, maxphyaddr: Maxphyaddr) -> u64 {
    let (tables, base) = tables();
    tables.fill(base, memory, l2, maxphyaddr);
    base
}

/// Lays the pages under test anew, for another MAXPHYADDR.
pub fn relay(frame: u64, maxphyaddr: Maxphyaddr) {
    let (tables, base) = tables();
    tables.lay_test_pages(base, frame, maxphyaddr);
}

/// The PML4 entries of the region under test.
pub fn test_region() -> [u64; MAX_PAGES + 1] {
    tables().0.test_region()
}

/// See [`Tables::map_host_page`].
pub fn map_host_page(slot: usize, page: u64, frame: u64) -> u64 {
    tables().0.map_host_page(slot, page, frame)
}
