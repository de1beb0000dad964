//! A machine that gives maskmatch no more memory ends it with a sentence and an exit code.

#![allow(unsafe_code, reason = "an allocator has no safe form")]

use std::alloc::{GlobalAlloc, Layout, System};

use crate::verdict::exit_code::Exit;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

/// The system's allocator, which ends the process where it has nothing to give.
struct OrEnd;

// SAFETY: each function passes its arguments to the same function of `System`, and returns what that
// returned.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Allocates nothing itself. The kernel ends programs that maskmatch started.
fn or_end(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        let why =
            b"maskmatch: there is not enough memory: free some, or raise the limit (ulimit -v)\n";
        let _ = rustix::io::write(rustix::stdio::stderr(), why);
        // SAFETY: it takes a number and does not return.
        unsafe { libc::_exit(Exit::Nothing as i32) }
    }
    block
}
