//! L2 of every kind saved and restored in the middle: it asks the VMM to move the VM, by the port
//! of [`crate::channel`], and then does what the filter is asked about. What was asked for must be
//! done: the status that L2 reads is 0. In rows whose names begin with "entry" or "l1", L1 asks: the
//! VM moves as L2 is about to begin, or while L1 is about to enter it.

#![expect(clippy::large_types_passed_by_value, reason = "as the builder methods of scenes")]

use crate::channel::{Ask, PORT, STATUS_PORT};
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::Section;
use crate::scene::between::Between::{Moved, MovedAtEntry};
use crate::scene::between::FilterField::{self, Bitmap, Mask, Match};
use crate::scene::builder::user;
use crate::scene::descriptor::gate_address;
use crate::scene::end::Word::{
    self, Ds, DsAccess, DsBase, DsLimit, Memory, Rax, Rcx, Rdi, Rdx, Rip, Rsi,
};
use crate::scene::environment::REAL;
use crate::scene::event::{Event, EventType, Source};
use crate::scene::expect::BLOCKING_BY_NMI;
use crate::scene::feature::LISTED_PORT_A;
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Idt0};
use crate::scene::{Answer, Exiting, Feature, Fits, RIP, Row};

use super::boundary::MONITOR_TRAP;
use super::delivery::{PF, injected};
use super::ports::IOPL;
use super::saved::{BASE, DESCRIPTOR, FRESH, GDT, LIMIT, RIGHTS};

const DATA0: u64 = Data0.linear();
const VECTOR: u8 = 9;
/// The basic exit reason of I/O instructions, and the bit of the qualification that says a string.
const IO: u16 = 30;
const STRING: u64 = 1 << 4;
/// The bytes before the instruction under test, and where that is.
const ASKING: u64 = 4;
const ASKING_REAL: u64 = 6;
const NEXT: u64 = RIP + ASKING;
const ASK: (Word, u64) = (Rax, Ask::Move as u64);
const AT: (Word, u64) = (Rdx, PORT as u64);
const DONE: (Word, u64) = (Rax, 0);
const STATUS: (Word, u64) = (Rdx, STATUS_PORT as u64);

/// A scene of an instruction after the move. DL is 51H then, and EAX the status.
macro_rules! moved {
    ($name:literal, $what:literal, $cpl:ident, [$($code:literal),*], $instruction:literal) => {
        row($name, $what, $cpl, &[0xef, 0xb2, 0x51, 0xed, $($code),*],
            concat!("out dx,eax; mov dl,51h; in eax,dx", $instruction))
    };
}

const fn row(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    const { assert!(STATUS_PORT == PORT + 4 && STATUS_PORT & 0xff == 0x51) };
    Row::new(name, what, cpl, code, instruction)
        .registers(&[ASK, AT, (Rdi, DATA0), (Rsi, 0x77)])
        .rflags(IOPL)
        .at_fault(&[DONE, STATUS])
        .at_end(&[DONE, STATUS])
        .needs(Feature::Moves)
        .section(Section::VM_EXITS.says(""))
}

/// The VM moves between the VM entry and what it leads to.
const fn at_entry(row: Row) -> Row {
    row.answer(Answer::Again(MovedAtEntry)).needs(Feature::Moves)
}

/// The VM moves while L1 runs, which has written a field of the filter for L2.
const fn in_l1(name: &'static str, field: FilterField) -> Row {
    user(name, "a write to a page that is not good, twice", &[0x89, 0x37], "mov [rdi],esi")
        .registers(&[(Rdi, DATA0)])
        .watch(DATA0)
        .fault(DATA0, Write)
        .answer(Answer::Again(Moved(field)))
        .needs(Feature::Moves)
        .fits(Fits::Bits64)
}

/// In real mode.
macro_rules! moved_real {
    ($name:literal, $what:literal, [$($code:literal),*], $instruction:literal) => {
        row($name, $what, Supervisor, &[0x66, 0xef, 0xb2, 0x51, 0x66, 0xed, $($code),*],
            concat!("out dx,eax; mov dl,51h; in eax,dx", $instruction))
            .real()
            .rflags(0)
            .registers(const { &[ASK, AT, (Rdi, REAL.pointer(DATA0)), (Rcx, 0x5678)] })
    };
}

