//! The boot ROM: from the reset vector to a kernel's entry, in about two hundred instructions.
//!
//! On entry: an x86-64 CPU fresh from reset, in real mode at F000:FFF0, A20 in any state, caches
//! disabled in CR0. The VMM has put one blob into RAM from 1 MiB up; it starts with the parameter
//! block (see [`Parameters`]) and holds everything else at its final place. No stack is used and
//! nothing below 1 MiB is touched before the blob was checked.
//!
//! On exit, by the block's `kind`:
//! 1. as a multiboot2 loader leaves the machine: flat 32-bit protected mode, paging off, A20 on,
//!    interrupts off, EAX = 0x36d76289, EBX = the block's argument (the multiboot2 information);
//! 2. as Linux' 64-bit boot protocol has it: long mode, the first 4 GiB mapped one to one by 2 MiB
//!    pages (tables at 0x1000 to 0x6fff), CS = 0x10, data segments = 0x18, interrupts off, RSI =
//!    the block's argument (`boot_params`).
//!
//! In both cases the MTRRs are on with write-back as the default type, and the BIOS data area says
//! how much memory is below 1 MiB, as firmware would set them.
//!
//! Bochs allocates guest RAM in blocks, in the order in which the guest touches them, but loads a
//! file into host memory in one piece. So the first duty is to touch the blob's pages in ascending
//! order: that makes guest and host order agree. A mark at the blob's end proves it.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "assembly runs before there is any Rust environment")]

use core::arch::global_asm;
use core::mem::offset_of;

use spec::manual::descriptor::{CODE_32, CODE_64, DATA};
use spec::manual::paging::Entry;

/// Physical address of the parameter block.
const PARAMETERS: u32 = 0x10_0000;

/// The parameter block, little-endian.
#[repr(C)]
struct Parameters {
    /// [`MAGIC`].
    magic: u32,
    /// 1 or 2, see above.
    kind: u32,
    /// Where the image is entered.
    entry: u32,
    /// What it is given.
    argument: u32,
    /// The first address after the blob, a multiple of 4 KiB. The blob's last word is [`END_MARK`].
    end: u32,
}

/// First word of the parameter block: "MMRP".
const MAGIC: u32 = u32::from_le_bytes(*b"MMRP");
/// Last word of the blob: "MMRE".
const END_MARK: u32 = u32::from_le_bytes(*b"MMRE");
const WORD: u32 = size_of::<u32>() as u32;
/// `kind` of an image that is entered as a multiboot2 loader does.
const KIND_MULTIBOOT2: u32 = 1;
/// What EAX holds there. Multiboot2 specification, "Machine state".
const MULTIBOOT2_EAX: u32 = 0x36d7_6289;

/// Where the ROM is below 1 MiB, and the segment of real mode that begins there.
const ROM_BASE: u32 = 0xf_0000;
const ROM_SEGMENT: u32 = ROM_BASE >> 4;

/// Selectors of the GDT below.
const CODE_32_SELECTOR: u32 = 0x08;
const CODE_64_SELECTOR: u32 = 0x10;
const DATA_SELECTOR: u32 = 0x18;

/// System control port A of a PC, with the bits that let address line 20 through and reset the CPU.
const CONTROL_PORT: u32 = 0x92;
const A20: u32 = 1 << 1;
const RESET: u32 = 1 << 0;
/// Bochs prints what is written there.
const TEXT_PORT: u32 = 0xe9;
/// Bytes of each of the two lines that the host looks for there.
const TEXT_LENGTH: u32 = 24;
/// Bochs powers off when the word "Shutdown" arrives here.
const SHUTDOWN_PORT: u32 = 0x8900;
const SHUTDOWN_LENGTH: u32 = 8;

const CR0_PE: u32 = 1;
const CR0_NW: u32 = 1 << 29;
const CR0_CD: u32 = 1 << 30;
const CR0_PG: u32 = 1 << 31;
const CR4_PAE: u32 = 1 << 5;
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
/// Type write-back, MTRRs enabled, fixed-range MTRRs disabled: their reset value is undefined.
const MTRR_ON_WRITE_BACK: u32 = 6 | 1 << 11;
const MSR_EFER: u32 = 0xc000_0080;
const EFER_LME: u32 = 1 << 8;

