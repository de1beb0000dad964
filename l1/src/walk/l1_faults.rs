//! L1's own page faults: L1 accesses the pages under test itself, and its handler notes what it gets.
//!
//! On entry: [`crate::machine::exception`] has L1's handlers in place, and those of #PF look at [`FAULTS`] first.
#![allow(unsafe_code, reason = "accesses that fault, in assembly; L1's root page table")]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr};
use spec::walk::action::{Action, own_pfec};
use spec::walk::layout::{Header, TEST_PML4_INDEX, TOKEN};
use spec::walk::outcome::{Delivery, Expectation, Observed, RFLAGS_RF, WALK_RFLAGS};
use spec::walk::stimulus::Stimulus;
use x86_64::registers::control::{Cr3, Cr3Flags};

use crate::machine::boot::CODE_SELECTOR;
use crate::machine::global::Global;
use crate::machine::paging;
use crate::walk::guest;

/// What the #PF handler of L1 notes, by the offsets that its assembly uses.
#[repr(C)]
pub struct Faults {
    /// Where to go on behind a fault; 0 if none is expected.
    pub resume: u64,
    /// How many came.
    pub count: u64,
    /// The last.
    pub last: Delivery,
    /// A register of the handler's.
    pub saved: u64,
    /// Not 0 if NMIs that were made for L2 may come to L1.
    pub late_nmis: u64,
}

const NO_DELIVERY: Delivery = Delivery { error_code: 0, cr2: 0, rip: 0, cs: 0, rflags: 0 };

/// Filled by the handler.
pub static FAULTS: Global<Faults> =
    Global::new(Faults { resume: 0, count: 0, last: NO_DELIVERY, saved: 0, late_nmis: 0 });

// RDI: the address. RAX: what a write writes, and what was read. RBX and R15 are those of code that is fetched.
global_asm!(
    r#"
    .macro l1_own how, access:vararg
    .globl l1_own_\how
    l1_own_\how:
        push rbx
        push r15
        lea r15, [rip + l1_own_\how\()_resume]
        mov [rip + {faults} + {resume}], r15
        movabs rbx, {token}
        mov rax, rsi
        push {rflags}
        popfq
    .globl l1_own_\how\()_access
    l1_own_\how\()_access:
        \access
    l1_own_\how\()_resume:
        push 2
        popfq
        mov qword ptr [rip + {faults} + {resume}], 0
        pop r15
        pop rbx
        ret
    .endm
    .section .text.own, "ax"
    l1_own read, mov rax, [rdi]
    l1_own write, mov [rdi], rax
    l1_own fetch, jmp rdi
    .text
    "#,
    faults = sym FAULTS,
    resume = const offset_of!(Faults, resume),
    token = const TOKEN,
    rflags = const WALK_RFLAGS,
);

unsafe extern "sysv64" {
    fn l1_own_read(address: u64, value: u64) -> u64;
    fn l1_own_write(address: u64, value: u64) -> u64;
    fn l1_own_fetch(address: u64, value: u64) -> u64;
    fn l1_own_read_access();
    fn l1_own_write_access();
}

/// Whether an NMI that comes to L1 is dropped from now on. It is an error of L1 where none is made for L2, which must get
/// each at once, as is judged.
pub fn drop_late_nmis(dropped: bool) {
    // SAFETY: the handler alone reads it.
    unsafe { (&raw mut (*FAULTS.get()).late_nmis).write_volatile(dropped.into()) }
}

/// Maps the pages under test for L1 as they are for L2, and forgets what the processor knows of them.
fn map() {
    let (root, _) = Cr3::read();
    let root = root.start_address().as_u64() as *mut u64;
    for (at, entry) in paging::test_region().into_iter().enumerate() {
        // SAFETY: L1's root is mapped one to one and maps nothing of its own behind the low 4 GiB.
        unsafe { root.add(TEST_PML4_INDEX + at).write_volatile(entry) };
    }
    let (root, _) = Cr3::read();
    // SAFETY: the same root again.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
}

/// Makes the accesses of [`Action::own_stimuli`], or one of them, and tells of each what must be and what was.
pub fn check(
    maxphyaddr: Maxphyaddr,
    l2: &Header,
    only: Option<Stimulus>,
    mut tell: impl FnMut(&Stimulus, &Observed, &Observed),
) {
    map();
    let mut header = *l2;
    header.supervisor_cs = CODE_SELECTOR.into();
    for stimulus in Action::own_stimuli(maxphyaddr).filter(|stimulus| only.is_none_or(|only| only == *stimulus)) {
        header.access[stimulus.loop_number()] = match stimulus.access {
            Access::Read => l1_own_read_access as *const () as u64,
            Access::Write | Access::Fetch => l1_own_write_access as *const () as u64,
        };
        let expectation = Expectation::new(&stimulus, own_pfec(&stimulus, maxphyaddr), false, &header);
        // No filter takes L1's own faults.
        let want = Observed::exactly(expectation.outcome(Filter::NEVER, 0));
        let got = access(&stimulus);
        tell(&stimulus, &want, &got);
    }
}

/// Makes one access.
fn access(stimulus: &Stimulus) -> Observed {
    let value = 0x0123_4567;
    let written = guest::frame_at(stimulus.address());
    let faults = FAULTS.get();
    // SAFETY: the access is to a page under test, whose frame is a static; a fault goes on behind the access;
    // code that is fetched comes back by R15. The assembly keeps what the caller has in registers.
    let (count, last, executed) = unsafe {
        (*faults).count = 0;
        let effect = match stimulus.access {
            Access::Read => l1_own_read(stimulus.address(), value) == TOKEN,
            Access::Write => {
                written.write_volatile(0);
                l1_own_write(stimulus.address(), value);
                written.read_volatile() == value
            }
            Access::Fetch => l1_own_fetch(stimulus.address(), value) == TOKEN,
        };
        // The handler wrote what Rust does not see.
        asm!("", options(nostack, preserves_flags));
        ((&raw const (*faults).count).read_volatile(), (&raw const (*faults).last).read_volatile(), effect)
    };
    Observed { exits: 0, exit: None, deliveries: count, delivery: (count != 0).then_some(last), executed }
}

const _: () = assert!(WALK_RFLAGS & RFLAGS_RF == 0);
