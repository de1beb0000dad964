//! L2 in L1's memory: its image, the shared area, the frame under test, and its state in vmcs12.
#![allow(unsafe_code, reason = "memory that L2 writes too")]

use core::ptr;

use spec::manual::paging::format::Format;
use spec::manual::paging::{Maxphyaddr, Mode};
use spec::walk::layout::{
    Control, FETCHED_CODE, FRAME_CODE, FRAME_DATA, FRAME_PART, Header, L2_BASE, L2_SIZE, MAX_SLOTS, Shared, Slot, TOKEN,
};
use spec::walk::setting::BASE;
use spec::walk::stimulus::LOOPS;
use x86_64::registers::control::{Cr0, Cr3, Cr4};
use x86_64::registers::model_specific::Efer;

use crate::machine::boot::{CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};
use crate::machine::cpu::Cpu;
use crate::machine::exception;
use crate::machine::global::Global;
use crate::machine::paging::{self, Memory};
use crate::vmx::{Controls, Field, Vmx, entry, vmwrite};

/// L2's image, flat, as the build script left it.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/l2.bin"));

#[repr(C, align(4096))]
struct ImageMemory([u8; L2_SIZE]);
#[repr(C, align(4096))]
struct Frame([u64; 512]);

static IMAGE_MEMORY: Global<ImageMemory> = Global::new(ImageMemory([0; L2_SIZE]));
static SCRATCH_FRAME: Global<Frame> = Global::new(Frame([0; 512]));
static FRAME: Global<Frame> = Global::new(Frame([0; 512]));
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
const CR0_WP: u64 = 1 << 16;
/// CR0: PE, MP, ET, NE, PG.
const CR0_BASE: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 31;
/// CR4: OSFXSR, OSXMMEXCPT.
const CR4_BASE: u64 = 1 << 9 | 1 << 10;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;
/// IA32_EFER: LME, LMA.
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
const EFER_NXE: u64 = 1 << 11;
/// RFLAGS with nothing but the bit that is always 1.
const RFLAGS_CLEAR: u64 = 1 << 1;
/// DR7's value at reset.
const DR7: u64 = 0x400;

/// The guest.
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
        // SAFETY: the image fits, as its linker script asserts; the memory is a static of `L2_SIZE` bytes
        // that begins with a header, whose fields may have any value.
        let header = unsafe {
            ptr::copy_nonoverlapping(IMAGE.as_ptr(), IMAGE_MEMORY.get().cast(), IMAGE.len().min(L2_SIZE));
            IMAGE_MEMORY.get().cast::<Header>().read()
        };
        assert!(
            header.magic == Header::MAGIC && header.end <= L2_BASE + L2_SIZE as u64,
            "L2's image is not what L1 expects"
        );
        fill_frame();
        Self { header, root: paging::build(memory, &header, cpu.maxphyaddr) }
    }

    /// Writes all of vmcs12: host state, controls, and L2 at its first entry.
    pub fn write_vmcs(&self, vmx: &Vmx) {
        write_controls(&vmx.controls);
        write_host_state();
        entry::write_host_entry();
        self.write_guest_state(vmx);
    }

    /// Puts L2 at its first entry, in the base setting.
    pub fn write_guest_state(&self, vmx: &Vmx) {
        for segment in [Field::GuestEs, Field::GuestSs, Field::GuestDs, Field::GuestFs, Field::GuestGs] {
            vmwrite(segment, DATA_SELECTOR.into());
        }
        vmwrite(Field::GuestCs, CODE_SELECTOR.into());
        vmwrite(Field::GuestTr, TSS_SELECTOR.into());
        vmwrite(Field::GuestLdtr, 0);
        for (limit, access, kind) in SEGMENTS {
            vmwrite(limit, u32::MAX.into());
            vmwrite(access, kind);
        }
        vmwrite(Field::GuestTrLimit, 0x67);
        for base in ZERO_BASES {
            vmwrite(base, 0);
        }
        vmwrite(Field::GuestGdtrLimit, 0);
        vmwrite(Field::GuestIdtrLimit, 0);
        vmwrite(Field::GuestCr3, self.root);
        set_mode(vmx, BASE.mode);
        vmwrite(Field::GuestDr7, DR7);
        vmwrite(Field::GuestRsp, 0);
        vmwrite(Field::GuestRip, self.header.init);
        vmwrite(Field::GuestRflags, RFLAGS_CLEAR);
        vmwrite(Field::VmcsLinkPointer, u64::MAX);
        for field in ZERO_STATE {
            vmwrite(field, 0);
        }
    }
}

/// Sets the register bits of a mode with 4-level paging, but RFLAGS.AC, which each walk sets.
pub fn set_mode(vmx: &Vmx, mode: Mode) {
    set_paging(vmx, Format::Level4, mode);
}

/// Sets the register bits of a paging mode and of a mode, but RFLAGS.AC.
pub fn set_paging(vmx: &Vmx, format: Format, mode: Mode) {
    let cr0 = CR0_BASE | if mode.wp { CR0_WP } else { 0 };
    let cr4 = CR4_BASE | if mode.smep { CR4_SMEP } else { 0 } | if mode.smap { CR4_SMAP } else { 0 };
    let cr4 = cr4
        | match format {
            Format::Legacy { pse: false } => 0,
            Format::Legacy { pse: true } => CR4_PSE,
            Format::Pae | Format::Level4 => CR4_PAE,
            Format::Level5 => CR4_PAE | CR4_LA57,
        };
    let (cr0, cr4) = vmx.fixed(cr0, cr4);
    vmwrite(Field::GuestCr0, cr0);
    vmwrite(Field::GuestCr4, cr4);
    vmwrite(Field::Cr0ReadShadow, cr0);
    vmwrite(Field::Cr4ReadShadow, cr4);
    let long = if format.is_long() { EFER_LONG } else { 0 };
    vmwrite(Field::GuestEfer, long | if mode.nxe { EFER_NXE } else { 0 });
}

