//! The stage's pages, descriptor tables and page tables.
#![allow(unsafe_code, reason = "memory that L2 accesses too")]

use spec::channel::DEVICE_PAGE;
use spec::page::good;
use spec::paging::{Entry, Level, Maxphyaddr};
use spec::scene::Scene;
use spec::scene::descriptor::{
    EVENT_IST, FAULT_IST, FRESH_DATA_SELECTOR, FRESH_SEGMENTS, HANDLER, LDT_LIMIT, LDT_SELECTOR, LOCAL_SEGMENT,
    SEGMENTS, TSS_LIMIT, TSS_SELECTOR, VMCALL, gate, gate_address, system_segment, tss,
};
use spec::scene::end::Word;
use spec::scene::expect::MENDED;
use spec::scene::place::{Kind, PAGE, PLACES, Place, STAGE_BASE};

use crate::global::Global;

#[repr(C, align(4096))]
struct Page([u64; 512]);

const EMPTY: Page = Page([0; 512]);

static PLACES_MEMORY: Global<[Page; PLACES]> = Global::new([EMPTY; PLACES]);
/// One table of each level: root, PDPT, page directory, page table.
static TABLES: Global<[Page; 4]> = Global::new([EMPTY; 4]);

/// What the gates were last set for.
static GATES_SET: Global<Option<u64>> = Global::new(None);

/// The types of system segments: a free TSS, an LDT.
const FREE_TSS: u64 = 9;
const LDT: u64 = 2;
/// The vectors that push an error code below 32. SDM vol. 3A, table 6-1, "Protected-Mode Exceptions and Interrupts".
const WITH_ERROR_CODE: u32 = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21;

/// Physical address of the stage's root table, for CR3.
pub fn root() -> u64 {
    TABLES.get() as u64
}

/// Physical address of a place's memory.
fn physical(place: Place) -> u64 {
    match place {
        Place::Device => DEVICE_PAGE,
        _ => PLACES_MEMORY.get() as u64 + place as u64 * PAGE,
    }
}

/// Where in L1's memory a linear address of the stage is, if it has any.
fn at(linear: u64) -> Option<*mut u8> {
    let place = Place::of(linear).filter(|place| *place != Place::Device)?;
    Some((physical(place) + linear % PAGE) as *mut u8)
}

/// Reads eight bytes; 0 where there is no memory. They must not cross a page.
fn read(linear: u64) -> u64 {
    // SAFETY: the address is in a static; L2 does not run.
    at(linear).map_or(0, |at| unsafe { at.cast::<u64>().read_unaligned() })
}

fn write<T>(linear: u64, value: T) {
    if let Some(at) = at(linear) {
        // SAFETY: the address is in a static, and callers write within a page; L2 does not run.
        unsafe { at.cast::<T>().write_unaligned(value) };
    }
}

fn write_bytes(linear: u64, bytes: &[u8]) {
    for (offset, byte) in (linear..).zip(bytes) {
        write(offset, *byte);
    }
}

/// Fills what stays the same in all scenes: tables of the upper levels, GDT, LDT, TSS, handlers.
pub fn build() {
    // SAFETY: called once; nothing else refers to the tables.
    let tables = unsafe { &mut *TABLES.get() };
    let next = |at: usize| (root() + at as u64 * PAGE) | good(Level::Pde);
    tables[0].0[0] = next(1);
    tables[1].0[(STAGE_BASE >> 30 & 511) as usize] = next(2);
    tables[2].0[(STAGE_BASE >> 21 & 511) as usize] = next(3);

    let gdt = |selector: u16, descriptors: &[u64]| {
        for (at, descriptor) in descriptors.iter().enumerate() {
            write(Place::Gdt.linear() + u64::from(selector) + 8 * at as u64, *descriptor);
        }
    };
    gdt(0, &SEGMENTS);
    gdt(TSS_SELECTOR, &system_segment(Place::Tss.linear(), TSS_LIMIT, FREE_TSS));
    gdt(LDT_SELECTOR, &system_segment(Place::Ldt.linear(), LDT_LIMIT, LDT));
    write(Place::Ldt.linear(), LOCAL_SEGMENT);
    for (offset, value) in tss() {
        write(Place::Tss.linear() + offset as u64, value);
    }
    for vector in 0..PAGE / HANDLER {
        write_bytes(Place::Handlers.linear() + vector * HANDLER, &VMCALL);
    }
}

