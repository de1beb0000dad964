//! What the L2s of two processors run: a few instructions at known places, entered and left one by
//! one.
//!
//! The same bytes are mapped for supervisor and for user mode; they do not depend on where they
//! are.
//!
//! RDI: the address. RAX: what a write writes, and what was read. RBX, R15: those of code that is
//! fetched.
#![allow(unsafe_code, reason = "the code is assembly")]

use core::arch::global_asm;

use spec::smp::shootdown::{SHOT_AFTER, SHOT_BEFORE, SHOT_FIRST};

/// The vectors that make an L2 invalidate: an interrupt from the other processor, and its
/// own INT.
pub const INTERRUPT_VECTOR: u8 = 0x40;
/// See [`INTERRUPT_VECTOR`].
pub const SOFTWARE_VECTOR: u8 = 0x41;
/// Offset on the board of the word that the handler of [`INTERRUPT_VECTOR`] sets.
pub const BOARD_INVALIDATED: u64 = 8;

// Processor 1 around a change: R9 is the word that it waits for, R14 how often it looks, R10 where
// it goes on then, RSI the board, R13 what it writes. R8 is 0 until the access before the
// invalidation has completed.
global_asm!(
    r#"
    .section .text.smp, "ax"
    .balign 16
    l1_smp_code:
    l1_smp_read:    mov rax, [rdi]
    l1_smp_read_done:
        vmcall
    l1_smp_write:   mov [rdi], rax
    l1_smp_write_done:
        vmcall
    l1_smp_fetch:   jmp rdi
    l1_smp_fetch_done:
        vmcall

    # Processor 0: the entry at RDI becomes RAX, then the word at RSI becomes 1.
    l1_smp_change:  mov [rdi], rax
        mov dword ptr [rsi], 1
    l1_smp_change_done:
        vmcall

    .macro l1_smp_shot how, access:vararg
    l1_smp_\how\()_use:
        lea r15, [rip + 1f]
        mov rax, r13
        lea r11, [rdi + {first_at}]
        \access
    1:
    l1_smp_\how\()_wait:
        mov dword ptr [rsi], 1
    2:  pause
        cmp dword ptr [r9], 0
        jne 3f
        dec r14
        jnz 2b
    l1_smp_\how\()_late:
        vmcall
    3:  jmp r10

    l1_smp_\how\()_before:
        lea r15, [rip + l1_smp_\how\()_told]
        mov rax, r13
        lea r11, [rdi + {before_at}]
    l1_smp_\how\()_before_access:
        \access
    l1_smp_\how\()_told:
        mov r8, rax
        int {software_vector}
    l1_smp_\how\()_after:
        lea r15, [rip + l1_smp_\how\()_shot_done]
        mov rax, r13
        lea r11, [rdi + {after_at}]
    l1_smp_\how\()_after_access:
        \access
    l1_smp_\how\()_shot_done:
        vmcall
    .endm
    l1_smp_shot read, mov rax, [r11]
    l1_smp_shot write, mov [r11], rax
    l1_smp_shot fetch, jmp r11
    l1_smp_code_end:

    # Handlers: RDI is the page, RDX the board as a supervisor has it.
    l1_smp_interrupt:
        invlpg [rdi]
        mov dword ptr [rdx + {invalidated}], 1
        iretq
    l1_smp_software:
        invlpg [rdi]
        iretq
    l1_smp_handlers_end:
    .text
    "#,
    first_at = const SHOT_FIRST,
    before_at = const SHOT_BEFORE,
    after_at = const SHOT_AFTER,
    software_vector = const SOFTWARE_VECTOR,
    invalidated = const BOARD_INVALIDATED,
);

macro_rules! labels {
    ($($name:ident)*) => {
        unsafe extern "C" {
            $(static $name: u8;)*
        }
    };
}

labels! {
    l1_smp_code l1_smp_code_end l1_smp_read l1_smp_read_done l1_smp_write l1_smp_write_done l1_smp_fetch
    l1_smp_fetch_done l1_smp_change l1_smp_change_done l1_smp_interrupt l1_smp_software l1_smp_handlers_end
    l1_smp_read_use l1_smp_read_wait l1_smp_read_late l1_smp_read_before l1_smp_read_before_access l1_smp_read_told
    l1_smp_read_after l1_smp_read_after_access l1_smp_read_shot_done
    l1_smp_write_use l1_smp_write_wait l1_smp_write_late l1_smp_write_before l1_smp_write_before_access
    l1_smp_write_told l1_smp_write_after l1_smp_write_after_access l1_smp_write_shot_done
    l1_smp_fetch_use l1_smp_fetch_wait l1_smp_fetch_late l1_smp_fetch_before l1_smp_fetch_before_access
    l1_smp_fetch_told l1_smp_fetch_after l1_smp_fetch_after_access l1_smp_fetch_shot_done
}

