//! The stage's page tables in every paging mode: one table a level, in which the stage and the
//! pages under test have different entries.
#![allow(unsafe_code, reason = "fills tables that the processor reads")]

use spec::manual::paging::format::Format;
use spec::manual::paging::{Entry, Level, Maxphyaddr};
use spec::scene::environment::Environment;
use spec::scene::guest_memory::guest_physical;
use spec::scene::place::{PAGE, PLACES, Place, STAGE_BASE};
use spec::scene::tested::{FRAME, GOOD, Tested, last_canonical, linear};
use spec::walk::page::good;

use crate::machine::global::Global;
use crate::machine::page::{mapped, physical};

/// The most levels that a paging mode has.
const LEVELS: usize = 5;

#[repr(C, align(4096))]
struct Table([u8; PAGE as usize]);

static TABLES: Global<[Table; LEVELS]> = Global::new([const { Table([0; PAGE as usize]) }; LEVELS]);

/// Physical address of the table whose entries are of a level.
pub fn table(level: Level) -> u64 {
    physical(TABLES.get()) + level as u64 * PAGE
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
        set_at(mapped(at), entry as u32);
    } else {
        set_at(mapped(at), entry);
    }
}

/// Sets an entry. One that is already right is not written: L0 may watch who writes to page tables.
pub fn set_at<T: PartialEq>(at: *mut T, entry: T) {
    // SAFETY: callers make the address of a table, of `TABLES` or of `deep`, and of an offset below
    // 4096 that is a multiple of the entry's size; L2 does not run.
    unsafe {
        if at.read_volatile() != entry {
            at.write_volatile(entry);
        }
    }
}

fn get(format: Format, level: Level, linear: u64) -> u64 {
    let at = place_of_entry(format, level, linear);
    // SAFETY: as in `set_at`.
    unsafe {
        if format.entry_bytes() == 4 {
            mapped::<u32>(at).read_volatile().into()
        } else {
            mapped::<u64>(at).read_volatile()
        }
    }
}

/// The last entry of the walk of a linear address.
pub fn pte(format: Format, linear: u64) -> u64 {
    get(format, Level::Pte, linear)
}

/// Sets the last entries of the walks of this page and those after it, which have one table.
pub fn set_ptes(format: Format, linear: u64, entries: &[u64]) {
    let first = place_of_entry(format, Level::Pte, linear);
    if format.entry_bytes() == 4 {
        for (at, entry) in (first..).step_by(4).zip(entries) {
            set_at(mapped(at), *entry as u32);
        }
    } else {
        for (at, entry) in (first..).step_by(8).zip(entries) {
            set_at(mapped(at), *entry);
        }
    }
}

/// Sets the last entry of the walk of a linear address.
pub fn set_pte(format: Format, linear: u64, entry: u64) {
    set(format, Level::Pte, linear, entry);
}

/// The four entries of PAE paging's root, if that is the mode.
pub fn pdptes(format: Format) -> Option<[u64; 4]> {
    // SAFETY: the root is one of `TABLES`, 4096 bytes aligned to a page; L2 does not run.
    (format == Format::Pae).then(|| unsafe { mapped::<[u64; 4]>(root(format)).read_volatile() })
}

/// Empties the tables and links them: to the stage, to the frame of pages under test, and to that
/// frame from the end of the lower canonical half.
pub fn build(environment: &Environment) {
    // SAFETY: all other code uses the tables by pointers, none of which is used in the loop; L2
    // does not run.
    for table in unsafe { &mut *TABLES.get() } {
        table.0.fill(0);
    }
    for &level in environment.format.levels() {
        set_entry(environment, level, GOOD, good(level));
        if let Some(last) = last_canonical(environment.format) {
            set_entry(environment, level, last, good(level));
        }
    }
}

/// Sets the entry in which a page under test differs.
pub fn set_tested(environment: &Environment, tested: &Tested, maxphyaddr: Maxphyaddr) {
    let level = tested.page.level;
    set_entry(environment, level, linear(environment.format, level), tested.page.entry(maxphyaddr));
}

/// Makes the PDPTE in which pages under test differ a good one, if the root is of PAE paging: L2
/// may have left one with which no VM entry succeeds.
pub fn mend_root(environment: &Environment) {
    let format = environment.format;
    if format.is_register(Level::Pdpte) {
        set_entry(environment, Level::Pdpte, linear(format, Level::Pdpte), good(Level::Pdpte));
    }
}

/// Sets an entry that leads on to the next table, to the frame, or to the large page that begins at
/// 0.
fn set_entry(environment: &Environment, level: Level, linear: u64, flags: u64) {
    let Environment { format, ept, .. } = *environment;
    let next = match format.levels().iter().find(|&&next| next > level) {
        _ if format.maps_page(level, Entry::from_bits_retain(flags)) && level != Level::Pte => 0,
        Some(&next) => guest_physical(ept, table(next)),
        None => guest_physical(ept, FRAME),
    };
    // The root of PAE paging has neither rights nor A: those bits must be 0.
    let flags = if format.is_register(level) { flags & Entry::P.bits() } else { flags };
    set(format, level, linear, next | flags);
}

// The page table has an entry for each place and for the pages under test.
const _: () =
    assert!(Place::ALL[PLACES - 1].linear() < GOOD - PAGE && GOOD < STAGE_BASE + 512 * PAGE);
