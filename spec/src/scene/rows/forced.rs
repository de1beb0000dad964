//! Instructions after KVM's forced-emulation prefix, UD2 and the letters "kvm": its emulator runs
//! them, and RIP is after the prefix then. Only L0s that say so have them; everything reported is
//! as hardware would give it.

use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::scene::builder::user;
use crate::scene::descriptor::FRESH_USER_DATA_SELECTOR;
use crate::scene::end::Word::{Dr6, Memory, Rax, Rbp, Rdi, Rflags, Rip, Rsi};
use crate::scene::event::{Event, EventType, Source};
use crate::scene::expect::{DR6_AT_START, DR6_BS};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, Data1, Gdt};
use crate::scene::{Answer, FORCED_EMULATION_PREFIX, Feature, RIP, Row, Unwanted};
use crate::walk::outcome::RFLAGS_TF;

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const CODE1: u64 = Code1.linear();
const GDT: u64 = Gdt.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const VALUE: u64 = 0x0102_0304_0506_0708;
const USER_CODE: u64 = 0x1b;
const USER_DATA: u64 = 0x23;
/// Behind the prefix.
const NEXT: u64 = RIP + FORCED_EMULATION_PREFIX.len() as u64;

/// A scene of an instruction after the prefix.
macro_rules! forced {
    ($name:literal, $what:literal, [$($code:literal),+], $instruction:literal) => {
        user($name, $what, &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, $($code),+], $instruction)
            .needs(Feature::ForcedEmulation)
            .only_64_bit()
    };
}

/// The one that tells whether L0 has the prefix.
pub const NOP: Row = forced!("nop", "no access", [0x90], "nop");

