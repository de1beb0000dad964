//! From the loader to Rust: headers for multiboot2 and PVH, and the way from 32-bit to 64-bit mode.
//!
//! On entry at `l1_start32`, by either protocol: flat 32-bit protected mode, paging and interrupts
//! off (Multiboot2 specification, "Machine state"; Xen `docs/misc/pvh.pandoc`). Multiboot2 has
//! 36D76289H in EAX and its information in EBX, PVH its start information in EBX.
//!
//! On entry at `l1_second32`, of a second processor: 32-bit protected mode with the boot GDT,
//! paging and interrupts off, DS and SS flat.
//!
//! A machine without 64-bit mode, or without the memory that L1 needs, goes to
//! [`crate::machine::early`].
//!
//! On exit: 64-bit mode, the low 4 GiB mapped one to one, SSE on, interrupts off, a stack. The
//! first processor goes on at the symbol `l1_main` with the loader's EAX and EBX as arguments, a
//! second one at `l1_second_main`. Neither returns.
#![allow(unsafe_code, reason = "the entry is assembly")]
#![cfg_attr(test, allow(dead_code, unused_imports, reason = "nothing enters the tests here"))]

use core::arch::global_asm;

use spec::manual::descriptor::{CODE_32, CODE_64, DATA};
use spec::manual::paging::Entry;
use x86_64::registers::control::{Cr0Flags, Cr4Flags};
use x86_64::registers::model_specific::EferFlags;

/// The magic of a multiboot2 header.
const MULTIBOOT2_HEADER: u32 = 0xe852_50d6;
/// The architecture of that header: i386, in protected mode.
const MULTIBOOT2_I386: u32 = 0;
/// The tag that ends that header: its type, its flags, and its size in bytes.
const MULTIBOOT2_END: (u16, u16, u32) = (0, 0, 8);
/// XEN_ELFNOTE_PHYS32_ENTRY: the note with the 32-bit entry point of PVH.
const PHYS32_ENTRY: u32 = 18;

const CR0: u64 = Cr0Flags::PROTECTED_MODE_ENABLE
    .union(Cr0Flags::MONITOR_COPROCESSOR)
    .union(Cr0Flags::EXTENSION_TYPE)
    .union(Cr0Flags::NUMERIC_ERROR)
    .union(Cr0Flags::WRITE_PROTECT)
    .union(Cr0Flags::PAGING)
    .bits();
/// Precompiled `core` uses SSE2.
const CR4: u64 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
    .union(Cr4Flags::OSFXSR)
    .union(Cr4Flags::OSXMMEXCPT_ENABLE)
    .bits();
const IA32_EFER: u32 = 0xc000_0080;
const EFER: u64 = EferFlags::LONG_MODE_ENABLE.bits();

/// CPUID leaves: the highest extended one, and the one whose EDX says whether there is 64-bit mode.
const EXTENDED_MAX: u32 = 0x8000_0000;
const EXTENDED: u32 = EXTENDED_MAX + 1;
const LONG_MODE: u8 = 29;

const PAGE: u32 = 4096;
/// Bytes of an entry, and entries of a table.
const ENTRY: u32 = 8;
const ENTRIES: u32 = 512;
/// An address' lowest bit that selects an entry of a page directory.
const LARGE_PAGE_SHIFT: u32 = 21;
const TABLE: u64 = Entry::P.union(Entry::RW).bits();
const LARGE_PAGE: u64 = TABLE | Entry::PS.bits();
const GIB_MAPPED: u32 = 4;
/// The scenes of an act, their ends and the oracle are deep: 64 KiB would not do. Below the stack
/// are page tables.
const STACK: u32 = 128 * 1024;

/// Selector of L1's code segment.
pub const CODE_SELECTOR: u16 = 0x08;
/// Selector of L1's data segment.
pub const DATA_SELECTOR: u16 = 0x10;
/// Selector of the 32-bit code segment by which a second processor comes from real mode, only
/// in the boot GDT.
pub const CODE32_SELECTOR: u16 = 0x18;
/// Selector of L1's task-state segment, see [`crate::machine::exception`].
pub const TSS_SELECTOR: u16 = 0x18;