/// The rows.
pub const ROWS: &[Row] = &[
    moved!("read", "a read", User, [0x8b, 0x0f], "; mov ecx,[rdi]")
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[DONE, STATUS, (Rcx, 0x1234)]),
    moved!(
        "read-np",
        "a read of a page that is not present",
        User,
        [0x8b, 0x0f],
        "; mov ecx,[rdi]"
    )
    .memory(&[(DATA0, 0x1234)])
    .pages(&[(Data0, Kind::NP)])
    .fault_after(DATA0, Read, NEXT)
    .answer(Answer::Retry)
    .at_end(&[DONE, STATUS, (Rcx, 0x1234)]),
    moved!("write-ro", "a write to a read-only page", User, [0x89, 0x37], "; mov [rdi],esi")
        .watch(DATA0)
        .pages(&[(Data0, Kind::RO)])
        .fault_after(DATA0, Write, NEXT)
        .answer(Answer::Retry)
        .at_end(&[DONE, STATUS, (Memory, 0x77)]),
    moved!(
        "super-write-rsvd",
        "a write to a page with a reserved bit",
        Supervisor,
        [0x89, 0x37],
        "; mov [rdi],esi"
    )
    .watch(DATA0)
    .pages(&[(Data0, Kind::RSVD)])
    .fault_after(DATA0, Write, NEXT),
    moved!(
        "super-read-nmi-blocked",
        "a read of a page that is not present, NMIs blocked",
        Supervisor,
        [0x8b, 0x0f],
        "; mov ecx,[rdi]"
    )
    .interruptibility(BLOCKING_BY_NMI)
    .pages(&[(Data0, Kind::NP)])
    .fault_after(DATA0, Read, NEXT)
    .telling(),
    row(
        "super-read-np-ds",
        "DS is loaded before, and a read of a page that is not present",
        Supervisor,
        &[0x8e, 0xd9, 0xef, 0xb2, 0x51, 0xed, 0x8b, 0x0f],
        "mov ds,cx; out dx,eax; mov dl,51h; in eax,dx; mov ecx,[rdi]",
    )
    .registers(&[ASK, AT, (Rdi, DATA0), (Rcx, FRESH)])
    .memory(&[(GDT + FRESH, DESCRIPTOR)])
    .pages(&[(Data0, Kind::NP)])
    .fault_after(DATA0, Read, NEXT + 2)
    .at_fault(&[DONE, STATUS, (Ds, FRESH), (DsBase, BASE), (DsLimit, LIMIT), (DsAccess, RIGHTS)])
    .only_64_bit()
    .unsettles()
    .telling(),
    moved!("int", "INT n", User, [0xcd, 0x09], "; int 9")
        .event(Event::new(Source::Raised, EventType::SoftwareInterrupt, VECTOR).length(2))
        .at_end(&[DONE, STATUS, (Rip, NEXT + 2)]),
    moved!("int-idt-np", "INT n, IDT not present", User, [0xcd, 0x09], "; int 9")
        .event(Event::new(Source::Raised, EventType::SoftwareInterrupt, VECTOR).length(2))
        .pages(&[(Idt0, Kind::NP)])
        .implicit_fault_after(gate_address(VECTOR, true), Read, NEXT)
        .fits(Fits::Long),
    moved!(
        "outs-listed",
        "OUTS to a port that L1 intercepts",
        Supervisor,
        [0x66, 0xba, 0x52, 0x5d, 0x6e],
        "; mov dx,5D52h; outsb dx,[rsi]"
    )
    .registers(&[ASK, AT, (Rsi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault_after(DATA0, Read, NEXT + 4)
    .at_fault(const { &[DONE, (Rdx, LISTED_PORT_A as u64)] })
    .exiting(Exiting::IoBitmaps)
    .intercepted(IO, Some((LISTED_PORT_A as u64) << 16 | STRING))
    .only_64_bit(),
    Row::new("trap", "the monitor trap flag", Supervisor, &[0xef], "out dx,eax")
        .registers(&[ASK, AT])
        .exiting(Exiting::MonitorTrap)
        .stops_after(MONITOR_TRAP)
        .needs(Feature::Moves)
        .section(Section::MONITOR_TRAP.says("")),
    at_entry(
        user(
            "entry-read-np",
            "a read of a page that is not present",
            &[0x8b, 0x07],
            "mov eax,[rdi]",
        )
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .fits(Fits::Bits64),
    ),
    at_entry(
        user("entry-pf", "#PF injected", &[], "")
            .event(injected(EventType::HardwareException, PF).error_code(5)),
    )
    .telling(),
    at_entry(
        user("entry-swint-idt-np", "INT n injected, IDT not present", &[], "")
            .event(injected(EventType::SoftwareInterrupt, VECTOR).length(2))
            .pages(&[(Idt0, Kind::NP)])
            .implicit_fault(gate_address(VECTOR, true), Read)
            .fits(Fits::Long),
    ),
    in_l1("l1-np-mask", Mask).pages(&[(Data0, Kind::NP)]),
    in_l1("l1-ro-match", Match).pages(&[(Data0, Kind::RO)]),
    in_l1("l1-np-bitmap", Bitmap).pages(&[(Data0, Kind::NP)]).telling(),
    in_l1("l1-rsvd-bitmap", Bitmap).pages(&[(Data0, Kind::RSVD)]),
    moved_real!("real-write", "a write in real mode", [0x89, 0x0d], "; mov [di],cx")
        .watch(DATA0)
        .pages(&[(Data0, Kind::RO)])
        .at_end(&[DONE, STATUS, (Memory, 0x5678)]),
    moved_real!("real-ud", "UD2 in real mode, which L1 intercepts", [0x0f, 0x0b], "; ud2")
        .event(Event::new(Source::Raised, EventType::HardwareException, 6))
        .intercepts(1 << 6)
        .at_end(&[DONE, STATUS, (Rip, RIP + ASKING_REAL)]),
];
