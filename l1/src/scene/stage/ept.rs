//! EPT tables of the stage. SDM vol. 3C, section 28.2.2, "EPT Translation Mechanism".
//!
//! L1's memory, the 2 MiB at 2 MiB, is L2's at [`BASE`], so that no address of L2's is one of L1's by chance. In
//! pages of 4 KiB it is there once; in pages of 2 MiB it is there once for each of its 512 frames, 2 MiB apart, so
//! that each frame has an entry of its own to spoil. In real mode the stage's places are at
//! `16 * REAL_SELECTOR` besides. The device's page is where it is, and so is the frame of pages under test, which large
//! pages have at its offset from 0.
#![allow(unsafe_code, reason = "fills tables in statics")]

use spec::channel::DEVICE_PAGE;
use spec::manual::paging::Maxphyaddr;
use spec::manual::paging::format::Format;
use spec::scene::environment::{Environment, Ept, REAL_SELECTOR, Width};
use spec::scene::ept::{EptEntry, FRAMES, Frame};
use spec::scene::place::{PAGE, PLACES, Place};
use spec::scene::tested::FRAME;

use super::{deep, memory, tables};
use crate::machine::global::Global;
use crate::vmx::{Field, VmFail, invept, vmwrite};

#[repr(C, align(4096))]
struct Table([u64; 512]);

/// All tables. Each second-level table serves one GiB.
struct Tables {
    root: Table,
    pdpt: Table,
    /// The first GiB: real mode, and pages under test.
    low_pd: Table,
    low_pt: Table,
    /// The GiB of [`BASE`], in pages of 4 KiB and of 2 MiB.
    pd: Table,
    pt: Table,
    large_pd: Table,
    device_pd: Table,
    device_pt: Table,
}

const EMPTY: Table = Table([0; 512]);
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

/// Where L1's memory is in L2's, from 2 GiB on.
const BASE: u64 = 2 << 30;
/// L1's memory, see `linker/l1.ld`.
const L1_BASE: u64 = 2 << 20;
const LARGE_PAGE: u64 = 2 << 20;
/// Where the stage's places are in real mode.
const REAL_BASE: u64 = REAL_SELECTOR << 4;
/// Read, write, execute of an entry that leads to a table.
const TABLE: u64 = 7;
/// An entry of a device: read, write, execute, uncacheable.
const DEVICE: u64 = 7;
/// The EPT pointer beside its address: write-back, 4 levels, and accessed and dirty flags.
const POINTER: u64 = 6 | 3 << 3;
const POINTER_AD: u64 = 1 << 6;

/// What the tables are now: those of which environment, the frame that is spoiled, the width of addresses.
struct State {
    ept: Option<Ept>,
    real: bool,
    spoiled: Option<(Frame, EptEntry)>,
    /// Physical address of the device's page.
    device: u64,
}

static STATE: Global<State> = Global::new(State { ept: None, real: false, spoiled: None, device: DEVICE_PAGE });

fn state() -> &'static mut State {
    // SAFETY: L1 has one processor, and no reference is kept by the functions here.
    unsafe { &mut *STATE.get() }
}

fn large() -> bool {
    state().ept.is_some_and(|ept| ept.large)
}

/// Fills the tables for an environment and writes the EPT pointer, if it has EPT.
pub fn set_up(environment: &Environment, maxphyaddr: Maxphyaddr) -> Result<(), VmFail> {
    *state() =
        State { ept: environment.ept, real: environment.width == Width::Real, spoiled: None, device: DEVICE_PAGE };
    let Some(ept) = environment.ept else {
        return Ok(());
    };
    // SAFETY: L2 does not run; nothing else refers to the tables.
    let tables = unsafe { &mut *TABLES.get() };
    let at = |table: &Table| core::ptr::from_ref(table) as u64 | TABLE;
    tables.root.0[0] = at(&tables.pdpt);
    tables.pdpt.0[0] = at(&tables.low_pd);
    tables.pdpt.0[index(BASE, 30)] = at(if ept.large { &tables.large_pd } else { &tables.pd });
    tables.pdpt.0[index(DEVICE_PAGE, 30)] = at(&tables.device_pd);
    tables.low_pd.0[0] = at(&tables.low_pt);
    tables.pd.0[index(BASE, 21)] = at(&tables.pt);
    tables.device_pd.0[index(DEVICE_PAGE, 21)] = at(&tables.device_pt);
    tables.device_pt.0[index(DEVICE_PAGE, 12)] = DEVICE_PAGE | DEVICE;
    let good = EptEntry::GOOD;
    for frame in 0..512 {
        tables.pt.0[frame] = (L1_BASE + frame as u64 * PAGE) | good.bits(false, maxphyaddr);
        tables.large_pd.0[frame] = L1_BASE | good.bits(true, maxphyaddr);
    }
    for place in Place::ALL.into_iter().filter(|place| *place != Place::Device) {
        let index = index(REAL_BASE, 12) + place as usize;
        tables.low_pt.0[index] = memory::physical(place) | good.bits(false, maxphyaddr);
    }
    tables.low_pt.0[index(FRAME, 12)] = FRAME | good.bits(false, maxphyaddr);
    vmwrite(Field::EptPointer, pointer(ept));
    invept(pointer(ept))
}

