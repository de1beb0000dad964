//! Memory with one owner at a time. L1 runs with interrupts off, and its exception handlers go back
//! to what they interrupted only where [`crate::machine::expected`] says so.
//!
//! A second processor, if it runs, touches no [`Global`] but its own element of those that are
//! arrays of one for each processor, and what the first one passes to it by atomics.
#![allow(
    unsafe_code,
    reason = "shares statics without a lock, which nothing here could contend for"
)]

use core::cell::UnsafeCell;

/// A static that is handed out as a pointer.
#[repr(transparent)]
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: a `Global` only gives a pointer: whoever uses it says in a SAFETY line of his own that
// nobody else uses the value then. Between processors that holds by the rule above.
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
