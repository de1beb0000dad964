//! The deep page of [`spec::scene::ept`]: a page with tables of its own below the stage's root.

use spec::manual::paging::format::Format;
use spec::manual::paging::{Level, Maxphyaddr};
use spec::scene::Scene;
use spec::scene::environment::Ept;
use spec::scene::ept::{DEEP, GuestFrame, deep_entry, entry_offset, is_deep};
use spec::scene::guest_memory::{guest_physical, guest_physical_of_deep};
use spec::scene::place::PAGE;
use spec::walk::page::good;

use super::tables;
use crate::machine::global::Global;
use crate::machine::page::{Page, mapped, physical};

/// PDPT, page directory, page table, and the page.
static FRAMES: Global<[Page; 4]> = Global::new([Page::EMPTY; 4]);

/// Physical address of a frame of the deep page's walk, if it is one of these.
pub fn frame(frame: GuestFrame) -> Option<u64> {
    let at = match frame {
        GuestFrame::Root | GuestFrame::Place(_) => return None,
        GuestFrame::Pdpt => 0,
        GuestFrame::Pd => 1,
        GuestFrame::Pt => 2,
        GuestFrame::Page => 3,
    };
    Some(physical(FRAMES.get()) + at * PAGE)
}

/// Where in L1's memory a linear address of the deep page is.
pub fn at(linear: u64) -> Option<*mut u8> {
    is_deep(linear).then(|| mapped(physical(FRAMES.get()) + 3 * PAGE + linear % PAGE))
}

/// The table of a level and what its entry leads to, by physical addresses.
fn table_and_next(level: Level) -> (u64, u64) {
    let own = physical(FRAMES.get());
    match level {
        Level::Pml5e | Level::Pml4e => (tables::root(Format::Level4), own),
        Level::Pdpte => (own, own + PAGE),
        Level::Pde => (own + PAGE, own + 2 * PAGE),
        Level::Pte => (own + 2 * PAGE, own + 3 * PAGE),
    }
}

/// Writes the entries of the walk: good ones except for what the scene says.
pub fn lay_out(scene: &Scene, ept: Option<Ept>, maxphyaddr: Maxphyaddr) {
    let guest = scene.nested.and_then(|nested| nested.guest);
    for level in Level::WALK {
        let flags = match guest {
            Some((at, kind)) if at == level => deep_entry(level, kind, maxphyaddr),
            _ => good(level),
        };
        set_entry(ept, level, flags);
    }
}

/// Makes the walk good.
pub fn mend(ept: Option<Ept>) {
    for level in Level::WALK {
        set_entry(ept, level, good(level));
    }
}

fn set_entry(ept: Option<Ept>, level: Level, flags: u64) {
    let (table, next) = table_and_next(level);
    let next = match level {
        Level::Pte => guest_physical_of_deep(ept, next),
        _ => guest_physical(ept, next),
    };
    tables::set_at(mapped(table + entry_offset(level, DEEP)), next | flags);
}
