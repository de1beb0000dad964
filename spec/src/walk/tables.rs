//! L2's page tables: its image, the shared area in both mappings, the pages that L0 needs, and the
//! pages under test.

use core::mem::offset_of;

use crate::channel::DEVICE_PAGE;
use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level, Maxphyaddr};
use crate::walk::layout::{
    DEVICE_LINEAR, HOST_BASE, Header, L2_BASE, L2_SIZE, MAX_PAGES, SCRATCH, SHARED_SUPERVISOR,
    SHARED_USER, Shared, TEST_PML4_INDEX,
};
use crate::walk::page::{PAGES, good};

const PAGE: u64 = 4096;

/// The entries of a table of any level.
pub type Entries = [u64; 512];

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Table(Entries);

const EMPTY: Table = Table([0; 512]);

/// All tables of L2.
#[repr(C)]
pub struct Tables {
    root: Table,
    // Image and shared area: below 512 GiB, in the second GiB.
    low_pdpt: Table,
    low_pd: Table,
    image: Table,
    shared_user: Table,
    shared_supervisor: Table,
    scratch: Table,
    // Pages of `walk::host`.
    host_pdpt: Table,
    host_pd: Table,
    host_pt: Table,
    // Pages under test: one table of each level, in which index 0 is good.
    test_pdpt: Table,
    test_pd: Table,
    test_pt: Table,
}

/// The memory that the tables lead to, by its physical addresses.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// L2's image, `L2_SIZE` bytes.
    pub image: u64,
    /// The shared area.
    pub shared: u64,
    /// The frame of the pages under test.
    pub frame: u64,
    /// The scratch frame.
    pub scratch: u64,
}

const SUPERVISOR: u64 = good(Level::Pte) & !Entry::US.bits();
const USER: u64 = good(Level::Pte);
const USER_CODE: u64 = good(Level::Pte) & !Entry::RW.bits();
/// The flags of an entry, of any level, that leads to a table.
const TABLE: u64 = good(Level::Pde);

impl Tables {
    /// Tables that map nothing.
    pub const EMPTY: Self = Self {
        root: EMPTY,
        low_pdpt: EMPTY,
        low_pd: EMPTY,
        image: EMPTY,
        shared_user: EMPTY,
        shared_supervisor: EMPTY,
        scratch: EMPTY,
        host_pdpt: EMPTY,
        host_pd: EMPTY,
        host_pt: EMPTY,
        test_pdpt: EMPTY,
        test_pd: EMPTY,
        test_pt: EMPTY,
    };

    /// Fills empty tables at physical address `base`, where the root is.
    pub fn fill(&mut self, base: u64, memory: Memory, l2: &Header, maxphyaddr: Maxphyaddr) {
        let table = |offset: usize| (base + offset as u64) | TABLE;
        set(&mut self.root, Level::Pml4e, L2_BASE, table(offset_of!(Self, low_pdpt)));
        set(&mut self.low_pdpt, Level::Pdpte, L2_BASE, table(offset_of!(Self, low_pd)));
        set(&mut self.low_pd, Level::Pde, L2_BASE, table(offset_of!(Self, image)));
        set(&mut self.low_pd, Level::Pde, SHARED_USER, table(offset_of!(Self, shared_user)));
        set(
            &mut self.low_pd,
            Level::Pde,
            SHARED_SUPERVISOR,
            table(offset_of!(Self, shared_supervisor)),
        );
        set(&mut self.low_pd, Level::Pde, SCRATCH, table(offset_of!(Self, scratch)));
        set(&mut self.root, Level::Pml4e, HOST_BASE, table(offset_of!(Self, host_pdpt)));
        set(&mut self.host_pdpt, Level::Pdpte, HOST_BASE, table(offset_of!(Self, host_pd)));
        set(&mut self.host_pd, Level::Pde, HOST_BASE, table(offset_of!(Self, host_pt)));
        self.scratch.0.fill(memory.scratch | USER);
        set(&mut self.host_pt, Level::Pte, DEVICE_LINEAR, DEVICE_PAGE | SUPERVISOR);
        for page in (0..L2_SIZE as u64).step_by(PAGE as usize) {
            let linear = L2_BASE + page;
            let is_users = (l2.user_start..l2.user_end).contains(&linear);
            let flags = if is_users { USER_CODE } else { SUPERVISOR };
            set(&mut self.image, Level::Pte, linear, (memory.image + page) | flags);
        }
        for page in (0..size_of::<Shared>() as u64).step_by(PAGE as usize) {
            set(
                &mut self.shared_user,
                Level::Pte,
                SHARED_USER + page,
                (memory.shared + page) | USER,
            );
            set(
                &mut self.shared_supervisor,
                Level::Pte,
                SHARED_SUPERVISOR + page,
                (memory.shared + page) | SUPERVISOR,
            );
        }
        self.lay_test_pages(base, memory.frame, maxphyaddr);
    }

