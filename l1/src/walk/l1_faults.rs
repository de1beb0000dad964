//! L1's own page faults: L1 accesses the pages under test itself, and its handler notes what it
//! gets.
//!
//! On entry: L1's exception handlers are in place, and note the faults that [`EXPECTED`] announces.
#![allow(unsafe_code, reason = "accesses that fault, in assembly; L1's root page table")]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr};
use spec::walk::action::{Action, own_pfec};
use spec::walk::layout::{Header, TEST_PML4_INDEX, TOKEN};
use spec::walk::outcome::{Expectation, Observed, RFLAGS_RF, WALK_RFLAGS};
use spec::walk::stimulus::Stimulus;
use x86_64::registers::control::{Cr3, Cr3Flags};

use crate::machine::boot::CODE_SELECTOR;
use crate::machine::expected::{EXPECTED, Expected};
use crate::vmx::vmcs12::RFLAGS_CLEAR;
use crate::walk::{guest, tables};

// RDI: the address. RAX: what a write writes, and what was read. RBX and R15 are those of code that
// is fetched.
global_asm!(
    r#"
    .macro l1_own how, access:vararg
    .globl l1_own_\how
    l1_own_\how:
        push rbx
        push r15
        lea r15, [rip + l1_own_\how\()_resume]
        mov [rip + {expected} + {resume}], r15
        movabs rbx, {token}
        mov rax, rsi
        push {rflags}
        popfq
    .globl l1_own_\how\()_access
    l1_own_\how\()_access:
        \access
    l1_own_\how\()_resume:
        push {rflags_clear}
        popfq
        mov qword ptr [rip + {expected} + {resume}], 0
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
    expected = sym EXPECTED,
    resume = const offset_of!(Expected, resume),
    token = const TOKEN,
    rflags = const WALK_RFLAGS,
    rflags_clear = const RFLAGS_CLEAR,
);

unsafe extern "sysv64" {
    fn l1_own_read(address: u64, value: u64) -> u64;
    fn l1_own_write(address: u64, value: u64) -> u64;
    fn l1_own_fetch(address: u64, value: u64) -> u64;
    fn l1_own_read_access();
    fn l1_own_write_access();
}

/// Maps the pages under test for L1 as they are for L2, and forgets what the processor knows of
/// them.
pub(super) fn map() {
    let (root, _) = Cr3::read();
    let root = root.start_address().as_u64() as *mut u64;
    for (at, entry) in tables::test_region().into_iter().enumerate() {
        // SAFETY: the root is `boot`'s, mapped one to one; its entries but the first are empty or
        // were written here, so no address that L1 uses changes. The index is at most
        // `TEST_PML4_INDEX + MAX_PAGES`, below 512.
        unsafe { root.add(TEST_PML4_INDEX + at).write_volatile(entry) };
    }
    let (root, _) = Cr3::read();
    // SAFETY: the root that CR3 holds already: nothing is mapped otherwise.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
}

/// Makes the accesses of [`Action::own_stimuli`], or one of them, and says of each what must be
/// and what was.
pub fn check(
    maxphyaddr: Maxphyaddr,
    l2: &Header,
    only: Option<Stimulus>,
    mut tell: impl FnMut(&Stimulus, &Observed, &Observed),
) {
    map();
    let mut header = *l2;
    header.supervisor_cs = CODE_SELECTOR.into();
    for stimulus in
        Action::own_stimuli(maxphyaddr).filter(|stimulus| only.is_none_or(|only| only == *stimulus))
    {
        header.access[stimulus.loop_number()] = match stimulus.access {
            Access::Read => l1_own_read_access as *const () as u64,
            Access::Write | Access::Fetch => l1_own_write_access as *const () as u64,
        };
        let expectation =
            Expectation::new(&stimulus, own_pfec(&stimulus, maxphyaddr), false, &header);
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
    let faults = EXPECTED.get();
    // SAFETY: the access is to a page under test, whose frame is a static; a fault goes on after
    // the access; code that is fetched comes back by R15. The assembly keeps what the caller has in
    // registers.
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
        (
            (&raw const (*faults).count).read_volatile(),
            (&raw const (*faults).last).read_volatile(),
            effect,
        )
    };
    Observed {
        exits: 0,
        exit: None,
        deliveries: count,
        delivery: (count != 0).then_some(last),
        executed,
    }
}

const _: () = assert!(WALK_RFLAGS & RFLAGS_RF == 0);
