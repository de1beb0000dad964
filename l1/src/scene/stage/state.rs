//! The state of a scene in vmcs12 and in the registers that VM entries do not load.
#![allow(unsafe_code, reason = "reads CR2, reads and writes DR6")]

use core::arch::asm;

use spec::manual::paging::Privilege;
use spec::scene::Scene;
use spec::scene::descriptor::{
    GDT_LIMIT, LDT_LIMIT, LDT_SELECTOR, REAL_IDT, REAL_IDT_LIMIT, TSS_LIMIT, TSS_SELECTOR, idt_base, idt_limit,
};
use spec::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, EXIT_EXCEPTION, End, How, Word};
use spec::scene::environment::{Environment, NARROW_FS_BASE, REAL, REAL_SELECTOR, Width};
use spec::scene::expect::{DR7_AT_START, selectors};
use spec::scene::place::Place;
use x86_64::registers::control::Cr2;

use super::{ept, tables};
use crate::vmx::{Field, Vmx, vmread, vmwrite};
use crate::walk::guest::set_paging;

/// Access rights: flat code of 64 bits and of 32, data, a busy TSS, an LDT. The DPL is in bits 6:5.
const CODE: u64 = 0xa09b;
const CODE_32: u64 = 0xc09b;
const DATA: u64 = 0xc093;
const BUSY_TSS: u64 = 0x8b;
const LDT: u64 = 0x82;
const DPL3: u64 = 3 << 5;
/// Access rights and limit of the segment of real mode, and its base: 16 times its selector.
const REAL_ACCESS: u64 = 0x93;
const REAL_LIMIT: u64 = 0xffff;
const REAL_BASE: u64 = REAL_SELECTOR << 4;
/// CR0: ET, NE; and what real mode has clear.
const CR0_REAL: u64 = 1 << 4 | 1 << 5;
const CR0_PE: u64 = 1 << 0;
const CR0_PG: u64 = 1 << 31;

/// Writes what all scenes of an environment share.
pub fn write_environment(vmx: &Vmx, environment: &Environment) {
    let long = environment.width.is_long();
    set_paging(vmx, environment.format, environment.mode);
    vmwrite(Field::GuestCr3, ept::guest_physical(tables::root(environment.format)));
    for (selector, limit, access, base) in [
        (Field::GuestEs, Field::GuestEsLimit, Field::GuestEsAccess, Field::GuestEsBase),
        (Field::GuestDs, Field::GuestDsLimit, Field::GuestDsAccess, Field::GuestDsBase),
        (Field::GuestFs, Field::GuestFsLimit, Field::GuestFsAccess, Field::GuestFsBase),
        (Field::GuestGs, Field::GuestGsLimit, Field::GuestGsAccess, Field::GuestGsBase),
    ] {
        // The RPL of 3 makes them ones of either CPL.
        write_segment((selector, limit, access, base), selectors(Privilege::User).1, u32::MAX.into(), DATA | DPL3, 0);
    }
    if environment.width != Width::Bits64 {
        vmwrite(Field::GuestFsBase, NARROW_FS_BASE);
    }
    let ldtr = (Field::GuestLdtr, Field::GuestLdtrLimit, Field::GuestLdtrAccess, Field::GuestLdtrBase);
    write_segment(ldtr, LDT_SELECTOR.into(), LDT_LIMIT.into(), LDT, Place::Ldt.linear());
    let tr = (Field::GuestTr, Field::GuestTrLimit, Field::GuestTrAccess, Field::GuestTrBase);
    write_segment(tr, TSS_SELECTOR.into(), TSS_LIMIT.into(), BUSY_TSS, Place::Tss.linear());
    for (field, value) in [
        (Field::GuestCsLimit, u32::MAX.into()),
        (Field::GuestCsBase, 0),
        (Field::GuestSsBase, 0),
        (Field::GuestGdtrBase, Place::Gdt.linear()),
        (Field::GuestGdtrLimit, GDT_LIMIT.into()),
        (Field::GuestIdtrBase, idt_base(long)),
        (Field::GuestIdtrLimit, idt_limit(long)),
        (Field::GuestSysenterCs, 0),
        (Field::GuestSysenterEsp, 0),
        (Field::GuestSysenterEip, 0),
        (Field::VmcsLinkPointer, u64::MAX),
    ] {
        vmwrite(field, value);
    }
    if environment.width == Width::Real {
        write_real_mode(vmx);
    }
}

