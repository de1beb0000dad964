//! The memory functions that compiled code calls: no C library is here to have them.
#![allow(unsafe_code, reason = "the functions' contracts are C's; string instructions do the work")]

use core::arch::asm;

/// C's `memcpy`.
///
/// # Safety
/// Both ranges of `count` bytes are valid, and `to` does not begin within the other: then bytes are
/// read before they are overwritten.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: both ranges are valid, as the caller says, and 8 * (count / 8) + count % 8 bytes are
    // copied; DF is clear in L1.
    unsafe {
        asm!("rep movsq", "mov ecx, {rest:e}", "rep movsb", rest = in(reg) count % 8, inout("rcx") count / 8 => _,
            inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
    to
}

/// C's `memmove`.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // How far `to` is above `from`, around the end of addresses.
    let above = (to as usize).wrapping_sub(from as usize);
    if above >= count {
        // SAFETY: the ranges are valid, and `to` is not within `from`'s.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: copying downwards, as DF = 1 does, reads each byte before it is overwritten. The last
    // bytes are `count - 1` after the first, and count is not 0 here. DF is clear again after that.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") count => _,
            inout("rdi") to.wrapping_add(count).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(count).wrapping_sub(1) => _, options(nostack));
    }
    to
}

/// C's `memset`.
///
/// # Safety
/// The range of `count` bytes is valid.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the range is valid, as the caller says, and 8 * (count / 8) + count % 8 bytes are
    // written; DF is clear in L1.
    unsafe {
        asm!("rep stosq", "mov ecx, {rest:e}", "rep stosb", rest = in(reg) count % 8, inout("rcx") count / 8 => _,
            inout("rdi") to => _, in("rax") u64::from(value.to_le_bytes()[0]) * 0x0101_0101_0101_0101,
            options(nostack, preserves_flags));
    }
    to
}

/// C's `memcmp`.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    let (above, below): (u8, u8);
    // SAFETY: as the caller says; XOR makes the flags those of equality where `count` is 0.
    unsafe {
        asm!("xor eax, eax", "repe cmpsb", "seta {above}", "setb {below}", inout("rcx") count => _,
            inout("rsi") one => _, inout("rdi") other => _, above = lateout(reg_byte) above,
            below = lateout(reg_byte) below, out("eax") _, options(nostack));
    }
    i32::from(above) - i32::from(below)
}

/// The compiler's `bcmp`: equality only.
///
/// # Safety
/// Both ranges of `count` bytes are valid.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller says.
    unsafe { memcmp(one, other, count) }
}

/// C's `strlen`.
///
/// # Safety
/// A byte of 0 follows.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let left: usize;
    // SAFETY: as the caller says; DF is clear in L1.
    unsafe {
        asm!("repne scasb", inout("rcx") usize::MAX => left, inout("rdi") text => _, in("al") 0u8, options(nostack));
    }
    usize::MAX - left - 1
}

#[cfg(test)]
mod tests;
