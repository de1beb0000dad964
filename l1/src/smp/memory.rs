//! Pages and page tables of the L2s of two processors.
//!
//! Each processor has 2 MiB of linear addresses, in which its L2 has code, handlers, descriptor
//! tables, a stack and the board; every root leads to both. In `smp.filters` each has a root of its
//! own, with pages under test of its own; in `smp.shootdown` both have the first one's root, which
//! leads to the page whose entries change.
#![allow(unsafe_code, reason = "memory that L2 accesses too")]

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use spec::manual::descriptor::{
    CODE_64, DATA, System, TSS_LIMIT, TSS_RSP0, interrupt_gate, system_segment, tss_ist, with_dpl,
};
use spec::manual::paging::format::Format;
use spec::manual::paging::{Access, Entry, Level, Maxphyaddr, Privilege};
use spec::manual::vector::EXCEPTIONS;
use spec::smp::shootdown::{
    Change, SHOT_AFTER, SHOT_BEFORE, SHOT_FIRST, SHOT_PAGE, State, shot_contents,
};
use spec::walk::layout::{FETCHED_CODE, FRAME_CODE, FRAME_DATA, FRAME_PART, Header, TOKEN};
use spec::walk::page::good;
use spec::walk::stimulus::{LOOPS, loop_number};
use spec::walk::tables::lay_test_pages;

use super::code::{self, INTERRUPT_VECTOR, SOFTWARE_VECTOR};
use crate::machine::global::Global;
use crate::machine::page::{Page, mapped, physical};

const PAGE: u64 = Page::SIZE;
const EMPTY: Page = Page::EMPTY;

/// What both processors' L2s have.
struct Common {
    low_pdpt: Page,
    low_pd: Page,
    low_pts: [Page; 2],
    code: Page,
    handlers: Page,
    board: Page,
    /// PDPT, page directory, page table of the page whose entries change, and the page.
    shot: [Page; 4],
}

/// What belongs to one processor's L2.
struct Own {
    root: Page,
    test_pdpt: Page,
    test_pd: Page,
    test_pt: Page,
    frame: Page,
    descriptors: Page,
    stack: Page,
}

static COMMON: Global<Common> = Global::new(Common {
    low_pdpt: EMPTY,
    low_pd: EMPTY,
    low_pts: [EMPTY; 2],
    code: EMPTY,
    handlers: EMPTY,
    board: EMPTY,
    shot: [EMPTY; 4],
});

static OWN: [Global<Own>; 2] = [const {
    Global::new(Own {
        root: EMPTY,
        test_pdpt: EMPTY,
        test_pd: EMPTY,
        test_pt: EMPTY,
        frame: EMPTY,
        descriptors: EMPTY,
        stack: EMPTY,
    })
}; 2];

/// A page of a processor's linear addresses, in their order.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum SmpPage {
    /// Code for supervisor mode.
    Code,
    /// The same for user mode.
    UserCode,
    /// The handlers.
    Handlers,
    /// GDT, TSS and IDT.
    Descriptors,
    /// The stack: the upper half is that of exceptions.
    Stack,
    /// The board, for supervisor mode.
    Board,
    /// The same for user mode.
    UserBoard,
    /// The tables that lead to the page whose entries change, the root first; four pages.
    Tables,
}

impl SmpPage {
    /// Its linear address.
    pub const fn linear(self, processor: usize) -> u64 {
        0x4000_0000 + ((processor as u64) << 21) + self as u64 * PAGE
    }
}

/// Selectors of L2: CS and SS of supervisor and user mode, TR.
const SUPERVISOR: (u64, u64) = (0x08, 0x10);
const USER: (u64, u64) = (0x1b, 0x23);
/// See [`SUPERVISOR`].
pub const TSS_SELECTOR: u64 = 0x28;
/// The GDT up to the TSS, in the order of the selectors.
const SEGMENTS: [u64; 5] =
    [0, CODE_64, DATA, with_dpl(CODE_64, Privilege::User), with_dpl(DATA, Privilege::User)];
