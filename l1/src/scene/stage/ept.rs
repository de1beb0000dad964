//! EPT tables of the stage. SDM vol. 3C, "EPT Translation Mechanism".
//!
//! They give L2 the memory that [`spec::scene::guest_memory`] says.
#![allow(unsafe_code, reason = "fills tables in statics")]

use spec::channel::DEVICE_PAGE;
use spec::manual::ept::{self, SINGLE_CONTEXT};
use spec::manual::paging::format::Format;
use spec::manual::paging::{Level, Maxphyaddr};
use spec::scene::environment::{Environment, Ept, Width};
use spec::scene::ept::{EXECUTE_FOR_USER, EptEntry, FRAMES, GuestFrame};
use spec::scene::guest_memory::{
    GUEST_BASE, L1_BASE, REAL_BASE, guest_physical, guest_physical_of_deep,
};
use spec::scene::place::{PAGE, Place};
use spec::scene::tested::FRAME;

use super::{deep, memory, tables};
use crate::machine::global::Global;
use crate::machine::page::{self, Page};
use crate::vmx::invalidate::{invept, invept_of};
use crate::vmx::{Field, VmFail, vmwrite};

/// All tables. Each second-level table serves one GiB.
struct Tables {
    root: Page,
    pdpt: Page,
    /// The first GiB: real mode, and pages under test.
    low_pd: Page,
    low_pt: Page,
    /// The GiB of [`GUEST_BASE`], in pages of 4 KiB and of 2 MiB.
    pd: Page,
    pt: Page,
    large_pd: Page,
    device_pd: Page,
    device_pt: Page,
}

const EMPTY: Page = Page::EMPTY;
static TABLES: Global<Tables> = Global::new(Tables {
    root: EMPTY,
    pdpt: EMPTY,
    low_pd: EMPTY,
    low_pt: EMPTY,
    pd: EMPTY,
    pt: EMPTY,
    large_pd: EMPTY,
    device_pd: EMPTY,
    device_pt: EMPTY,
});

/// Read, write, execute of an entry that leads to a table.
const TABLE: u64 = 7 | EXECUTE_FOR_USER;
/// An entry of a device: read, write, execute, uncacheable.
const DEVICE: u64 = 7 | EXECUTE_FOR_USER;
/// What the tables are now: those of which environment, the frame that is spoiled, the width of
/// addresses.
struct State {
    ept: Option<Ept>,
    real: bool,
    spoiled: Option<(GuestFrame, EptEntry)>,
    /// Physical address of the device's page.
    device: u64,
}

static STATE: Global<State> =
    Global::new(State { ept: None, real: false, spoiled: None, device: DEVICE_PAGE });

fn state() -> &'static mut State {
    // SAFETY: only the first processor has a stage, and each use of the reference is over before
    // this is called again.
    unsafe { &mut *STATE.get() }
}

fn large() -> bool {
    state().ept.is_some_and(|ept| ept.large)
}

/// Fills the tables for an environment and writes the EPT pointer, if it has EPT.
pub fn set_up(environment: &Environment, maxphyaddr: Maxphyaddr) -> Result<(), VmFail> {
    *state() = State {
        ept: environment.ept,
        real: environment.width == Width::Real,
        spoiled: None,
        device: DEVICE_PAGE,
    };
    let Some(ept) = environment.ept else {
        return Ok(());
    };
    // SAFETY: no function that is called while the reference lives uses the tables; L2 does not
    // run.
    let tables = unsafe { &mut *TABLES.get() };
    let at = |table: &Page| table.address() | TABLE;
    tables.root.0[0] = at(&tables.pdpt);
    tables.pdpt.0[0] = at(&tables.low_pd);
    tables.pdpt.0[index(Level::Pdpte, GUEST_BASE)] =
        at(if ept.large { &tables.large_pd } else { &tables.pd });
    tables.pdpt.0[index(Level::Pdpte, DEVICE_PAGE)] = at(&tables.device_pd);
    tables.low_pd.0[0] = at(&tables.low_pt);
    // The second time for the deep page.
    let number = index(Level::Pde, GUEST_BASE);
    tables.pd.0[number..=number + 1].fill(at(&tables.pt));
    tables.device_pd.0[index(Level::Pde, DEVICE_PAGE)] = at(&tables.device_pt);
    tables.device_pt.0[index(Level::Pte, DEVICE_PAGE)] = DEVICE_PAGE | DEVICE;
    let good = EptEntry::GOOD;
    for frame in 0..512 {
        tables.pt.0[frame] = (L1_BASE + frame as u64 * PAGE) | good.bits(false, maxphyaddr);
        tables.large_pd.0[frame] = L1_BASE | good.bits(true, maxphyaddr);
    }
    for place in Place::ALL.into_iter().filter(|place| *place != Place::Device) {
        let index = index(Level::Pte, REAL_BASE) + place as usize;
        tables.low_pt.0[index] = memory::physical(place) | good.bits(false, maxphyaddr);
    }
    tables.low_pt.0[index(Level::Pte, FRAME)] = FRAME | good.bits(false, maxphyaddr);
    vmwrite(Field::EptPointer, pointer(ept));
    invept(pointer(ept))
}

