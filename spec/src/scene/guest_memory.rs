//! Where L2 has L1's memory: the guest-physical addresses of the stage.
//!
//! L1's memory, the 2 MiB at 2 MiB, is L2's at 2 GiB, so that no address of L2's is one of L1's by
//! chance. In EPT pages of 4 KiB it is there once; in pages of 2 MiB it is there once for each of
//! its 512 frames, 2 MiB apart, so that each frame has an EPT entry of its own to spoil. With pages
//! of 4 KiB the deep page is 2 MiB above the others, so that it alone has an entry of the EPT page
//! directory. In real mode the stage's places are at [`REAL_BASE`] besides. The device's page is
//! where it is, and so is the frame of pages under test.

use super::environment::{Ept, REAL_SELECTOR};
use super::place::{PAGE, PLACES};
use super::tested::FRAME;
use crate::channel::DEVICE_PAGE;

/// Where L1's memory is. See `linker/l1.ld`.
pub const L1_BASE: u64 = 2 << 20;
/// Bytes of a large EPT page, and of L1's memory.
const LARGE_PAGE: u64 = 2 << 20;
/// Where L1's memory is in L2's.
pub const GUEST_BASE: u64 = 2 << 30;
/// Where the stage's places are in real mode: the base of the segment that all segment registers
/// hold.
pub const REAL_BASE: u64 = REAL_SELECTOR << 4;

/// Where L2 has a physical address of the stage, for CR3 and paging-structure entries.
#[must_use]
pub const fn guest_physical(ept: Option<Ept>, physical: u64) -> u64 {
    let Some(ept) = ept else { return physical };
    if matches!(physical, DEVICE_PAGE | FRAME) {
        return physical;
    }
    let offset = physical - L1_BASE;
    if ept.large { GUEST_BASE + offset / PAGE * LARGE_PAGE + offset } else { GUEST_BASE + offset }
}

/// The same for the deep page of [`super::ept`].
#[must_use]
pub const fn guest_physical_of_deep(ept: Option<Ept>, physical: u64) -> u64 {
    let above = if matches!(ept, Some(Ept { large: false, .. })) { LARGE_PAGE } else { 0 };
    guest_physical(ept, physical) + above
}

// The places fit in a segment of real mode.
const _: () = assert!(PLACES as u64 * PAGE <= 1 << 16);

#[cfg(test)]
mod tests {
    use super::{GUEST_BASE, L1_BASE, LARGE_PAGE, guest_physical};
    use crate::channel::DEVICE_PAGE;
    use crate::scene::environment::Ept;
    use crate::scene::place::PAGE;
    use crate::scene::tested::FRAME;
    use std::collections::HashSet;

    const SMALL: Option<Ept> = Some(Ept { ad: false, large: false, modes: false });
    const LARGE: Option<Ept> = Some(Ept { ad: true, large: true, modes: false });

    #[test]
    fn every_frame_has_an_ept_entry_of_its_own_that_leads_back_to_it() {
        for (ept, span) in [(SMALL, PAGE), (LARGE, LARGE_PAGE)] {
            let mut entries = HashSet::new();
            for physical in (L1_BASE..L1_BASE + LARGE_PAGE).step_by(PAGE as usize) {
                let guest = guest_physical(ept, physical);
                assert!(
                    (GUEST_BASE..GUEST_BASE + (1 << 30)).contains(&guest),
                    "one page directory"
                );
                assert!(entries.insert(guest / span));
                // A large page begins where L1's memory does, a small one at the frame.
                let mapped = if span == PAGE {
                    L1_BASE + (guest - GUEST_BASE)
                } else {
                    L1_BASE + guest % LARGE_PAGE
                };
                assert_eq!(mapped, physical);
                assert_eq!(guest_physical(ept, physical + 8), guest + 8);
            }
        }
    }

    #[test]
    fn what_all_have_stays_where_it_is() {
        for ept in [None, SMALL, LARGE] {
            assert_eq!(
                [DEVICE_PAGE, FRAME].map(|physical| guest_physical(ept, physical)),
                [DEVICE_PAGE, FRAME]
            );
        }
        assert_eq!(guest_physical(None, 0x23_4567), 0x23_4567);
    }
}
