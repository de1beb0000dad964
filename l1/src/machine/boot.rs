//! From the loader to Rust: headers for multiboot2 and PVH, and the way from 32-bit to 64-bit mode.
//!
//! Both protocols enter at `l1_start32` in flat 32-bit protected mode with paging and interrupts off
//! (Multiboot2 specification, "Machine state"; Xen `docs/misc/pvh.pandoc`): multiboot2 with EAX = 36D76289H
//! and its information in EBX, PVH with its start information in EBX.
#![allow(unsafe_code, reason = "the entry is assembly")]

use core::arch::global_asm;

/// The magic of a multiboot2 header.
const MULTIBOOT2_HEADER: u32 = 0xe852_50d6;
/// XEN_ELFNOTE_PHYS32_ENTRY: the note with the 32-bit entry point of PVH.
const PHYS32_ENTRY: u32 = 18;
/// CR0: PE, MP, ET, NE, WP, PG.
const CR0: u32 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
/// CR4: PAE, OSFXSR, OSXMMEXCPT. Precompiled `core` uses SSE2.
const CR4: u32 = 1 << 5 | 1 << 9 | 1 << 10;
const IA32_EFER: u32 = 0xc000_0080;
const EFER_LME: u32 = 1 << 8;
/// P, R/W of a table; with PS of a 2 MiB page.
const TABLE: u32 = 0x3;
const LARGE_PAGE: u32 = 0x83;
const GIB_MAPPED: u32 = 4;
/// The scenes of an act, their ends and the oracle are deep: 64 KiB would not do. Below the stack are page tables.
const STACK: u32 = 128 * 1024;

/// Selector of L1's code segment.
pub const CODE_SELECTOR: u16 = 0x08;
/// Selector of L1's data segment.
pub const DATA_SELECTOR: u16 = 0x10;
/// Selector of the 32-bit code segment by which a second processor comes from real mode, in the boot GDT alone.
pub const CODE32_SELECTOR: u16 = 0x18;
/// Selector of L1's task-state segment, see [`crate::machine::exception`].
pub const TSS_SELECTOR: u16 = 0x18;

global_asm!(
    r#"
    .section .multiboot2, "a"
    .balign 8
    l1_multiboot2:
        .long {multiboot2}, 0, l1_multiboot2_end - l1_multiboot2
        .long -({multiboot2} + (l1_multiboot2_end - l1_multiboot2))
        # The tag that ends the header.
        .word 0, 0
        .long 8
    l1_multiboot2_end:

    .section .note.Xen, "a", @note
    .balign 4
        .long 4, 4, {phys32_entry}
        .asciz "Xen"
        .long l1_start32

    .section .boot, "ax"
    .code32
    .globl l1_start32
    l1_start32:
        cli
        cld
        mov esp, offset l1_boot_stack_top
        # The loader's EAX and EBX become the first two arguments of l1_main.
        mov edi, eax
        mov esi, ebx

        # Map the low 4 GiB one to one: the local APIC's page and all that a loader hands over is there.
        mov eax, offset l1_boot_pd
        or eax, {table}
        xor ecx, ecx
    1:  mov [l1_boot_pdpt + ecx * 8], eax
        add eax, 4096
        inc ecx
        cmp ecx, {gib}
        jne 1b
        mov eax, offset l1_boot_pdpt
        or eax, {table}
        mov [l1_boot_pml4], eax
        xor ecx, ecx
    2:  mov eax, ecx
        shl eax, 21
        or eax, {large_page}
        mov [l1_boot_pd + ecx * 8], eax
        inc ecx
        cmp ecx, {gib} * 512
        jne 2b

        mov eax, offset l1_boot_pml4
        mov cr3, eax
        mov eax, {cr4}
        mov cr4, eax
        mov ecx, {ia32_efer}
        rdmsr
        or eax, {efer_lme}
        wrmsr
        mov eax, {cr0}
        mov cr0, eax
        lgdt [l1_boot_gdtr]
        ljmp {code}, offset l1_start64

    # A second processor: 32-bit protected mode, paging off, DS and SS flat, see `smp::start`.
    .globl l1_second32
    l1_second32:
        mov eax, offset l1_boot_pml4
        mov cr3, eax
        mov eax, {cr4}
        mov cr4, eax
        mov ecx, {ia32_efer}
        rdmsr
        or eax, {efer_lme}
        wrmsr
        mov eax, {cr0}
        mov cr0, eax
        ljmp {code}, offset l1_second64

    .code64
    l1_second64:
        mov eax, {data}
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, offset l1_second_stack_top
        xor ebp, ebp
        call {second_main}
        ud2

    l1_start64:
        mov eax, {data}
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        # The upper halves are not defined behind a mode switch.
        mov esp, offset l1_boot_stack_top
        mov edi, edi
        mov esi, esi
        xor ebp, ebp
        call {main}
        ud2

    .balign 8
    l1_boot_gdt:
        .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
    .globl l1_boot_gdtr
    l1_boot_gdtr:
        .word . - l1_boot_gdt - 1
        .quad l1_boot_gdt

    .section .bss.boot, "aw", @nobits
    .balign 4096
    l1_boot_pml4: .skip 4096
    l1_boot_pdpt: .skip 4096
    l1_boot_pd:   .skip {gib} * 4096
    l1_boot_stack: .skip {stack}
    l1_boot_stack_top:
    l1_second_stack: .skip {stack}
    l1_second_stack_top:
    .text
    "#,
    multiboot2 = const MULTIBOOT2_HEADER,
    phys32_entry = const PHYS32_ENTRY,
    table = const TABLE,
    large_page = const LARGE_PAGE,
    gib = const GIB_MAPPED,
    cr0 = const CR0,
    cr4 = const CR4,
    ia32_efer = const IA32_EFER,
    efer_lme = const EFER_LME,
    code = const CODE_SELECTOR,
    data = const DATA_SELECTOR,
    stack = const STACK,
    main = sym crate::l1_main,
    second_main = sym crate::smp::second_main,
);
