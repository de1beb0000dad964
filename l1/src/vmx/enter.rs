//! VM entry with all general-purpose registers, and back at the first VM exit, on either processor.
//!
//! HOST_RSP is the address of a word in the processor's own [`Area`], so the exit path needs no
//! address and no stack. It pushes nothing, and NMIs have a stack of their own.
#![allow(unsafe_code, reason = "VMLAUNCH, VMRESUME and the exit path are assembly")]

use core::arch::global_asm;
use core::mem::offset_of;

use crate::machine::global::Global;
use crate::vmx::field::Field;
use crate::vmx::limit::Stay;
use crate::vmx::vmcs::{VmFail, Vmcs, vmwrite};

/// L2's general-purpose registers but RSP, in the order of their encoding.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Registers {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

impl Registers {
    /// All 0.
    pub const ZERO: Self = Self::in_order([0; 15]);

    /// Registers in the order of their encoding.
    pub const fn in_order(values: [u64; 15]) -> Self {
        let [rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = values;
        Self { rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 }
    }

    /// The registers in the order of their encoding.
    pub const fn values(&self) -> [u64; 15] {
        let Self { rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } =
            *self;
        [rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15]
    }
}

/// What the assembly keeps for a processor.
#[repr(C, align(16))]
struct Area {
    registers: Registers,
    /// L1's RSP while L2 runs.
    rsp: u64,
}

static AREAS: [Global<Area>; 2] =
    [const { Global::new(Area { registers: Registers::ZERO, rsp: 0 }) }; 2];

global_asm!(
    r#"
    .section .text.entry, "ax"
    # extern "sysv64" fn l1_enter(area: *mut Area, resume: bool, load: bool) -> u64
    # 0 if a VM exit came; RFLAGS, in which bit 1 is always 1, if the entry failed.
    .globl l1_enter
    l1_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rdi + {rsp}], rsp
        test dl, dl
        jz 4f
        # Whether to resume: MOV changes no flags.
        test sil, sil
        mov rax, [rdi + {rax}]
        mov rcx, [rdi + {rcx}]
        mov rdx, [rdi + {rdx}]
        mov rbx, [rdi + {rbx}]
        mov rbp, [rdi + {rbp}]
        mov rsi, [rdi + {rsi}]
        mov r8, [rdi + {r8}]
        mov r9, [rdi + {r9}]
        mov r10, [rdi + {r10}]
        mov r11, [rdi + {r11}]
        mov r12, [rdi + {r12}]
        mov r13, [rdi + {r13}]
        mov r14, [rdi + {r14}]
        mov r15, [rdi + {r15}]
        mov rdi, [rdi + {rdi}]
    1:  jnz 2f
        vmlaunch
        jmp l1_entry_failed
    4:  test sil, sil
        jmp 1b
    2:  vmresume
    # Still here: CF or ZF says how it failed. RSP is that of l1_enter's frame.
    .globl l1_entry_failed
    l1_entry_failed:
        pushfq
        pop rax
        jmp 3f

    # RSP is HOST_RSP: the area's word that holds L1's RSP. VM exits clear RFLAGS.
    .globl l1_exit
    l1_exit:
        mov [rsp - {rsp} + {rax}], rax
        mov [rsp - {rsp} + {rcx}], rcx
        mov [rsp - {rsp} + {rdx}], rdx
        mov [rsp - {rsp} + {rbx}], rbx
        mov [rsp - {rsp} + {rbp}], rbp
        mov [rsp - {rsp} + {rsi}], rsi
        mov [rsp - {rsp} + {rdi}], rdi
        mov [rsp - {rsp} + {r8}], r8
        mov [rsp - {rsp} + {r9}], r9
        mov [rsp - {rsp} + {r10}], r10
        mov [rsp - {rsp} + {r11}], r11
        mov [rsp - {rsp} + {r12}], r12
        mov [rsp - {rsp} + {r13}], r13
        mov [rsp - {rsp} + {r14}], r14
        mov [rsp - {rsp} + {r15}], r15
        mov rsp, [rsp]
        xor eax, eax
    3:  pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    .text
    "#,
    rsp = const offset_of!(Area, rsp),
    rax = const offset_of!(Area, registers.rax),
    rcx = const offset_of!(Area, registers.rcx),
    rdx = const offset_of!(Area, registers.rdx),
    rbx = const offset_of!(Area, registers.rbx),
    rbp = const offset_of!(Area, registers.rbp),
    rsi = const offset_of!(Area, registers.rsi),
    rdi = const offset_of!(Area, registers.rdi),
    r8 = const offset_of!(Area, registers.r8),
    r9 = const offset_of!(Area, registers.r9),
    r10 = const offset_of!(Area, registers.r10),
    r11 = const offset_of!(Area, registers.r11),
    r12 = const offset_of!(Area, registers.r12),
    r13 = const offset_of!(Area, registers.r13),
    r14 = const offset_of!(Area, registers.r14),
    r15 = const offset_of!(Area, registers.r15),
);

