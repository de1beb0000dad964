//! The stage's pages and descriptor tables.
#![allow(unsafe_code, reason = "memory that L2 accesses too")]

use spec::channel::DEVICE_PAGE;
use spec::manual::descriptor::{System, TSS_LIMIT, system_segment};
use spec::manual::paging::{Entry, Maxphyaddr, Privilege};
use spec::manual::vector::{DOUBLE_FAULT, PAGE_FAULT, pushes_error_code};
use spec::scene::Scene;
use spec::scene::descriptor::{
    CALL_GATE_SELECTOR, EVENT_IST, FAULT_IST, FRESH_DATA_SELECTOR, FRESH_SEGMENTS, HANDLER,
    HANDLER_CODE, LDT_LIMIT, LDT_SELECTOR, LOCAL_SEGMENT, REAL_IDT, REAL_VECTOR, SEGMENTS,
    TSS_SELECTOR, VMCALL, call_gate, gate, gate_32, gate_address, real_vector, tss, vector_of_gate,
};
use spec::scene::end::Word;
use spec::scene::environment::{Environment, Width};
use spec::scene::guest_memory::guest_physical;
use spec::scene::place::{Kind, PAGE, PLACES, Place};
use spec::scene::tested::FRAME;

use super::{deep, tables};
use crate::machine::global::Global;
use crate::machine::page::{self, Page, mapped};

static PLACES_MEMORY: Global<[Page; PLACES]> = Global::new([Page::EMPTY; PLACES]);

/// The requested privilege level of a selector.
const RPL: u64 = 3;

/// What the gates were last set for; `None` where they were not since the environment's memory was
/// built.
static GATES: Global<Option<Gates>> = Global::new(None);

/// What a scene makes of the gates.
struct Gates {
    /// [`Scene::event_stack`].
    event_stack: u64,
    /// [`Scene::memory`], of which some can be gates.
    memory: &'static [(u64, u64)],
}

/// The last entries of the walks to all places, the good ones of either CPL and environment.
static GOOD_ENTRIES: Global<[[u64; PLACES]; 2]> = Global::new([[0; PLACES]; 2]);

/// Physical address of what L2 has at [`Place::Device`] in the scene that is laid out.
static DEVICE: Global<u64> = Global::new(DEVICE_PAGE);

/// Physical address of a place's memory.
pub fn physical(place: Place) -> u64 {
    match place {
        Place::Device => DEVICE_PAGE,
        _ => page::physical(PLACES_MEMORY.get()) + place as u64 * PAGE,
    }
}

/// Where in L1's memory a linear address of the stage is, if it has any.
fn at(linear: u64) -> Option<*mut u8> {
    match Place::of(linear) {
        Some(Place::Device) => None,
        Some(place) => Some(mapped(physical(place) + linear % PAGE)),
        // The deep page, or pages under test.
        None => deep::at(linear).or(Some(mapped(FRAME + linear % PAGE))),
    }
}

/// Reads eight bytes; 0 where there is no memory. They must not cross a page.
fn read(linear: u64) -> u64 {
    // SAFETY: `at` gives an address in a static or in the frame of pages under test; eight bytes
    // fit in its page, as callers see to; L2 does not run.
    at(linear).map_or(0, |at| unsafe { at.cast::<u64>().read_unaligned() })
}

/// Reads four bytes; 0 where there is no memory. They must not cross a page.
fn read_32(linear: u64) -> u64 {
    // SAFETY: as in `read`.
    at(linear).map_or(0, |at| unsafe { at.cast::<u32>().read_unaligned() }.into())
}

fn write<T>(linear: u64, value: T) {
    if let Some(at) = at(linear) {
        // SAFETY: `at` gives an address in a static or in the frame of pages under test, up to the
        // end of whose page `T` fits: what is written begins at a multiple of 4 or 8, or is one of
        // `Scene::memory`, which do not cross a page. L2 does not run.
        unsafe { at.cast::<T>().write_unaligned(value) };
    }
}

fn write_bytes(linear: u64, bytes: &[u8]) {
    let here = bytes.len().min((PAGE - linear % PAGE) as usize);
    let (here, next_page) = bytes.split_at(here);
    if let Some(at) = at(linear) {
        // SAFETY: the address is in a static or in the frame of pages under test, and the bytes end
        // with the page; L2 does not run.
        unsafe { at.copy_from_nonoverlapping(here.as_ptr(), here.len()) };
    }
    if !next_page.is_empty() {
        write_bytes(linear + here.len() as u64, next_page);
    }
}

