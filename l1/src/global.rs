//! Memory with one owner at a time, on a machine with one processor and interrupts off.
#![allow(unsafe_code, reason = "shares statics without a lock, which nothing here could contend for")]

use core::cell::UnsafeCell;

/// A static that is handed out as a pointer.
#[repr(transparent)]
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: L1 runs on one processor with interrupts off; exception handlers use `output`'s global alone,
// and never return to what they interrupted.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// A static with its first value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Where it is.
    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}
