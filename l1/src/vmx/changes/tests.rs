use std::collections::BTreeSet;

use super::*;

#[test]
fn every_field_that_l1_writes_is_looked_at_once_and_none_that_exits_write() {
    let all: Vec<u32> = fields().map(|(_, field)| field as u32).collect();
    let once: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(all.len(), once.len());
    for field in [Field::Vpid, Field::EptPointer, Field::PreemptionTimer, Field::HostRip] {
        assert!(once.contains(&(field as u32)), "{:x}", field as u32);
    }
    for field in [
        Field::GuestPhysicalAddress,
        Field::ExitReason,
        Field::ExitQualification,
        Field::GuestLinearAddress,
    ] {
        assert!(!once.contains(&(field as u32)), "{:x}", field as u32);
    }
    assert!(once.iter().all(|field| field & 1 == 0), "no upper halves");
}