    /// Lays the pages under test, for another MAXPHYADDR than before or for the first time. The
    /// tables lie at `base`.
    pub fn lay_test_pages(&mut self, base: u64, frame: u64, maxphyaddr: Maxphyaddr) {
        let below_root =
            [offset_of!(Self, test_pdpt), offset_of!(Self, test_pd), offset_of!(Self, test_pt)];
        let [pdpt, pd, pt] = below_root.map(|table| base + table as u64);
        let Self { root, test_pdpt, test_pd, test_pt, .. } = self;
        let tables = [&mut root.0, &mut test_pdpt.0, &mut test_pd.0, &mut test_pt.0];
        lay_test_pages(tables, [pdpt, pd, pt, frame], maxphyaddr);
    }

    /// The PML4 entries of the region under test.
    #[must_use]
    pub fn test_region(&self) -> [u64; MAX_PAGES + 1] {
        core::array::from_fn(|index| self.root.0[TEST_PML4_INDEX + index])
    }

    /// Maps a physical page of [`crate::walk::host`] for a slot, and after it the frame with code
    /// to come back. Returns the page's linear address.
    pub fn map_host_page(&mut self, slot: usize, page: u64, frame: u64) -> u64 {
        let linear = HOST_BASE + 2 * slot as u64 * PAGE;
        set(&mut self.host_pt, Level::Pte, linear, page | USER);
        set(&mut self.host_pt, Level::Pte, linear + PAGE, frame | USER);
        linear
    }
}

/// Lays the pages under test in these tables, the root first. `next` is where the entries of each
/// lead: to the tables below the root, and to the frame of all pages.
///
/// Index 0 is the good walk. Each page has its own index at the level of its entry, where the good
/// walk goes on.
pub fn lay_test_pages(tables: [&mut Entries; 4], next: [u64; 4], maxphyaddr: Maxphyaddr) {
    for ((table, next), level) in tables.into_iter().zip(next).zip(Level::WALK) {
        let table =
            if level == Level::Pml4e { &mut table[TEST_PML4_INDEX..] } else { &mut table[..] };
        table[0] = next | good(level);
        for (number, page) in PAGES.iter().enumerate() {
            if page.level == level && page.exists(maxphyaddr) {
                table[number + 1] = next | page.entry(maxphyaddr);
            }
        }
    }
}

/// Sets the entry of a level that a linear address selects.
fn set(table: &mut Table, level: Level, linear: u64, entry: u64) {
    table.0[Format::Level4.index(level, linear)] = entry;
}

#[cfg(test)]
mod tests {
    use super::{Memory, PAGE, Table, Tables};
    use crate::channel::DEVICE_PAGE;
    use crate::manual::paging::Access::{self, Fetch, Read, Write};
    use crate::manual::paging::Privilege::{self, Supervisor, User};
    use crate::manual::paging::format::Format;
    use crate::manual::paging::{Level, Maxphyaddr, walk};
    use crate::walk::layout::{
        DEVICE_LINEAR, Header, L2_BASE, L2_SIZE, SCRATCH, SCRATCH_SIZE, SHARED_SUPERVISOR,
        SHARED_USER, Shared,
    };
    use crate::walk::page::PAGES;
    use crate::walk::setting::BASE;
    use crate::walk::stimulus::{LOOPS, Stimulus};
    use std::boxed::Box;

    /// Where the tables are, in physical memory.
    const TABLES: u64 = 0x30_0000;
    const MEMORY: Memory =
        Memory { image: 0x40_0000, shared: 0x50_0000, frame: 0x60_0000, scratch: 0x70_0000 };
    const HEADER: Header = Header {
        magic: Header::MAGIC,
        init: 0,
        walk: 0,
        user_start: L2_BASE + 2 * PAGE,
        user_end: L2_BASE + 3 * PAGE,
        end: L2_BASE + L2_SIZE as u64,
        access: [0; LOOPS],
        resume: [0; LOOPS],
        asked: 0,
        user_cs: 0,
        supervisor_cs: 0,
    };

    fn filled(maxphyaddr: Maxphyaddr) -> Box<Tables> {
        let mut tables = Box::new(Tables::EMPTY);
        tables.fill(TABLES, MEMORY, &HEADER, maxphyaddr);
        tables
    }

    impl Tables {
        /// The table at a physical address.
        fn at(&self, physical: u64) -> Option<&Table> {
            let Self {
                root, low_pdpt, low_pd, image, shared_user, shared_supervisor, scratch, ..
            } = self;
            let Self { host_pdpt, host_pd, host_pt, test_pdpt, test_pd, test_pt, .. } = self;
            let tables = [
                root,
                low_pdpt,
                low_pd,
                image,
                shared_user,
                shared_supervisor,
                scratch,
                host_pdpt,
                host_pd,
                host_pt,
                test_pdpt,
                test_pd,
                test_pt,
            ];
            tables.get((physical.checked_sub(TABLES)? / PAGE) as usize).copied()
        }

        /// The entries that a linear address selects, as the processor finds them; 0 after one that
        /// is not present.
        fn entries(&self, linear: u64, maxphyaddr: Maxphyaddr) -> [u64; 4] {
            let mut table = self.at(TABLES);
            Level::WALK.map(|level| {
                let entry = table.map_or(0, |table| table.0[Format::Level4.index(level, linear)]);
                table =
                    if entry & 1 == 1 { self.at(entry & address_bits(maxphyaddr)) } else { None };
                entry
            })
        }