/// Where a BIOS says how many KiB of memory there are below 1 MiB, and how many there are: those that
/// the runner's memory map has.
const BASE_MEMORY: u32 = 0x413;
const BASE_MEMORY_KIB: u32 = 0x9_f000 >> 10;

const PAGE: u32 = 4096;
const LARGE_PAGE: u32 = 2 << 20;
/// Bytes of a paging-structure entry.
const ENTRY: u32 = 8;
/// Physical addresses of Linux' page tables: PML4, PDPT, and four page directories, one for each
/// GiB.
const PML4: u32 = 0x1000;
const PDPT: u32 = PML4 + PAGE;
const PDS: u32 = PDPT + PAGE;
const GIB_MAPPED: u32 = 4;
const TABLE_FLAGS: u64 = Entry::P.union(Entry::RW).bits();
const LARGE_PAGE_FLAGS: u64 = TABLE_FLAGS | Entry::PS.bits();

global_asm!(
    r#"
    # Where the CPU starts. The linker script puts it at 0xffff0.
    .section .rom.reset, "ax"
    .code16
    .globl reset_vector
    reset_vector:
        # A far jump out of the last 16 bytes, with 16-bit offset. The assembler has no name for it here.
        .byte {far_jump}
        .short start16 - {rom_base}, {rom_segment}
    .code64

    # What the host checks before it trusts that it and this ROM mean the same parameter block.
    .section .rom.header, "a"
        .long {magic}, {parameters}

    .section .rom.code, "ax"
    # In the order of the selectors. The accessed bits are set: this is ROM, the CPU could not set them.
    .balign 8
    gdt:
        .quad 0, {code_32}, {code_64}, {data}
    gdt_end:
    gdt_pointer:
        .short gdt_end - gdt - 1
        .long gdt

    # A far jump with 32-bit offset. In 16-bit code a prefix goes before it.
    .macro FAR_JUMP32 selector, target
        .byte {far_jump}
        .long \target
        .short \selector
    .endm

    .code16
    start16:
        cli
        # Without A20 every second MiB, the parameter block's first, is the one below it.
        in al, {control_port}
        or al, {a20}
        and al, {no_reset}
        out {control_port}, al
        # To flat 32-bit protected mode, and caches on: reset leaves them off.
        lgdt cs:[gdt_pointer - {rom_base}]
        mov eax, cr0
        and eax, {caches_on}
        or eax, {pe}
        mov cr0, eax
        .byte {operand_size_prefix}
        FAR_JUMP32 {code_32_selector}, start32

    .code32
    start32:
        mov eax, {data_selector}
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        cld

        # Touch the blob's pages in ascending order: in that order Bochs lays out the guest's RAM.
        mov esi, {parameters}
        cmp dword ptr [esi + {p_magic}], {magic}
        jne damaged
        mov edi, [esi + {p_end}]
        mov ecx, esi
    2:  mov al, [ecx]
        add ecx, {page}
        cmp ecx, edi
        jb 2b
        # The mark at the end is found only if guest and host order agree.
        cmp dword ptr [edi - {word}], {end_mark}
        jne damaged

        # Tell the host where the guest's own output begins.
        mov esi, offset started_text
        mov ecx, {text_length}
        mov edx, {text_port}
        rep outsb

        # Xen puts code below 1 MiB, at the end of that memory.
        mov word ptr [{base_memory}], {base_memory_kib}

        # Firmware would have turned the MTRRs on.
        mov ecx, {mtrr_def_type}
        mov eax, {mtrr_on}
        xor edx, edx
        wrmsr

        # EBP and EBX hold entry and argument up to the image.
        mov esi, {parameters}
        mov ebp, [esi + {p_entry}]
        mov ebx, [esi + {p_argument}]
        cmp dword ptr [esi + {p_kind}], {multiboot2}
        jne enter_linux64
        mov eax, {multiboot2_eax}
        jmp ebp

    # The host sees why, and Bochs powers off.
    damaged:
        mov esi, offset damaged_text
        mov ecx, {text_length}
        mov edx, {text_port}
        rep outsb
        mov esi, offset shutdown_text
        mov ecx, {shutdown_length}
        mov edx, {shutdown_port}
        rep outsb
    3:  hlt
        jmp 3b

    enter_linux64:
        # RAM need not hold 0: clear the PML4 and the PDPT, which are not filled.
        mov edi, {pml4}
        mov ecx, 2 * {page} / {word}
        xor eax, eax
        rep stosd
        mov dword ptr [{pml4}], {pdpt} + {table_flags}
        # One entry for each page directory. EAX becomes the next directory's.
        mov edi, {pdpt}
        mov eax, {pds} + {table_flags}
    4:  mov [edi], eax
        add eax, {page}
        add edi, {entry}
        cmp edi, {pdpt} + {gib} * {entry}
        jb 4b
        # The directories follow one another: map the first 4 GiB one to one by large pages.
        mov edi, {pds}
        mov eax, {large_page_flags}
    5:  mov [edi], eax
        mov dword ptr [edi + {word}], 0
        add eax, {large_page}
        add edi, {entry}
        cmp edi, {pds} + {gib} * {page}
        jb 5b

        # 64-bit mode needs PAE, a root table and LME before PG, and a far jump after it.
        mov eax, {pml4}
        mov cr3, eax
        mov eax, {pae}
        mov cr4, eax
        mov ecx, {efer}
        rdmsr
        or eax, {lme}
        wrmsr
        mov eax, cr0
        or eax, {pg}
        mov cr0, eax
        FAR_JUMP32 {code_64_selector}, start64

    .code64
    start64:
        # A write to 32 bits clears the upper half, which is undefined after the mode switch.
        mov esi, ebx
        mov eax, ebp
        jmp rax

    started_text: .ascii "\nmaskmatch-rom: started\n"
    damaged_text: .ascii "\nmaskmatch-rom: damaged\n"
    shutdown_text: .ascii "Shutdown"
    .text
    "#,
    far_jump = const 0xea,
    operand_size_prefix = const 0x66,
    rom_base = const ROM_BASE,
    rom_segment = const ROM_SEGMENT,
    code_32 = const CODE_32,
    code_64 = const CODE_64,
    data = const DATA,
    code_32_selector = const CODE_32_SELECTOR,
    code_64_selector = const CODE_64_SELECTOR,
    data_selector = const DATA_SELECTOR,
    control_port = const CONTROL_PORT,
    a20 = const A20,
    no_reset = const !RESET & 0xff,
    caches_on = const !(CR0_CD | CR0_NW),
    pe = const CR0_PE,
    pg = const CR0_PG,
    pae = const CR4_PAE,
    efer = const MSR_EFER,
    lme = const EFER_LME,
    mtrr_def_type = const MSR_MTRR_DEF_TYPE,
    mtrr_on = const MTRR_ON_WRITE_BACK,
    parameters = const PARAMETERS,
    p_magic = const offset_of!(Parameters, magic),
    p_kind = const offset_of!(Parameters, kind),
    p_entry = const offset_of!(Parameters, entry),
    p_argument = const offset_of!(Parameters, argument),
    p_end = const offset_of!(Parameters, end),
    magic = const MAGIC,
    end_mark = const END_MARK,
    word = const WORD,
    multiboot2 = const KIND_MULTIBOOT2,
    multiboot2_eax = const MULTIBOOT2_EAX,
    text_port = const TEXT_PORT,
    text_length = const TEXT_LENGTH,
    shutdown_port = const SHUTDOWN_PORT,
    shutdown_length = const SHUTDOWN_LENGTH,
    base_memory = const BASE_MEMORY,
    base_memory_kib = const BASE_MEMORY_KIB,
    page = const PAGE,
    large_page = const LARGE_PAGE,
    entry = const ENTRY,
    pml4 = const PML4,
    pdpt = const PDPT,
    pds = const PDS,
    gib = const GIB_MAPPED,
    table_flags = const TABLE_FLAGS,
    large_page_flags = const LARGE_PAGE_FLAGS,
);

/// Nothing here is Rust that could panic, but a binary without `std` must say what would happen.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