/// Access rights of a flat 64-bit code segment, a data segment, a busy TSS, and none.
const CODE: u64 = 0xa09b;
const DATA: u64 = 0xc093;
const BUSY_TSS: u64 = 0x8b;
const UNUSABLE: u64 = 1 << 16;

const SEGMENTS: [(Field, Field, u64); 8] = [
    (Field::GuestEsLimit, Field::GuestEsAccess, DATA),
    (Field::GuestCsLimit, Field::GuestCsAccess, CODE),
    (Field::GuestSsLimit, Field::GuestSsAccess, DATA),
    (Field::GuestDsLimit, Field::GuestDsAccess, DATA),
    (Field::GuestFsLimit, Field::GuestFsAccess, DATA),
    (Field::GuestGsLimit, Field::GuestGsAccess, DATA),
    (Field::GuestLdtrLimit, Field::GuestLdtrAccess, UNUSABLE),
    (Field::GuestTrLimit, Field::GuestTrAccess, BUSY_TSS),
];

const ZERO_BASES: [Field; 10] = [
    Field::GuestEsBase,
    Field::GuestCsBase,
    Field::GuestSsBase,
    Field::GuestDsBase,
    Field::GuestFsBase,
    Field::GuestGsBase,
    Field::GuestLdtrBase,
    Field::GuestTrBase,
    Field::GuestGdtrBase,
    Field::GuestIdtrBase,
];

const ZERO_STATE: [Field; 7] = [
    Field::GuestDebugctl,
    Field::GuestInterruptibility,
    Field::GuestActivity,
    Field::GuestPendingDebug,
    Field::GuestSysenterCs,
    Field::GuestSysenterEsp,
    Field::GuestSysenterEip,
];

/// Writes the controls of vmcs12 that all of L1's guests have.
pub fn write_controls(controls: &Controls) {
    vmwrite(Field::PinBasedControls, controls.pin_based.into());
    vmwrite(Field::ProcessorBasedControls, controls.processor_based.into());
    if let Some(secondary) = controls.secondary {
        vmwrite(Field::SecondaryControls, secondary.into());
    }
    vmwrite(Field::ExitControls, controls.exit.into());
    vmwrite(Field::EntryControls, controls.entry.into());
    for field in [
        Field::Cr3TargetCount,
        Field::ExitMsrStoreCount,
        Field::ExitMsrLoadCount,
        Field::EntryMsrLoadCount,
        Field::EntryInterruptionInfo,
        Field::Cr0Mask,
        Field::Cr4Mask,
    ] {
        vmwrite(field, 0);
    }
}

/// Writes L1's state as VM exits load it, RSP and RIP aside.
pub fn write_host_state() {
    for segment in [Field::HostEs, Field::HostSs, Field::HostDs, Field::HostFs, Field::HostGs] {
        vmwrite(segment, DATA_SELECTOR.into());
    }
    vmwrite(Field::HostCs, CODE_SELECTOR.into());
    vmwrite(Field::HostTr, TSS_SELECTOR.into());
    vmwrite(Field::HostCr0, Cr0::read_raw());
    vmwrite(Field::HostCr3, Cr3::read_raw().0.start_address().as_u64());
    vmwrite(Field::HostCr4, Cr4::read_raw());
    vmwrite(Field::HostEfer, Efer::read_raw());
    for field in
        [Field::HostFsBase, Field::HostGsBase, Field::HostSysenterCs, Field::HostSysenterEsp, Field::HostSysenterEip]
    {
        vmwrite(field, 0);
    }
    vmwrite(Field::HostTrBase, exception::tss_base());
    vmwrite(Field::HostGdtrBase, x86_64::instructions::tables::sgdt().base.as_u64());
    vmwrite(Field::HostIdtrBase, x86_64::instructions::tables::sidt().base.as_u64());
}

/// Gives every page its code to fetch and its token to read.
fn fill_frame() {
    let frame = FRAME.get().cast::<u8>();
    for part in (0..size_of::<Frame>()).step_by(FRAME_PART as usize) {
        // SAFETY: the part and the offsets in it lie in the frame; L2 does not run yet.
        unsafe {
            ptr::copy_nonoverlapping(FETCHED_CODE.as_ptr(), frame.add(part + FRAME_CODE as usize), FETCHED_CODE.len());
            frame.add(part + FRAME_DATA as usize).cast::<u64>().write_unaligned(TOKEN);
        }
    }
}

/// Gives the pages under test the reserved address bits of another MAXPHYADDR. L2 does not run.
pub fn relay_pages(maxphyaddr: Maxphyaddr) {
    paging::relay(FRAME.get() as u64, maxphyaddr);
}

/// The shared area. L2 writes it while L1 waits in `entry::enter`, so it is only read and written by copies.
pub fn shared() -> *mut Shared {
    SHARED.get()
}

/// Where an access to a page under test lands.
pub fn frame_at(address: u64) -> *mut u64 {
    FRAME.get().cast::<u8>().wrapping_add((address & 0xfff) as usize).cast()
}
