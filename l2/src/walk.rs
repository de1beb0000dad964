//! The walk over the slots, and the handlers, in assembly: L1 resumes L2 in the middle of it, so
//! which register holds what is part of the contract.
//!
//! | register | holds |
//! |---|---|
//! | RAX | the walk's number before an access; what was read, or the token, after it |
//! | RBX | the token |
//! | RBP | the walk's number |
//! | RCX | slots left in this loop |
//! | RDX | a port of the VMM, only before the first access; the first slot of user mode, until that begins |
//! | RDI | the address to access |
//! | RSI | the slot |
//! | R14 | the shared area |
//! | R15 | where to go on after the access |
//! | R8, R9 | the handlers'; R8 is the VMM's number before the first access |
//!
//! RFLAGS stay as L1 set them through the whole walk (LEA, LOOP, MOV, NOT, IN, OUT and their string
//! forms change none, CLI only IF), so that what a fault saves of them can be compared.
#![allow(unsafe_code, reason = "the walk is assembly")]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use spec::channel::{DEVICE_READ, DEVICE_WRITE, ECHO_PORT, MOVE_PORT, PORT, STATUS_PORT};
use spec::manual::vector::EXCEPTIONS;
use spec::walk::layout::{
    Control, DEVICE_LINEAR, EVENT_SLOT, EXCHANGE_SLOT, Exchange, Header, SHARED_SUPERVISOR,
    SHARED_SUPERVISOR_BIT, SHARED_USER, Slot, TOKEN,
};

/// The software interrupt by which user mode comes back.
pub const BACK_VECTOR: u8 = 0x80;
/// Bytes of an entry for an exception that L2 does not expect.
const UNEXPECTED: usize = 16;
const SUPERVISOR_CS: u16 = 0x08;
const USER_SS: u16 = 0x18 | 3;
const USER_CS: u16 = 0x20 | 3;

// One loop of the walk: `who` and `how` name its labels.
global_asm!(
    r"
    .macro l2_loop who, how, number, access:vararg
        mov rcx, [r14 + {counts} + 8 * \number]
        jrcxz l2_\who\()_\how\()_done
        lea r15, [rip + l2_\who\()_\how\()_resume]
    l2_\who\()_\how\()_next:
        mov rdi, [rsi + {address}]
        mov qword ptr [rsi + {faults}], 0
        mov rax, rbp
    l2_\who\()_\how\()_access:
        \access
    l2_\who\()_\how\()_resume:
        mov [rsi + {result}], rax
        lea rsi, [rsi + {slot_size}]
        loop l2_\who\()_\how\()_next
    l2_\who\()_\how\()_done:
    .endm
    ",
    counts = const offset_of!(Control, counts),
    address = const offset_of!(Slot, address),
    result = const offset_of!(Slot, result),
    faults = const offset_of!(Slot, faults),
    slot_size = const size_of::<Slot>(),
);

