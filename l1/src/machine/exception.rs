//! Exceptions in L1: each ends its processor with the reason instead of a triple fault, except for
//! those of [`crate::machine::expected`]. Each processor has tables of its own.
#![allow(unsafe_code, reason = "loads descriptor tables; the stubs are assembly")]

use core::arch::global_asm;
use core::fmt::Display;
use core::mem::offset_of;

use spec::manual::vector::{EXCEPTIONS, NMI, PAGE_FAULT, WITH_ERROR_CODE};
use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::Entry;
use x86_64::structures::tss::TaskStateSegment;

use crate::machine::boot::{CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};
use crate::machine::expected::{EXPECTED, Expected, STRAY};
use crate::machine::global::Global;
use crate::machine::log;

const VECTORS: usize = EXCEPTIONS as usize;
/// Bytes of a stub.
const STUB: usize = 16;
const STACK_SIZE: usize = 8 * 1024;

#[repr(C, align(16))]
struct Stack([u8; STACK_SIZE]);

/// What ends a processor that cannot go on. It is given why.
pub type OnFailure = fn(&dyn Display) -> !;

/// What a processor has for its exceptions.
struct Tables {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    idt: [Entry<()>; VECTORS],
    on_failure: OnFailure,
}

impl Tables {
    const fn new(on_failure: OnFailure) -> Self {
        Self {
            gdt: GlobalDescriptorTable::empty(),
            tss: TaskStateSegment::new(),
            idt: [Entry::missing(); VECTORS],
            on_failure,
        }
    }
}

/// Of each processor. What comes before [`catch_all`] is an error of maskmatch in the log.
static TABLES: [Global<Tables>; 2] = [const { Global::new(Tables::new(log::end_with_error)) }; 2];
static STACKS: [Global<Stack>; 2] = [const { Global::new(Stack([0; STACK_SIZE])) }; 2];

