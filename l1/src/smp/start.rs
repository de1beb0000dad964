//! Starting the second processor: INIT, SIPI, SIPI from the first one's local APIC, as of SDM vol.
//! 3A, "Multiple-Processor (MP) Initialization".
//!
//! All others are asked for, as in "Typical BSP Initialization Sequence", so that
//! no APIC ID need be known. They begin in real mode on a page below 1 MiB. The first to come there
//! is the second processor: it goes by 32-bit protected mode (`boot`) to [`super::l1_second_main`]
//! and says its APIC ID. The rest halt.
#![allow(unsafe_code, reason = "writes below 1 MiB; the trampoline is assembly")]

use core::arch::global_asm;
use core::fmt;
use core::hint::spin_loop;

use spec::channel::{Ask, Status};
use x86_64::registers::control::Cr0Flags;

use super::code::INTERRUPT_VECTOR;
use super::mailbox::{self, SecondState};
use crate::machine::apic::{ASSERT, Apic};
use crate::machine::boot::{CODE32_SELECTOR, DATA_SELECTOR};
use crate::machine::channel;

/// The page of the trampoline. Loaders leave nothing there that is needed once the command line is
/// copied.
const TRAMPOLINE: u64 = 0x8000;
/// Delivery modes of the interrupt command register: INIT and start-up.
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
/// How long, in looks: after INIT, for the first SIPI, and in all.
const INIT_POLLS: u32 = 100_000;
const FIRST_POLLS: u32 = 200_000;
const START_POLLS: u32 = 4_000_000;

global_asm!(
    r#"
    .section .boot, "ax"
    .code16
    # Real mode, CS:IP = 0800:0000. Interrupts are off.
    .globl l1_trampoline
    l1_trampoline:
        cli
        cld
        mov ax, cs
        mov ds, ax
        # LOCK BTS of the byte after the GDTR's copy, as bytes for the same reason as LGDT below:
        # whoever finds it set comes too late.
        .byte {lock}, 0x0f, 0xba, 0x2e
        .word l1_trampoline_taken - l1_trampoline
        .byte 0
        jnc 2f
    1:  hlt
        jmp 1b
    2:
        # LGDT with a 32-bit base, from the word after the code. The bytes are copied, so that the
        # address is an offset in DS.
        .byte {operand_size_prefix}, 0x0f, 0x01, 0x16
        .word l1_trampoline_gdtr - l1_trampoline
        mov eax, cr0
        or al, {pe}
        mov cr0, eax
        # A far jump with a 32-bit offset, which the copy has unchanged.
        .byte {operand_size_prefix}, {far_jump}
        .long l1_trampoline32
        .word {code32}
    .globl l1_trampoline_gdtr
    l1_trampoline_gdtr:
        .word 0
        .long 0
    l1_trampoline_taken:
        .word 0
    .globl l1_trampoline_end
    l1_trampoline_end:
    .code32
    l1_trampoline32:
        mov eax, {data}
        mov ds, eax
        mov ss, eax
        jmp l1_second32
    .code64
    .text
    "#,
    operand_size_prefix = const 0x66,
    lock = const 0xf0,
    far_jump = const 0xea,
    pe = const Cr0Flags::PROTECTED_MODE_ENABLE.bits(),
    code32 = const CODE32_SELECTOR,
    data = const DATA_SELECTOR,
);

unsafe extern "C" {
    static l1_trampoline: u8;
    static l1_trampoline_gdtr: u8;
    static l1_trampoline_end: u8;
    static l1_boot_gdtr: [u8; 6];
}

/// Why there is no second processor.
#[derive(Clone, Copy, Debug)]
pub enum NoSecond {
    /// There is no local APIC in xAPIC mode.
    Apic,
    /// The VMM does not make one.
    Refused(Status),
    /// The page of the trampoline is no memory.
    Trampoline,
    /// None answers.
    Silent,
    /// It came, and could not go on.
    Dead(&'static str),
}

impl fmt::Display for NoSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("needs a second vCPU")?;
        match self {
            Self::Apic => f.write_str(", and a local APIC in xAPIC mode to start it"),
            Self::Refused(status) => write!(f, ": {status}"),
            Self::Trampoline => write!(f, ", and memory at {TRAMPOLINE:#x} to start it"),
            Self::Silent => f.write_str(": none answers INIT and SIPI"),
            Self::Dead(why) => write!(f, ": it does not get through its start: {why}"),
        }
    }
}

/// Sends the interrupt that announces a change to the other processor.
pub fn interrupt_other(apic: Apic) {
    apic.send(mailbox::second_id(), ASSERT | u32::from(INTERRUPT_VECTOR));
}

/// Starts the second processor and waits until it takes jobs.
pub fn start(apic: Apic) -> Result<(), NoSecond> {
    if channel::present() {
        match channel::ask(Ask::SecondProcessor.word()) {
            Status::Done => {}
            refused => return Err(NoSecond::Refused(refused)),
        }
    }
    write_trampoline()?;
    mailbox::reset();
    apic.send_to_others(ASSERT | INIT);
    (0..INIT_POLLS).for_each(|_| spin_loop());
    let came = |polls| mailbox::wait(polls, || mailbox::second_state() != SecondState::Off);
    let startup = ASSERT | STARTUP | (TRAMPOLINE >> 12) as u32;
    for polls in [FIRST_POLLS, START_POLLS] {
        apic.send_to_others(startup);
        if came(polls) {
            break;
        }
    }
    match mailbox::second_state() {
        SecondState::Ready => Ok(()),
        SecondState::Dead => Err(NoSecond::Dead(mailbox::last_words())),
        SecondState::Off | SecondState::Halted => Err(NoSecond::Silent),
    }
}

fn write_trampoline() -> Result<(), NoSecond> {
    let page = TRAMPOLINE as *mut u8;
    // SAFETY: the page is below 1 MiB, where no part of L1 is; the low 4 GiB are mapped. What is
    // copied are the trampoline's bytes, and the boot GDT's limit and 32-bit base after them.
    unsafe {
        let len = (&raw const l1_trampoline_end) as usize - (&raw const l1_trampoline) as usize;
        let gdtr = (&raw const l1_trampoline_gdtr) as usize - (&raw const l1_trampoline) as usize;
        for at in 0..len {
            page.add(at).write_volatile((&raw const l1_trampoline).add(at).read());
        }
        for (at, byte) in (&raw const l1_boot_gdtr).read().into_iter().enumerate() {
            page.add(gdtr + at).write_volatile(byte);
        }
        if page.read_volatile() != (&raw const l1_trampoline).read() {
            return Err(NoSecond::Trampoline);
        }
    }
    Ok(())
}
