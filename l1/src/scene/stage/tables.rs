//! The stage's page tables in every paging mode: one table a level, in which the stage and the pages under test have
//! different entries.
#![allow(unsafe_code, reason = "fills tables that the processor reads")]

use spec::manual::paging::format::Format;
use spec::manual::paging::{Entry, Level, Maxphyaddr};
use spec::scene::place::{PAGE, PLACES, Place, STAGE_BASE};
use spec::scene::tested::{FRAME, GOOD, Tested, linear};
use spec::walk::page::good;

use super::ept;
use crate::machine::global::Global;

/// The most levels that a paging mode has.
const LEVELS: usize = 5;

#[repr(C, align(4096))]
struct Table([u8; PAGE as usize]);

static TABLES: Global<[Table; LEVELS]> = Global::new([const { Table([0; PAGE as usize]) }; LEVELS]);

/// Physical address of the table whose entries are of a level.
pub fn table(level: Level) -> u64 {
    TABLES.get() as u64 + level as u64 * PAGE
}

/// Physical address of the root table, for CR3.
pub fn root(format: Format) -> u64 {
    table(format.levels()[0])
}

/// Where the entry of a linear address is.
fn place_of_entry(format: Format, level: Level, linear: u64) -> u64 {
    table(level) + format.index(level, linear) as u64 * format.entry_bytes()
}

fn set(format: Format, level: Level, linear: u64, entry: u64) {
    let at = place_of_entry(format, level, linear);
    if format.entry_bytes() == 4 {
        set_at(at as *mut u32, entry as u32);
    } else {
        set_at(at as *mut u64, entry);
    }
}

/// Sets an entry. One that is as it must be is left alone: L0 may watch who writes to page tables.
pub fn set_at<T: PartialEq>(at: *mut T, entry: T) {
    // SAFETY: callers name entries of tables, which are in a static; L2 does not run.
    unsafe {
        if at.read_volatile() != entry {
            at.write_volatile(entry);
        }
    }
}

fn get(format: Format, level: Level, linear: u64) -> u64 {
    let at = place_of_entry(format, level, linear);
    // SAFETY: as in `set`.
    unsafe {
        if format.entry_bytes() == 4 {
            (at as *const u32).read_volatile().into()
        } else {
            (at as *const u64).read_volatile()
        }
    }
}

/// The last entry of the walk of a linear address.
pub fn pte(format: Format, linear: u64) -> u64 {
    get(format, Level::Pte, linear)
}

/// Sets the last entries of the walks of this page and those behind it, which have one table.
pub fn set_ptes(format: Format, linear: u64, entries: &[u64]) {
    let first = place_of_entry(format, Level::Pte, linear);
    if format.entry_bytes() == 4 {
        for (at, entry) in (first..).step_by(4).zip(entries) {
            set_at(at as *mut u32, *entry as u32);
        }
    } else {
        for (at, entry) in (first..).step_by(8).zip(entries) {
            set_at(at as *mut u64, *entry);
        }
    }
}

/// Sets the last entry of the walk of a linear address.
pub fn set_pte(format: Format, linear: u64, entry: u64) {
    set(format, Level::Pte, linear, entry);
}

/// The four entries of PAE paging's root, if that is the mode.
pub fn pdptes(format: Format) -> Option<[u64; 4]> {
    // SAFETY: the table is in a static; L2 does not run.
    (format == Format::Pae).then(|| unsafe { (root(format) as *const [u64; 4]).read_volatile() })
}

/// Empties the tables and links them: to the stage, and to the frame of pages under test.
pub fn build(format: Format) {
    // SAFETY: nothing else refers to the tables; L2 does not run.
    for table in unsafe { &mut *TABLES.get() } {
        table.0.fill(0);
    }
    for &level in format.levels() {
        set_entry(format, level, GOOD, good(level));
    }
}

/// Sets the entry in which a page under test differs.
pub fn set_tested(format: Format, tested: &Tested, maxphyaddr: Maxphyaddr) {
    let level = tested.page.level;
    set_entry(format, level, linear(format, level), tested.page.entry(maxphyaddr));
}

/// Makes the PDPTE in which pages under test differ a good one, if the root is of PAE paging: L2 may have left one with
/// which no VM entry succeeds.
pub fn mend_root(format: Format) {
    if format.is_register(Level::Pdpte) {
        set_entry(format, Level::Pdpte, linear(format, Level::Pdpte), good(Level::Pdpte));
    }
}

/// Sets an entry that leads on to the next table, to the frame, or to the large page that begins at 0.
fn set_entry(format: Format, level: Level, linear: u64, flags: u64) {
    let next = match format.levels().iter().find(|&&next| next > level) {
        _ if format.maps_page(level, Entry::from_bits_retain(flags)) && level != Level::Pte => 0,
        Some(&next) => ept::guest_physical(table(next)),
        None => ept::guest_physical(FRAME),
    };
    // The root of PAE paging has neither rights nor A: those bits must be 0.
    let flags = if format.is_register(level) { flags & Entry::P.bits() } else { flags };
    set(format, level, linear, next | flags);
}

// The page table has an entry for each place and for the pages under test.
const _: () = assert!(Place::ALL[PLACES - 1].linear() < GOOD - PAGE && GOOD < STAGE_BASE + 512 * PAGE);