/// Offsets in [`SmpPage::Descriptors`], and limits.
const TSS: u64 = 0x80;
const IDT: u64 = 0x400;
/// Of the GDT.
pub const GDT_LIMIT: u64 = TSS_SELECTOR + 15;
/// Of the IDT.
pub const IDT_LIMIT: u64 = (SOFTWARE_VECTOR as u64 + 1) * 16 - 1;
/// Bytes of a handler.
pub const HANDLER: u64 = 16;
const VMCALL: [u8; 3] = [0x0f, 0x01, 0xc1];
/// The interrupt-stack table's entry that exceptions use.
const EXCEPTION_IST: u64 = 1;

/// CS and SS of a privilege.
pub const fn selectors(privilege: Privilege) -> (u64, u64) {
    match privilege {
        Privilege::Supervisor => SUPERVISOR,
        Privilege::User => USER,
    }
}

/// Linear addresses of a processor's GDT, TSS, IDT.
pub const fn descriptor_tables(processor: usize) -> [u64; 3] {
    let page = SmpPage::Descriptors.linear(processor);
    [page, page + TSS, page + IDT]
}

/// RSP of a processor's L2.
pub const fn stack_top(processor: usize) -> u64 {
    SmpPage::Stack.linear(processor) + PAGE / 2
}

/// Where a processor's L2 has the code at an offset.
pub const fn code_at(processor: usize, privilege: Privilege, offset: u64) -> u64 {
    let place = match privilege {
        Privilege::Supervisor => SmpPage::Code,
        Privilege::User => SmpPage::UserCode,
    };
    place.linear(processor) + offset
}

/// Where a processor's L2 has the board.
pub const fn board_at(processor: usize, privilege: Privilege) -> u64 {
    match privilege {
        Privilege::Supervisor => SmpPage::Board.linear(processor),
        Privilege::User => SmpPage::UserBoard.linear(processor),
    }
}

/// Fills everything, for both processors.
pub fn build(maxphyaddr: Maxphyaddr) {
    // SAFETY: `Pair::start` calls this before it starts the second processor, so no L2 runs, and
    // all other code uses the memory by pointers.
    let common = unsafe { &mut *COMMON.get() };
    copy(&mut common.code, 0, code::bytes());
    for vector in 0..=SOFTWARE_VECTOR {
        copy(&mut common.handlers, u64::from(vector) * HANDLER, &VMCALL);
    }
    for (vector, bytes) in [INTERRUPT_VECTOR, SOFTWARE_VECTOR].into_iter().zip(code::handlers()) {
        copy(&mut common.handlers, u64::from(vector) * HANDLER, bytes);
    }
    let table = good(Level::Pde);
    let leaf = good(Level::Pte);
    let supervisor = leaf & !Entry::US.bits();
    common.low_pdpt.0[1] = common.low_pd.address() | table;
    for (processor, own) in OWN.iter().enumerate() {
        // SAFETY: as above; the loop has one element at a time.
        let own = unsafe { &mut *own.get() };
        own.root.0[0] = common.low_pdpt.address() | table;
        common.low_pd.0[processor] = common.low_pts[processor].address() | table;
        let pt = &mut common.low_pts[processor].0;
        pt[SmpPage::Code as usize] = common.code.address() | supervisor;
        pt[SmpPage::UserCode as usize] = common.code.address() | leaf & !Entry::RW.bits();
        pt[SmpPage::Handlers as usize] = common.handlers.address() | supervisor;
        pt[SmpPage::Descriptors as usize] = own.descriptors.address() | supervisor;
        pt[SmpPage::Stack as usize] = own.stack.address() | supervisor;
        pt[SmpPage::Board as usize] = common.board.address() | supervisor;
        pt[SmpPage::UserBoard as usize] = common.board.address() | leaf;
        for (at, level) in Level::WALK.into_iter().enumerate() {
            pt[SmpPage::Tables as usize + at] = table_of(level) | supervisor;
        }
        fill_descriptors(&mut own.descriptors, processor);
        let Own { root, test_pdpt, test_pd, test_pt, frame, .. } = own;
        for part in (0..PAGE).step_by(FRAME_PART as usize) {
            copy(frame, part + FRAME_CODE, &FETCHED_CODE);
            copy(frame, part + FRAME_DATA, &TOKEN.to_le_bytes());
        }
        let frame = frame.address();
        let next = [test_pdpt.address(), test_pd.address(), test_pt.address(), frame];
        let tables = [&mut root.0, &mut test_pdpt.0, &mut test_pd.0, &mut test_pt.0];
        lay_test_pages(tables, next, maxphyaddr);
    }
}