#[cfg(not(test))]
global_asm!(
    r#"
    .section .multiboot2, "a"
    .balign 8
    l1_multiboot2:
        .long {multiboot2}, {i386}, l1_multiboot2_end - l1_multiboot2
        # The checksum: all four words add up to 0.
        .long -({multiboot2} + {i386} + (l1_multiboot2_end - l1_multiboot2))
        .word {end_type}, {end_flags}
        .long {end_size}
    l1_multiboot2_end:

    # An ELF note: bytes of the name, bytes of the description, type, name, description.
    .section .note.Xen, "a", @note
    .balign 4
        .long l1_note_description - l1_note_name, l1_note_end - l1_note_description, {phys32_entry}
    l1_note_name:
        .asciz "Xen"
    l1_note_description:
        .long l1_start32
    l1_note_end:

    # 64-bit mode needs PAE, a root table and LME before PG. The code segment stays the 32-bit one
    # until the far jump that follows.
    .macro l1_enter_long_mode
        mov eax, offset l1_boot_pml4
        mov cr3, eax
        mov eax, {cr4}
        mov cr4, eax
        mov ecx, {ia32_efer}
        rdmsr
        or eax, {efer}
        wrmsr
        mov eax, {cr0}
        mov cr0, eax
    .endm

    # The loader's selectors mean nothing in the boot GDT.
    .macro l1_load_data_segments
        mov eax, {data_selector}
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
    .endm

    .section .boot, "ax"
    .code32
    .globl l1_start32
    l1_start32:
        cli
        cld
        # The loader's EAX and EBX become the first two arguments of l1_main.
        mov edi, eax
        mov esi, ebx

        # The image's last bytes are there only if the machine has the memory.
        mov eax, [l1_end - 4]
        not eax
        mov [l1_end - 4], eax
        cmp [l1_end - 4], eax
        jne l1_no_memory
        mov eax, {extended_max}
        cpuid
        cmp eax, {extended}
        jb l1_no_long_mode
        mov eax, {extended}
        cpuid
        bt edx, {long_mode}
        jnc l1_no_long_mode
        mov esp, offset l1_boot_stack_top

        # Map the low 4 GiB one to one: the local APIC's page is there, and all that a loader
        # hands over.
        mov eax, offset l1_boot_pd
        or eax, {table}
        xor ecx, ecx
    1:  mov [l1_boot_pdpt + ecx * {entry}], eax
        add eax, {page}
        inc ecx
        cmp ecx, {gib}
        jne 1b
        mov eax, offset l1_boot_pdpt
        or eax, {table}
        mov [l1_boot_pml4], eax
        xor ecx, ecx
    2:  mov eax, ecx
        shl eax, {large_page_shift}
        or eax, {large_page}
        mov [l1_boot_pd + ecx * {entry}], eax
        inc ecx
        cmp ecx, {gib} * {entries}
        jne 2b

        l1_enter_long_mode
        lgdt [l1_boot_gdtr]
        ljmp {code_selector}, offset l1_start64

    # The first processor's page tables serve the second one too, and the trampoline loaded the GDT.
    .globl l1_second32
    l1_second32:
        l1_enter_long_mode
        ljmp {code_selector}, offset l1_second64

    .code64
    l1_second64:
        l1_load_data_segments
        mov esp, offset l1_second_stack_top
        # The outermost frame.
        xor ebp, ebp
        call l1_second_main
        ud2

    l1_start64:
        l1_load_data_segments
        # The upper halves of registers are undefined after a mode switch; a write to 32 bits
        # clears them.
        mov esp, offset l1_boot_stack_top
        mov edi, edi
        mov esi, esi
        # The outermost frame.
        xor ebp, ebp
        call l1_main
        ud2

    # In the order of the selectors.
    .balign 8
    l1_boot_gdt:
        .quad 0, {code_64}, {data}, {code_32}
    l1_boot_gdt_end:
    .globl l1_boot_gdtr
    l1_boot_gdtr:
        .word l1_boot_gdt_end - l1_boot_gdt - 1
        .quad l1_boot_gdt

    .section .bss.boot, "aw", @nobits
    .balign {page}
    l1_boot_pml4: .skip {page}
    l1_boot_pdpt: .skip {page}
    l1_boot_pd:   .skip {gib} * {page}
    l1_boot_stack: .skip {stack}
    l1_boot_stack_top:
    l1_second_stack: .skip {stack}
    l1_second_stack_top:
    .text
    "#,
    multiboot2 = const MULTIBOOT2_HEADER,
    i386 = const MULTIBOOT2_I386,
    end_type = const MULTIBOOT2_END.0,
    end_flags = const MULTIBOOT2_END.1,
    end_size = const MULTIBOOT2_END.2,
    phys32_entry = const PHYS32_ENTRY,
    page = const PAGE,
    entry = const ENTRY,
    entries = const ENTRIES,
    table = const TABLE,
    large_page = const LARGE_PAGE,
    large_page_shift = const LARGE_PAGE_SHIFT,
    gib = const GIB_MAPPED,
    extended_max = const EXTENDED_MAX,
    extended = const EXTENDED,
    long_mode = const LONG_MODE,
    cr0 = const CR0,
    cr4 = const CR4,
    ia32_efer = const IA32_EFER,
    efer = const EFER,
    code_selector = const CODE_SELECTOR,
    data_selector = const DATA_SELECTOR,
    code_64 = const CODE_64,
    data = const DATA,
    code_32 = const CODE_32,
    stack = const STACK,
);

// The boot GDT has its segments at these selectors.
const _: () = assert!(CODE_SELECTOR == 0x08 && DATA_SELECTOR == 0x10 && CODE32_SELECTOR == 0x18);
