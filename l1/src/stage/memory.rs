//! The stage's pages and descriptor tables.
#![allow(unsafe_code, reason = "memory that L2 accesses too")]

use spec::channel::DEVICE_PAGE;
use spec::paging::{Entry, Maxphyaddr};
use spec::scene::Scene;
use spec::scene::descriptor::{
    CALL_GATE_SELECTOR, EVENT_IST, FAULT_IST, FRESH_DATA_SELECTOR, FRESH_SEGMENTS, HANDLER, HANDLER_CODE, LDT_LIMIT,
    LDT_SELECTOR, LOCAL_SEGMENT, REAL_IDT, REAL_VECTOR, SEGMENTS, TSS_LIMIT, TSS_SELECTOR, VMCALL, call_gate, gate,
    gate_32, gate_address, real_vector, system_segment, tss,
};
use spec::scene::end::Word;
use spec::scene::environment::{Environment, Width};
use spec::scene::place::{Kind, PAGE, PLACES, Place};
use spec::scene::tested::FRAME;

use super::{deep, ept, tables};
use crate::exception::WITH_ERROR_CODE;
use crate::global::Global;

#[repr(C, align(4096))]
struct Page([u64; 512]);

const EMPTY: Page = Page([0; 512]);

static PLACES_MEMORY: Global<[Page; PLACES]> = Global::new([EMPTY; PLACES]);

/// The requested privilege level of a selector.
const RPL: u64 = 3;

/// What the gates were last set for.
static GATES_SET: Global<Option<u64>> = Global::new(None);

/// The types of system segments: a free TSS, an LDT.
const FREE_TSS: u64 = 9;
const LDT: u64 = 2;

/// Physical address of a place's memory.
pub fn physical(place: Place) -> u64 {
    match place {
        Place::Device => DEVICE_PAGE,
        _ => PLACES_MEMORY.get() as u64 + place as u64 * PAGE,
    }
}

/// Where in L1's memory a linear address of the stage is, if it has any.
fn at(linear: u64) -> Option<*mut u8> {
    if let Some(deep) = deep::at(linear) {
        return Some(deep);
    }
    let frame = match Place::of(linear) {
        Some(Place::Device) => return None,
        Some(place) => physical(place),
        // Pages under test.
        None => FRAME,
    };
    Some((frame + linear % PAGE) as *mut u8)
}

/// Reads eight bytes; 0 where there is no memory. They must not cross a page.
fn read(linear: u64) -> u64 {
    // SAFETY: the address is in a static or in the frame of pages under test; L2 does not run.
    at(linear).map_or(0, |at| unsafe { at.cast::<u64>().read_unaligned() })
}

/// Reads four bytes; 0 where there is no memory. They must not cross a page.
fn read_32(linear: u64) -> u64 {
    // SAFETY: as in `read`.
    at(linear).map_or(0, |at| unsafe { at.cast::<u32>().read_unaligned() }.into())
}

fn write<T>(linear: u64, value: T) {
    if let Some(at) = at(linear) {
        // SAFETY: the address is in a static or in the frame of pages under test, and callers write within a page;
        // L2 does not run.
        unsafe { at.cast::<T>().write_unaligned(value) };
    }
}

fn write_bytes(linear: u64, bytes: &[u8]) {
    for (offset, byte) in (linear..).zip(bytes) {
        write(offset, *byte);
    }
}

/// Fills what stays the same in all scenes of an environment: tables of the upper levels, GDT, LDT, TSS, handlers,
/// and the vectors of real mode.
pub fn build(environment: &Environment) {
    tables::build(environment.format);
    // SAFETY: no two references are made; L1 has one processor.
    unsafe { *GATES_SET.get() = None };
    let long = environment.width.is_long();
    let gdt = |selector: u16, descriptors: &[u64]| {
        for (at, descriptor) in descriptors.iter().enumerate() {
            write(Place::Gdt.linear() + u64::from(selector) + 8 * at as u64, *descriptor);
        }
    };
    gdt(0, &SEGMENTS);
    gdt(TSS_SELECTOR, &system_segment(Place::Tss.linear(), TSS_LIMIT, FREE_TSS));
    gdt(LDT_SELECTOR, &system_segment(Place::Ldt.linear(), LDT_LIMIT, LDT));
    gdt(CALL_GATE_SELECTOR & !7, &call_gate());
    write(Place::Ldt.linear(), LOCAL_SEGMENT);
    for (offset, value) in tss(long) {
        write(Place::Tss.linear() + offset as u64, value);
    }
    for vector in 0..PAGE / HANDLER {
        write_bytes(Place::Handlers.linear() + vector * HANDLER, &HANDLER_CODE);
    }
    for vector in 0..=u8::MAX {
        write(REAL_IDT + u64::from(vector) * REAL_VECTOR, real_vector(vector));
    }
}

