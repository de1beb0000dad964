//! String I/O, which L0 emulates where it intercepts ports; L1 does not. The port is one that no
//! device has.

use super::REP;
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rcx, Rdi, Rdx, Rsi};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1};
use crate::scene::{Answer, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const DF: u64 = 1 << 10;
/// RFLAGS.IOPL = 3.
pub const IOPL: u64 = 3 << 12;
/// A port that no device has: it reads as all ones.
pub const PORT: u64 = 0x4d50;

/// The rows.
pub const ROWS: &[Row] = &[
    user("ins-first", "INS to a page that cannot be written", &[0x6c], "insb [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, DATA0)])
        .rflags(IOPL)
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault(DATA0, Write),
    user("ins-np", "INS to a page that is not there", &[0xf3, 0x6d], "rep insd [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, DATA0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Write),
    user("ins-mid", "INS, the third element is bad", &[0xf3, 0x6d], "rep insd [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, END0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data1, Kind::NP)])
        .watch(END0)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 2), (Rdi, DATA1), (Memory, u64::MAX)])
        .section(REP),
    user("ins-mid-retry", "INS that L1 lets go on", &[0xf3, 0x6d], "rep insd [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, END0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data1, Kind::RO)])
        .watch(DATA1)
        .fault(DATA1, Write)
        .at_fault(&[(Rcx, 2), (Rdi, DATA1)])
        .answer(Answer::Retry)
        .at_end(&[(Rcx, 0), (Rdi, DATA1 + 8), (Memory, u64::MAX)])
        .section(REP),
    user("ins-down", "INS downwards, the third element is bad", &[0xf3, 0x6c], "rep insb [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, DATA1 + 1), (Rcx, 4)])
        .rflags(IOPL | DF)
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA1 - 1, Write)
        .at_fault(&[(Rcx, 2), (Rdi, DATA1 - 1)])
        .section(REP),
    user(
        "ins-cross",
        "INS of an element across two pages, the second bad",
        &[0x6d],
        "insd [rdi],dx",
    )
    .registers(&[(Rdx, PORT), (Rdi, DATA1 - 2)])
    .rflags(IOPL)
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .in_parts(),
    Row::new(
        "ins-super",
        "INS in supervisor mode to a page that cannot be written",
        Supervisor,
        &[0x66, 0x6d],
        "insw [rdi],dx",
    )
    .registers(&[(Rdx, PORT), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA0, Write),
    user("outs-first", "OUTS from a bad page", &[0x6e], "outsb dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, DATA0)])
        .rflags(IOPL)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    user("outs-first-super", "OUTS from a supervisor's page", &[0xf3, 0x6f], "rep outsd dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, DATA0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data0, Kind::SUPER)])
        .fault(DATA0, Read),
    user("outs-mid", "OUTS, the third element is bad", &[0xf3, 0x6f], "rep outsd dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, END0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .at_fault(&[(Rcx, 2), (Rsi, DATA1)])
        .section(REP),
    user("outs-mid-retry", "OUTS that L1 lets go on", &[0xf3, 0x6f], "rep outsd dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, END0), (Rcx, 4)])
        .rflags(IOPL)
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .at_fault(&[(Rcx, 2), (Rsi, DATA1)])
        .answer(Answer::Retry)
        .at_end(&[(Rcx, 0), (Rsi, DATA1 + 8)])
        .section(REP),
    user(
        "outs-down",
        "OUTS downwards, the third element is bad",
        &[0xf3, 0x6e],
        "rep outsb dx,[rsi]",
    )
    .registers(&[(Rdx, PORT), (Rsi, DATA1 + 1), (Rcx, 4)])
    .rflags(IOPL | DF)
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA1 - 1, Read)
    .at_fault(&[(Rcx, 2), (Rsi, DATA1 - 1)])
    .section(REP),
    user("outs-none", "OUTS of no element", &[0xf3, 0x6f], "rep outsd dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, DATA0), (Rcx, 0)])
        .rflags(IOPL)
        .pages(&[(Data0, Kind::NP)]),
];