global_asm!(
    r#"
    .section .head, "a"
        .quad {magic}, l2_init, l2_walk, l2_user_start, l2_user_end, l2_end
        .quad l2_super_read_access, l2_super_write_access, l2_super_fetch_access
        .quad l2_super_read4_access, l2_super_write4_access
        .quad l2_user_read_access, l2_user_write_access, l2_user_fetch_access
        .quad l2_user_read4_access, l2_user_write4_access
        .quad l2_super_read_resume, l2_super_write_resume, l2_super_fetch_resume
        .quad l2_super_read4_resume, l2_super_write4_resume
        .quad l2_user_read_resume, l2_user_write_resume, l2_user_fetch_resume
        .quad l2_user_read4_resume, l2_user_write4_resume
        .quad l2_asked
        .quad {user_cs}, {supervisor_cs}

    .section .text.walk, "ax"
    .globl l2_init
    l2_init:
        mov rsp, offset l2_stack_top
        call l2_load_tables
        vmcall
        ud2

    l2_walk:
        mov rsp, offset l2_stack_top
        mov r14d, {shared_supervisor}
        mov rbp, [r14 + {walk}]
        movabs rbx, {token}
        # What the VMM is to do, if anything. If it does not, there is no walk.
        mov rcx, [r14 + {ask}]
        jrcxz 1f
        # In bit 32: at the port of a VMM that moves, until another number can be read there.
        movzx ecx, byte ptr [r14 + {ask} + 4]
        jrcxz 4f
        mov edx, {move_port}
        in al, dx
        movzx r8d, al
        not r8
        out dx, al
    3:  in al, dx
        movzx ecx, al
        lea rcx, [rcx + r8 + 1]
        jrcxz 3b
        jmp 1f
        # A fault that comes with it is noted in a slot of its own, and goes on here.
    4:  mov rcx, [r14 + {ask}]
        lea rsi, [r14 + {event_slot}]
        mov qword ptr [rsi + {faults}], 0
        # NMIs and interrupts.
        mov qword ptr [r14 + {nmis}], 0
        lea r15, [rip + l2_asked]
        mov edx, {port}
        mov eax, ecx
        out dx, eax
    l2_asked:
        mov edx, {status_port}
        in eax, dx
        cli
        mov [r14 + {status}], rax
        mov ecx, eax
        jrcxz 1f
        vmcall
        ud2
    1:  mov rcx, [r14 + {exchange}]
        jrcxz 2f
        # DF is 1: the last word first.
        mov edx, {echo_port}
        lea rsi, [r14 + {exchange_slot} + {out} + 12]
        mov ecx, 4
        rep outsd
        lea rdi, [r14 + {exchange_slot} + {back} + 12]
        mov ecx, 4
        rep insd
        movabs rdi, {device}
        mov eax, [rdi + {device_read}]
        mov [r14 + {exchange_slot} + {known}], eax
        mov eax, [r14 + {exchange_slot} + {write}]
        mov [rdi + {device_write}], eax
        mov eax, [rdi + {device_write}]
        mov [r14 + {exchange_slot} + {read_back}], eax
    2:  lea rsi, [r14 + {control}]
        l2_loop super, read, 0, mov rax, [rdi]
        l2_loop super, write, 1, mov [rdi], rax
        l2_loop super, fetch, 2, jmp rdi
        l2_loop super, read4, 3, mov eax, [rdi]
        l2_loop super, write4, 4, mov [rdi], eax
        # The same slots and flags in user mode, which has no stack: it pushes nothing.
        mov r14d, {shared_user}
        # A fault that comes with user mode, before the first access, is noted in the event's slot.
        lea rdx, [rsi - (1 << {supervisor_bit})]
        lea rsi, [r14 + {event_slot}]
        lea r15, [rip + l2_user_walk]
        push {user_ss}
        push 0
        pushfq
        push {user_cs}
        push offset l2_user_walk
        iretq

    .globl l2_back
    l2_back:
        vmcall
        ud2

    # The hardware pushed error code, RIP, CS, RFLAGS, RSP, SS. The slot is reached by its supervisor address.
    .globl l2_page_fault
    l2_page_fault:
        mov r9, rsi
        bts r9, {supervisor_bit}
        pop r8
        mov [r9 + {error_code}], r8
        mov r8, cr2
        mov [r9 + {cr2}], r8
        # Now RSP points at RIP, CS, RFLAGS.
        mov r8, [rsp]
        mov [r9 + {rip}], r8
        mov r8, [rsp + 8]
        mov [r9 + {cs}], r8
        mov r8, [rsp + 16]
        mov [r9 + {rflags}], r8
        inc qword ptr [r9 + {faults}]
        mov [rsp], r15
        iretq

    .globl l2_nmi
    l2_nmi:
        mov r9d, {shared_supervisor}
        # Flags are IRET's to restore.
        inc dword ptr [r9 + {nmis}]
        iretq

    # L1 sees to the end of the interrupt.
    .globl l2_interrupt
    l2_interrupt:
        mov r9d, {shared_supervisor}
        inc dword ptr [r9 + {interrupts}]
        iretq

    # One entry for each vector, all of one size.
    .balign {unexpected_size}
    .globl l2_unexpected
    l2_unexpected:
    .set l2_vector, 0
    .rept {exceptions}
        .balign {unexpected_size}
        mov r8d, 0x100 + l2_vector
        jmp l2_report
        .set l2_vector, l2_vector + 1
    .endr
    l2_report:
        mov r9d, {shared_supervisor}
        mov [r9 + {unexpected}], r8
        vmcall
        ud2

    .section .user, "ax"
    l2_user_walk:
        mov rsi, rdx
        l2_loop user, read, 5, mov rax, [rdi]
        l2_loop user, write, 6, mov [rdi], rax
        l2_loop user, fetch, 7, jmp rdi
        l2_loop user, read4, 8, mov eax, [rdi]
        l2_loop user, write4, 9, mov [rdi], eax
        int {back_vector}

    .section .bss.stack, "aw", @nobits
    .balign 16
        .skip 512
    l2_stack_top:
    .text
    "#,
    magic = const Header::MAGIC,
    control = const size_of::<Control>(),
    walk = const offset_of!(Control, walk),
    unexpected = const offset_of!(Control, unexpected),
    ask = const offset_of!(Control, ask),
    status = const offset_of!(Control, status),
    nmis = const offset_of!(Control, nmis),
    interrupts = const offset_of!(Control, interrupts),
    exchange = const offset_of!(Control, exchange),
    faults = const offset_of!(Slot, faults),
    error_code = const offset_of!(Slot, delivery.error_code),
    cr2 = const offset_of!(Slot, delivery.cr2),
    rip = const offset_of!(Slot, delivery.rip),
    cs = const offset_of!(Slot, delivery.cs),
    rflags = const offset_of!(Slot, delivery.rflags),
    unexpected_size = const UNEXPECTED,
    exceptions = const EXCEPTIONS,
    exchange_slot = const size_of::<Control>() + EXCHANGE_SLOT * size_of::<Slot>(),
    out = const offset_of!(Exchange, out),
    back = const offset_of!(Exchange, back),
    known = const offset_of!(Exchange, known),
    write = const offset_of!(Exchange, write),
    read_back = const offset_of!(Exchange, read_back),
    echo_port = const ECHO_PORT,
    device = const DEVICE_LINEAR,
    device_read = const DEVICE_READ,
    device_write = const DEVICE_WRITE,
    event_slot = const size_of::<Control>() + EVENT_SLOT * size_of::<Slot>(),
    port = const PORT,
    move_port = const MOVE_PORT,
    status_port = const STATUS_PORT,
    user_cs = const USER_CS,
    user_ss = const USER_SS,
    supervisor_cs = const SUPERVISOR_CS,
    shared_supervisor = const SHARED_SUPERVISOR,
    shared_user = const SHARED_USER,
    supervisor_bit = const SHARED_SUPERVISOR_BIT,
    token = const TOKEN,
    back_vector = const BACK_VECTOR,
);

unsafe extern "C" {
    fn l2_page_fault();
    fn l2_back();
    fn l2_nmi();
    fn l2_interrupt();
    fn l2_unexpected();
}

/// The handler of #PF.
pub fn page_fault_handler() -> u64 {
    l2_page_fault as *const () as u64
}

/// The handler of the software interrupt by which user mode comes back.
pub fn back_handler() -> u64 {
    l2_back as *const () as u64
}

/// The handler of NMIs.
pub fn nmi_handler() -> u64 {
    l2_nmi as *const () as u64
}

/// The handler of the external interrupt that the VMM makes.
pub fn interrupt_handler() -> u64 {
    l2_interrupt as *const () as u64
}

/// The handler of a vector below 32 that L2 does not expect.
pub fn unexpected_handler(vector: u8) -> u64 {
    l2_unexpected as *const () as u64 + UNEXPECTED as u64 * u64::from(vector)
}

/// Leaves L2 for good.
pub fn give_up() -> ! {
    // SAFETY: UD2 raises #UD, whose handler or missing IDT ends in a VM exit; it does not come
    // back.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}
