//! A page of memory.

#[cfg(test)]
pub use crate::fake::{mapped, physical};

/// 4 KiB: memory of L2, or a table of its addresses.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub struct Page(pub [u64; 512]);

impl Page {
    /// Bytes of a page.
    pub const SIZE: u64 = 4096;
    /// A page that holds 0.
    pub const EMPTY: Self = Self([0; 512]);

    /// Its physical address.
    pub fn address(&self) -> u64 {
        physical(self)
    }
}

/// Physical address of L1's memory: it is mapped one to one.
#[cfg(not(test))]
#[inline]
pub fn physical<T>(at: *const T) -> u64 {
    at as u64
}

/// Where L1 has memory with a physical address, see [`physical`].
#[cfg(not(test))]
#[inline]
pub const fn mapped<T>(physical: u64) -> *mut T {
    physical as *mut T
}
