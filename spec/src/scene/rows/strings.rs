//! String instructions, stopped in mid-iteration: the registers name the next element, RCX what is
//! left, RFLAGS are those before the instruction.

use super::REP;
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rcx, Rdi, Rflags, Rsi};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, Data1};
use crate::scene::{Answer, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const CODE1: u64 = Code1.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const VALUE: u64 = 0x0102_0304_0506_0708;
/// RFLAGS.DF.
const DF: u64 = 1 << 10;
/// RFLAGS.CF, PF, AF, SF and OF: what no comparison of equal elements leaves.
const ODD: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 7 | 1 << 11;
/// RFLAGS of equal elements, bit 1 included: ZF and PF.
const EQUAL: u64 = 1 << 1 | 1 << 6 | 1 << 2;

/// A repeated instruction.
const fn rep(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    user(name, what, code, instruction).section(REP)
}

const fn movs(name: &'static str, what: &'static str) -> Row {
    rep(name, what, &[0xf3, 0xa5], "rep movsd [rdi],[rsi]")
}

/// The rows.
pub const ROWS: &[Row] = &[
    movs("movs-source-first", "MOVS, the first source element is bad")
        .registers(&[(Rcx, 4), (Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data1, Kind::NP)])
        .watch(DATA0)
        .fault(DATA1, Read),
    movs("movs-source-mid", "MOVS, the third source element is bad")
        .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DATA0)])
        .memory(&[(END0, VALUE)])
        .pages(&[(Data1, Kind::NP)])
        .watch(DATA0)
        .fault(DATA1, Read)
        .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DATA0 + 8), (Memory, VALUE)]),
    rep(
        "movs-source-last",
        "MOVS, the last source element is bad",
        &[0xf3, 0xa4],
        "rep movsb [rdi],[rsi]",
    )
    .registers(&[(Rcx, 9), (Rsi, END0), (Rdi, DATA0)])
    .memory(&[(END0, VALUE)])
    .pages(&[(Data1, Kind::SUPER)])
    .watch(DATA0)
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 1), (Rsi, DATA1), (Rdi, DATA0 + 8), (Memory, VALUE)]),
    movs("movs-dest-first", "MOVS, the first destination element is bad")
        .registers(&[(Rcx, 4), (Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA0, Write),
    movs("movs-dest-mid", "MOVS, the third destination element is bad")
        .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
        .memory(&[(DATA0, VALUE)])
        .pages(&[(Data1, Kind::RO)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1), (Memory, VALUE)]),
    rep(
        "movs-dest-last",
        "MOVS, the last destination element is bad",
        &[0xf3, 0xa4],
        "rep movsb [rdi],[rsi]",
    )
    .registers(&[(Rcx, 3), (Rsi, DATA0), (Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 1), (Rsi, DATA0 + 2), (Rdi, DATA1)]),
    movs("movs-dest-cross", "MOVS, an element across two pages, the second bad")
        .registers(&[(Rcx, 4), (Rsi, DATA0), (Rdi, DATA1 - 6)])
        .pages(&[(Data1, Kind::RO)])
        .fault(DATA1, Write)
        .in_parts()
        .at_fault(&[(Rcx, 3), (Rsi, DATA0 + 4), (Rdi, DATA1 - 2)]),
    movs("movs-source-cross", "MOVS, an element across two pages, the second bad")
        .registers(&[(Rcx, 4), (Rsi, DATA1 - 6), (Rdi, DATA0)])
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .in_parts()
        .at_fault(&[(Rcx, 3), (Rsi, DATA1 - 2), (Rdi, DATA0 + 4)]),
    movs("movs-retry", "MOVS that L1 lets go on")
        .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
        .memory(&[(DATA0, VALUE)])
        .pages(&[(Data1, Kind::RO)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1), (Memory, VALUE)])
        .answer(Answer::Retry)
        .at_end(&[(Rcx, 0), (Rsi, DATA0 + 32), (Rdi, END0 + 32), (Memory, VALUE)]),
    movs("movs-down-source", "MOVS downwards, the third source element is bad")
        .registers(&[(Rcx, 8), (Rsi, DATA1 + 4), (Rdi, DATA1 + 0x804)])
        .rflags(DF)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA1 - 4, Read)
        .at_fault(&[(Rcx, 6), (Rsi, DATA1 - 4), (Rdi, DATA1 + 0x7fc)]),
    rep(
        "movs-down-dest",
        "MOVS downwards, the third destination element is bad",
        &[0x66, 0xf3, 0xa5],
        "rep movsw [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA1 + 0x800), (Rdi, DATA1 + 2)])
    .rflags(DF)
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA1 - 2, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1 + 0x7fc), (Rdi, DATA1 - 2)]),
    movs("movs-down-cross", "MOVS downwards, an element across two pages, the first bad")
        .registers(&[(Rcx, 2), (Rsi, DATA1 + 0x800), (Rdi, DATA1 + 2)])
        .rflags(DF)
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA1 - 2, Write)
        .in_parts()
        .at_fault(&[(Rcx, 1), (Rsi, DATA1 + 0x7fc), (Rdi, DATA1 - 2)]),
    movs("movs-none", "MOVS of no element: no access")
        .registers(&[(Rcx, 0), (Rsi, DATA1), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP), (Data1, Kind::NP)]),
    user(
        "movs-single",
        "MOVS without prefix, the destination is bad",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 3), (Rsi, DATA1), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA0, Write),
    rep(
        "movs-short-address",
        "MOVS with 32-bit addresses",
        &[0x67, 0xf3, 0xa5],
        "rep movsd [edi],[esi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1)])
    .only_64_bit(),
    rep("movs-quad", "MOVS of eight bytes", &[0xf3, 0x48, 0xa5], "rep movsq [rdi],[rsi]")
        .registers(&[(Rcx, 3), (Rsi, DATA0), (Rdi, END0)])
        .memory(&[(DATA0, VALUE)])
        .pages(&[(Data1, Kind::NP)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 2), (Rsi, DATA0 + 8), (Rdi, DATA1), (Memory, VALUE)])
        .only_64_bit(),
    Row::new(
        "movs-super",
        "MOVS in supervisor mode, the third source element is bad",
        Supervisor,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DATA0)])
    .memory(&[(END0, VALUE)])
    .pages(&[(Data1, Kind::NP)])
    .watch(DATA0)
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DATA0 + 8), (Memory, VALUE)])
    .section(REP),
    user(
        "movs-fetch",
        "MOVS, whose own second byte is bad",
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .rip(CODE1 - 1)
    .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DATA0)])
    .pages(&[(Code1, Kind::NX), (Data1, Kind::NP)])
    .fault(CODE1, Fetch),
    rep(
        "movs-long-source",
        "MOVS of a page and more, the last element is bad",
        &[0xf3, 0xa4],
        "rep movsb [rdi],[rsi]",
    )
    .registers(&[(Rcx, 0x801), (Rsi, DATA0 + 0x800), (Rdi, DATA0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 1), (Rsi, DATA1), (Rdi, DATA0 + 0x800)]),
    rep("stos-first", "STOS, the first element is bad", &[0xf3, 0xab], "rep stosd [rdi]")
        .registers(&[(Rcx, 8), (Rdi, DATA0), (Rax, 7)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault(DATA0, Write),
    rep("stos-mid", "STOS, the third element is bad", &[0xf3, 0xab], "rep stosd [rdi]")
        .registers(&[(Rcx, 8), (Rdi, END0), (Rax, 7)])
        .pages(&[(Data1, Kind::NP)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 6), (Rdi, DATA1), (Memory, 7 << 32 | 7)]),
    rep("stos-last", "STOS, the last element is bad", &[0xf3, 0xaa], "rep stosb [rdi]")
        .registers(&[(Rcx, 9), (Rdi, END0), (Rax, 0x5a)])
        .pages(&[(Data1, Kind::RO)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 1), (Rdi, DATA1), (Memory, 0x5a5a_5a5a_5a5a_5a5a)]),
    rep("stos-down-mid", "STOS downwards", &[0xf3, 0xaa], "rep stosb [rdi]")
        .registers(&[(Rcx, 8), (Rdi, DATA1 + 4), (Rax, 7)])
        .rflags(DF)
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA1 - 1, Write)
        .at_fault(&[(Rcx, 3), (Rdi, DATA1 - 1)]),
    rep("stos-retry", "STOS that L1 lets go on", &[0xf3, 0xab], "rep stosd [rdi]")
        .registers(&[(Rcx, 4), (Rdi, END0), (Rax, 9)])
        .pages(&[(Data1, Kind::NP)])
        .watch(DATA1)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 2), (Rdi, DATA1)])
        .answer(Answer::Retry)
        .at_end(&[(Rcx, 0), (Rdi, DATA1 + 8), (Memory, 9 << 32 | 9)]),
    rep("lods-mid", "LODS, the third element is bad", &[0xf3, 0xad], "rep lodsd [rsi]")
        .registers(&[(Rcx, 5), (Rsi, END0), (Rax, 0)])
        .memory(&[(END0, VALUE)])
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .at_fault(&[(Rcx, 3), (Rsi, DATA1), (Rax, VALUE >> 32)]),
    user("lods-single", "LODS without prefix", &[0xac], "lodsb [rsi]")
        .registers(&[(Rsi, DATA0)])
        .pages(&[(Data0, Kind::SUPER)])
        .fault(DATA0, Read),
    rep(
        "cmps-second-mid",
        "CMPS, the third element by RDI is bad: flags as before",
        &[0xf3, 0xa7],
        "repe cmpsd [rsi],[rdi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
    .rflags(ODD)
    .pages(&[(Data1, Kind::NP)])
    .memory(&[(DATA0, VALUE), (END0, VALUE)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1)]),
    rep(
        "cmps-first-mid",
        "CMPS, the third element by RSI is bad: flags as before",
        &[0xf3, 0xa7],
        "repe cmpsd [rsi],[rdi]",
    )
    .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DATA0)])
    .rflags(ODD)
    .pages(&[(Data1, Kind::NP)])
    .memory(&[(DATA0, VALUE), (END0, VALUE)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DATA0 + 8)]),
    rep(
        "cmps-differ-before",
        "CMPS that ends before the bad page",
        &[0xf3, 0xa7],
        "repe cmpsd [rsi],[rdi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
    .pages(&[(Data1, Kind::NP)])
    .memory(&[(DATA0, VALUE), (END0, VALUE + (1 << 32))])
    .at_end(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1)])
    .open(Rflags.bit()),
    rep("cmps-retry", "CMPS that L1 lets go on", &[0xf3, 0xa6], "repe cmpsb [rsi],[rdi]")
        .registers(&[(Rcx, 9), (Rsi, DATA0), (Rdi, END0)])
        .rflags(ODD)
        .pages(&[(Data1, Kind::NP)])
        .memory(&[(DATA0, VALUE), (DATA0 + 8, 5), (END0, VALUE), (DATA1, 5)])
        .fault(DATA1, Read)
        .at_fault(&[(Rcx, 1), (Rsi, DATA0 + 8), (Rdi, DATA1)])
        .answer(Answer::Retry)
        .at_end(&[(Rcx, 0), (Rsi, DATA0 + 9), (Rdi, DATA1 + 1), (Rflags, EQUAL)]),
    rep(
        "scas-mid",
        "SCAS that finds nothing before the bad page: flags as before",
        &[0xf2, 0xae],
        "repne scasb [rdi]",
    )
    .registers(&[(Rcx, 0x100), (Rdi, END0), (Rax, 0xee)])
    .rflags(ODD)
    .memory(&[(END0, VALUE)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 0xf8), (Rdi, DATA1)]),
    rep(
        "scas-found-before",
        "SCAS that finds before the bad page",
        &[0xf2, 0xae],
        "repne scasb [rdi]",
    )
    .registers(&[(Rcx, 0x100), (Rdi, END0), (Rax, 1)])
    .memory(&[(END0, VALUE)])
    .pages(&[(Data1, Kind::NP)])
    .at_end(&[(Rcx, 0xf8), (Rdi, DATA1)])
    .open(Rflags.bit()),
    rep("scas-down", "SCAS downwards", &[0xf2, 0xaf], "repne scasd [rdi]")
        .registers(&[(Rcx, 3), (Rdi, DATA1), (Rax, 0xee)])
        .rflags(DF | ODD)
        .pages(&[(Data0, Kind::SUPER)])
        .fault(DATA1 - 4, Read)
        .at_fault(&[(Rcx, 2), (Rdi, DATA1 - 4)]),
];
