//! The boot ROM: from the reset vector to a kernel's entry, in about two hundred instructions.
//!
//! On entry: an x86-64 CPU fresh from reset, in real mode at F000:FFF0, A20 in any state, caches disabled in
//! CR0. The VMM has put one blob into RAM from 1 MiB up; it starts with the parameter block (see `PARAMETERS`)
//! and holds everything else at its final place. No stack is used and nothing below 1 MiB is touched before the
//! blob was checked.
//!
//! On exit, by the block's `kind`:
//! 1. as a multiboot2 loader leaves the machine: flat 32-bit protected mode, paging off, A20 on, interrupts
//!    off, EAX = 0x36d76289, EBX = the block's argument (the multiboot2 information);
//! 2. as Linux' 64-bit boot protocol wants it: long mode, the first 4 GiB mapped one to one by 2 MiB pages
//!    (tables at 0x1000 to 0x6fff), CS = 0x10, data segments = 0x18, interrupts off, RSI = the block's
//!    argument (`boot_params`).
//!
//! In both the MTRRs are on with write-back as default type, which firmware would have seen to.
//!
//! Bochs allocates guest RAM in blocks, in the order in which the guest touches them, but loads a file into
//! host memory in one piece. So the first duty is to touch the blob's pages in ascending order: that makes
//! guest and host order agree. A mark at the blob's end proves it.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "assembly runs before there is any Rust environment")]

use core::arch::global_asm;

/// Physical address of the parameter block, five little-endian 32-bit words:
/// `MAGIC`, kind (1 or 2), entry, argument, end. `end` is the first address past the blob, a multiple of 4 KiB;
/// the blob's last word is `END_MARK`.
const PARAMETERS: u32 = 0x10_0000;
/// First word of the parameter block: "MMRP".
const MAGIC: u32 = u32::from_le_bytes(*b"MMRP");
/// Last word of the blob: "MMRE".
const END_MARK: u32 = u32::from_le_bytes(*b"MMRE");
/// `kind` of an image that is entered as a multiboot2 loader does.
const KIND_MULTIBOOT2: u32 = 1;

/// Bytes of each of the two lines that the host looks for on port 0xe9.
const TEXT_LENGTH: u32 = 24;

const CR0_PE: u32 = 1;
const CR0_NW: u32 = 1 << 29;
const CR0_CD: u32 = 1 << 30;
const CR0_PG: u32 = 1 << 31;
const CR4_PAE: u32 = 1 << 5;
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
/// Type write-back, MTRRs enabled, fixed-range MTRRs disabled: their reset value is undefined.
const MTRR_ON_WRITE_BACK: u32 = 0x806;
const MSR_EFER: u32 = 0xc000_0080;
const EFER_LME: u32 = 1 << 8;

// Where the CPU starts. The linker script puts it at 0xffff0.
global_asm!(
    ".section .rom.reset, \"ax\"",
    ".code16",
    ".globl reset_vector",
    "reset_vector:",
    // jmp 0xf000:start16
    ".byte 0xea",
    ".short start16 - 0xf0000, 0xf000",
    ".code64",
);

// What the host checks before it trusts that it and this ROM mean the same parameter block.
global_asm!(
    ".section .rom.header, \"a\"",
    ".long {magic}, {parameters}",
    magic = const MAGIC,
    parameters = const PARAMETERS,
);

