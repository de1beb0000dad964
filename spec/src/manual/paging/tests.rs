//! Compares the walk with sentences of the manual, and checks properties that hold for all entries.

use super::format::bits_between;
use super::{Access, Entry, Level, Mode, Privilege, walk};
use crate::manual::pfec::Pfec;
use proptest::prelude::*;

const ALL_ON: Mode = Mode { wp: true, smep: true, smap: true, ac: false, nxe: true };
const ALL_OFF: Mode = Mode { wp: false, smep: false, smap: false, ac: false, nxe: false };
const TABLE: u64 = 0x7;

fn code(entries: [u64; 4], access: Access, privilege: Privilege, mode: Mode) -> Option<u32> {
    walk(entries, access, privilege, mode, 40).err().map(|pfec| pfec.bits())
}

fn leaf(pte: u64) -> [u64; 4] {
    [TABLE, TABLE, TABLE, pte]
}

#[test]
fn error_codes_of_known_faults() {
    use Access::{Fetch, Read, Write};
    use Privilege::{Supervisor, User};
    // Not present: P is 0, and the code describes the access.
    assert_eq!(code(leaf(0), Read, Supervisor, ALL_ON), Some(0x00));
    assert_eq!(code(leaf(0), Write, Supervisor, ALL_ON), Some(0x02));
    assert_eq!(code(leaf(0), Write, User, ALL_ON), Some(0x06));
    assert_eq!(code(leaf(0), Fetch, User, ALL_ON), Some(0x14));
    // I/D needs NXE or SMEP.
    assert_eq!(code(leaf(0), Fetch, User, ALL_OFF), Some(0x04));
    assert_eq!(code(leaf(0), Fetch, User, Mode { smep: true, ..ALL_OFF }), Some(0x14));
    // Write protection, with and without WP.
    assert_eq!(code(leaf(0x1), Write, Supervisor, ALL_ON), Some(0x03));
    assert_eq!(code(leaf(0x1), Write, Supervisor, ALL_OFF), None);
    assert_eq!(code(leaf(0x5), Write, User, ALL_OFF), Some(0x07));
    // U/S, SMEP, SMAP with and without AC, NX.
    assert_eq!(code(leaf(0x3), Read, User, ALL_ON), Some(0x05));
    assert_eq!(code(leaf(0x7), Fetch, Supervisor, ALL_ON), Some(0x11));
    assert_eq!(code(leaf(0x7), Read, Supervisor, ALL_ON), Some(0x01));
    assert_eq!(code(leaf(0x7), Read, Supervisor, Mode { ac: true, ..ALL_ON }), None);
    assert_eq!(code(leaf(1 << 63 | 0x7), Fetch, User, ALL_ON), Some(0x15));
    // Reserved: XD without NXE, PS in a PML4E, low address bits of large pages, above MAXPHYADDR.
    assert_eq!(code(leaf(1 << 63 | 0x7), Read, User, ALL_OFF), Some(0x0d));
    assert_eq!(code([0x87, 7, 7, 7], Write, User, ALL_ON), Some(0x0f));
    assert_eq!(code([7, 0x2087, 7, 7], Read, User, ALL_ON), Some(0x0d));
    assert_eq!(code([7, 7, 0x2087, 7], Read, User, ALL_ON), Some(0x0d));
    assert_eq!(code([7, 7, 0x1087, 7], Read, User, ALL_ON), None, "bit 12 of a large page is PAT");
    assert_eq!(code(leaf(1 << 40 | 1), Write, Supervisor, ALL_ON), Some(0x0b));
    assert_eq!(code(leaf(1 << 39 | 3), Write, Supervisor, ALL_ON), None);
}

#[test]
fn bit_ranges_keep_their_top_bit() {
    assert_eq!(bits_between(13, 20), 0x001f_e000);
    assert_eq!(bits_between(13, 29), 0x3fff_e000);
    assert_eq!(bits_between(0, 63), u64::MAX);
}

fn any_access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::Fetch)]
}

fn any_privilege() -> impl Strategy<Value = Privilege> {
    prop_oneof![Just(Privilege::Supervisor), Just(Privilege::User)]
}

fn any_mode() -> impl Strategy<Value = Mode> {
    any::<[bool; 5]>().prop_map(|[wp, smep, smap, ac, nxe]| Mode { wp, smep, smap, ac, nxe })
}

/// Entries with few bits set, so that walks reach the leaf often enough.
fn any_entries() -> impl Strategy<Value = [u64; 4]> {
    let entry =
        (0u64..256, prop_oneof![4 => Just(0), 1 => (12u32..64).prop_map(|bit| 1u64 << bit)])
            .prop_map(|(low, high)| low | high | u64::from(low & 0x18 != 0));
    [entry.clone(), entry.clone(), entry.clone(), entry]
}

proptest! {
    #[test]
    fn codes_are_well_formed(
        entries in any_entries(), access in any_access(), privilege in any_privilege(),
        mode in any_mode(), maxphyaddr in 36u8..=52,
    ) {
        if let Err(pfec) = walk(entries, access, privilege, mode, maxphyaddr) {
            prop_assert!(pfec.basic_index().is_some());
            prop_assert!(!pfec.contains(Pfec::RSVD) || pfec.contains(Pfec::P), "RSVD implies P");
            prop_assert_eq!(pfec.contains(Pfec::WR), access == Access::Write);
            prop_assert_eq!(pfec.contains(Pfec::US), privilege == Privilege::User);
            prop_assert!(!pfec.contains(Pfec::ID) || access == Access::Fetch);
        }
    }

    #[test]
    fn the_first_entry_not_present_ends_the_walk(
        entries in any_entries(), at in 0usize..4, behind: u64, access in any_access(),
        privilege in any_privilege(), mode in any_mode(),
    ) {
        let mut stopped = entries;
        stopped[at] &= !Entry::P.bits();
        let mut other = stopped;
        for entry in other.iter_mut().skip(at + 1) {
            *entry ^= behind;
        }
        prop_assert_eq!(
            walk(stopped, access, privilege, mode, 40),
            walk(other, access, privilege, mode, 40)
        );
    }

    #[test]
    fn a_wider_address_never_adds_a_fault(
        entries in any_entries(), access in any_access(), privilege in any_privilege(),
        mode in any_mode(), maxphyaddr in 36u8..52,
    ) {
        if walk(entries, access, privilege, mode, maxphyaddr).is_ok() {
            prop_assert!(walk(entries, access, privilege, mode, maxphyaddr + 1).is_ok());
        }
    }
}

#[test]
fn levels_are_walked_from_the_root() {
    assert_eq!(Level::WALK, [Level::Pml4e, Level::Pdpte, Level::Pde, Level::Pte]);
}
