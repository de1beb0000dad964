//! What L1's exception handlers may get without ending the log: page faults that L1 provokes, NMIs,
//! and what comes right at the place where VM exits lead. L1 makes none of the last two.
#![allow(unsafe_code, reason = "a static that handlers in assembly use; IRET")]

use core::arch::asm;
use core::fmt;

use spec::walk::outcome::Delivery;

use crate::machine::global::Global;

/// What L1 expects, and what its handlers note. They are assembly in [`crate::machine::exception`].
#[repr(C)]
pub struct Expected {
    /// Where to go on after a page fault; 0 if none is expected.
    pub resume: u64,
    /// How many page faults came.
    pub count: u64,
    /// The last.
    pub last: Delivery,
    /// A register of the handler's.
    pub saved: u64,
    /// Not 0 if NMIs that were made for L2 may come to L1.
    pub late_nmis: u64,
    /// [`STRAY`] and the vector of an event that was L2's and came to L1; 0 if none did.
    pub stray: u64,
}

/// Set where a vector is.
pub const STRAY: u64 = 1 << 8;
/// The word by which cases are counted whose event came to L1.
pub const STRAY_WORD: &str = "event-in-l1";

/// An event of L2's that L0 delivered to L1, by its vector.
#[derive(Clone, Copy, Debug)]
pub struct Stray(u8);

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STRAY_WORD},vector={:x}", self.0)
    }
}

const NO_DELIVERY: Delivery = Delivery { error_code: 0, cr2: 0, rip: 0, cs: 0, rflags: 0 };

/// Filled by the handlers.
pub static EXPECTED: Global<Expected> = Global::new(Expected {
    resume: 0,
    count: 0,
    last: NO_DELIVERY,
    saved: 0,
    late_nmis: 0,
    stray: 0,
});

/// Whether an NMI that comes to L1 is dropped from now on. It is an error of L1 where none is made
/// for L2, which must get each at once, as is judged.
pub fn drop_late_nmis(dropped: bool) {
    // SAFETY: the word is in a static of this type, and no reference to it is ever made: the
    // handler reads it by address.
    unsafe { (&raw mut (*EXPECTED.get()).late_nmis).write_volatile(dropped.into()) }
}

/// The event that came to L1 since this was last asked, if one did.
pub fn take_stray() -> Option<Stray> {
    // SAFETY: a word of a static of this type, to which no reference is ever made: the handler
    // writes it by address.
    let stray = unsafe { (&raw mut (*EXPECTED.get()).stray).replace(0) };
    (stray != 0).then_some(Stray(stray as u8))
}

/// Ends the blocking of NMIs that the delivery of one to L2 began: an IRET to the next instruction.
/// SDM vol. 3A, "Handling Multiple NMIs".
pub fn unblock_nmis() {
    // SAFETY: the frame has SS, RSP, RFLAGS and CS as they are and RIP of the label, so only NMI
    // blocking changes; the five words are pushed below RSP, where nothing lives (no red zone: the
    // block may push, as `nostack` is absent).
    unsafe {
        asm!("mov {0}, ss", "mov {1}, rsp", "push {0}", "push {1}", "pushfq", "mov {0}, cs", "push {0}",
            "lea {0}, [rip + 2f]", "push {0}", "iretq", "2:", out(reg) _, out(reg) _);
    }
}