/// Writes the PDPTEs as memory has them. With EPT a VM entry in PAE paging loads them from these fields, without from
/// memory. SDM vol. 3C, section 26.3.2.4, "Loading Page-Directory-Pointer-Table Entries".
pub fn write_pdptes(environment: &Environment) {
    if environment.ept.is_none() {
        return;
    }
    if let Some(pdptes) = tables::pdptes(environment.format) {
        let fields = [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3];
        for (field, value) in fields.into_iter().zip(pdptes) {
            vmwrite(field, value);
        }
    }
}

/// Writes what real mode has instead: no paging, one segment for all, interrupt vectors in place of gates.
fn write_real_mode(vmx: &Vmx) {
    let (cr0, cr4) = vmx.fixed(CR0_REAL, 0);
    let cr0 = cr0 & !(CR0_PE | CR0_PG);
    for (field, value) in [
        (Field::GuestCr0, cr0),
        (Field::Cr0ReadShadow, cr0),
        (Field::GuestCr4, cr4),
        (Field::Cr4ReadShadow, cr4),
        (Field::GuestEfer, 0),
        (Field::GuestIdtrBase, REAL_BASE + REAL.pointer(REAL_IDT)),
        (Field::GuestIdtrLimit, REAL_IDT_LIMIT.into()),
    ] {
        vmwrite(field, value);
    }
    for (selector, limit, access, base) in [
        (Field::GuestEs, Field::GuestEsLimit, Field::GuestEsAccess, Field::GuestEsBase),
        (Field::GuestDs, Field::GuestDsLimit, Field::GuestDsAccess, Field::GuestDsBase),
        (Field::GuestFs, Field::GuestFsLimit, Field::GuestFsAccess, Field::GuestFsBase),
        (Field::GuestGs, Field::GuestGsLimit, Field::GuestGsAccess, Field::GuestGsBase),
    ] {
        write_segment((selector, limit, access, base), REAL_SELECTOR, REAL_LIMIT, REAL_ACCESS, REAL_BASE);
    }
}

fn write_segment(fields: (Field, Field, Field, Field), selector: u64, limit: u64, access: u64, base: u64) {
    vmwrite(fields.0, selector);
    vmwrite(fields.1, limit);
    vmwrite(fields.2, access);
    vmwrite(fields.3, base);
}

/// What the fields that [`write_scene`] writes hold, as far as that is known. A VMWRITE can be a VM exit to L0, and one of
/// most of these fields makes L0 look at all that the VMCS holds.
#[derive(Clone, Copy, Default)]
pub struct Kept([Option<u64>; SCENE_FIELDS]);

const SCENE_FIELDS: usize = 13;
/// How many of them, the first, change with every scene.
const MOVING_FIELDS: usize = 4;

impl Kept {
    /// What L2 leaves as it was, if a scene ends as it must.
    pub fn behind(mut self, scene: &Scene, environment: &Environment, want: &End) -> Self {
        let (cs, ss) = selectors(scene.cpl);
        // The instruction may have loaded segment registers before the fault.
        let started_with = want.word(Word::Cs) == cs && want.word(Word::Ss) == ss;
        let unchanged = started_with
            && match want.how {
                // Saved as it was at the instruction or at the event.
                How::Exit(EXIT_EXCEPTION | EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION) => true,
                // The handlers are 64-bit code of CPL 0.
                How::Delivered(_) => environment.width == Width::Bits64 && scene.cpl == Privilege::Supervisor,
                How::Exit(_) | How::Done => false,
            };
        if !unchanged || scene.activity != 0 || scene.pending_debug != 0 {
            return Self::default();
        }
        self.0[..MOVING_FIELDS].fill(None);
        self
    }
}

