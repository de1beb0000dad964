//! Machines that L1 cannot run on: without 64-bit mode, or without the memory that it needs. They
//! get a whole log that says so, which `build.rs` wrote.
//!
//! On entry at `l1_no_long_mode` and `l1_no_memory`: 32-bit protected mode, flat segments. Nothing
//! is used but registers and the code's own pages. The log goes to COM1, to port 0xe9 and to the
//! screen, whichever is there; then the machine is powered off.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::global_asm;

use spec::catalogue::machine::COM1;

use crate::machine::screen::{COLOUR, COLUMNS, TEXT};
use crate::machine::serial::DEBUG_PORT;

/// The logs, as assembly can name them.
static NO_LONG_MODE: Log<{ include_bytes!(concat!(env!("OUT_DIR"), "/no-long-mode.log")).len() }> =
    *include_bytes!(concat!(env!("OUT_DIR"), "/no-long-mode.log"));
static NO_MEMORY: Log<{ include_bytes!(concat!(env!("OUT_DIR"), "/no-memory.log")).len() }> =
    *include_bytes!(concat!(env!("OUT_DIR"), "/no-memory.log"));

type Log<const LENGTH: usize> = [u8; LENGTH];

/// Registers of the UART, from its first port on: line control, line status.
const LCR: u16 = COM1 + 3;
const LSR: u16 = COM1 + 5;
/// Line control: 8 data bits; the same with the baud rate's divisor in the first two registers.
const EIGHT_BITS: u8 = 3;
const DIVISOR: u8 = 0x80 | EIGHT_BITS;
/// Line status: the next byte is taken; all bytes have left.
const TAKES: u8 = 1 << 5;
const EMPTY: u8 = 1 << 6;
/// How often a UART is asked before it counts as dead.
const TRIES: u32 = 1 << 20;
/// Bytes of a character on the screen.
const CELL: usize = 2;

global_asm!(
    r#"
    .section .boot, "ax"
    .code32

    # Waits for a bit of the line status. Changes EAX, EBX, EDX.
    .macro l1_await bit
        mov ebx, {tries}
        mov edx, {lsr}
    8:  in al, dx
        test al, \bit
        jnz 9f
        dec ebx
        jnz 8b
    9:
    .endm

    .macro l1_out port, value
        mov edx, \port
        mov al, \value
        out dx, al
    .endm

    .globl l1_no_memory
    l1_no_memory:
        mov esi, offset {no_memory}
        mov ecx, {no_memory_length}
        jmp 1f
    .globl l1_no_long_mode
    l1_no_long_mode:
        mov esi, offset {no_long_mode}
        mov ecx, {no_long_mode_length}
    1:
        # 115,200 baud.
        l1_out {lcr}, {divisor}
        l1_out {com1}, 1
        l1_out {com1} + 1, 0
        l1_out {lcr}, {eight_bits}
        mov edi, {text}
    2:  l1_await {takes}
        mov edx, {com1}
        lodsb
        out dx, al
        mov edx, {debug_port}
        out dx, al
        cmp al, 10
        je 3f
        mov ah, {colour}
        stosw
        jmp 4f
        # To the next row.
    3:  lea eax, [edi - {text}]
        xor edx, edx
        mov ebx, {row}
        div ebx
        inc eax
        mul ebx
        lea edi, [eax + {text}]
    4:  dec ecx
        jnz 2b
        l1_await {empty}
        jmp l1_power_off
    .code64
    .text
    "#,
    no_long_mode = sym NO_LONG_MODE,
    no_long_mode_length = const NO_LONG_MODE.len(),
    no_memory = sym NO_MEMORY,
    no_memory_length = const NO_MEMORY.len(),
    com1 = const COM1,
    lcr = const LCR,
    lsr = const LSR,
    divisor = const DIVISOR,
    eight_bits = const EIGHT_BITS,
    takes = const TAKES,
    empty = const EMPTY,
    tries = const TRIES,
    debug_port = const DEBUG_PORT,
    text = const TEXT,
    colour = const COLOUR,
    row = const COLUMNS * CELL,
);
