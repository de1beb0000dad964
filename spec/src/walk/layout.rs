//! The memory that L1 and L2 share: addresses in L2's linear space, and the records in it.
//!
//! L2 is linked at [`L2_BASE`]. The shared area is mapped twice, once for user mode and once for
//! supervisor mode, since SMAP keeps a supervisor from the first; the two addresses differ in one
//! bit.

use crate::manual::paging::Level;
use crate::manual::paging::format::Format;
use crate::walk::outcome::{Delivery, Exit};
use crate::walk::page::PageIndex;
use crate::walk::stimulus::LOOPS;

/// Linear address of L2's image.
pub const L2_BASE: u64 = 0x4000_0000;
/// Bytes that L2's image may take in memory, its stacks included.
pub const L2_SIZE: usize = 32 * 1024;
/// Linear address of the shared area for user mode.
pub const SHARED_USER: u64 = 0x5000_0000;
/// The address bit that turns a user-mode address of the shared area into a supervisor-mode one.
pub const SHARED_SUPERVISOR_BIT: u32 = 29;
/// Linear address of the shared area for supervisor mode.
pub const SHARED_SUPERVISOR: u64 = SHARED_USER | 1 << SHARED_SUPERVISOR_BIT;
/// Linear address of 2 MiB that user and supervisor may write, all of which is one scratch frame. A
/// walk's number is an address in it, so that fresh memory, which holds 0, can be run: its
/// instructions are `add [rax], al`.
pub const SCRATCH: u64 = 0x6000_0000;
/// Bytes at [`SCRATCH`].
pub const SCRATCH_SIZE: u64 = 2 << 20;
/// Linear address of the pages of [`crate::walk::host`]: two for each slot, the second with code to
/// come back.
pub const HOST_BASE: u64 = 8 << 39;
/// The index in the PML4 of the good entry of the test region; pages that differ in the PML4 entry
/// follow.
pub const TEST_PML4_INDEX: usize = 16;
/// The frame that they share has room for no more pages than this.
pub const MAX_PAGES: usize = 63;
/// Slots in the shared area.
pub const MAX_SLOTS: usize = 254;
/// The slot of a fault that comes while L2 asks the VMM for something. No walk is that long.
pub const EVENT_SLOT: usize = MAX_SLOTS - 1;

/// Offset in a page's part of the frame: code that loads [`TOKEN`] and goes on at the resume
/// address.
pub const FRAME_CODE: u64 = 0;
/// Offset in a page's part of the frame: [`TOKEN`], to be read.
pub const FRAME_DATA: u64 = 16;
/// Offset in a page's part of the frame: where a supervisor writes the walk's number.
pub const FRAME_WRITE_SUPERVISOR: u64 = 32;
/// Offset in a page's part of the frame: where a user writes the walk's number.
pub const FRAME_WRITE_USER: u64 = 40;
/// The slot that holds an [`Exchange`] while L2 exits to the VMM. No walk is that long.
pub const EXCHANGE_SLOT: usize = MAX_SLOTS - 2;
/// Linear address at which L2 has the device's page, only for supervisors.
pub const DEVICE_LINEAR: u64 = HOST_BASE + 511 * 4096;
/// Bytes of the frame that belong to one page.
pub const FRAME_PART: u64 = 64;

/// What a read finds, and what code that is fetched loads.
pub const TOKEN: u64 = 0x6d61_736b_6d61_7463;

/// `mov rax, rbx; jmp r15`: at [`FRAME_CODE`]. RBX holds [`TOKEN`], R15 the resume address.
pub const FETCHED_CODE: [u8; 6] = [0x48, 0x89, 0xd8, 0x41, 0xff, 0xe7];

/// Where in L2's linear space a page is, the offset of its part of the frame included.
///
/// At its own level it has index `page + 1`, at the others index 0, where the entry is good.
#[must_use]
pub const fn page_address(level: Level, page: PageIndex) -> u64 {
    let index = page as u64 + 1;
    let shift = Format::Level4.shift(level);
    ((TEST_PML4_INDEX as u64) << 39) + (index << shift) + index * FRAME_PART
}

/// One stimulus' place in the shared area: what L2 is to do, and what it saw. 64 bytes.
///
/// L2's #PF handler counts in [`Slot::faults`] and fills [`Slot::delivery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Slot {
    /// The linear address to access.
    pub address: u64,
    /// RAX after the access: [`TOKEN`] if it read or ran, else the walk's number.
    pub result: u64,
    /// How many page faults L2's handler got in this walk.
    pub faults: u64,
    /// The last of them.
    pub delivery: Delivery,
}

impl Slot {
    /// A slot for an address, without faults.
    #[must_use]
    pub const fn new(address: u64) -> Self {
        Self {
            address,
            result: 0,
            faults: 0,
            delivery: Delivery { error_code: 0, cr2: 0, rip: 0, cs: 0, rflags: 0 },
        }
    }
}

