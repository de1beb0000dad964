use std::collections::BTreeSet;

use super::*;
use crate::vmx::Field;

#[test]
fn every_field_that_l1_writes_is_looked_at_once_and_none_that_exits_write() {
    let all: Vec<u32> = fields().map(|(_, field)| field).collect();
    let once: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(all.len(), once.len());
    assert!(fields().all(|(number, _)| number < FIELDS as usize));
    for field in [
        Field::Vpid,
        Field::HostTr,
        Field::EptPointer,
        Field::GuestPdpte3,
        Field::SecondaryControls,
        Field::PreemptionTimer,
        Field::GuestInterruptSspTable,
        Field::HostRip,
    ] {
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
