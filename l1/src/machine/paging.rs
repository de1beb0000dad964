//! L2's page tables: its image, the shared area in both mappings, and the pages under test.
//!
//! L1 and L2 have the same physical memory (vmcs12 has no EPT), and L1 maps it one to one.
#![allow(unsafe_code, reason = "fills tables in statics")]

use core::ptr;

use spec::channel::DEVICE_PAGE;
use spec::manual::paging::{Entry, Level, Maxphyaddr};
use spec::walk::layout::{
    DEVICE_LINEAR, HOST_BASE, Header, L2_BASE, L2_SIZE, MAX_PAGES, SCRATCH, SHARED_SUPERVISOR, SHARED_USER, Shared,
    TEST_PML4_INDEX,
};
use spec::walk::page::{PAGES, good};

use crate::machine::global::Global;

const PAGE: u64 = 4096;

/// A table of any level.
#[repr(C, align(4096))]
struct Table([u64; 512]);

/// All tables of L2.
struct Tables {
    root: Table,
    // Image and shared area: below 512 GiB, in the second GiB.
    low_pdpt: Table,
    low_pd: Table,
    image: Table,
    shared_user: Table,
    shared_supervisor: Table,
    scratch: Table,
    // Pages of `spec::walk::host`.
    host_pdpt: Table,
    host_pd: Table,
    host_pt: Table,
    // Pages under test: one table of each level, in which index 0 is good.
    test_pdpt: Table,
    test_pd: Table,
    test_pt: Table,
}

const EMPTY: Table = Table([0; 512]);

static TABLES: Global<Tables> = Global::new(Tables {
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
});

/// The memory that the tables lead to, by its physical addresses.
#[derive(Clone, Copy)]
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
const TABLE: u64 = good(Level::Pde);

/// Fills the tables and returns the address of the root, for CR3.
pub fn build(memory: Memory, l2: &Header, maxphyaddr: Maxphyaddr) -> u64 {
    // SAFETY: called once, before L2 runs; nothing else refers to the tables.
    let tables = unsafe { &mut *TABLES.get() };
    link(&mut tables.root, index(L2_BASE, 39), &tables.low_pdpt);
    link(&mut tables.low_pdpt, index(L2_BASE, 30), &tables.low_pd);
    link(&mut tables.low_pd, index(L2_BASE, 21), &tables.image);
    link(&mut tables.low_pd, index(SHARED_USER, 21), &tables.shared_user);
    link(&mut tables.low_pd, index(SHARED_SUPERVISOR, 21), &tables.shared_supervisor);
    link(&mut tables.low_pd, index(SCRATCH, 21), &tables.scratch);
    tables.scratch.0.fill(memory.scratch | USER);
    link(&mut tables.root, index(HOST_BASE, 39), &tables.host_pdpt);
    link(&mut tables.host_pdpt, index(HOST_BASE, 30), &tables.host_pd);
    link(&mut tables.host_pd, index(HOST_BASE, 21), &tables.host_pt);
    tables.host_pt.0[index(DEVICE_LINEAR, 12)] = DEVICE_PAGE | SUPERVISOR;

    for page in (0..L2_SIZE as u64).step_by(PAGE as usize) {
        let address = L2_BASE + page;
        let user = (l2.user_start..l2.user_end).contains(&address);
        tables.image.0[index(address, 12)] = (memory.image + page) | if user { USER_CODE } else { SUPERVISOR };
    }
    for page in (0..size_of::<Shared>() as u64).step_by(PAGE as usize) {
        tables.shared_user.0[index(SHARED_USER + page, 12)] = (memory.shared + page) | USER;
        tables.shared_supervisor.0[index(SHARED_SUPERVISOR + page, 12)] = (memory.shared + page) | SUPERVISOR;
    }

    lay_pages_in(tables, memory.frame, maxphyaddr);
    ptr::from_ref(&tables.root) as u64
}

/// Lays the pages under test anew, for another MAXPHYADDR.
pub fn relay(frame: u64, maxphyaddr: Maxphyaddr) {
    // SAFETY: L2 does not run; nothing else refers to the tables.
    lay_pages_in(unsafe { &mut *TABLES.get() }, frame, maxphyaddr);
}

/// The PML4 entries of the region under test.
pub fn test_region() -> [u64; MAX_PAGES + 1] {
    // SAFETY: nothing else refers to the tables.
    let root = unsafe { &(*TABLES.get()).root };
    core::array::from_fn(|index| root.0[TEST_PML4_INDEX + index])
}

fn lay_pages_in(tables: &mut Tables, frame: u64, maxphyaddr: Maxphyaddr) {
    let Tables { root, test_pdpt, test_pd, test_pt, .. } = tables;
    lay_pages([&mut root.0, &mut test_pdpt.0, &mut test_pd.0, &mut test_pt.0], frame, maxphyaddr);
}

/// Lays the pages under test in these tables, the root first; all lead to `frame`.
pub fn lay_pages(tables: [&mut [u64; 512]; 4], frame: u64, maxphyaddr: Maxphyaddr) {
    let [root, pdpt, pd, pt] = tables;
    // The good walk, and for each page the one entry that differs; behind it the good walk goes on.
    let next = [ptr::from_ref(pdpt) as u64, ptr::from_ref(pd) as u64, ptr::from_ref(pt) as u64, frame];
    let mut entry_at = |level: Level, index: usize, flags: u64| match level {
        Level::Pml5e | Level::Pml4e => root[TEST_PML4_INDEX + index] = next[0] | flags,
        Level::Pdpte => pdpt[index] = next[1] | flags,
        Level::Pde => pd[index] = next[2] | flags,
        Level::Pte => pt[index] = next[3] | flags,
    };
    for level in Level::WALK {
        entry_at(level, 0, good(level));
    }
    for (number, page) in PAGES.iter().enumerate().filter(|(_, page)| page.exists(maxphyaddr)) {
        entry_at(page.level, number + 1, page.entry(maxphyaddr));
    }
}

/// Maps a physical page of `spec::walk::host` for a slot, and behind it the frame with code to come back.
/// Returns the page's linear address.
pub fn map_host_page(slot: usize, page: u64, frame: u64) -> u64 {
    // SAFETY: L2 does not run; nothing else refers to the tables.
    let table = unsafe { &mut (*TABLES.get()).host_pt };
    table.0[2 * slot] = page | USER;
    table.0[2 * slot + 1] = frame | USER;
    HOST_BASE + 2 * slot as u64 * PAGE
}

/// The index of a linear address in a table whose entries each span `1 << shift` bytes.
const fn index(address: u64, shift: u32) -> usize {
    (address >> shift & 511) as usize
}

fn link(table: &mut Table, index: usize, next: &Table) {
    table.0[index] = ptr::from_ref(next) as u64 | TABLE;
}