/// The head of the shared area, 128 bytes; the slots follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Control {
    /// The walk's number: what is in RAX before each access, and what a write writes.
    pub walk: u64,
    /// 0, or 0x100 + vector of an exception or interrupt that L2 did not expect.
    pub unexpected: u64,
    /// How many slots each loop has, by [`crate::walk::stimulus::loop_number`].
    pub counts: [u64; LOOPS],
    /// What L2 asks for at the start of the walk, as [`crate::channel::Ask::word`] has it, or 0.
    pub ask: u64,
    /// The word of the [`crate::channel::Status`] that came of it. L2 walks only after one that is
    /// done.
    pub status: u64,
    /// How many NMIs L2's handler got.
    pub nmis: u32,
    /// How many external interrupts with vector [`crate::channel::INTERRUPT_VECTOR`] L2's handler
    /// got.
    pub interrupts: u32,
    /// Whether L2 is to exit to the VMM, see [`Exchange`].
    pub exchange: u64,
}

/// What L2 gives to the VMM and gets from it. 64 bytes: a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Exchange {
    /// Written to [`crate::channel::ECHO_PORT`] by a string instruction, the last first.
    pub out: [u32; 4],
    /// Read from there by a string instruction, the last first: each the inverse of what was
    /// written.
    pub back: [u32; 4],
    /// Read from [`crate::channel::DEVICE_READ`].
    pub known: u32,
    /// Written to [`crate::channel::DEVICE_WRITE`].
    pub write: u32,
    /// Read from there.
    pub read_back: u32,
}

impl Exchange {
    /// Before L2 runs.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        let out = [value, value ^ 0x5555_5555, value ^ 0x3333_3333, value ^ 0x0f0f_0f0f];
        Self { out, back: [0; 4], known: 0, write: value, read_back: !value }
    }

    /// Whether everything came back as the VMM gave it.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let Self { out, back, known, write, read_back } = self;
        out.map(|word| !word) == *back
            && *known == crate::channel::DEVICE_KNOWN
            && write == read_back
    }
}

/// The shared area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4096))]
pub struct Shared {
    /// What L1 asks of L2, and what L2 answers.
    pub control: Control,
    /// The slots in the order of the walk.
    pub slots: [Slot; MAX_SLOTS],
}

/// What L1 must know of L2's image. It is at the image's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// [`Header::MAGIC`].
    pub magic: u64,
    /// First entry: L2 loads its descriptor tables and calls L1 back. L2 sets RSP.
    pub init: u64,
    /// Entry of a walk over all slots.
    pub walk: u64,
    /// Start of the pages that user mode runs.
    pub user_start: u64,
    /// End of the pages that user mode runs.
    pub user_end: u64,
    /// End of the image in memory.
    pub end: u64,
    /// RIP of the accessing instruction of each loop; without meaning for fetches, whose RIP is
    /// their target.
    pub access: [u64; LOOPS],
    /// Where each loop goes on after its access.
    pub resume: [u64; LOOPS],
    /// Where L2 goes on after it has asked the VMM for something.
    pub asked: u64,
    /// Selector that CS holds in user mode, with RPL.
    pub user_cs: u64,
    /// Selector that CS holds in supervisor mode.
    pub supervisor_cs: u64,
}

impl Header {
    /// "L2maskma", little-endian.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"L2maskma");
}

/// What L1 notes of one VM exit by page fault. 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct ExitRecord {
    /// The exit's fields. Of the IDT-vectoring information only bit 31: the others have no meaning
    /// while it is 0.
    pub exit: Exit,
    /// RSI of L2: the slot's address in the mapping that the access' privilege uses.
    pub slot: u64,
}

impl ExitRecord {
    /// Nothing noted.
    pub const EMPTY: Self = Self {
        exit: Exit {
            info: 0,
            error_code: 0,
            qualification: 0,
            rip: 0,
            rflags: 0,
            idt_vectoring: 0,
            cr2: 0,
        },
        slot: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::{
        Control, Exchange, ExitRecord, FRAME_PART, FRAME_WRITE_USER, MAX_PAGES, SHARED_SUPERVISOR,
        SHARED_USER, Shared, Slot, page_address,
    };
    use crate::walk::page::PAGES;
    use core::mem::size_of;
    use std::collections::HashSet;

    #[test]
    fn records_have_the_size_that_assembly_counts_on() {
        assert_eq!(size_of::<Slot>(), 64);
        assert_eq!(size_of::<Control>(), 128);
        assert_eq!(size_of::<Exchange>(), 64);
        assert_eq!(size_of::<ExitRecord>(), 64);
        assert_eq!(size_of::<Shared>(), 4 * 4096);
        assert_eq!(SHARED_SUPERVISOR - SHARED_USER, 0x2000_0000);
    }

    #[test]
    fn pages_have_addresses_and_frame_parts_of_their_own() {
        let mut pages = HashSet::new();
        let mut parts = HashSet::new();
        for (index, page) in PAGES.iter().enumerate() {
            let address = page_address(page.level, index);
            assert!(pages.insert(address >> 12));
            assert!(parts.insert(address & 0xfff));
            assert!(address < 1 << 47, "canonical");
        }
        assert!((MAX_PAGES as u64 + 1) * FRAME_PART <= 4096);
        const { assert!(FRAME_WRITE_USER + 8 <= FRAME_PART) };
    }
}
