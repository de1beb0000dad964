//! Memory with one owner at a time, with interrupts off. A second processor, if it runs, touches no [`Global`] but those that
//! [`crate::smp`] and its tables keep for it.
#![allow(unsafe_code, reason = "shares statics without a lock, which nothing here could contend for")]

use core::cell::UnsafeCell;

/// A static that is handed out as a pointer.
#[repr(transparent)]
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: the first processor runs with interrupts off; exception handlers use `output`'s global alone, and never return to
// what they interrupted. What `crate::smp` shares with the second one it hands over by atomics.
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
