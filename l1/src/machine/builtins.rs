//! The memory functions that compiled code calls: no C library is here to have them.
//!
//! Assembly in full: a linker that optimizes takes others in place of functions that it sees into.
#![allow(unsafe_code, reason = "the functions' contracts are C's; string instructions do the work")]

use core::arch::naked_asm;

/// C's `memcpy`.
///
/// # Safety
/// Both ranges of `count` bytes are valid, and `to` does not begin within the other: then bytes are
/// read before they are overwritten.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep movsq",
        "mov ecx, edx",
        "and ecx, 7",
        "rep movsb",
        "ret",
    )
}

/// C's `memmove`.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        // How far `to` is above `from`, around the end of addresses.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae {memcpy}",
        // Downwards each byte is read before it is overwritten.
        "mov rax, rdi",
        "lea rdi, [rdi + rdx - 1]",
        "lea rsi, [rsi + rdx - 1]",
        "mov rcx, rdx",
        "std",
        "rep movsb",
        "cld",
        "ret",
        memcpy = sym memcpy,
    )
}

/// C's `memset`.
///
/// # Safety
/// The range of `count` bytes is valid.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        // The byte eight times.
        "movzx esi, sil",
        "movabs rax, 0x0101010101010101",
        "imul rax, rsi",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep stosq",
        "mov ecx, edx",
        "and ecx, 7",
        "rep stosb",
        "mov rax, r8",
        "ret",
    )
}

/// C's `memcmp`.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    naked_asm!(
        "xchg rsi, rdi",
        "mov rcx, rdx",
        // Its flags are those of equality, if `count` is 0.
        "xor eax, eax",
        "repe cmpsb",
        "seta al",
        "sbb al, 0",
        "movsx eax, al",
        "ret",
    )
}

/// The compiler's `bcmp`: equality only.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// C's `strlen`.
///
/// # Safety
/// A byte of 0 follows.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "sysv64" fn strlen(text: *const u8) -> usize {
    naked_asm!("mov rcx, -1", "xor eax, eax", "repne scasb", "not rcx", "lea rax, [rcx - 1]", "ret")
}

#[cfg(test)]
#[path = "builtins/tests.rs"]
mod tests;