/// The rows.
pub const ROWS: &[Row] = &[
    NOP,
    forced!("read", "a read", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0), (Rax, 0)])
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)]),
    forced!("read-np", "a read", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0, Read, NEXT),
    forced!("read-super", "a read of a supervisor's page", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::SUPER)])
        .fault_after(DATA0, Read, NEXT),
    forced!("write-ro", "a write", [0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault_after(DATA0, Write, NEXT),
    forced!("write-rsvd", "a write", [0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RSVD)])
        .fault_after(DATA0, Write, NEXT),
    Row::new(
        "super-write-ro",
        "a write",
        Supervisor,
        &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .fault_after(DATA0, Write, NEXT)
    .needs(Feature::ForcedEmulation)
    .only_64_bit(),
    forced!("write-retry", "a write that L1 lets be tried again", [0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0), (Rax, 0x77)])
        .pages(&[(Data0, Kind::NP)])
        .watch(DATA0)
        .answer(Answer::Retry)
        .at_end(&[(Memory, 0x77)])
        .fault_after(DATA0, Write, NEXT),
    forced!("read-cross", "a read across two pages, the second bad", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data1, Kind::NP)])
        .fault_after(DATA1, Read, NEXT)
        .in_parts(),
    forced!("read-cross-both", "a read across two pages, both bad", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data0, Kind::NP), (Data1, Kind::NP)])
        .fault_after(DATA1 - 2, Read, NEXT)
        .in_parts(),
    forced!(
        "write-cross",
        "a write across two pages, the second bad: nothing is written",
        [0x89, 0x07],
        "mov [rdi],eax"
    )
    .registers(&[(Rdi, DATA1 - 3)])
    .pages(&[(Data1, Kind::RO)])
    .memory(&[(END0, VALUE)])
    .watch(END0)
    .fault_after(DATA1, Write, NEXT)
    .in_parts(),
    forced!(
        "add-np",
        "a destination that is read and written, and not there",
        [0x01, 0x07],
        "add [rdi],eax"
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .telling()
    .fault_after(DATA0, Write, NEXT),
    forced!("add-ro", "a destination that is read and written", [0x01, 0x07], "add [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault_after(DATA0, Write, NEXT),
    forced!("lock-add-ro", "a locked destination", [0xf0, 0x01, 0x07], "lock add [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault_after(DATA0, Write, NEXT),
    forced!(
        "cmpxchg-ro-differs",
        "a compare and exchange that would not exchange: a write all the same",
        [0xf0, 0x0f, 0xb1, 0x0f],
        "lock cmpxchg [rdi],ecx"
    )
    .registers(&[(Rdi, DATA0), (Rax, 9)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 8)])
    .watch(DATA0)
    .fault_after(DATA0, Write, NEXT),
    forced!("xchg-ro", "an exchange", [0x87, 0x07], "xchg [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault_after(DATA0, Write, NEXT),
    forced!("cmp-np", "a destination that is only compared", [0x39, 0x07], "cmp [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0, Read, NEXT),
    forced!("push-ro", "a push", [0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::RO)])
        .watch(END0)
        .fault_after(END0, Write, NEXT),
    forced!("push-mem", "a push of memory that is bad", [0xff, 0x37], "push qword ptr [rdi]")
        .registers(&[(Rdi, DATA1)])
        .rsp(DATA1)
        .pages(&[(Data1, Kind::NP)])
        .watch(END0)
        .fault_after(DATA1, Read, NEXT),
    forced!("pop-np", "a pop", [0x58], "pop rax")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0, Read, NEXT),
    forced!(
        "pop-mem",
        "a pop to memory that is bad: RSP is as before",
        [0x8f, 0x07],
        "pop qword ptr [rdi]"
    )
    .registers(&[(Rdi, DATA1)])
    .rsp(END0)
    .pages(&[(Data1, Kind::RO)])
    .fault_after(DATA1, Write, NEXT),
    forced!("call", "a near call whose push is bad", [0xff, 0xd0], "call rax")
        .registers(&[(Rax, DATA1)])
        .rsp(DATA1)
        .pages(&[(Data0, Kind::RO)])
        .fault_after(END0, Write, NEXT),
    forced!("ret", "a near return", [0xc3], "ret")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0, Read, NEXT),
    forced!("enter", "ENTER whose push is bad", [0xc8, 0x00, 0x00, 0x00], "enter 0,0")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::RO)])
        .fault_after(END0, Write, NEXT),
    forced!("leave", "LEAVE: RSP and RBP are as before", [0xc9], "leave")
        .registers(&[(Rbp, DATA0 + 0x40)])
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0 + 0x40, Read, NEXT),
    forced!(
        "fetch-np",
        "an instruction on a page that is not present, after the prefix",
        [0x90],
        "nop"
    )
    .rip(CODE1 - 5)
    .pages(&[(Code1, Kind::NP)])
    .fault_after(CODE1, Fetch, CODE1),
    forced!(
        "fetch-nx",
        "an instruction on a page without execution, after the prefix",
        [0x90],
        "nop"
    )
    .rip(CODE1 - 5)
    .pages(&[(Code1, Kind::NX)])
    .fault_after(CODE1, Fetch, CODE1),
    forced!("step", "a single step", [0x90], "nop")
        .rflags(RFLAGS_TF)
        .event(Event::new(Source::Raised, EventType::HardwareException, 1))
        .at_end(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, NEXT + 1), (Rflags, RFLAGS_TF | 2)]),
    forced!("step-read", "a single step of a read", [0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0), (Rax, 0)])
        .memory(&[(DATA0, 0x1234)])
        .rflags(RFLAGS_TF)
        .event(Event::new(Source::Raised, EventType::HardwareException, 1))
        .at_end(&[
            (Dr6, DR6_AT_START | DR6_BS),
            (Rip, NEXT + 2),
            (Rax, 0x1234),
            (Rflags, RFLAGS_TF | 2),
        ]),
    forced!("movs-source", "MOVS from a bad page", [0xa5], "movsd [rdi],[rsi]")
        .registers(&[(Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data1, Kind::NP)])
        .fault_after(DATA1, Read, NEXT),
    forced!("movs-dest", "MOVS to a page that cannot be written", [0xa5], "movsd [rdi],[rsi]")
        .registers(&[(Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .fault_after(DATA0, Write, NEXT),
    forced!("cmps", "CMPS with a bad second operand", [0xa7], "cmpsd [rsi],[rdi]")
        .registers(&[(Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault_after(DATA0, Read, NEXT),
    forced!("stos", "STOS to a page that cannot be written", [0xab], "stosd [rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault_after(DATA0, Write, NEXT),
    forced!("mov-ds", "a segment loaded from a bad GDT", [0x8e, 0xd8], "mov ds,ax")
        .registers(&[(Rax, USER_DATA)])
        .pages(&[(Gdt, Kind::NP)])
        .implicit_fault_after(GDT + 0x20, Read, NEXT)
        .unwanted(Unwanted::TripleFault),
    forced!(
        "mov-es-accessed",
        "the accessed bit of a GDT that cannot be written",
        [0x8e, 0xc0],
        "mov es,ax"
    )
    .registers(&[(Rax, FRESH_USER_DATA_SELECTOR as u64)])
    .pages(&[(Gdt, Kind::RO)])
    .implicit_fault_after(GDT + (FRESH_USER_DATA_SELECTOR & !7) as u64, Write, NEXT),
    forced!("far-ret", "a far return with a bad GDT", [0xcb], "ret far")
        .rsp(DATA0)
        .memory(&[(DATA0, USER_CODE << 32 | DATA0)])
        .pages(&[(Gdt, Kind::NP)])
        .implicit_fault_after(GDT + 0x18, Read, NEXT)
        .unwanted(Unwanted::TripleFault),
];
