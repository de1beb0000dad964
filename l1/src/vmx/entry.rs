//! VM entry and VM exit.
//!
//! A VM exit by exception is the hot path: it is noted as an [`ExitRecord`] and L2 resumed at its R15, all
//! in assembly with few instructions. Any other exit returns to the caller of [`enter`].
//!
//! L2 keeps nothing in R8 to R12 across an exit (see `l2/src/walk.rs`), so the hot path uses them. Its
//! other registers are not touched on the hot path; the cold one keeps them for [`resume`].
#![allow(unsafe_code, reason = "VMLAUNCH, VMRESUME and the exit path are assembly")]

use core::arch::{asm, global_asm};
use core::mem::size_of;

use spec::walk::layout::{ExitRecord, MAX_SLOTS};
use spec::walk::outcome::{Exit, IDT_VECTORING_VALID};
use x86_64::registers::control::Cr2;

use super::{Field, VmFail, Vmcs, vmread, vmwrite};
use crate::machine::global::Global;

/// One more exit than slots: a fault that comes twice shows as one too many.
const RECORDS: usize = MAX_SLOTS + 1;
const EXIT_STACK: usize = 256;

static RECORDS_OF_WALK: Global<[ExitRecord; RECORDS]> = Global::new([ExitRecord::EMPTY; RECORDS]);

#[repr(C, align(16))]
struct Stack([u8; EXIT_STACK]);
/// The exit path calls nothing; the stack is there since HOST_RSP must be some address.
static STACK: Global<Stack> = Global::new(Stack([0; EXIT_STACK]));

/// What the assembly keeps, by the offsets that it uses.
#[repr(C)]
struct State {
    /// The next record to fill.
    next: u64,
    /// Behind the last record.
    end: u64,
    /// RSP of [`enter`]'s frame.
    rsp: u64,
    /// L2's RAX, RCX, RDX, RBX, RBP, RSI, RDI, R13, R14, R15 at the last exit of the cold path.
    registers: [u64; 10],
}

/// Places in [`State::registers`].
const RSI: usize = 5;
const R15: usize = 9;

static STATE: Global<State> = Global::new(State { next: 0, end: 0, rsp: 0, registers: [0; 10] });

global_asm!(
    r#"
    .section .text.entry, "ax"
    # extern "sysv64" fn l1_enter(resume: bool) -> u64 (1: an exit came, 0: the entry failed, see RFLAGS in RDX)
    .globl l1_enter
    l1_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rip + {state} + 16], rsp
        test dil, dil
        jnz 2f
        vmlaunch
        jmp 3f
    2:  lea r8, [rip + {state} + 24]
        mov rax, [r8]
        mov rcx, [r8 + 8]
        mov rdx, [r8 + 16]
        mov rbx, [r8 + 24]
        mov rbp, [r8 + 32]
        mov rsi, [r8 + 40]
        mov rdi, [r8 + 48]
        mov r13, [r8 + 56]
        mov r14, [r8 + 64]
        mov r15, [r8 + 72]
        vmresume
        # Still here: the entry failed, and CF or ZF says how.
    3:  pushfq
        pop rdx
        xor eax, eax
        jmp l1_leave

    .globl l1_exit
    l1_exit:
        mov r8d, {exit_reason}
        vmread r9, r8
        test r9, r9
        jnz 4f
        mov r8, [rip + {state}]
        cmp r8, [rip + {state} + 8]
        je 4f
        mov r9d, {info}
        vmread [r8], r9
        mov r9d, {error_code}
        vmread [r8 + 8], r9
        mov r9d, {qualification}
        vmread [r8 + 16], r9
        mov r9d, {rip_field}
        vmread [r8 + 24], r9
        mov r10d, {rflags}
        vmread [r8 + 32], r10
        mov r10d, {idt_vectoring}
        vmread r11, r10
        and r11d, 0x80000000
        mov [r8 + 40], r11
        mov r10, cr2
        mov [r8 + 48], r10
        mov [r8 + 56], rsi
        add r8, {record_size}
        mov [rip + {state}], r8
        vmwrite r9, r15
        vmresume
        mov rsp, [rip + {state} + 16]
        jmp 3b

    4:  lea r8, [rip + {state} + 24]
        mov [r8], rax
        mov [r8 + 8], rcx
        mov [r8 + 16], rdx
        mov [r8 + 24], rbx
        mov [r8 + 32], rbp
        mov [r8 + 40], rsi
        mov [r8 + 48], rdi
        mov [r8 + 56], r13
        mov [r8 + 64], r14
        mov [r8 + 72], r15
        mov rsp, [rip + {state} + 16]
        mov eax, 1
    l1_leave:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    .text
    "#,
    state = sym STATE,
    exit_reason = const Field::ExitReason as u32,
    info = const Field::ExitInterruptionInfo as u32,
    error_code = const Field::ExitInterruptionErrorCode as u32,
    qualification = const Field::ExitQualification as u32,
    rip_field = const Field::GuestRip as u32,
    rflags = const Field::GuestRflags as u32,
    idt_vectoring = const Field::IdtVectoringInfo as u32,
    record_size = const size_of::<ExitRecord>(),
);

