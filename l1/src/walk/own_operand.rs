//! VMX instructions of L1 whose operand is on a page under test, see [`spec::scene::own`].
//!
//! On entry: L1's exception handlers are in place, and note the faults that [`EXPECTED`] announces.
#![allow(unsafe_code, reason = "VMX instructions that fault, in assembly")]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use spec::manual::ept::SINGLE_CONTEXT;
use spec::scene::RIP;
use spec::scene::end::{End, How, Word};
use spec::scene::own::{Own, OwnInstruction};
use spec::walk::outcome::WALK_RFLAGS;

use crate::machine::expected::{EXPECTED, Expected};
use crate::vmx::vmcs12::RFLAGS_CLEAR;
use crate::vmx::{Field, vmread};
use crate::walk::{guest, l1_faults};

// RDI: the operand's address. RSI: the operand in a register. The result is RFLAGS afterwards.
global_asm!(
    r#"
    .macro l1_operand how, instruction:vararg
    .globl l1_operand_\how
    l1_operand_\how:
        push rbx
        lea rbx, [rip + l1_operand_\how\()_resume]
        mov [rip + {expected} + {resume}], rbx
        push {rflags}
        popfq
    .globl l1_operand_\how\()_itself
    l1_operand_\how\()_itself:
        \instruction
    l1_operand_\how\()_resume:
        pushfq
        pop rax
        push {rflags_clear}
        popfq
        mov qword ptr [rip + {expected} + {resume}], 0
        pop rbx
        ret
    .endm
    .section .text.operand, "ax"
    l1_operand vmread, vmread [rdi], rsi
    l1_operand vmwrite, vmwrite rsi, [rdi]
    l1_operand vmptrld, vmptrld [rdi]
    l1_operand vmptrst, vmptrst [rdi]
    l1_operand vmclear, vmclear [rdi]
    l1_operand invept, invept rsi, [rdi]
    l1_operand invvpid, invvpid rsi, [rdi]
    .text
    "#,
    expected = sym EXPECTED,
    resume = const offset_of!(Expected, resume),
    rflags = const WALK_RFLAGS,
    rflags_clear = const RFLAGS_CLEAR,
);

type Code = unsafe extern "sysv64" fn(address: u64, register: u64) -> u64;

/// The code of each instruction, and where the instruction itself is in it.
macro_rules! codes {
    ($($Instruction:ident $code:ident $itself:ident)*) => {
        unsafe extern "sysv64" {
            $(fn $code(address: u64, register: u64) -> u64;
            fn $itself();)*
        }

        fn code(instruction: OwnInstruction) -> (Code, u64) {
            match instruction {
                $(OwnInstruction::$Instruction => ($code, $itself as *const () as u64),)*
            }
        }
    };
}

codes! {
    Vmread l1_operand_vmread l1_operand_vmread_itself
    Vmwrite l1_operand_vmwrite l1_operand_vmwrite_itself
    Vmptrld l1_operand_vmptrld l1_operand_vmptrld_itself
    Vmptrst l1_operand_vmptrst l1_operand_vmptrst_itself
    Vmclear l1_operand_vmclear l1_operand_vmclear_itself
    Invept l1_operand_invept l1_operand_invept_itself
    Invvpid l1_operand_invvpid l1_operand_invvpid_itself
}

/// Executes an instruction, and says what was seen of it. `current` and `other` are physical
/// addresses of VMCSs.
pub fn execute(own: Own, current: u64, other: u64) -> End {
    let mask = Field::PfecMask;
    let mask_value = vmread(mask);
    // What is in memory before, what must be there afterwards, and the operand in a register.
    let (before, after, register) = match own.instruction {
        OwnInstruction::Vmread => (!mask_value, mask_value, u64::from(mask as u32)),
        OwnInstruction::Vmwrite => (mask_value, mask_value, u64::from(mask as u32)),
        OwnInstruction::Vmptrld => (current, current, 0),
        OwnInstruction::Vmptrst => (0, current, 0),
        OwnInstruction::Vmclear => (other, other, 0),
        OwnInstruction::Invept | OwnInstruction::Invvpid => (0, 0, SINGLE_CONTEXT),
    };
    l1_faults::map();
    let (address, faults) = (own.address(), EXPECTED.get());
    let memory = guest::frame_at(address);
    let (code, itself) = code(own.instruction);
    // SAFETY: the operand is on a page under test, whose frame is a static, at eight bytes that
    // only writes of L2 use; a fault goes on after the instruction. What succeeds leaves the
    // current VMCS current and its fields as they are. The assembly keeps what the caller has in
    // registers.
    let (flags, count, last, found) = unsafe {
        (*faults).count = 0;
        memory.write_volatile(before);
        let flags = code(address, register);
        // The handler wrote what Rust does not see.
        asm!("", options(nostack, preserves_flags));
        (
            flags,
            (&raw const (*faults).count).read_volatile(),
            (&raw const (*faults).last).read_volatile(),
            memory.read_volatile(),
        )
    };
    if count == 0 {
        return End::new(How::Done).with(Word::Rflags, flags).with(Word::Memory, found ^ after);
    }
    End::new(How::Delivered(spec::manual::vector::PAGE_FAULT))
        .with(Word::ErrorCode, last.error_code)
        .with(Word::Cr2, last.cr2)
        .with(Word::Rip, last.rip.wrapping_sub(itself).wrapping_add(RIP))
        .with(Word::Rflags, last.rflags)
}
