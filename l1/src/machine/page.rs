//! A page of memory.

use core::ptr;

/// 4 KiB: memory of L2, or a table of its addresses.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub struct Page(pub [u64; 512]);

impl Page {
    /// Bytes of a page.
    pub const SIZE: u64 = 4096;
    /// A page that holds 0.
    pub const EMPTY: Self = Self([0; 512]);

    /// Its physical address: L1 maps memory one to one.
    pub fn address(&self) -> u64 {
        ptr::from_ref(self) as u64
    }
}
