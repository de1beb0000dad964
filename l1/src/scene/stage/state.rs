//! The state of a scene in vmcs12 and in the registers that VM entries do not load.
#![allow(unsafe_code, reason = "reads CR2, reads and writes DR6")]

use core::arch::asm;

use spec::manual::descriptor::{
    CODE_32, CODE_64, DATA, System, access_rights, system_access_rights, with_dpl,
};
use spec::manual::paging::Privilege;
use spec::scene::Scene;
use spec::scene::descriptor::{
    GDT_LIMIT, LDT_LIMIT, LDT_SELECTOR, REAL_IDT, REAL_IDT_LIMIT, TSS_SELECTOR, idt_base, idt_limit,
};
use spec::scene::end::{
    EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, EXIT_EXCEPTION, End, How, Word,
};
use spec::scene::environment::{Environment, NARROW_FS_BASE, REAL, REAL_SELECTOR, Width};
use spec::scene::expect::{DR7_AT_START, selectors};
use spec::scene::flaw::{Checked, Flaw};
use spec::scene::guest_memory::{REAL_BASE, guest_physical};
use spec::scene::place::Place;
use x86_64::registers::control::{Cr0Flags, Cr2};

use super::{ept, tables};
use crate::vmx::vmcs12::{self, DATA_SEGMENTS, Segment, write_segment};
use crate::vmx::{Field, Vmx, vmread, vmwrite};

/// The segment of real mode, which all segment registers hold: its base is 16 times its selector.
const REAL_SEGMENT: Segment =
    Segment { selector: REAL_SELECTOR, limit: 0xffff, access: REAL_ACCESS, base: REAL_BASE };
/// Data that can be written, without G and D/B, which are those of 32 bits.
const REAL_ACCESS: u64 = access_rights(DATA) & 0xff;
/// What real mode has of CR0, and what it has clear though VMX operation requires it.
const CR0_REAL: Cr0Flags = Cr0Flags::EXTENSION_TYPE.union(Cr0Flags::NUMERIC_ERROR);
const CR0_NOT_REAL: Cr0Flags = Cr0Flags::PROTECTED_MODE_ENABLE.union(Cr0Flags::PAGING);

/// Writes what all scenes of an environment share.
pub fn write_environment(vmx: &Vmx, environment: &Environment) {
    let long = environment.width.is_long();
    vmcs12::write_paging(vmx, environment.format, environment.mode);
    vmcs12::write_calm_state();
    vmwrite(Field::GuestCr3, guest_physical(environment.ept, tables::root(environment.format)));
    for fields in DATA_SEGMENTS {
        write_segment(fields, Segment::any_data(selectors(Privilege::User).1));
    }
    if environment.width != Width::Bits64 {
        vmwrite(Field::GuestFsBase, NARROW_FS_BASE);
    }
    let ldt = Segment {
        selector: LDT_SELECTOR.into(),
        limit: LDT_LIMIT.into(),
        access: system_access_rights(System::Ldt),
        base: Place::Ldt.linear(),
    };
    write_segment(vmcs12::LDTR, ldt);
    write_segment(vmcs12::TR, Segment::busy_tss(TSS_SELECTOR.into(), Place::Tss.linear()));
    vmcs12::write_gdtr(Place::Gdt.linear(), GDT_LIMIT.into());
    vmcs12::write_idtr(idt_base(long), idt_limit(long));
    // What a scene has of CS and SS is written for each.
    write_segment(vmcs12::CS, Segment::flat(0, CODE_64));
    write_segment(vmcs12::SS, Segment::flat(0, DATA));
    if environment.width == Width::Real {
        write_real_mode(vmx);
    }
}

/// Writes the PDPTEs as memory has them. With EPT a VM entry in PAE paging loads them from these
/// fields, without from memory. SDM vol. 3C, "Loading Page-Directory-Pointer-Table Entries".
pub fn write_pdptes(environment: &Environment) {
    if environment.ept.is_none() {
        return;
    }
    if let Some(pdptes) = tables::pdptes(environment.format) {
        let fields =
            [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3];
        for (field, value) in fields.into_iter().zip(pdptes) {
            vmwrite(field, value);
        }
    }
}

/// Writes what real mode has instead: no paging, one segment for all, interrupt vectors in place of
/// gates.
fn write_real_mode(vmx: &Vmx) {
    let (cr0, cr4) = vmx.fixed(CR0_REAL.bits(), 0);
    vmcs12::write_control_registers(cr0 & !CR0_NOT_REAL.bits(), cr4, 0);
    vmcs12::write_idtr(REAL_BASE + REAL.pointer(REAL_IDT), REAL_IDT_LIMIT.into());
    for fields in DATA_SEGMENTS {
        write_segment(fields, REAL_SEGMENT);
    }
}

/// What the fields that [`write_scene`] writes hold, as far as that is known. A VMWRITE can be a VM
/// exit to L0, and one of most of these fields makes L0 look at all that the VMCS holds.
#[derive(Clone, Copy, Default)]
pub struct Kept([Option<u64>; SCENE_FIELDS]);

const SCENE_FIELDS: usize = 13;
/// How many of them, the first, change with every scene.
const MOVING_FIELDS: usize = 4;