/// Lays out a scene: its code, its memory, its gates, and the last entry of each page.
pub fn lay_out(scene: &Scene, maxphyaddr: Maxphyaddr) {
    write_bytes(scene.rip, scene.code);
    write_bytes(scene.rip + scene.code.len() as u64, &VMCALL);
    for (descriptor, at) in
        FRESH_SEGMENTS.into_iter().zip((Place::Gdt.linear() + u64::from(FRESH_DATA_SELECTOR)..).step_by(8))
    {
        write(at, descriptor);
    }
    set_gates(scene.event_stack);
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
        set_entry(scene, place, scene.kind(place), maxphyaddr);
    }
}

/// Sets the stacks of the gates, if they are not so yet: vectors with a bit in `event_stack` have the stack of events.
fn set_gates(event_stack: u64) {
    // SAFETY: no two references are made; L1 has one processor.
    if unsafe { GATES_SET.get().replace(Some(event_stack)) } == Some(event_stack) {
        return;
    }
    for vector in 0..=u8::MAX {
        let ist = match vector {
            0..64 if event_stack >> vector & 1 == 1 => EVENT_IST,
            8 | 14 => FAULT_IST,
            _ => 0,
        };
        let [low, high] = gate(vector, ist);
        write(gate_address(vector), low);
        write(gate_address(vector) + 8, high);
    }
}

/// Lets the next scene set all gates again: this one has its own.
fn forget_gates() {
    // SAFETY: as in `set_gates`.
    unsafe { *GATES_SET.get() = None };
}

/// Makes a page good.
pub fn mend(scene: &Scene, place: Place, maxphyaddr: Maxphyaddr) {
    set_entry(scene, place, MENDED, maxphyaddr);
}

fn entry_of(place: Place) -> *mut u64 {
    let index = (place.linear() >> 12 & 511) as usize;
    // SAFETY: computes an address in a static, reads nothing.
    unsafe { &raw mut (*TABLES.get())[3].0[index] }
}

fn set_entry(scene: &Scene, place: Place, kind: Kind, maxphyaddr: Maxphyaddr) {
    let entry = physical(place) | kind.entry(place, scene.cpl, maxphyaddr);
    // SAFETY: the entry is in a static; L2 does not run.
    unsafe { entry_of(place).write_volatile(entry) };
}

/// The word of a number as memory has it, if it is one of memory's.
pub fn word(at: usize, scene: &Scene) -> Option<u64> {
    let watch = scene.watch?;
    match at {
        _ if at == Word::Memory as usize => Some(read(watch)),
        _ if at == Word::Leaf as usize || at == Word::Dirty as usize => {
            // SAFETY: as in `set_entry`.
            let entry = unsafe { entry_of(Place::of(watch)?).read_volatile() };
            let flags = if at == Word::Leaf as usize { Entry::A | Entry::D } else { Entry::D };
            Some(entry & flags.bits())
        }
        _ => None,
    }
}

/// What the processor pushed for a handler.
pub struct Frame {
    rsp: u64,
}

impl Frame {
    /// The frame on whose last pushed word RSP points.
    pub fn at(rsp: u64) -> Self {
        Self { rsp }
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
        Some(read(self.rsp + 8 * slot))
    }
}

// The page table has an entry for each place.
const _: () = assert!(Place::ALL[PLACES - 1].linear() < STAGE_BASE + 512 * PAGE && size_of::<Page>() == PAGE as usize);