/// Fills what stays the same in all scenes of an environment: tables of the upper levels, GDT, LDT,
/// TSS, handlers, and the vectors of real mode.
pub fn build(environment: &Environment, maxphyaddr: Maxphyaddr) {
    tables::build(environment);
    // SAFETY: only the first processor has a stage, and no reference to the static outlives a
    // statement.
    unsafe { *GATES.get() = None };
    for cpl in [Privilege::Supervisor, Privilege::User] {
        for place in Place::ALL {
            // SAFETY: as above.
            unsafe {
                (*GOOD_ENTRIES.get())[cpl as usize][place as usize] =
                    entry(place, Kind::GOOD, cpl, environment, maxphyaddr);
            };
        }
    }
    let long = environment.width.is_long();
    let gdt = |selector: u16, descriptors: &[u64]| {
        for (at, descriptor) in descriptors.iter().enumerate() {
            write(Place::Gdt.linear() + u64::from(selector) + 8 * at as u64, *descriptor);
        }
    };
    gdt(0, &SEGMENTS);
    gdt(TSS_SELECTOR, &system_segment(Place::Tss.linear(), TSS_LIMIT, System::AvailableTss));
    gdt(LDT_SELECTOR, &system_segment(Place::Ldt.linear(), LDT_LIMIT, System::Ldt));
    gdt(CALL_GATE_SELECTOR & !7, &call_gate());
    write(Place::Ldt.linear(), LOCAL_SEGMENT);
    for (offset, value) in tss(long) {
        write(Place::Tss.linear() + offset as u64, value);
    }
    fill_with_handlers(mapped(physical(Place::Handlers)));
    if environment.width == Width::Real {
        for vector in 0..=u8::MAX {
            write(REAL_IDT + u64::from(vector) * REAL_VECTOR, real_vector(vector));
        }
    }
}

/// Fills a page with handlers. `page` is the address of one.
fn fill_with_handlers(page: *mut [u8; HANDLER as usize]) {
    let mut handler = [0; HANDLER as usize];
    handler[..HANDLER_CODE.len()].copy_from_slice(&HANDLER_CODE);
    for at in 0..(PAGE / HANDLER) as usize {
        // SAFETY: the page is one of the static's; L2 does not run.
        unsafe { page.add(at).write(handler) };
    }
}

/// Lays out a scene: its code, its memory, its gates, and the last entry of each page. `device` is
/// the physical address of what it has at [`Place::Device`].
pub fn lay_out(scene: &Scene, environment: &Environment, device: u64, maxphyaddr: Maxphyaddr) {
    write_bytes(scene.rip, scene.code);
    write_bytes(scene.rip + scene.code.len() as u64, &VMCALL);
    for (descriptor, at) in FRESH_SEGMENTS
        .into_iter()
        .zip((Place::Gdt.linear() + u64::from(FRESH_DATA_SELECTOR)..).step_by(8))
    {
        write(at, descriptor);
    }
    set_gates(scene, environment.width.is_long());
    if let Some(watch) = scene.watch {
        write(watch, 0u64);
    }
    for (linear, value) in scene.memory {
        write(*linear, *value);
    }
    // SAFETY: as in `build`.
    let mut entries = unsafe {
        DEVICE.get().write(device);
        (*GOOD_ENTRIES.get())[scene.cpl as usize]
    };
    entries[Place::Device as usize] =
        entry(Place::Device, Kind::GOOD, scene.cpl, environment, maxphyaddr);
    for (place, kind) in scene.pages.iter().rev() {
        entries[*place as usize] = entry(*place, *kind, scene.cpl, environment, maxphyaddr);
    }
    tables::set_ptes(environment.format, Place::ALL[0].linear(), &entries);
    tables::mend_root(environment);
    if let Some(tested) = &scene.tested_at_start() {
        tables::set_tested(environment, tested, maxphyaddr);
    }
    deep::lay_out(scene, environment.ept, maxphyaddr);
}