fn pointer(tables: Ept) -> u64 {
    ept::pointer(page::physical(TABLES.get()), tables.ad)
}

/// Makes the EPT entry of a frame another than a good one, or all good.
pub fn spoil(frame: Option<(GuestFrame, EptEntry)>, maxphyaddr: Maxphyaddr) -> Result<(), VmFail> {
    spoil_by(SINGLE_CONTEXT, frame, maxphyaddr)
}

/// The same with INVEPT of a type.
pub fn spoil_by(
    kind: u64,
    frame: Option<(GuestFrame, EptEntry)>,
    maxphyaddr: Maxphyaddr,
) -> Result<(), VmFail> {
    let Some(ept) = state().ept else {
        return Ok(());
    };
    let before = core::mem::replace(&mut state().spoiled, frame);
    if before == frame {
        return Ok(());
    }
    let good = before.map(|(frame, entry)| (frame, entry.good()));
    for (frame, entry) in good.into_iter().chain(frame) {
        set_entry(frame, entry, maxphyaddr);
    }
    invept_of(kind, pointer(ept))
}

/// Makes [`Place::Device`] another page than the device's, or that again.
pub fn set_device(physical: u64) -> Result<(), VmFail> {
    let before = core::mem::replace(&mut state().device, physical);
    let Some(ept) = state().ept.filter(|_| before != physical) else {
        return Ok(());
    };
    // SAFETY: no function that is called while the reference lives uses the tables; L2 does not
    // run.
    unsafe { (*TABLES.get()).device_pt.0[index(Level::Pte, DEVICE_PAGE)] = physical | DEVICE };
    invept(pointer(ept))
}

fn set_entry(frame: GuestFrame, entry: EptEntry, maxphyaddr: Maxphyaddr) {
    // SAFETY: no function that is called while the reference lives uses the tables; L2 does not
    // run.
    let tables = unsafe { &mut *TABLES.get() };
    let physical = physical(frame);
    let number = index(Level::Pte, physical);
    match frame {
        GuestFrame::Place(place) if state().real => {
            tables.low_pt.0[index(Level::Pte, REAL_BASE) + place as usize] =
                physical | entry.bits(false, maxphyaddr);
        }
        _ if entry.upper => {
            tables.pd.0[index(Level::Pde, GUEST_BASE) + 1] =
                tables.pt.address() | entry.bits(false, maxphyaddr);
        }
        _ if large() => tables.large_pd.0[number] = L1_BASE | entry.bits(true, maxphyaddr),
        _ => tables.pt.0[number] = physical | entry.bits(false, maxphyaddr),
    }
}

/// Physical address of a frame in L1's memory.
fn physical(frame: GuestFrame) -> u64 {
    match frame {
        GuestFrame::Place(place) => memory::physical(place),
        _ => deep::frame(frame).unwrap_or_else(|| tables::root(Format::Level4)),
    }
}

/// A guest-physical address as `GuestFrame::guest_physical` has it; what is in no frame stays as it
/// is.
pub fn by_frame(address: u64) -> u64 {
    let frames = (0..FRAMES).map(GuestFrame::from_number);
    let start = |frame: GuestFrame| match frame {
        GuestFrame::Place(place) if state().real => REAL_BASE + place as u64 * PAGE,
        GuestFrame::Page => guest_physical_of_deep(state().ept, physical(frame)),
        _ => guest_physical(state().ept, physical(frame)),
    };
    frames
        .filter(|frame| start(*frame) == address & !(PAGE - 1))
        .map(|frame| frame.guest_physical(address % PAGE))
        .next()
        .unwrap_or(address)
}

/// The index of an address in its table of a level: EPT has those of 4-level paging.
const fn index(level: Level, address: u64) -> usize {
    Format::Level4.index(level, address)
}