/// What the stubs leave on the stack.
#[repr(C)]
struct Interrupted {
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

global_asm!(
    r#"
    .section .text.exception, "ax"
    # One stub for each vector, all of one size. They make the two kinds of frame the same.
    .balign {stub}
    .globl l1_exception_stubs
    l1_exception_stubs:
    .set l1_vector, 0
    .rept {vectors}
        .balign {stub}
        .if ({with_error_code} >> l1_vector) & 1
        .else
            push 0
        .endif
        push l1_vector
        jmp l1_exception_common
        .set l1_vector, l1_vector + 1
    .endr

    # On the stack: `Interrupted`.
    l1_exception_common:
        cmp qword ptr [rsp + {vector}], {nmi}
        jne 2f
        # One that was for L2 comes here if L0 delivers it late. L1 makes none for itself.
        cmp qword ptr [rip + {expected} + {late_nmis}], 0
        je 3f
        add rsp, {rip}
        iretq
        # Right where VM exits lead, no instruction of L1's can have raised it: it was L2's. One by
        # an instruction of L2 comes with that one's length, at most 2, added to RIP: within the
        # first instruction of L1, which begins again.
    4:  push rax
        lea rax, [rip + l1_exit + 2]
        sub rax, [rsp + 8 + {rip}]
        cmp rax, 2
        jbe 5f
        lea rax, [rip + l1_exit_of_walk + 2]
        sub rax, [rsp + 8 + {rip}]
        cmp rax, 2
        jbe 5f
        pop rax
        jmp 1f
        # RAX is 2 less what was added.
    5:  add [rsp + 8 + {rip}], rax
        sub qword ptr [rsp + 8 + {rip}], 2
        pop rax
    3:  bts qword ptr [rsp + {vector}], {stray_bit}
        push rax
        mov rax, [rsp + 8 + {vector}]
        mov [rip + {expected} + {stray}], rax
        pop rax
        add rsp, {rip}
        iretq
    2:  cmp qword ptr [rsp + {vector}], {page_fault}
        jne 4b
        cmp qword ptr [rip + {expected} + {resume}], 0
        je 4b
        # One that L1 waits for: note it, and go on where L1 says.
        mov [rip + {expected} + {saved}], rax
        mov rax, [rsp + {error_code}]
        mov [rip + {expected} + {last_error_code}], rax
        mov rax, cr2
        mov [rip + {expected} + {last_cr2}], rax
        mov rax, [rsp + {rip}]
        mov [rip + {expected} + {last_rip}], rax
        mov rax, [rsp + {cs}]
        mov [rip + {expected} + {last_cs}], rax
        mov rax, [rsp + {rflags}]
        mov [rip + {expected} + {last_rflags}], rax
        inc qword ptr [rip + {expected} + {count}]
        mov rax, [rip + {expected} + {resume}]
        mov [rsp + {rip}], rax
        mov rax, [rip + {expected} + {saved}]
        add rsp, {rip}
        iretq
    1:  cld
        mov rdi, rsp
        # A call of Rust needs a stack aligned to 16.
        and rsp, -16
        call {handler}
        ud2
    .text
    "#,
    stub = const STUB,
    vectors = const VECTORS,
    with_error_code = const WITH_ERROR_CODE,
    handler = sym handler,
    nmi = const NMI,
    page_fault = const PAGE_FAULT,
    vector = const offset_of!(Interrupted, vector),
    error_code = const offset_of!(Interrupted, error_code),
    rip = const offset_of!(Interrupted, rip),
    cs = const offset_of!(Interrupted, cs),
    rflags = const offset_of!(Interrupted, rflags),
    expected = sym EXPECTED,
    late_nmis = const offset_of!(Expected, late_nmis),
    stray = const offset_of!(Expected, stray),
    stray_bit = const STRAY.trailing_zeros(),
    resume = const offset_of!(Expected, resume),
    count = const offset_of!(Expected, count),
    saved = const offset_of!(Expected, saved),
    last_error_code = const offset_of!(Expected, last.error_code),
    last_cr2 = const offset_of!(Expected, last.cr2),
    last_rip = const offset_of!(Expected, last.rip),
    last_cs = const offset_of!(Expected, last.cs),
    last_rflags = const offset_of!(Expected, last.rflags),
);

unsafe extern "C" {
    fn l1_exception_stubs();
}

/// Loads GDT, TSS and IDT of this processor (0 or 1). Every vector below 32 has a handler on a
/// stack of its own, which ends the processor by `on_failure`.
pub fn catch_all(processor: usize, on_failure: OnFailure) {
    let tables = TABLES[processor].get();
    // SAFETY: only this processor uses these tables, and it has not loaded them since it was
    // started: no reference to them is alive.
    let tables = unsafe {
        tables.write(Tables::new(on_failure));
        &mut *tables
    };
    tables.tss.interrupt_stack_table[0] =
        VirtAddr::new_truncate(STACKS[processor].get().wrapping_add(1) as u64);

    // The order of `boot`'s selectors.
    tables.gdt.append(Descriptor::kernel_code_segment());
    tables.gdt.append(Descriptor::kernel_data_segment());
    // SAFETY: the tables are static; the stubs are code for these vectors; CS and SS mean the same
    // in the new GDT, as the assertion at the end of this file says; the IDT's limit covers its
    // entries.
    unsafe {
        let tss = tables.gdt.append(Descriptor::tss_segment_unchecked(&raw const tables.tss));
        tables.gdt.load_unsafe();
        load_tss(tss);
        for (vector, gate) in tables.idt.iter_mut().enumerate() {
            let stub = l1_exception_stubs as *const () as u64 + (STUB * vector) as u64;
            gate.set_handler_addr(VirtAddr::new_truncate(stub)).set_stack_index(0);
        }
        let limit = (size_of_val(&tables.idt) - 1) as u16;
        let base = VirtAddr::new_truncate(tables.idt.as_ptr() as u64);
        x86_64::instructions::tables::lidt(&DescriptorTablePointer { limit, base });
    }
}

/// Linear address of this processor's TSS, which VM exits load into TR.
pub fn tss_base() -> u64 {
    // SAFETY: computes an address, reads nothing.
    unsafe { &raw const (*TABLES[processor()].get()).tss as u64 }
}

/// Which processor this is: the one whose tables it has.
pub fn processor() -> usize {
    // SAFETY: computes an address, reads nothing.
    let second = unsafe { &raw const (*TABLES[1].get()).gdt as u64 };
    let size = size_of::<GlobalDescriptorTable>() as u64;
    let base = x86_64::instructions::tables::sgdt().base.as_u64();
    usize::from((second..second + size).contains(&base))
}

/// Ends this processor, which cannot go on.
pub fn give_up(why: &dyn Display) -> ! {
    // SAFETY: `catch_all` wrote the field, or its first value is there; this processor writes it no
    // more.
    let on_failure = unsafe { (&raw const (*TABLES[processor()].get()).on_failure).read() };
    on_failure(why)
}

extern "C" fn handler(at: &Interrupted) -> ! {
    let Interrupted { vector, error_code, rip, cs, rflags, rsp, .. } = at;
    let cr2 = Cr2::read_raw();
    give_up(&format_args!(
        "exception in L1: vector={vector} ec={error_code:x} rip={rip:x} cr2={cr2:x} cs={cs:x} rflags={rflags:x} rsp={rsp:x}"
    ))
}

// The order in which `catch_all` appends its segments gives them the selectors of `boot`.
const _: () = assert!(CODE_SELECTOR == 0x08 && DATA_SELECTOR == 0x10 && TSS_SELECTOR == 0x18);