fn pointer(ept: Ept) -> u64 {
    TABLES.get() as u64 | POINTER | if ept.ad { POINTER_AD } else { 0 }
}

/// Makes the EPT entry of a frame another than a good one, or all good.
pub fn spoil(frame: Option<(Frame, EptEntry)>, maxphyaddr: Maxphyaddr) -> Result<(), VmFail> {
    let Some(ept) = state().ept else {
        return Ok(());
    };
    let before = core::mem::replace(&mut state().spoiled, frame);
    if before == frame {
        return Ok(());
    }
    for (frame, entry) in before.map(|(frame, _)| (frame, EptEntry::GOOD)).into_iter().chain(frame) {
        set_entry(frame, entry, maxphyaddr);
    }
    invept(pointer(ept))
}

/// Makes [`Place::Device`] another page than the device's, or that again.
pub fn set_device(physical: u64) -> Result<(), VmFail> {
    let before = core::mem::replace(&mut state().device, physical);
    let Some(ept) = state().ept.filter(|_| before != physical) else {
        return Ok(());
    };
    // SAFETY: L2 does not run; nothing else refers to the tables.
    unsafe { (*TABLES.get()).device_pt.0[index(DEVICE_PAGE, 12)] = physical | DEVICE };
    invept(pointer(ept))
}

/// Where L2 has [`Place::Device`].
pub fn guest_device() -> u64 {
    if state().ept.is_some() { DEVICE_PAGE } else { state().device }
}

fn set_entry(frame: Frame, entry: EptEntry, maxphyaddr: Maxphyaddr) {
    // SAFETY: L2 does not run; nothing else refers to the tables.
    let tables = unsafe { &mut *TABLES.get() };
    let physical = physical(frame);
    let number = index(physical, 12);
    match frame {
        Frame::Place(place) if state().real => {
            tables.low_pt.0[index(REAL_BASE, 12) + place as usize] = physical | entry.bits(false, maxphyaddr);
        }
        _ if large() => tables.large_pd.0[number] = L1_BASE | entry.bits(true, maxphyaddr),
        _ => tables.pt.0[number] = physical | entry.bits(false, maxphyaddr),
    }
}

/// Physical address of a frame in L1's memory.
fn physical(frame: Frame) -> u64 {
    match frame {
        Frame::Place(place) => memory::physical(place),
        _ => deep::frame(frame).unwrap_or_else(|| tables::root(Format::Level4)),
    }
}

/// Where L2 has a physical address of the stage, for CR3 and paging-structure entries.
pub fn guest_physical(physical: u64) -> u64 {
    if state().ept.is_none() || matches!(physical, DEVICE_PAGE | FRAME) {
        return physical;
    }
    if large() {
        BASE + index(physical, 12) as u64 * LARGE_PAGE + physical % LARGE_PAGE
    } else {
        BASE + physical - L1_BASE
    }
}

/// A guest-physical address as `Frame::guest_physical` has it; what is in no frame stays as it is.
pub fn by_frame(address: u64) -> u64 {
    let frames = (0..FRAMES).map(Frame::from_number);
    let start = |frame: Frame| match frame {
        Frame::Place(place) if state().real => REAL_BASE + place as u64 * PAGE,
        _ => guest_physical(physical(frame)),
    };
    frames
        .filter(|frame| start(*frame) == address & !(PAGE - 1))
        .map(|frame| frame.guest_physical(address % PAGE))
        .next()
        .unwrap_or(address)
}

/// The index of an address in a table whose entries each span `1 << shift` bytes.
const fn index(address: u64, shift: u32) -> usize {
    (address >> shift & 511) as usize
}

// The places fit in a segment of real mode.
const _: () = assert!(PLACES as u64 * PAGE <= 1 << 16);