/// Writes what a scene begins with and an end before it may have changed.
pub fn write_scene(scene: &Scene, environment: &Environment, kept: &mut Kept) {
    let (cs, ss) = selectors(scene.cpl);
    let width = environment.width;
    let code = if width == Width::Bits64 { CODE } else { CODE_32 };
    let dpl = if scene.cpl == Privilege::User { DPL3 } else { 0 };
    let fields: [(Field, u64); SCENE_FIELDS] = [
        (Field::GuestRip, environment.pointer(scene.rip)),
        (Field::GuestRsp, environment.pointer(scene.start_rsp())),
        (Field::GuestRflags, scene.start_rflags()),
        (Field::GuestInterruptibility, scene.interruptibility),
        (Field::GuestCs, width.code_selector(cs)),
        (Field::GuestSs, ss),
        (Field::GuestCsAccess, code | dpl),
        // A delivery from CPL 3 leaves a null SS.
        (Field::GuestSsAccess, DATA | dpl),
        (Field::GuestSsLimit, u32::MAX.into()),
        (Field::GuestActivity, scene.activity),
        (Field::GuestPendingDebug, scene.pending_debug),
        (Field::GuestDr7, DR7_AT_START),
        (Field::GuestDebugctl, 0),
    ];
    for ((field, value), kept) in fields.into_iter().zip(&mut kept.0) {
        if kept.replace(value) != Some(value) {
            vmwrite(field, value);
        }
    }
    if environment.width == Width::Real {
        for (selector, limit, access, base) in [
            (Field::GuestCs, Field::GuestCsLimit, Field::GuestCsAccess, Field::GuestCsBase),
            (Field::GuestSs, Field::GuestSsLimit, Field::GuestSsAccess, Field::GuestSsBase),
        ] {
            write_segment((selector, limit, access, base), REAL_SELECTOR, REAL_LIMIT, REAL_ACCESS, REAL_BASE);
        }
    }
}

/// Flips bits of L2's CR4.
pub fn flip_cr4(bits: u64) {
    let cr4 = vmread(Field::GuestCr4) ^ bits;
    vmwrite(Field::GuestCr4, cr4);
    vmwrite(Field::Cr4ReadShadow, cr4);
}

/// A word as control registers and VMCS have it, if it is one of theirs.
pub fn word(word: Word, environment: &Environment) -> Option<u64> {
    let field = match word {
        Word::Cr2 => return Some(Cr2::read_raw()),
        Word::Dr6 => return Some(read_dr6()),
        Word::Info => Field::ExitInterruptionInfo,
        Word::ErrorCode => Field::ExitInterruptionErrorCode,
        Word::Qualification => Field::ExitQualification,
        Word::IdtInfo => Field::IdtVectoringInfo,
        Word::IdtError => Field::IdtVectoringErrorCode,
        Word::Length => Field::ExitInstructionLength,
        Word::GuestPhysical => return Some(ept::by_frame(vmread(Field::GuestPhysicalAddress))),
        Word::GuestLinear => {
            let linear = vmread(Field::GuestLinearAddress);
            let real = environment.width == Width::Real;
            return Some(if real { environment.linear(linear.wrapping_sub(REAL_BASE)) } else { linear });
        }
        Word::Rip => return Some(environment.linear(vmread(Field::GuestRip))),
        Word::Rsp => return Some(environment.linear(vmread(Field::GuestRsp))),
        Word::Rflags => Field::GuestRflags,
        Word::Cs => Field::GuestCs,
        Word::Ss => Field::GuestSs,
        Word::Interruptibility => Field::GuestInterruptibility,
        Word::Activity => Field::GuestActivity,
        Word::PendingDebug => Field::GuestPendingDebug,
        Word::Bitmap => Field::ExceptionBitmap,
        Word::Mask => Field::PfecMask,
        Word::Match => Field::PfecMatch,
        Word::Dr7 => Field::GuestDr7,
        Word::Debugctl => Field::GuestDebugctl,
        // Registers, and what is in memory.
        _ => return None,
    };
    Some(vmread(field))
}

/// Writes DR6, which VM entries do not load.
pub fn write_dr6(value: u64) {
    // SAFETY: no breakpoint of L1 is enabled, so DR6 has no effect.
    unsafe { asm!("mov dr6, {0}", in(reg) value, options(nomem, nostack, preserves_flags)) }
}

fn read_dr6() -> u64 {
    let value: u64;
    // SAFETY: reading DR6 at CPL 0 with DR7.GD clear has no effect.
    unsafe { asm!("mov {0}, dr6", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