global_asm!(
    ".section .rom.code, \"ax\"",
    ".balign 8",
    // The accessed bits are set: this is ROM, the CPU could not set them.
    "gdt:",
    ".quad 0",
    ".quad 0x00cf9b000000ffff", // 0x08: 32-bit code, flat
    ".quad 0x00af9b000000ffff", // 0x10: 64-bit code
    ".quad 0x00cf93000000ffff", // 0x18: data, flat
    "gdt_end:",
    "gdt_pointer:",
    ".short gdt_end - gdt - 1",
    ".long gdt",
    // jmp selector:target, with 32-bit offset; in 16-bit code a 0x66 prefix goes before it
    ".macro FAR_JUMP32 selector, target",
    ".byte 0xea",
    ".long \\target",
    ".short \\selector",
    ".endm",
    //
    ".code16",
    "start16:",
    "cli",
    // A20 on (bit 1), no reset (bit 0).
    "in al, 0x92",
    "or al, 2",
    "and al, 0xfe",
    "out 0x92, al",
    "lgdt cs:[gdt_pointer - 0xf0000]",
    "mov eax, cr0",
    "and eax, {caches_on}",
    "or eax, {pe}",
    "mov cr0, eax",
    ".byte 0x66",
    "FAR_JUMP32 0x08, start32",
    //
    ".code32",
    "start32:",
    "mov eax, 0x18",
    "mov ds, eax",
    "mov es, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov ss, eax",
    "cld",
    // Touch the blob's pages in ascending order, then look for the mark at its end.
    "mov esi, {parameters}",
    "cmp dword ptr [esi], {magic}",
    "jne damaged",
    "mov edi, [esi + 16]",
    "mov ecx, esi",
    "2: mov al, [ecx]",
    "add ecx, 4096",
    "cmp ecx, edi",
    "jb 2b",
    "cmp dword ptr [edi - 4], {end_mark}",
    "jne damaged",
    // Tell the host where the guest's own output on port 0xe9 begins.
    "mov esi, offset started_text",
    "mov ecx, {text_length}",
    "mov edx, 0xe9",
    "rep outsb",
    "mov ecx, {mtrr_def_type}",
    "mov eax, {mtrr_on}",
    "xor edx, edx",
    "wrmsr",
    "mov esi, {parameters}",
    "mov ebp, [esi + 8]",
    "mov ebx, [esi + 12]",
    "cmp dword ptr [esi + 4], {multiboot2}",
    "jne enter_linux64",
    "mov eax, 0x36d76289",
    "jmp ebp",
    //
    "damaged:",
    "mov esi, offset damaged_text",
    "mov ecx, {text_length}",
    "mov edx, 0xe9",
    "rep outsb",
    // Bochs powers off on these letters.
    "mov esi, offset shutdown_text",
    "mov ecx, 8",
    "mov edx, 0x8900",
    "rep outsb",
    "3: hlt",
    "jmp 3b",
    //
    "enter_linux64:",
    // PML4 at 0x1000, PDPT at 0x2000, four page directories from 0x3000 on.
    "mov edi, 0x1000",
    "mov ecx, 0x2000 / 4",
    "xor eax, eax",
    "rep stosd",
    "mov dword ptr [0x1000], 0x2003",
    "mov dword ptr [0x2000], 0x3003",
    "mov dword ptr [0x2008], 0x4003",
    "mov dword ptr [0x2010], 0x5003",
    "mov dword ptr [0x2018], 0x6003",
    "mov edi, 0x3000",
    "mov eax, 0x83",
    "4: mov [edi], eax",
    "mov dword ptr [edi + 4], 0",
    "add eax, 0x200000",
    "add edi, 8",
    "cmp edi, 0x7000",
    "jb 4b",
    "mov eax, 0x1000",
    "mov cr3, eax",
    "mov eax, {pae}",
    "mov cr4, eax",
    "mov ecx, {efer}",
    "rdmsr",
    "or eax, {lme}",
    "wrmsr",
    "mov eax, cr0",
    "or eax, {pg}",
    "mov cr0, eax",
    "FAR_JUMP32 0x10, start64",
    //
    ".code64",
    "start64:",
    "mov esi, ebx",
    "mov eax, ebp",
    "jmp rax",
    //
    "started_text: .ascii \"\\nmaskmatch-rom: started\\n\"",
    "damaged_text: .ascii \"\\nmaskmatch-rom: damaged\\n\"",
    "shutdown_text: .ascii \"Shutdown\"",
    caches_on = const !(CR0_CD | CR0_NW),
    pe = const CR0_PE,
    pg = const CR0_PG,
    pae = const CR4_PAE,
    efer = const MSR_EFER,
    lme = const EFER_LME,
    mtrr_def_type = const MSR_MTRR_DEF_TYPE,
    mtrr_on = const MTRR_ON_WRITE_BACK,
    parameters = const PARAMETERS,
    magic = const MAGIC,
    end_mark = const END_MARK,
    multiboot2 = const KIND_MULTIBOOT2,
    text_length = const TEXT_LENGTH,
);

/// Nothing here is Rust that could panic, but a binary without `std` must say what would happen.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
