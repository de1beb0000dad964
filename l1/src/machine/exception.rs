//! Exceptions in L1: each ends the log with an error record instead of a triple fault, but for page faults
//! that [`crate::walk::l1_faults`] provokes, which are noted there. On the second processor, which has tables of its own, each ends
//! what that processor does.
#![allow(unsafe_code, reason = "loads descriptor tables; the stubs are assembly")]

use core::arch::global_asm;
use core::mem::offset_of;

use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::Entry;
use x86_64::structures::tss::TaskStateSegment;

use crate::machine::boot::{CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};
use crate::machine::global::Global;
use crate::machine::log::{self, log};
use crate::smp;
use crate::walk::l1_faults::{FAULTS, Faults};

const VECTORS: usize = 32;
const STACK_SIZE: usize = 8 * 1024;
/// The vectors that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX.
/// SDM vol. 3A, table 6-1, "Protected-Mode Exceptions and Interrupts".
pub const WITH_ERROR_CODE: u32 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;

#[repr(C, align(16))]
struct Stack([u8; STACK_SIZE]);

struct Tables {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    idt: [Entry<()>; VECTORS],
}

/// Of each processor.
static TABLES: [Global<Tables>; 2] = [const {
    Global::new(Tables {
        gdt: GlobalDescriptorTable::empty(),
        tss: TaskStateSegment::new(),
        idt: [Entry::missing(); VECTORS],
    })
}; 2];
static STACKS: [Global<Stack>; 2] = [const { Global::new(Stack([0; STACK_SIZE])) }; 2];

/// What the stubs leave on the stack.
#[repr(C)]
struct Frame {
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

// One stub of 16 bytes for each vector: it makes the two kinds of frame the same.
global_asm!(
    r#"
    .section .text.exception, "ax"
    .balign 16
    .globl l1_exception_stubs
    l1_exception_stubs:
    .set l1_vector, 0
    .rept {vectors}
        .balign 16
        .if ({with_error_code} >> l1_vector) & 1
        .else
            push 0
        .endif
        push l1_vector
        jmp l1_exception_common
        .set l1_vector, l1_vector + 1
    .endr
    l1_exception_common:
        # On the stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
        cmp qword ptr [rsp], {nmi}
        jne 2f
        # One that was for L2 comes here if L0 delivers it late.
        cmp qword ptr [rip + {faults} + {late_nmis}], 0
        je 1f
        add rsp, 16
        iretq
    2:  cmp qword ptr [rsp], {page_fault}
        jne 1f
        cmp qword ptr [rip + {faults} + {resume}], 0
        je 1f
        mov [rip + {faults} + {saved}], rax
        mov rax, [rsp + 8]
        mov [rip + {faults} + {last}], rax
        mov rax, cr2
        mov [rip + {faults} + {last} + 8], rax
        mov rax, [rsp + 16]
        mov [rip + {faults} + {last} + 16], rax
        mov rax, [rsp + 24]
        mov [rip + {faults} + {last} + 24], rax
        mov rax, [rsp + 32]
        mov [rip + {faults} + {last} + 32], rax
        inc qword ptr [rip + {faults} + {count}]
        mov rax, [rip + {faults} + {resume}]
        mov [rsp + 16], rax
        mov rax, [rip + {faults} + {saved}]
        add rsp, 16
        iretq
    1:  cld
        mov rdi, rsp
        and rsp, -16
        call {handler}
        ud2
    .text
    "#,
    vectors = const VECTORS,
    with_error_code = const WITH_ERROR_CODE,
    handler = sym handler,
    nmi = const 2,
    page_fault = const 14,
    late_nmis = const offset_of!(Faults, late_nmis),
    faults = sym FAULTS,
    resume = const offset_of!(Faults, resume),
    count = const offset_of!(Faults, count),
    last = const offset_of!(Faults, last),
    saved = const offset_of!(Faults, saved),
);

unsafe extern "C" {
    fn l1_exception_stubs();
}

/// Loads GDT, TSS and IDT of this processor (0 or 1); every vector below 32 has a handler on a stack of its own.
pub fn catch_all(processor: usize) {
    let tables = TABLES[processor].get();
    // SAFETY: the first call on a processor that was just started; nothing else refers to its tables.
    let tables = unsafe {
        tables.write(Tables {
            gdt: GlobalDescriptorTable::empty(),
            tss: TaskStateSegment::new(),
            idt: [Entry::missing(); VECTORS],
        });
        &mut *tables
    };
    tables.tss.interrupt_stack_table[0] = VirtAddr::from_ptr(STACKS[processor].get().wrapping_add(1));

    // The order of `boot`'s selectors.
    tables.gdt.append(Descriptor::kernel_code_segment());
    tables.gdt.append(Descriptor::kernel_data_segment());
    // SAFETY: the tables are static; the stubs are code for these vectors; CS and SS mean the same in
    // the new GDT; the IDT's limit covers its entries.
    unsafe {
        let tss = tables.gdt.append(Descriptor::tss_segment_unchecked(&raw const tables.tss));
        tables.gdt.load_unsafe();
        load_tss(tss);
        for (vector, gate) in tables.idt.iter_mut().enumerate() {
            let stub = l1_exception_stubs as *const () as u64 + 16 * vector as u64;
            gate.set_handler_addr(VirtAddr::new(stub)).set_stack_index(0);
        }
        let limit = (size_of_val(&tables.idt) - 1) as u16;
        let base = VirtAddr::from_ptr(tables.idt.as_ptr());
        x86_64::instructions::tables::lidt(&DescriptorTablePointer { limit, base });
    }
}

/// Linear address of this processor's TSS, which VM exits load into TR.
pub fn tss_base() -> u64 {
    // SAFETY: computes an address, reads nothing.
    unsafe { &raw const (*TABLES[processor()].get()).tss as u64 }
}

/// Which processor this is: the tables that it has tell.
pub fn processor() -> usize {
    // SAFETY: computes an address, reads nothing.
    let second = unsafe { &raw const (*TABLES[1].get()).gdt as u64 };
    let size = size_of::<GlobalDescriptorTable>() as u64;
    let base = x86_64::instructions::tables::sgdt().base.as_u64();
    usize::from((second..second + size).contains(&base))
}

extern "C" fn handler(frame: &Frame) -> ! {
    let Frame { vector, error_code, rip, cs, rflags, rsp, .. } = frame;
    let cr2 = Cr2::read_raw();
    if processor() == 1 {
        smp::died(&format_args!("exception {vector} ec={error_code:x} rip={rip:x} cr2={cr2:x}"));
    }
    log().error(&format_args!(
        "exception in L1: vector={vector} ec={error_code:x} rip={rip:x} cr2={cr2:x} cs={cs:x} rflags={rflags:x} rsp={rsp:x}"
    ));
    log::end()
}

// The order in which `catch_all` appends its segments gives them the selectors of `boot`.
const _: () = assert!(CODE_SELECTOR == 0x08 && DATA_SELECTOR == 0x10 && TSS_SELECTOR == 0x18);