unsafe extern "sysv64" {
    fn l1_exit();
}

/// Writes where VM exits go.
pub fn write_host_entry() {
    let stack = STACK.get() as u64 + EXIT_STACK as u64;
    vmwrite(Field::HostRsp, stack);
    vmwrite(Field::HostRip, l1_exit as *const () as u64);
}

/// Enters L2 until an exit that is no exception, or one exception too many. [`exits`] has those
/// by exception on the way.
pub fn enter(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    let state = STATE.get();
    // SAFETY: the assembly uses the state only inside the call of `resume`.
    unsafe {
        (*state).next = RECORDS_OF_WALK.get() as u64;
        (*state).end = end();
    }
    resume(vmcs)
}

/// Enters L2 until an exit, whatever it is.
pub fn enter_once(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    let state = STATE.get();
    // SAFETY: as in `enter`. No room, so no hot path.
    unsafe {
        (*state).next = RECORDS_OF_WALK.get() as u64;
        (*state).end = (*state).next;
    }
    resume(vmcs)
}

/// Notes the exit by exception that came behind [`enter_once`], and lets L2 go on at its R15 when it is resumed, as the hot
/// path does. Whether there is room for the record.
pub fn note() -> bool {
    let state = STATE.get();
    // SAFETY: L2 does not run, and the record is one of the static's.
    unsafe {
        if (*state).next == end() {
            return false;
        }
        let record = ExitRecord { exit: current_exit(), slot: (*state).registers[RSI] };
        ((*state).next as *mut ExitRecord).write(record);
        (*state).next += size_of::<ExitRecord>() as u64;
        (*state).end = (*state).next;
        vmwrite(Field::GuestRip, (*state).registers[R15]);
    }
    true
}

/// What is reported of the exit that came.
pub fn current_exit() -> Exit {
    Exit {
        info: vmread(Field::ExitInterruptionInfo),
        error_code: vmread(Field::ExitInterruptionErrorCode),
        qualification: vmread(Field::ExitQualification),
        rip: vmread(Field::GuestRip),
        rflags: vmread(Field::GuestRflags),
        idt_vectoring: vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID,
        cr2: Cr2::read_raw(),
    }
}

/// Behind the last record.
fn end() -> u64 {
    RECORDS_OF_WALK.get() as u64 + size_of::<[ExitRecord; RECORDS]>() as u64
}

/// Goes on behind an exit at which [`enter`] ended; [`exits`] has those before it, too. R8 to R12 are not L2's.
pub fn resume(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    let (exited, flags): (u64, u64);
    // SAFETY: the current VMCS holds host state that leads to `l1_exit`, with a stack of its own; the
    // assembly keeps callee-saved registers, and L2 shares no memory with Rust but through pointers.
    unsafe {
        asm!("call l1_enter", inout("rdi") u64::from(vmcs.launched()) => _, lateout("rax") exited,
            lateout("rdx") flags, clobber_abi("sysv64"));
    }
    vmcs.entered(exited != 0, flags)
}

/// The exits by exception of the last [`enter`], in their order.
pub fn exits(_vmcs: &Vmcs) -> &[ExitRecord] {
    let records = RECORDS_OF_WALK.get();
    // SAFETY: the assembly filled the records from the first up to `next`; the next `enter`, which writes
    // them again, needs the VMCS that the result borrows.
    unsafe {
        let used = ((*STATE.get()).next - records as u64) as usize / size_of::<ExitRecord>();
        core::slice::from_raw_parts(records.cast::<ExitRecord>(), used)
    }
}
