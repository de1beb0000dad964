//! VM entry with all general-purpose registers, and back at the first VM exit, on either processor.
//!
//! HOST_RSP leads to the processor's own [`Area`], so the exit path needs no address of its own.
#![allow(unsafe_code, reason = "VMLAUNCH, VMRESUME and the exit path are assembly")]

use core::arch::{asm, global_asm};

use crate::machine::global::Global;
use crate::vmx::{Field, VmFail, Vmcs, vmwrite};

/// L2's registers between entries, by the offsets that the assembly uses.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Registers {
    /// RAX, and so on.
    pub rax: u64,
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RBX.
    pub rbx: u64,
    /// RBP.
    pub rbp: u64,
    /// RSI.
    pub rsi: u64,
    /// RDI.
    pub rdi: u64,
    /// R8 to R15.
    pub r8_to_r15: [u64; 8],
}

impl Registers {
    /// All 0.
    pub const ZERO: Self = Self { rax: 0, rcx: 0, rdx: 0, rbx: 0, rbp: 0, rsi: 0, rdi: 0, r8_to_r15: [0; 8] };
}

/// A processor's registers, and RSP of its frame of `l1_smp_enter` behind them.
#[repr(C, align(16))]
struct Area {
    registers: Registers,
    rsp: u64,
}

static AREAS: [Global<Area>; 2] = [const { Global::new(Area { registers: Registers::ZERO, rsp: 0 }) }; 2];

global_asm!(
    r#"
    .section .text.smp, "ax"
    # extern "sysv64" fn l1_smp_enter(resume: bool, area: *mut Area) -> u64 (1: an exit came, 0: the entry failed, see
    # RFLAGS in RDX)
    .globl l1_smp_enter
    l1_smp_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rsi + {rsp}], rsp
        # MOV changes no flags.
        test dil, dil
        mov rax, [rsi]
        mov rcx, [rsi + 8]
        mov rdx, [rsi + 16]
        mov rbx, [rsi + 24]
        mov rbp, [rsi + 32]
        mov rdi, [rsi + 48]
        mov r8, [rsi + 56]
        mov r9, [rsi + 64]
        mov r10, [rsi + 72]
        mov r11, [rsi + 80]
        mov r12, [rsi + 88]
        mov r13, [rsi + 96]
        mov r14, [rsi + 104]
        mov r15, [rsi + 112]
        mov rsi, [rsi + 40]
        jnz 2f
        vmlaunch
        jmp 3f
    2:  vmresume
        # Still here: the entry failed, and CF or ZF says how.
    3:  pushfq
        pop rdx
        xor eax, eax
        jmp l1_smp_leave

    .globl l1_smp_exit
    l1_smp_exit:
        # RSP is HOST_RSP: the word of the area that holds the frame's RSP.
        mov [rsp - {rsp}], rax
        mov [rsp - {rsp} + 8], rcx
        mov [rsp - {rsp} + 16], rdx
        mov [rsp - {rsp} + 24], rbx
        mov [rsp - {rsp} + 32], rbp
        mov [rsp - {rsp} + 40], rsi
        mov [rsp - {rsp} + 48], rdi
        mov [rsp - {rsp} + 56], r8
        mov [rsp - {rsp} + 64], r9
        mov [rsp - {rsp} + 72], r10
        mov [rsp - {rsp} + 80], r11
        mov [rsp - {rsp} + 88], r12
        mov [rsp - {rsp} + 96], r13
        mov [rsp - {rsp} + 104], r14
        mov [rsp - {rsp} + 112], r15
        mov rsp, [rsp]
        mov eax, 1
    l1_smp_leave:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    .text
    "#,
    rsp = const core::mem::offset_of!(Area, rsp),
);

unsafe extern "sysv64" {
    fn l1_smp_exit();
}

/// Writes where this processor's VM exits go.
pub fn write_host_entry(processor: usize) {
    // SAFETY: computes an address, reads nothing.
    let rsp = unsafe { &raw const (*AREAS[processor].get()).rsp };
    vmwrite(Field::HostRsp, rsp as u64);
    vmwrite(Field::HostRip, l1_smp_exit as *const () as u64);
}

/// Enters L2 with these registers until the first VM exit, and gives back what they hold then.
pub fn enter(processor: usize, vmcs: &mut Vmcs, registers: &Registers) -> Result<Registers, VmFail> {
    let area = AREAS[processor].get();
    let (exited, flags): (u64, u64);
    // SAFETY: the area is this processor's own; its current VMCS holds host state that leads to `l1_smp_exit` with the
    // area as stack; the assembly keeps callee-saved registers, and L2 shares no memory with Rust but through pointers.
    unsafe {
        (*area).registers = *registers;
        asm!("call l1_smp_enter", inout("rdi") u64::from(vmcs.launched()) => _, inout("rsi") area => _,
            lateout("rax") exited, lateout("rdx") flags, clobber_abi("sysv64"));
    }
    vmcs.entered(exited != 0, flags)?;
    // SAFETY: as above; the assembly filled it.
    Ok(unsafe { (*area).registers })
}