/// Lays out a scene: its code, its memory, its gates, and the last entry of each page.
pub fn lay_out(scene: &Scene, environment: &Environment, maxphyaddr: Maxphyaddr) {
    write_bytes(scene.rip, scene.code);
    write_bytes(scene.rip + scene.code.len() as u64, &VMCALL);
    for (descriptor, at) in
        FRESH_SEGMENTS.into_iter().zip((Place::Gdt.linear() + u64::from(FRESH_DATA_SELECTOR)..).step_by(8))
    {
        write(at, descriptor);
    }
    set_gates(scene.event_stack, environment.width.is_long());
    if let Some(watch) = scene.watch {
        write(watch, 0u64);
    }
    for (linear, value) in scene.memory {
        write(*linear, *value);
        if matches!(Place::of(*linear), Some(Place::Idt0 | Place::Idt1)) {
            forget_gates();
        }
    }
    for place in Place::ALL {
        set_entry(scene, environment, place, scene.kind(place), maxphyaddr);
    }
    tables::mend_root(environment.format);
    if let Some(tested) = &scene.tested_at_start() {
        tables::set_tested(environment.format, tested, maxphyaddr);
    }
    deep::lay_out(scene, maxphyaddr);
}

/// Sets the stacks of the gates, if they are not so yet: vectors with a bit in `event_stack` have the stack of events.
fn set_gates(event_stack: u64, long: bool) {
    // SAFETY: no two references are made; L1 has one processor.
    if unsafe { GATES_SET.get().replace(Some(event_stack)) } == Some(event_stack) {
        return;
    }
    for vector in 0..=u8::MAX {
        if !long {
            write(gate_address(vector, long), gate_32(vector));
            continue;
        }
        let ist = match vector {
            0..64 if event_stack >> vector & 1 == 1 => EVENT_IST,
            8 | 14 => FAULT_IST,
            _ => 0,
        };
        let [low, high] = gate(vector, ist);
        write(gate_address(vector, long), low);
        write(gate_address(vector, long) + 8, high);
    }
}

/// Lets the next scene set all gates again: this one has its own.
fn forget_gates() {
    // SAFETY: as in `set_gates`.
    unsafe { *GATES_SET.get() = None };
}

/// Makes a page good.
pub fn mend(scene: &Scene, environment: &Environment, place: Place, maxphyaddr: Maxphyaddr) {
    set_entry(scene, environment, place, Kind::GOOD, maxphyaddr);
}

fn set_entry(scene: &Scene, environment: &Environment, place: Place, kind: Kind, maxphyaddr: Maxphyaddr) {
    let frame = if place == Place::Device { ept::guest_device() } else { ept::guest_physical(physical(place)) };
    let entry = frame | kind.entry(place, scene.cpl, maxphyaddr);
    tables::set_pte(environment.format, place.linear(), entry);
}

/// The word of a number as memory has it, if it is one of memory's.
pub fn word(at: usize, scene: &Scene, environment: &Environment) -> Option<u64> {
    let watch = scene.watch?;
    match at {
        _ if at == Word::Memory as usize => Some(read(watch)),
        _ if at == Word::Leaf as usize || at == Word::Dirty as usize => {
            let entry = tables::pte(environment.format, Place::of(watch)?.linear());
            let flags = if at == Word::Leaf as usize { Entry::A | Entry::D } else { Entry::D };
            Some(entry & flags.bits())
        }
        _ => None,
    }
}

/// What the processor pushed for a handler.
pub struct Frame {
    rsp: u64,
    width: Width,
}

impl Frame {
    /// The frame on whose last pushed word RSP points.
    pub fn at(rsp: u64, width: Width) -> Self {
        Self { rsp, width }
    }

    /// The word of a number as the frame of a vector has it, if it is one of the frame's. `software`: a software
    /// interrupt, which pushes no error code whatever its vector.
    pub fn word(&self, at: usize, vector: u8, software: bool) -> Option<u64> {
        let has_error_code = !software && vector < 32 && WITH_ERROR_CODE >> vector & 1 == 1;
        let skip = u64::from(has_error_code);
        let slot = match at {
            _ if at == Word::ErrorCode as usize && has_error_code => 0,
            _ if at == Word::Rip as usize => skip,
            _ if at == Word::Cs as usize => skip + 1,
            _ if at == Word::Rflags as usize => skip + 2,
            _ if at == Word::Rsp as usize => skip + 3,
            _ if at == Word::Ss as usize => skip + 4,
            _ => return None,
        };
        if self.width.is_long() {
            return Some(read(self.rsp + 8 * slot));
        }
        let pushed = |slot: u64| read_32(self.rsp + 4 * slot);
        // The handlers have CPL 0. Without a change of the CPL neither SS nor ESP is pushed: the one is as it was,
        // the other was where the frame ends.
        let stays = pushed(skip + 1) & RPL == 0;
        match at {
            _ if stays && at == Word::Rsp as usize => Some(self.rsp + 4 * slot),
            _ if stays && at == Word::Ss as usize => None,
            // The upper half of a pushed selector is padding.
            _ if at == Word::Cs as usize || at == Word::Ss as usize => Some(pushed(slot) & 0xffff),
            _ => Some(pushed(slot)),
        }
    }
}