/// Sets all gates, or those that the last scene has otherwise.
fn set_gates(scene: &Scene, long: bool) {
    let gates = Gates { event_stack: scene.event_stack, memory: scene.memory };
    // SAFETY: as in `build`.
    let Some(before) = (unsafe { GATES.get().replace(Some(gates)) }) else {
        (0..=u8::MAX).for_each(|vector| set_gate(vector, scene.event_stack, long));
        return;
    };
    let mut others = before.event_stack ^ scene.event_stack;
    while others != 0 {
        set_gate(others.trailing_zeros() as u8, scene.event_stack, long);
        others &= others - 1;
    }
    for (linear, _) in before.memory {
        // What is written has eight bytes, which need not begin with a gate.
        for byte in [*linear, *linear + 7] {
            if let Some(vector) = vector_of_gate(byte, long) {
                set_gate(vector, scene.event_stack, long);
            }
        }
    }
}

/// Sets a gate; those of vectors with a bit in `event_stack` have the stack of events.
fn set_gate(vector: u8, event_stack: u64, long: bool) {
    if !long {
        write(gate_address(vector, long), gate_32(vector));
        return;
    }
    let ist = match vector {
        0..64 if event_stack >> vector & 1 == 1 => EVENT_IST,
        DOUBLE_FAULT | PAGE_FAULT => FAULT_IST,
        _ => 0,
    };
    write(gate_address(vector, long), gate(vector, ist));
}

/// Makes a page good.
pub fn mend(scene: &Scene, environment: &Environment, place: Place, maxphyaddr: Maxphyaddr) {
    let good = entry(place, Kind::GOOD, scene.cpl, environment, maxphyaddr);
    tables::set_pte(environment.format, place.linear(), good);
}

/// The last entry of the walk to a place.
fn entry(
    place: Place,
    kind: Kind,
    cpl: Privilege,
    environment: &Environment,
    maxphyaddr: Maxphyaddr,
) -> u64 {
    let frame = match (place, environment.ept) {
        // SAFETY: as in `build`.
        (Place::Device, None) => unsafe { DEVICE.get().read() },
        // With EPT it is the EPT entry that leads elsewhere.
        (_, ept) => guest_physical(ept, physical(place)),
    };
    frame | kind.entry(place, cpl, maxphyaddr)
}

/// A word as memory has it, if it is one of memory's.
pub fn word(word: Word, scene: &Scene, environment: &Environment) -> Option<u64> {
    let watch = scene.watch?;
    let flags = match word {
        Word::Memory => return Some(read(watch)),
        Word::Leaf => Entry::A | Entry::D,
        Word::Dirty => Entry::D,
        _ => return None,
    };
    Some(tables::pte(environment.format, Place::of(watch)?.linear()) & flags.bits())
}

/// What the processor pushed for a handler.
pub struct StackFrame {
    rsp: u64,
    width: Width,
}

impl StackFrame {
    /// The frame on whose last pushed word RSP points.
    pub fn at(rsp: u64, width: Width) -> Self {
        Self { rsp, width }
    }

    /// A word as the frame of a vector has it, if it is one of the frame's. `software`: a software
    /// interrupt, which pushes no error code whatever its vector.
    pub fn word(&self, word: Word, vector: u8, software: bool) -> Option<u64> {
        let has_error_code = !software && pushes_error_code(vector);
        let skip = u64::from(has_error_code);
        let slot = match word {
            Word::ErrorCode if has_error_code => 0,
            Word::Rip => skip,
            Word::Cs => skip + 1,
            Word::Rflags => skip + 2,
            Word::Rsp => skip + 3,
            Word::Ss => skip + 4,
            _ => return None,
        };
        if self.width.is_long() {
            return Some(read(self.rsp + 8 * slot));
        }
        let pushed = |slot: u64| read_32(self.rsp + 4 * slot);
        // The handlers have CPL 0. Without a change of the CPL neither SS nor ESP is pushed: the
        // one is as it was, the other was where the frame ends.
        let stays = pushed(skip + 1) & RPL == 0;
        match word {
            Word::Rsp if stays => Some(self.rsp + 4 * slot),
            Word::Ss if stays => None,
            // The upper half of a pushed selector is padding.
            Word::Cs | Word::Ss => Some(pushed(slot) & 0xffff),
            _ => Some(pushed(slot)),
        }
    }
}
