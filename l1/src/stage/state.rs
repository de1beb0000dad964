//! The state of a scene in vmcs12 and in the registers that VM entries do not load.
#![allow(unsafe_code, reason = "reads CR2, reads and writes DR6")]

use core::arch::asm;

use spec::paging::Privilege;
use spec::scene::Scene;
use spec::scene::descriptor::{GDT_LIMIT, IDT_BASE, IDT_LIMIT, LDT_LIMIT, LDT_SELECTOR, TSS_LIMIT, TSS_SELECTOR};
use spec::scene::end::Word;
use spec::scene::environment::Environment;
use spec::scene::expect::{DR7_AT_START, selectors};
use spec::scene::place::Place;
use x86_64::registers::control::Cr2;

use super::{enter, memory};
use crate::guest::set_mode;
use crate::vmx::{Field, Vmx, vmread, vmwrite};

/// Access rights: flat code of 64 bits, data, a busy TSS, an LDT. The DPL is in bits 6:5.
const CODE: u64 = 0xa09b;
const DATA: u64 = 0xc093;
const BUSY_TSS: u64 = 0x8b;
const LDT: u64 = 0x82;
const DPL3: u64 = 3 << 5;

/// Writes what all scenes of an environment share.
pub fn write_environment(vmx: &Vmx, environment: &Environment) {
    set_mode(vmx, environment.mode);
    vmwrite(Field::GuestCr3, memory::root());
    for (selector, limit, access, base) in [
        (Field::GuestEs, Field::GuestEsLimit, Field::GuestEsAccess, Field::GuestEsBase),
        (Field::GuestDs, Field::GuestDsLimit, Field::GuestDsAccess, Field::GuestDsBase),
        (Field::GuestFs, Field::GuestFsLimit, Field::GuestFsAccess, Field::GuestFsBase),
        (Field::GuestGs, Field::GuestGsLimit, Field::GuestGsAccess, Field::GuestGsBase),
    ] {
        // The RPL of 3 makes them ones of either CPL.
        write_segment((selector, limit, access, base), selectors(Privilege::User).1, u32::MAX.into(), DATA | DPL3, 0);
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
        (Field::GuestIdtrBase, IDT_BASE),
        (Field::GuestIdtrLimit, IDT_LIMIT.into()),
        (Field::GuestSysenterCs, 0),
        (Field::GuestSysenterEsp, 0),
        (Field::GuestSysenterEip, 0),
        (Field::VmcsLinkPointer, u64::MAX),
    ] {
        vmwrite(field, value);
    }
}

fn write_segment(fields: (Field, Field, Field, Field), selector: u64, limit: u64, access: u64, base: u64) {
    vmwrite(fields.0, selector);
    vmwrite(fields.1, limit);
    vmwrite(fields.2, access);
    vmwrite(fields.3, base);
}

/// Writes what a scene begins with and an end before it may have changed.
pub fn write_scene(scene: &Scene) {
    let (cs, ss) = selectors(scene.cpl);
    let dpl = if scene.cpl == Privilege::User { DPL3 } else { 0 };
    for (field, value) in [
        (Field::GuestCs, cs),
        (Field::GuestSs, ss),
        (Field::GuestCsAccess, CODE | dpl),
        // A delivery from CPL 3 leaves a null SS.
        (Field::GuestSsAccess, DATA | dpl),
        (Field::GuestSsLimit, u32::MAX.into()),
        (Field::GuestRip, scene.rip),
        (Field::GuestRsp, scene.start_rsp()),
        (Field::GuestRflags, scene.start_rflags()),
        (Field::GuestInterruptibility, scene.interruptibility),
        (Field::GuestActivity, scene.activity),
        (Field::GuestPendingDebug, scene.pending_debug),
        (Field::GuestDr7, DR7_AT_START),
        (Field::GuestDebugctl, 0),
    ] {
        vmwrite(field, value);
    }
}

/// The word of a number as registers and VMCS have it, if it is one of theirs.
pub fn word(at: usize) -> Option<u64> {
    if at < Word::REGISTERS {
        return Some(enter::register(at));
    }
    let field = match at {
        _ if at == Word::Cr2 as usize => return Some(Cr2::read_raw()),
        _ if at == Word::Dr6 as usize => return Some(read_dr6()),
        _ if at == Word::Info as usize => Field::ExitInterruptionInfo,
        _ if at == Word::ErrorCode as usize => Field::ExitInterruptionErrorCode,
        _ if at == Word::Qualification as usize => Field::ExitQualification,
        _ if at == Word::IdtInfo as usize => Field::IdtVectoringInfo,
        _ if at == Word::IdtError as usize => Field::IdtVectoringErrorCode,
        _ if at == Word::Length as usize => Field::ExitInstructionLength,
        _ if at == Word::GuestPhysical as usize => Field::GuestPhysicalAddress,
        _ if at == Word::Rip as usize => Field::GuestRip,
        _ if at == Word::Rsp as usize => Field::GuestRsp,
        _ if at == Word::Rflags as usize => Field::GuestRflags,
        _ if at == Word::Cs as usize => Field::GuestCs,
        _ if at == Word::Ss as usize => Field::GuestSs,
        _ if at == Word::Interruptibility as usize => Field::GuestInterruptibility,
        _ if at == Word::Activity as usize => Field::GuestActivity,
        _ if at == Word::PendingDebug as usize => Field::GuestPendingDebug,
        _ if at == Word::Dr7 as usize => Field::GuestDr7,
        _ if at == Word::Debugctl as usize => Field::GuestDebugctl,
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

/// Unblocks NMIs by an IRET to the instruction behind it: a VM exit leaves them as L2 had them.
pub fn unblock_nmis() {
    // SAFETY: IRETQ pops the frame that is pushed before: the same stack, segments and flags, and the next
    // instruction. All exception handlers have stacks of their own, and the asm has no red zone to spare since it
    // is not `nostack`.
    unsafe {
        asm!(
            "mov {rsp}, rsp",
            "mov {segment:e}, ss",
            "push {segment}",
            "push {rsp}",
            "pushfq",
            "mov {segment:e}, cs",
            "push {segment}",
            "lea {segment}, [rip + 2f]",
            "push {segment}",
            "iretq",
            "2:",
            rsp = out(reg) _,
            segment = out(reg) _,
        );
    }
}
