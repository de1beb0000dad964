//! L2 in L1's memory: its image, the shared area, the frame under test, and its state in vmcs12.
#![allow(unsafe_code, reason = "memory that L2 writes too")]

use core::ptr;

use spec::channel::{self, Ask};
use spec::manual::descriptor::{CODE_64, DATA};
use spec::manual::paging::Maxphyaddr;
use spec::manual::paging::format::Format;
use spec::walk::layout::{
    Control, FETCHED_CODE, FRAME_CODE, FRAME_DATA, FRAME_PART, Header, L2_BASE, L2_SIZE, MAX_SLOTS,
    Shared, Slot, TOKEN,
};
use spec::walk::setting::BASE;
use spec::walk::stimulus::LOOPS;
use spec::walk::tables::Memory;

use crate::machine::boot::{CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};
use crate::machine::cpu::Cpu;
use crate::machine::global::Global;
use crate::machine::page::Page;
use crate::vmx::vmcs12::{self, RFLAGS_CLEAR, Segment};
use crate::vmx::{Field, Vmcs, Vmx, enter_walk, vmwrite};
use crate::walk::tables;

/// L2's image, flat, as the build script left it.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/l2.bin"));

#[repr(C, align(4096))]
struct ImageMemory([u8; L2_SIZE]);

static IMAGE_MEMORY: Global<ImageMemory> = Global::new(ImageMemory([0; L2_SIZE]));
static SCRATCH_FRAME: Global<Page> = Global::new(Page::EMPTY);
/// The frame of the pages under test.
static FRAME: Global<Page> = Global::new(Page::EMPTY);
static SHARED: Global<Shared> = Global::new(Shared {
    control: Control {
        walk: 0,
        unexpected: 0,
        counts: [0; LOOPS],
        ask: 0,
        status: 0,
        nmis: 0,
        interrupts: 0,
        exchange: 0,
    },
    slots: [Slot::new(0); MAX_SLOTS],
});

/// The guest.
#[derive(Clone, Copy)]
pub struct Guest {
    /// What L2's image says of itself.
    pub header: Header,
    root: u64,
}

impl Guest {
    /// Copies the image to its memory, builds the tables, fills the frame under test.
    pub fn build(cpu: &Cpu) -> Self {
        let memory = Memory {
            image: IMAGE_MEMORY.get() as u64,
            shared: SHARED.get() as u64,
            frame: FRAME.get() as u64,
            scratch: SCRATCH_FRAME.get() as u64,
        };
        // SAFETY: at most `L2_SIZE` bytes are copied to a static of that size, which nothing else
        // uses yet; any bytes are a header, and the static is aligned to a page.
        let header = unsafe {
            ptr::copy_nonoverlapping(
                IMAGE.as_ptr(),
                IMAGE_MEMORY.get().cast(),
                IMAGE.len().min(L2_SIZE),
            );
            IMAGE_MEMORY.get().cast::<Header>().read()
        };
        assert!(
            header.magic == Header::MAGIC && header.end <= L2_BASE + L2_SIZE as u64,
            "L2's image is not what L1 expects"
        );
        fill_frame();
        Self { header, root: tables::build(memory, &header, cpu.maxphyaddr) }
    }

    /// Writes all of vmcs12: host state, controls, and L2 at its first entry.
    pub fn write_vmcs(&self, vmx: &Vmx, vmcs: &Vmcs) {
        vmcs12::write_controls(&vmx.controls);
        vmcs12::write_host_state();
        enter_walk::write_host_entry(vmcs);
        self.write_guest_state(vmx);
    }

    /// Puts L2 at its first entry, in the base setting. Its descriptor tables are its own to load.
    pub fn write_guest_state(&self, vmx: &Vmx) {
        for segment in [vmcs12::SS].into_iter().chain(vmcs12::DATA_SEGMENTS) {
            vmcs12::write_segment(segment, Segment::flat(DATA_SELECTOR.into(), DATA));
        }
        vmcs12::write_segment(vmcs12::CS, Segment::flat(CODE_SELECTOR.into(), CODE_64));
        vmcs12::write_segment(vmcs12::LDTR, Segment::UNUSABLE);
        vmcs12::write_segment(vmcs12::TR, Segment::busy_tss(TSS_SELECTOR.into(), 0));
        vmcs12::write_gdtr(0, 0);
        vmcs12::write_idtr(0, 0);
        vmcs12::write_paging(vmx, Format::Level4, BASE.mode);
        vmcs12::write_calm_state();
        for (field, value) in [
            (Field::GuestCr3, self.root),
            (Field::GuestRsp, 0),
            (Field::GuestRip, self.header.init),
            (Field::GuestRflags, RFLAGS_CLEAR),
        ] {
            vmwrite(field, value);
        }
    }
}

/// Gives every page its code to fetch and its token to read.
fn fill_frame() {
    let frame = FRAME.get().cast::<u8>();
    for part in (0..size_of::<Page>()).step_by(FRAME_PART as usize) {
        // SAFETY: parts are `FRAME_PART` bytes within the static, and what is written at the
        // offsets ends before `FRAME_PART`, as a test of `spec` shows; L2 does not run.
        unsafe {
            ptr::copy_nonoverlapping(
                FETCHED_CODE.as_ptr(),
                frame.add(part + FRAME_CODE as usize),
                FETCHED_CODE.len(),
            );
            frame.add(part + FRAME_DATA as usize).cast::<u64>().write_unaligned(TOKEN);
        }
    }
}

/// Gives the pages under test the reserved address bits of another MAXPHYADDR. L2 does not run.
pub fn relay_pages(maxphyaddr: Maxphyaddr) {
    tables::relay(FRAME.get() as u64, maxphyaddr);
}

/// The shared area. L2 writes it while L1 waits in [`enter_walk`], so it is only read and written
/// by copies.
pub fn shared() -> *mut Shared {
    SHARED.get()
}

/// Where an access to a page under test lands.
pub fn frame_at(address: u64) -> *mut u64 {
    FRAME.get().cast::<u8>().wrapping_add((address & 0xfff) as usize).cast()
}

/// What is written to the channel to ask for something: [`Ask::word`], with the first page under
/// test if it is about a page.
pub fn word_of(ask: Ask) -> u64 {
    if ask == Ask::ReadOnlyOn { channel::read_only(frame_at(0) as u64).into() } else { ask.word() }
}