unsafe extern "sysv64" {
    fn l1_enter(area: *mut Area, resume: bool, load: bool) -> u64;
    fn l1_exit();
}

/// Writes where VM exits of a VMCS, which is current, go: back to [`enter`].
pub fn write_host_entry(vmcs: &Vmcs) {
    write_host_entry_at(vmcs, l1_exit as *const () as u64);
}

/// Writes where VM exits of a VMCS, which is current, go. There HOST_RSP is as [`l1_exit`] needs
/// it.
pub(super) fn write_host_entry_at(vmcs: &Vmcs, rip: u64) {
    // SAFETY: computes an address, reads nothing.
    let rsp = unsafe { &raw const (*AREAS[vmcs.processor()].get()).rsp };
    vmwrite(Field::HostRsp, rsp as u64);
    vmwrite(Field::HostRip, rip);
}

/// Enters L2 with these registers until the first VM exit other than for its time, and gives those
/// that it has then.
pub fn enter(vmcs: &mut Vmcs, registers: &Registers) -> Result<Registers, VmFail> {
    set_registers(vmcs, registers);
    go_on(vmcs)?;
    let mut stay = Stay::default();
    while stay.goes_on() {
        go_on(vmcs)?;
    }
    Ok(left_with(vmcs))
}

/// Enters L2 by VMLAUNCH where VMRESUME is due, and by VMRESUME where VMLAUNCH is: that fails and leaves
/// the launch state alone.
pub fn enter_wrongly(vmcs: &mut Vmcs, registers: &Registers) -> Result<(), VmFail> {
    set_registers(vmcs, registers);
    enter_by(vmcs, !vmcs.is_launched(), true)
}

fn set_registers(vmcs: &Vmcs, registers: &Registers) {
    let area = AREAS[vmcs.processor()].get();
    // SAFETY: the area is a static of this processor, which is the only one with this VMCS; L2 does
    // not run.
    unsafe { (*area).registers = *registers };
}

/// Enters L2 with the registers that it left with.
pub(super) fn go_on(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    enter_with(vmcs, true)
}

/// Enters L2 where it sets all registers that it uses.
pub(super) fn start(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    enter_with(vmcs, false)
}

fn enter_with(vmcs: &mut Vmcs, load: bool) -> Result<(), VmFail> {
    enter_by(vmcs, vmcs.is_launched(), load)
}

fn enter_by(vmcs: &mut Vmcs, resume: bool, load: bool) -> Result<(), VmFail> {
    let area = AREAS[vmcs.processor()].get();
    // SAFETY: the area is this processor's own. `write_host_entry_at` let HOST_RSP and HOST_RIP
    // lead to the area and to the exit path, which keeps the registers that the ABI says are kept;
    // L2 writes to no memory that Rust has a reference to. All holds for every VMCS that L1 enters,
    // since `Vmcs` is entered nowhere else.
    let failed = unsafe { l1_enter(area, resume, load) };
    vmcs.entered(failed)
}

/// The registers with which L2 left.
pub(super) fn left_with(vmcs: &Vmcs) -> Registers {
    // SAFETY: the area is this processor's own, and L2 does not run.
    unsafe { (*AREAS[vmcs.processor()].get()).registers }
}
