//! How Xen enters this image: notes, and the way to Rust.
//!
//! On entry at `dom0_start`, as Xen starts a PV kernel (`xen/include/public/xen.h`, "start of day"):
//! 64-bit mode at CPL 3, paging on, RSI = [`dom0::abi::start::StartInfo`], event upcalls masked. SSE
//! works.
//!
//! On exit: a stack, and `dom0_main` with the start information as argument.
#![allow(unsafe_code, reason = "the entry is assembly")]

use core::arch::global_asm;

/// Room for a guest's state, which is on the stack, and what formats text.
const STACK: u32 = 128 * 1024;

global_asm!(
    r#"
    # Notes, each: bytes of the name and of the description, type, name, description.
    # `xen/include/public/elfnote.h`.
    .macro dom0_note type, value:vararg
        .balign 4
        .long 4, 2f - 1f, \type
        .asciz "Xen"
    1:  \value
    2:  .balign 4
    .endm
    .section .note.Xen, "a", @note
        dom0_note {guest_os}, .asciz "maskmatch"
        dom0_note {xen_version}, .asciz "xen-3.0"
        dom0_note {loader}, .asciz "generic"
        dom0_note {entry}, .quad dom0_start
        dom0_note {virt_base}, .quad 0

    .text
    .globl dom0_start
    dom0_start:
        cld
        lea rsp, [dom0_stack_top]
        # The outermost frame.
        xor ebp, ebp
        mov rdi, rsi
        call dom0_main
        ud2

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip {stack}
    dom0_stack_top:
    .text
    "#,
    guest_os = const 6,
    xen_version = const 5,
    loader = const 8,
    entry = const 1,
    virt_base = const 3,
    stack = const STACK,
);