fn fill_descriptors(page: &mut Page, processor: usize) {
    page.0[..SEGMENTS.len()].copy_from_slice(&SEGMENTS);
    let [_, tss, _] = descriptor_tables(processor);
    let at = TSS_SELECTOR as usize / 8;
    page.0[at..at + 2].copy_from_slice(&system_segment(tss, TSS_LIMIT, System::AvailableTss));
    copy(page, TSS + TSS_RSP0 as u64, &stack_top(processor).to_le_bytes());
    copy(
        page,
        TSS + tss_ist(EXCEPTION_IST) as u64,
        &(stack_top(processor) + PAGE / 2).to_le_bytes(),
    );
    for vector in 0..=SOFTWARE_VECTOR {
        let handler = SmpPage::Handlers.linear(processor) + u64::from(vector) * HANDLER;
        let ist = if vector < EXCEPTIONS { EXCEPTION_IST } else { 0 };
        let caller =
            if vector == SOFTWARE_VECTOR { Privilege::User } else { Privilege::Supervisor };
        let [low, high] = interrupt_gate(SUPERVISOR.0 as u16, handler, ist);
        let at = (IDT as usize + 16 * usize::from(vector)) / 8;
        page.0[at..at + 2].copy_from_slice(&[with_dpl(low, caller), high]);
    }
}

fn copy(page: &mut Page, offset: u64, bytes: &[u8]) {
    assert!(offset as usize + bytes.len() <= PAGE as usize, "the bytes fit the page");
    // SAFETY: they fit, as was just seen.
    unsafe {
        let to = page.0.as_mut_ptr().cast::<u8>().add(offset as usize);
        ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
    }
}

/// Physical address of a processor's own root table.
pub fn root(processor: usize) -> u64 {
    // SAFETY: computes an address, reads nothing.
    physical(unsafe { &raw const (*OWN[processor].get()).root })
}

/// Where an access to a page under test lands, for a processor.
pub fn frame_at(processor: usize, address: u64) -> *mut u64 {
    // SAFETY: computes an address within the frame, reads nothing.
    unsafe {
        (&raw mut (*OWN[processor].get()).frame).cast::<u8>().add((address % PAGE) as usize).cast()
    }
}

/// Words of a processor's L2 stack from a linear address on, which must be in its stack.
pub fn stack_words<const N: usize>(processor: usize, linear: u64) -> Option<[u64; N]> {
    let offset =
        linear.checked_sub(SmpPage::Stack.linear(processor)).filter(|offset| offset % 8 == 0)?;
    if offset + 8 * N as u64 > PAGE {
        return None;
    }
    // SAFETY: the words are in the stack's page, as was just checked; the processor that asks is in
    // its L1, so its L2 does not run, and no other L2 uses the stack.
    Some(unsafe {
        let stack =
            (&raw const (*OWN[processor].get()).stack).cast::<u64>().add(offset as usize / 8);
        core::array::from_fn(|at| stack.add(at).read_volatile())
    })
}