/// All of it.
pub fn bytes() -> &'static [u8] {
    between(&raw const l1_smp_code, &raw const l1_smp_code_end)
}

/// The handlers of [`INTERRUPT_VECTOR`] and [`SOFTWARE_VECTOR`].
pub fn handlers() -> [&'static [u8]; 2] {
    let (interrupt, software) = (&raw const l1_smp_interrupt, &raw const l1_smp_software);
    [between(interrupt, software), between(software, &raw const l1_smp_handlers_end)]
}

fn between(from: *const u8, to: *const u8) -> &'static [u8] {
    // SAFETY: both are labels of one section of the assembly above, in this order; nothing writes
    // to code.
    unsafe { core::slice::from_raw_parts(from, to as usize - from as usize) }
}

/// Offsets in [`bytes`] of one access: the instruction, and what follows it.
#[derive(Clone, Copy)]
pub struct Single {
    /// The instruction.
    pub access: u64,
    /// After it.
    pub done: u64,
}

/// Offsets in [`bytes`] of what processor 1 does around a change.
#[derive(Clone, Copy)]
pub struct AroundChange {
    /// Uses the page, then waits.
    pub use_first: u64,
    /// Waits.
    pub wait: u64,
    /// Where it gives up.
    pub late: u64,
    /// The access before the invalidation, and what comes before and after it.
    pub before: u64,
    /// See [`AroundChange::before`].
    pub before_access: u64,
    /// See [`AroundChange::before`].
    pub told: u64,
    /// The access after the invalidation, and what comes before and after it.
    pub after: u64,
    /// See [`AroundChange::after`].
    pub after_access: u64,
    /// See [`AroundChange::after`].
    pub done: u64,
}

fn offset(label: *const u8) -> u64 {
    label as u64 - (&raw const l1_smp_code) as u64
}

/// Read, write and fetch.
pub fn singles() -> [Single; 3] {
    let single = |access, done| Single { access: offset(access), done: offset(done) };
    [
        single(&raw const l1_smp_read, &raw const l1_smp_read_done),
        single(&raw const l1_smp_write, &raw const l1_smp_write_done),
        single(&raw const l1_smp_fetch, &raw const l1_smp_fetch_done),
    ]
}

/// The change of an entry.
pub fn change() -> Single {
    Single { access: offset(&raw const l1_smp_change), done: offset(&raw const l1_smp_change_done) }
}

macro_rules! around {
    ($use_first:ident $wait:ident $late:ident $before:ident $before_access:ident $told:ident $after:ident
        $after_access:ident $done:ident) => {
        AroundChange {
            use_first: offset(&raw const $use_first),
            wait: offset(&raw const $wait),
            late: offset(&raw const $late),
            before: offset(&raw const $before),
            before_access: offset(&raw const $before_access),
            told: offset(&raw const $told),
            after: offset(&raw const $after),
            after_access: offset(&raw const $after_access),
            done: offset(&raw const $done),
        }
    };
}

/// AroundChange a change: read, write and fetch.
pub fn around_change() -> [AroundChange; 3] {
    [
        around!(l1_smp_read_use l1_smp_read_wait l1_smp_read_late l1_smp_read_before l1_smp_read_before_access
            l1_smp_read_told l1_smp_read_after l1_smp_read_after_access l1_smp_read_shot_done),
        around!(l1_smp_write_use l1_smp_write_wait l1_smp_write_late l1_smp_write_before l1_smp_write_before_access
            l1_smp_write_told l1_smp_write_after l1_smp_write_after_access l1_smp_write_shot_done),
        around!(l1_smp_fetch_use l1_smp_fetch_wait l1_smp_fetch_late l1_smp_fetch_before l1_smp_fetch_before_access
            l1_smp_fetch_told l1_smp_fetch_after l1_smp_fetch_after_access l1_smp_fetch_shot_done),
    ]
}
