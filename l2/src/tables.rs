//! L2's descriptor tables.
#![allow(
    unsafe_code,
    reason = "loads descriptor tables and hands out addresses of handlers in assembly"
)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use spec::channel::INTERRUPT_VECTOR;
use spec::manual::vector::{EXCEPTIONS, NMI, PAGE_FAULT};
use x86_64::PrivilegeLevel;
use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::walk::{self, BACK_VECTOR};

/// Bytes of each stack: the handlers push a frame of 48 bytes and nothing else.
const STACK: usize = 512;

/// Stacks that the IDT selects, by index.
#[derive(Clone, Copy)]
enum Ist {
    PageFault,
    Back,
    Unexpected,
    Nmi,
    Interrupt,
}

#[repr(C, align(16))]
struct Stacks([[u8; STACK]; 5]);

struct Tables {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    idt: InterruptDescriptorTable,
    stacks: Stacks,
}

struct Once(UnsafeCell<MaybeUninit<Tables>>);

// SAFETY: L2 has one processor, and only `l2_load_tables` touches the tables.
unsafe impl Sync for Once {}

static TABLES: Once = Once(UnsafeCell::new(MaybeUninit::zeroed()));

/// Builds and loads GDT, TSS and IDT. The first entry at `init` and each one after a triple fault
/// does so.
#[unsafe(no_mangle)]
extern "C" fn l2_load_tables() {
    // SAFETY: runs on the one processor with interrupts off, before any of the tables is in use.
    // Bytes of 0 are a table without gates and a stack; GDT and TSS are written before they are
    // used.
    let tables = unsafe { (*TABLES.0.get()).assume_init_mut() };
    tables.gdt = GlobalDescriptorTable::empty();
    tables.tss = TaskStateSegment::new();
    for (at, stack) in tables.stacks.0.iter().enumerate() {
        tables.tss.interrupt_stack_table[at] = VirtAddr::from_ptr(stack.as_ptr_range().end);
    }
    // The order that `walk.rs` counts on: 08H and 10H for the supervisor, 18H and 20H for the user.
    tables.gdt.append(Descriptor::kernel_code_segment());
    tables.gdt.append(Descriptor::kernel_data_segment());
    tables.gdt.append(Descriptor::user_data_segment());
    tables.gdt.append(Descriptor::user_code_segment());
    // SAFETY: the TSS is in a static.
    let tss =
        tables.gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) });
    // SAFETY: the GDT and the IDT are in a static; CS and SS hold selectors that mean the same in
    // the new GDT; each handler is code that ends in IRETQ or VMCALL and uses a stack of its own.
    unsafe {
        tables.gdt.load_unsafe();
        load_tss(tss);
        for vector in 0..EXCEPTIONS {
            let handler = VirtAddr::new(walk::unexpected_handler(vector));
            set_gate(&mut tables.idt, vector, handler, Ist::Unexpected, PrivilegeLevel::Ring0);
        }
        set_gate(
            &mut tables.idt,
            NMI,
            VirtAddr::new(walk::nmi_handler()),
            Ist::Nmi,
            PrivilegeLevel::Ring0,
        );
        set_gate(
            &mut tables.idt,
            PAGE_FAULT,
            VirtAddr::new(walk::page_fault_handler()),
            Ist::PageFault,
            PrivilegeLevel::Ring0,
        );
        let interrupt = VirtAddr::new(walk::interrupt_handler());
        set_gate(
            &mut tables.idt,
            INTERRUPT_VECTOR,
            interrupt,
            Ist::Interrupt,
            PrivilegeLevel::Ring0,
        );
        set_gate(
            &mut tables.idt,
            BACK_VECTOR,
            VirtAddr::new(walk::back_handler()),
            Ist::Back,
            PrivilegeLevel::Ring3,
        );
        tables.idt.load_unsafe();
    }
}

/// Points a vector at a handler.
///
/// # Safety
/// `handler` is the address of code that can be entered by this vector.
unsafe fn set_gate(
    idt: &mut InterruptDescriptorTable,
    vector: u8,
    handler: VirtAddr,
    ist: Ist,
    from: PrivilegeLevel,
) {
    // The crate's table has a type of its own for each vector; a gate's bytes are the same for all.
    let mut gate = Entry::<()>::missing();
    // SAFETY: as the caller says; the stack of the index was set in the TSS.
    unsafe {
        gate.set_handler_addr(handler).set_stack_index(ist as u16).set_privilege_level(from);
        let gates = (&raw mut *idt).cast::<Entry<()>>();
        gates.add(vector.into()).write(gate);
    }
}