/// What L2 must know of itself for [`spec::walk::outcome::Expectation`].
pub fn header(processor: usize) -> Header {
    let mut header = Header {
        magic: Header::MAGIC,
        init: 0,
        walk: 0,
        user_start: 0,
        user_end: 0,
        end: 0,
        access: [0; LOOPS],
        resume: [0; LOOPS],
        asked: 0,
        user_cs: USER.0,
        supervisor_cs: SUPERVISOR.0,
    };
    for privilege in [Privilege::Supervisor, Privilege::User] {
        for (access, single) in
            [Access::Read, Access::Write, Access::Fetch].into_iter().zip(code::singles())
        {
            let number = loop_number(privilege, access, false);
            header.access[number] = code_at(processor, privilege, single.access);
            header.resume[number] = code_at(processor, privilege, single.done);
        }
    }
    header
}

/// Physical address of the table whose entry of a level leads to the page that changes.
fn table_of(level: Level) -> u64 {
    match level {
        Level::Pml4e => root(0),
        _ => physical(shot_page(below_root(level) - 1)),
    }
}

/// How far a level is below that of the root of 4-level paging.
const fn below_root(level: Level) -> usize {
    level as usize - Level::Pml4e as usize
}

/// The tables below the root, and the page.
fn shot_page(at: usize) -> *mut Page {
    // SAFETY: computes an address, reads nothing.
    unsafe { &raw mut (*COMMON.get()).shot[at] }
}

/// The index of the entry of a level that leads to the page that changes.
const fn shot_index(level: Level) -> u64 {
    Format::Level4.index(level, SHOT_PAGE) as u64
}

/// An entry of a change, its address included.
pub fn shot_entry(change: &Change, level: Level, state: State) -> u64 {
    physical(shot_page(below_root(level))) | change.entry(level, state)
}

/// Where the first processor's L2 writes the entry of a level.
pub fn shot_entry_linear(level: Level) -> u64 {
    SmpPage::Tables.linear(0) + below_root(level) as u64 * PAGE + 8 * shot_index(level)
}

/// Lays out a change: the old entries, what is in the page, and an empty board. No L2 runs.
pub fn lay_out(change: &Change) {
    for level in Level::WALK {
        let entry = mapped::<u64>(table_of(level) + 8 * shot_index(level));
        // SAFETY: a table of a static and the offset of one of its 512 entries. The second
        // processor waits for a job, and the first is here, so no L2 runs.
        unsafe { entry.write_volatile(shot_entry(change, level, State::Old)) };
    }
    let contents = u64::from_le_bytes(shot_contents(change.access));
    for offset in [SHOT_FIRST, SHOT_BEFORE, SHOT_AFTER] {
        // SAFETY: the offsets are below 4096 and multiples of 8; no L2 runs, as above.
        unsafe { shot_word(offset).write_volatile(contents) };
    }
    for word in [Board::Used, Board::Changed, Board::Invalidated] {
        word.at().store(0, Ordering::Relaxed);
    }
}

/// The word at an offset in the page that changes.
pub fn shot_word(offset: u64) -> *mut u64 {
    shot_page(3).cast::<u64>().wrapping_add(offset as usize / 8)
}

/// The words by which the L2s show each other how far they are, in their order on the board.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Board {
    /// Processor 1 has used the page, and waits.
    Used,
    /// Processor 0 has changed the entry.
    Changed,
    /// Processor 1 has invalidated in its handler.
    Invalidated,
}

impl Board {
    /// Its offset on the board.
    pub const fn offset(self) -> u64 {
        4 * self as u64
    }

    /// The word.
    pub fn at(self) -> &'static AtomicU32 {
        // SAFETY: the word is aligned and in a static; L1 accesses it only by this function once
        // `build` is over, L2s by single instructions.
        unsafe {
            let board = (&raw mut (*COMMON.get()).board).cast::<u8>();
            AtomicU32::from_ptr(board.add(self.offset() as usize).cast())
        }
    }
}

const _: () =
    assert!(Board::Used.offset() == 0 && Board::Invalidated.offset() == code::BOARD_INVALIDATED);

#[cfg(test)]
mod tests;
