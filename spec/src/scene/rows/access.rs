//! Who accesses: instructions by the way in which they reach memory, each with an access that
//! faults. Plain ones, those across the end of a page, and addresses that cannot fault as pages.

use super::CROSSING;
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::paging::format::Format;
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rbp, Rdi, Rsp};
use crate::scene::event::Event;
use crate::scene::event::EventType::HardwareException;
use crate::scene::event::Source::Raised;
use crate::scene::place::Place::{Code0, Code1, Data0, Data1};
use crate::scene::place::{Kind, PAGE};
use crate::scene::tested::last_canonical;
use crate::scene::{Answer, Fits, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const CODE1: u64 = Code1.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const VALUE: u64 = 0x0102_0304_0506_0708;
/// Not canonical with 4-level nor with 5-level paging, and how its halves look.
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
/// The last two bytes of the lower canonical half with 4-level paging. Their page is good: of #GP
/// and a page fault the manual would not say which comes first.
const CANONICAL_END: u64 = 0x0000_7fff_ffff_fffe;
/// The same with 57-bit linear addresses.
const CANONICAL_END_57: u64 = 0x00ff_ffff_ffff_fffe;
const _: () = assert!(
    matches!(last_canonical(Format::Level4), Some(page) if page == CANONICAL_END & !(PAGE - 1))
        && matches!(last_canonical(Format::Level5), Some(page) if page == CANONICAL_END_57 & !(PAGE - 1))
);
/// An address that is canonical with 57-bit linear addresses and not with 48.
const BEYOND_48: u64 = 0x0000_8000_0000_0000;
const GP: u8 = 13;
const SS: u8 = 12;
/// General protection, error code 0.
const RAISES_GP: Event = Event::new(Raised, HardwareException, GP).error_code(0);
/// Stack fault, error code 0.
const RAISES_SS: Event = Event::new(Raised, HardwareException, SS).error_code(0);
const CANONICAL: Citation = Section::CANONICAL.says("");

const fn read(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    Row::new(name, what, cpl, &[0x8b, 0x07], "mov eax,[rdi]")
}

const fn write(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    Row::new(name, what, cpl, &[0x89, 0x07], "mov [rdi],eax")
}

/// The rows.
pub const ROWS: &[Row] = &[
    // Plain reads, writes and fetches.
    read("user-mov-read", "a read", User)
        .registers(&[(Rdi, DATA0), (Rax, 0)])
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)]),
    read("user-mov-read-np", "a read", User)
        .registers(&[(Rdi, DATA0 + 8)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0 + 8, Read),
    read("user-mov-read-super", "a read of a supervisor's page", User)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::SUPER)])
        .fault(DATA0, Read),
    write("user-mov-write-np", "a write", User)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .watch(DATA0)
        .fault(DATA0, Write),
    write("user-mov-write-ro", "a write", User)
        .registers(&[(Rdi, DATA0 + 4)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault(DATA0 + 4, Write),
    write("user-mov-write-rsvd", "a write", User)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RSVD)])
        .fault(DATA0, Write),
    write("user-mov-retry", "a write that L1 lets be tried again", User)
        .registers(&[(Rdi, DATA0), (Rax, 0x77)])
        .pages(&[(Data0, Kind::NP)])
        .watch(DATA0)
        .fault(DATA0, Write)
        .answer(Answer::Retry)
        .at_end(&[(Memory, 0x77)]),
    read("super-mov-read-np", "a read", Supervisor)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    write("super-mov-write-ro", "a write", Supervisor)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault(DATA0, Write),
    user("user-fetch-np", "the first byte of an instruction", &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, Kind::NP)])
        .fault(CODE1, Fetch),
    user("user-fetch-nx", "the first byte of an instruction", &[0x90], "nop")
        .rip(CODE1 + 2)
        .pages(&[(Code1, Kind::NX)])
        .fault(CODE1 + 2, Fetch),
    Row::new("super-fetch-nx", "the first byte of an instruction", Supervisor, &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, Kind::NX)])
        .fault(CODE1, Fetch),
    user("user-fetch-next", "the next instruction, on the next page", &[0x90], "nop")
        .rip(CODE1 - 1)
        .pages(&[(Code1, Kind::NP)])
        .fault_after(CODE1, Fetch, CODE1),
    user("user-fetch-jump", "the target of a jump", &[0xff, 0xe0], "jmp rax")
        .registers(&[(Rax, CODE1 + 5)])
        .pages(&[(Code1, Kind::NX)])
        .fault_after(CODE1 + 5, Fetch, CODE1 + 5)
        .only_64_bit(),
    user(
        "user-fetch-call",
        "the target of a call, whose return address is pushed already",
        &[0xff, 0xd0],
        "call rax",
    )
    .registers(&[(Rax, CODE1)])
    .rsp(DATA1)
    .pages(&[(Code1, Kind::NP)])
    .watch(END0)
    .only_64_bit()
    .fault_after(CODE1, Fetch, CODE1)
    .at_fault(&[(Rsp, END0), (Memory, Code0.linear() + 0x102)]),
    user(
        "user-fetch-ret",
        "the target of a return, whose address is popped already",
        &[0xc3],
        "ret",
    )
    .rsp(END0)
    .memory(&[(END0, CODE1)])
    .pages(&[(Code1, Kind::NX)])
    .only_64_bit()
    .fault_after(CODE1, Fetch, CODE1)
    .at_fault(&[(Rsp, DATA1)]),
    // Across the end of a page. Where both pages are bad, they are so in the same way: either can
    // be the one that faults.
    read("user-fetch-cross-np", "an instruction whose second byte is on the next page", User)
        .rip(CODE1 - 1)
        .pages(&[(Code1, Kind::NP)])
        .fault(CODE1, Fetch)
        .section(CROSSING),
    user(
        "user-fetch-cross-nx",
        "an instruction whose last byte is on the next page",
        &[0xb8, 0x78, 0x56, 0x34, 0x12],
        "mov eax,12345678h",
    )
    .rip(CODE1 - 4)
    .pages(&[(Code1, Kind::NX)])
    .fault(CODE1, Fetch)
    .section(CROSSING),
    read("user-fetch-cross-both", "an instruction on two pages, both bad", User)
        .rip(CODE1 - 1)
        .pages(&[(Code0, Kind::NX), (Code1, Kind::NX)])
        .fault(CODE1 - 1, Fetch)
        .in_parts()
        .section(CROSSING),
    read("user-fetch-before-data", "an instruction on two pages whose operand is bad, too", User)
        .rip(CODE1 - 1)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Code1, Kind::NX), (Data0, Kind::NP)])
        .fault(CODE1, Fetch)
        .section(CROSSING),
    read("user-read-cross-first", "a read across two pages, the first bad", User)
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA1 - 2, Read)
        .in_parts()
        .section(CROSSING),
    read("user-read-cross-second", "a read across two pages, the second bad", User)
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .in_parts()
        .section(CROSSING),
    read("user-read-cross-both", "a read across two pages, both bad", User)
        .registers(&[(Rdi, DATA1 - 1)])
        .pages(&[(Data0, Kind::NP), (Data1, Kind::NP)])
        .fault(DATA1 - 1, Read)
        .in_parts()
        .section(CROSSING),
    write("user-write-cross-first", "a write across two pages, the first bad", User)
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA1)
        .fault(DATA1 - 2, Write)
        .in_parts()
        .section(CROSSING),
    write(
        "user-write-cross-second",
        "a write across two pages, the second bad: nothing is written",
        User,
    )
    .registers(&[(Rdi, DATA1 - 3)])
    .pages(&[(Data1, Kind::RO)])
    .memory(&[(END0, VALUE)])
    .watch(END0)
    .fault(DATA1, Write)
    .in_parts()
    .section(CROSSING),
    write("user-write-cross-both", "a write across two pages, both bad", User)
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data0, Kind::RO), (Data1, Kind::RO)])
        .fault(DATA1 - 2, Write)
        .in_parts()
        .section(CROSSING),
    user(
        "user-write-cross-16",
        "a write of 16 bytes across two pages",
        &[0x0f, 0x11, 0x07],
        "movups [rdi],xmm0",
    )
    .registers(&[(Rdi, DATA1 - 9)])
    .pages(&[(Data1, Kind::NP)])
    .memory(&[(END0, VALUE)])
    .watch(END0)
    .fault(DATA1, Write)
    .in_parts()
    .section(CROSSING),
    user(
        "user-add-cross-second",
        "read and written across two pages",
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .registers(&[(Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::RO)])
    .memory(&[(END0, VALUE)])
    .watch(END0)
    .fault(DATA1, Write)
    .in_parts()
    .section(CROSSING),
    read("super-read-cross-second", "a read across two pages, the second bad", Supervisor)
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data1, Kind::RSVD)])
        .fault(DATA1, Read)
        .in_parts()
        .section(CROSSING),
    // Addresses that are no page fault.
    read("user-mov-non-canonical", "a read of an address that is not canonical", User)
        .registers(&[(Rdi, NON_CANONICAL)])
        .event(RAISES_GP)
        .only_64_bit()
        .section(CANONICAL),
    read("user-mov-non-canonical-exit", "the same, and L1 intercepts #GP", User)
        .registers(&[(Rdi, NON_CANONICAL)])
        .event(RAISES_GP)
        .intercepts(1 << GP)
        .only_64_bit()
        .section(CANONICAL),
    write(
        "super-mov-non-canonical-write",
        "a write to an address that is not canonical",
        Supervisor,
    )
    .registers(&[(Rdi, NON_CANONICAL)])
    .event(RAISES_GP)
    .only_64_bit()
    .section(CANONICAL),
    user(
        "user-stack-non-canonical",
        "the same by RBP: a stack fault",
        &[0x8b, 0x45, 0x00],
        "mov eax,[rbp]",
    )
    .registers(&[(Rbp, NON_CANONICAL)])
    .event(RAISES_SS)
    .only_64_bit()
    .section(CANONICAL),
    user(
        "user-stack-non-canonical-exit",
        "the same, and L1 intercepts #SS",
        &[0x8b, 0x45, 0x00],
        "mov eax,[rbp]",
    )
    .registers(&[(Rbp, NON_CANONICAL)])
    .event(RAISES_SS)
    .intercepts(1 << SS)
    .only_64_bit()
    .section(CANONICAL),
    user("user-push-non-canonical", "a push where RSP is not canonical", &[0x50], "push rax")
        .rsp(NON_CANONICAL)
        .event(RAISES_SS)
        .only_64_bit()
        .section(CANONICAL),
    user("user-jump-non-canonical", "a jump to where no RIP can be", &[0xff, 0xe0], "jmp rax")
        .registers(&[(Rax, NON_CANONICAL)])
        .event(RAISES_GP)
        .only_64_bit()
        .section(CANONICAL),
    read("user-mov-canonical-end", "a read beyond the last canonical byte", User)
        .registers(&[(Rdi, CANONICAL_END)])
        .event(RAISES_GP)
        .fits(Fits::Linear48)
        .section(CANONICAL),
    read(
        "user-mov-canonical-end-57",
        "a read beyond the last canonical byte of 57-bit addresses",
        User,
    )
    .registers(&[(Rdi, CANONICAL_END_57)])
    .event(RAISES_GP)
    .fits(Fits::Linear57)
    .section(CANONICAL),
    read(
        "user-mov-beyond-48",
        "a read of an address that is canonical with 57 bits alone: its walk finds no entry",
        User,
    )
    .registers(&[(Rdi, BEYOND_48)])
    .fault(BEYOND_48, Read)
    .fits(Fits::Linear57)
    .section(CANONICAL),
];