        /// The physical address of an access, or the error code of its fault.
        fn access(&self, linear: u64, access: Access, privilege: Privilege) -> Result<u64, u32> {
            let entries = self.entries(linear, 40);
            let fault = walk(entries, access, privilege, BASE.mode, 40);
            fault
                .map_err(|pfec| pfec.bits())
                .map(|()| (entries[3] & address_bits(40)) + linear % PAGE)
        }
    }

    const fn address_bits(maxphyaddr: Maxphyaddr) -> u64 {
        ((1 << maxphyaddr) - 1) & !(PAGE - 1)
    }

    #[test]
    fn each_stimulus_meets_the_entries_of_its_page_and_the_frame() {
        for maxphyaddr in [36, 40, 46, 52] {
            let tables = filled(maxphyaddr);
            for stimulus in Stimulus::all(BASE, maxphyaddr) {
                let found = tables.entries(stimulus.address(), maxphyaddr);
                let page = &PAGES[stimulus.page];
                let got =
                    walk(found, stimulus.access, stimulus.privilege, BASE.mode, maxphyaddr).err();
                assert_eq!(got, stimulus.pfec(BASE, maxphyaddr), "{stimulus} {maxphyaddr}");
                // What differs from the page's entries is the address of the next table or of the
                // frame.
                let reached = found.map(|entry| entry != 0);
                for ((entry, flags), reached) in
                    found.into_iter().zip(page.entries(maxphyaddr)).zip(reached)
                {
                    assert!(
                        !reached
                            || entry & flags == flags
                                && (entry ^ flags) & !address_bits(maxphyaddr) == 0
                    );
                }
                if got.is_none() {
                    assert_eq!(found[3] & address_bits(maxphyaddr), MEMORY.frame, "{stimulus}");
                }
            }
        }
    }

    #[test]
    fn another_maxphyaddr_leaves_nothing_of_the_one_before() {
        let mut tables = filled(46);
        tables.lay_test_pages(TABLES, MEMORY.frame, 36);
        let direct = filled(36);
        for stimulus in Stimulus::all(BASE, 36) {
            assert_eq!(
                tables.entries(stimulus.address(), 36),
                direct.entries(stimulus.address(), 36),
                "{stimulus}"
            );
        }
        assert_eq!(tables.test_region(), direct.test_region());
    }

    #[test]
    fn only_the_user_s_page_of_the_image_is_the_user_s_and_nobody_writes_it() {
        let tables = filled(40);
        for page in 0..L2_SIZE as u64 / PAGE {
            let (linear, physical) = (L2_BASE + page * PAGE + 8, MEMORY.image + page * PAGE + 8);
            if page == 2 {
                assert_eq!(tables.access(linear, Fetch, User), Ok(physical));
                assert_eq!(tables.access(linear, Write, User), Err(7));
            } else {
                assert_eq!(tables.access(linear, Write, Supervisor), Ok(physical));
                assert_eq!(tables.access(linear, Fetch, Supervisor), Ok(physical));
                assert_eq!(tables.access(linear, Read, User), Err(5));
            }
        }
        assert_eq!(tables.access(L2_BASE + L2_SIZE as u64, Read, Supervisor), Err(0));
    }

    #[test]
    fn the_shared_area_is_there_once_for_each_privilege() {
        let tables = filled(40);
        for offset in (0..size_of::<Shared>() as u64).step_by(PAGE as usize) {
            assert_eq!(
                tables.access(SHARED_USER + offset, Write, User),
                Ok(MEMORY.shared + offset)
            );
            assert_eq!(tables.access(SHARED_USER + offset, Write, Supervisor), Err(3), "SMAP");
            assert_eq!(
                tables.access(SHARED_SUPERVISOR + offset, Write, Supervisor),
                Ok(MEMORY.shared + offset)
            );
            assert_eq!(tables.access(SHARED_SUPERVISOR + offset, Read, User), Err(5));
        }
        for offset in (0..SCRATCH_SIZE).step_by(PAGE as usize) {
            assert_eq!(tables.access(SCRATCH + offset, Write, User), Ok(MEMORY.scratch));
        }
    }

    #[test]
    fn host_pages_come_in_pairs_and_the_device_is_the_supervisor_s() {
        let mut tables = filled(40);
        let linears = [0, 1, 7]
            .map(|slot| tables.map_host_page(slot, 0x80_0000 + slot as u64 * PAGE, MEMORY.frame));
        for (linear, slot) in linears.into_iter().zip([0, 1, 7]) {
            assert_eq!(tables.access(linear, Write, User), Ok(0x80_0000 + slot * PAGE));
            assert_eq!(tables.access(linear + PAGE, Fetch, User), Ok(MEMORY.frame));
        }
        assert_eq!(tables.access(DEVICE_LINEAR, Write, Supervisor), Ok(DEVICE_PAGE));
        assert_eq!(tables.access(DEVICE_LINEAR, Read, User), Err(5));
    }
}
