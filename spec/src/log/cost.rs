//! What `bench` measures: the price of one page fault under filters that hypervisors use.
//!
//! L2 walks [`FAULTS`] slots with the same access, which raises the same fault each time, and ends
//! with VMCALL. A walk without slots is a bare round trip: VMRESUME, a few instructions of L2,
//! VMCALL. The difference between the two is the price of the faults. Of [`WALKS`] walks the
//! cheapest counts, because an interrupt of L0 makes a walk dearer.

use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::walk::page::PAGES;
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;

/// The group's name in the log.
pub const GROUP: &str = "bench";
/// Faults of a walk.
pub const FAULTS: usize = 32;
/// How many walks are measured. One before them is not: its VM entry is the first with a changed
/// vmcs12.
pub const WALKS: usize = 3;

/// Filters of L1 in common use.
pub const FILTERS: [Filter; 11] = [
    Filter::NEVER,
    // KVM as L1 with EPT: EB.PF = 0, MASK = MATCH = 0.
    Filter::new(false, 0, 0),
    Filter::ALWAYS,
    // P, !RSVD: KVM as L1 that presents a smaller MAXPHYADDR.
    Filter::new(true, 9, 1),
    // !P.
    Filter::new(true, 1, 0),
    // P.
    Filter::new(true, 1, 1),
    // RSVD: reserved bits as marks for MMIO.
    Filter::new(true, 8, 8),
    // P, I: introspection of fetches.
    Filter::new(true, 0x11, 0x11),
    // W.
    Filter::new(true, 2, 2),
    // U.
    Filter::new(true, 4, 4),
    // P, W, U.
    Filter::new(true, 7, 7),
];

/// The page whose address bit 51 is set: reserved on any host with a smaller MAXPHYADDR than 52.
const RESERVED_EVERYWHERE: &str = "rsvd-top-pml4e";

/// One access for each error code that a processor can raise without PK, SS, HLAT and SGX, and
/// another one for those with RSVD.
///
/// The first raises RSVD by the lowest bit that is reserved for the guest. Where L0 presents a
/// smaller MAXPHYADDR than it has, the processor takes that bit for part of an address, and L0
/// makes the fault of an EPT violation, whatever the filter is. The other bit is reserved for both.
pub fn stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
    // Each loop of L2 has its own W, U and I, so the first of each loop and code is the first of
    // each code.
    let each_code = Stimulus::selected(BASE, maxphyaddr, true);
    let everywhere = Stimulus::all(BASE, maxphyaddr)
        .filter(|stimulus| PAGES[stimulus.page].name == RESERVED_EVERYWHERE);
    each_code.chain(everywhere).filter(move |stimulus| stimulus.pfec(BASE, maxphyaddr).is_some())
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, FILTERS, stimuli};
    use crate::walk::layout::MAX_SLOTS;
    use crate::walk::setting::BASE;
    use std::collections::BTreeSet;

    #[test]
    fn every_error_code_is_there_and_those_with_rsvd_by_two_bits() {
        let codes: std::vec::Vec<_> =
            stimuli(40).filter_map(|s| s.pfec(BASE, 40)).map(|pfec| pfec.bits()).collect();
        assert_eq!(codes.len(), 24);
        assert_eq!(codes.iter().filter(|&code| code & 8 != 0).count(), 12);
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 18);
    }

    #[test]
    fn filters_differ_and_a_walk_fits() {
        assert_eq!(FILTERS.iter().collect::<std::collections::HashSet<_>>().len(), FILTERS.len());
        const { assert!(FAULTS <= MAX_SLOTS) };
    }
}
