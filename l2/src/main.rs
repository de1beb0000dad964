//! L2: the guest. It makes accesses that L1 lists, and records the page faults that reach it.
//!
//! On entry at `init`: 64-bit mode, CPL 0, paging as L1 set it, this image at
//! `spec::walk::layout::L2_BASE`, the shared area mapped twice, interrupts off; no stack, no
//! descriptor tables of its own.
//!
//! Duties: load its own GDT, TSS and IDT and call L1 back (VMCALL); then, at each entry at `walk`,
//! make every access of the shared area's slots in order, first at CPL 0, then at CPL 3, note in
//! each slot what the access did, and call L1 back. A #PF is noted in its slot and skipped; any
//! other exception is reported to L1 at once.
#![no_std]
#![no_main]

mod tables;
mod walk;

use core::panic::PanicInfo;

/// Nothing here panics; if it does, L1 sees a VM exit that it did not ask for.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    walk::give_up()
}