impl Kept {
    /// What L2 leaves as it was, if a scene ends as it must.
    pub fn after(mut self, scene: &Scene, environment: &Environment, want: &End) -> Self {
        let (cs, ss) = selectors(scene.cpl);
        // The instruction may have loaded segment registers before the fault.
        let started_with = want.word(Word::Cs) == cs && want.word(Word::Ss) == ss;
        let unchanged = started_with
            && match want.how {
                // Saved as it was at the instruction or at the event.
                How::Exit(EXIT_EXCEPTION | EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION) => true,
                // The handlers are 64-bit code of CPL 0.
                How::Delivered(_) => {
                    environment.width == Width::Bits64 && scene.cpl == Privilege::Supervisor
                }
                How::Exit(_) | How::Done | How::Failed(_) => false,
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
    let code = if width == Width::Bits64 { CODE_64 } else { CODE_32 };
    let access = |descriptor| access_rights(with_dpl(descriptor, scene.cpl));
    let fields: [(Field, u64); SCENE_FIELDS] = [
        (Field::GuestRip, environment.pointer(scene.rip)),
        (Field::GuestRsp, environment.pointer(scene.start_rsp())),
        (Field::GuestRflags, scene.start_rflags()),
        (Field::GuestInterruptibility, scene.interruptibility),
        (Field::GuestCs, width.code_selector(cs)),
        (Field::GuestSs, ss),
        (Field::GuestCsAccess, access(code)),
        // A delivery from CPL 3 leaves a null SS.
        (Field::GuestSsAccess, access(DATA)),
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
        for fields in [vmcs12::CS, vmcs12::SS] {
            write_segment(fields, REAL_SEGMENT);
        }
    }
}

/// Spoils the VM entry, or makes it good again.
pub fn flip(flaw: &Flaw) {
    for (checked, bit) in flaw.bits {
        let field = match checked {
            Checked::Info => Field::EntryInterruptionInfo,
            Checked::ErrorCode => Field::EntryExceptionErrorCode,
            Checked::Length => Field::EntryInstructionLength,
            Checked::Rip => Field::GuestRip,
            Checked::Rflags => Field::GuestRflags,
            Checked::Interruptibility => Field::GuestInterruptibility,
            Checked::Activity => Field::GuestActivity,
            Checked::PendingDebug => Field::GuestPendingDebug,
            Checked::Cr0 => Field::GuestCr0,
            Checked::Cr3 => Field::GuestCr3,
            Checked::Cr4 => Field::GuestCr4,
            Checked::Efer => Field::GuestEfer,
            Checked::CsAccess => Field::GuestCsAccess,
            Checked::SsAccess => Field::GuestSsAccess,
            Checked::Link => Field::VmcsLinkPointer,
        };
        vmwrite(field, vmread(field) ^ 1 << bit);
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
            return Some(if real {
                environment.linear(linear.wrapping_sub(REAL_BASE))
            } else {
                linear
            });
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
        Word::CsAccess => Field::GuestCsAccess,
        Word::SsAccess => Field::GuestSsAccess,
        Word::Ds => Field::GuestDs,
        Word::DsAccess => Field::GuestDsAccess,
        Word::DsLimit => Field::GuestDsLimit,
        Word::DsBase => Field::GuestDsBase,
        Word::FsBase => Field::GuestFsBase,
        Word::GsBase => Field::GuestGsBase,
        Word::Ldtr => Field::GuestLdtr,
        Word::GdtrBase => Field::GuestGdtrBase,
        Word::GdtrLimit => Field::GuestGdtrLimit,
        Word::IdtrBase => Field::GuestIdtrBase,
        Word::IdtrLimit => Field::GuestIdtrLimit,
        Word::SysenterCs => Field::GuestSysenterCs,
        Word::SysenterEsp => Field::GuestSysenterEsp,
        Word::SysenterEip => Field::GuestSysenterEip,
        // L1 lets L2 read of these registers what it wrote, and L2's writes do not change that.
        Word::Cr0 => return Some(vmread(Field::GuestCr0) ^ vmread(Field::Cr0ReadShadow)),
        Word::Cr4 => return Some(vmread(Field::GuestCr4) ^ vmread(Field::Cr4ReadShadow)),
        Word::Cr3 => {
            let root = guest_physical(environment.ept, tables::root(environment.format));
            return Some(vmread(Field::GuestCr3).wrapping_sub(root));
        }
        // Registers, and what is in memory.
        _ => return None,
    };
    Some(vmread(field))
}

/// Writes DR6, which VM entries do not load.
pub fn write_dr6(value: u64) {
    // SAFETY: DR6 is written by debug exceptions and decides nothing; the upper half of `value` is
    // 0, as it must be.
    unsafe { asm!("mov dr6, {0}", in(reg) value, options(nomem, nostack, preserves_flags)) }
}

fn read_dr6() -> u64 {
    let value: u64;
    // SAFETY: a read of DR6 at CPL 0 has no effect while DR7.GD is 0, and VM exits set DR7 to 400H.
    unsafe { asm!("mov {0}, dr6", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
