//! Instructions that L0 emulates, or translates in software, on a page that L1's EPT keeps from L2,
//! or by way of a table that it keeps: the exit is L1's, with all that hardware reports, and nothing
//! is written.

use super::REP;
use super::ports::{IOPL, PORT};
use crate::manual::paging::Access::{self, Read, Write};
use crate::manual::paging::Level::Pte;
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{
    GuestLinear, GuestPhysical, Memory, Qualification, Rax, Rcx, Rdi, Rdx, Rip, Rsi, Rsp,
};
use crate::scene::ept::GuestFrame::{self, Page, Pd, Place as At, Pt};
use crate::scene::ept::{DEEP, During, EptEntry, Nested};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1, Device};
use crate::scene::{Answer, FORCED_EMULATION_PREFIX, Feature, RIP, Row, initial_register};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const DEVICE: u64 = Device.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
/// Where the deep page is accessed.
const DEEP_DATA: u64 = DEEP + 0x208;
const VALUE: u64 = 0x1234;
const RAX: u64 = initial_register(Rax as usize);
const NEXT: u64 = RIP + FORCED_EMULATION_PREFIX.len() as u64;
const PRIORITIES: Citation = Section::EPT_PRIORITIES.says("");

impl Row {
    /// With an access to a frame whose EPT entry is not good.
    const fn meets(self, address: u64, access: Access, frame: GuestFrame, entry: EptEntry) -> Self {
        let nested = Nested {
            address,
            access,
            during: During::Instruction,
            guest: None,
            frame: Some((frame, entry)),
        };
        self.nested(nested).only_64_bit().section(PRIORITIES)
    }

    const fn ports(self, registers: &'static [(crate::scene::end::Word, u64)]) -> Self {
        self.registers(registers).rflags(IOPL)
    }

    const fn by_prefix(self) -> Self {
        self.at_fault(&[(Rip, NEXT)]).needs(Feature::ForcedEmulation)
    }
}

/// INS of a byte.
const fn insb(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x6c], "insb [rdi],dx")
        .ports(&[(Rdx, PORT), (Rdi, DATA0)])
        .watch(DATA0)
        .at_end(&[(Rdi, DATA0 + 1), (Memory, 0xff)])
        .answer(Answer::Retry)
}

/// INS to the deep page.
const fn insb_deep(name: &'static str, what: &'static str) -> Row {
    insb(name, what)
        .ports(&[(Rdx, PORT), (Rdi, DEEP_DATA)])
        .watch(DEEP_DATA)
        .at_end(&[(Rdi, DEEP_DATA + 1), (Memory, 0xff)])
}

/// MOVS from the device.
const fn movs(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0xa5], "movsd [rdi],[rsi]")
        .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
        .watch(DATA0)
        .needs(Feature::Channel)
}

/// Instructions after the forced-emulation prefix.
macro_rules! forced {
    ($name:literal, $what:literal, [$($code:literal),+], $instruction:literal) => {
        user($name, $what, &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, $($code),+], $instruction)
            .registers(&[(Rdi, DATA0)])
            .watch(DATA0)
            .by_prefix()
    };
}

const fn forced_write(name: &'static str, what: &'static str) -> Row {
    forced!("", "", [0x89, 0x07], "mov [rdi],eax")
        .described(name, what)
        .at_end(const { &[(Memory, RAX)] })
        .answer(Answer::Retry)
}

const fn forced_read(name: &'static str, what: &'static str) -> Row {
    forced!("", "", [0x8b, 0x07], "mov eax,[rdi]")
        .described(name, what)
        .memory(&[(DATA0, VALUE)])
        .at_end(&[(Rax, VALUE)])
        .answer(Answer::Retry)
}

/// The rows.
pub const ROWS: &[Row] = &[
    insb("ins", "INS to a page that EPT gives").meets(DATA0, Write, At(Data0), EptEntry::GOOD),
    insb("ins-ro", "INS to a page that EPT makes read-only").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RO,
    ),
    insb("ins-np", "INS to a page that EPT has not").meets(DATA0, Write, At(Data0), EptEntry::NP),
    insb("ins-rsvd", "INS to a page whose EPT entry is misconfigured").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RSVD,
    ),
    user(
        "ins-mid",
        "INS whose third element is on a page that EPT makes read-only",
        &[0xf3, 0x6d],
        "rep insd [rdi],dx",
    )
    .ports(&[(Rdx, PORT), (Rdi, END0), (Rcx, 4)])
    .watch(END0)
    .at_fault(&[(Rcx, 2), (Rdi, DATA1), (Memory, u64::MAX)])
    .at_end(&[(Rcx, 0), (Rdi, DATA1 + 8), (Memory, u64::MAX)])
    .answer(Answer::Retry)
    .meets(DATA1, Write, At(Data1), EptEntry::RO)
    .section(REP),
    insb_deep("ins-pt-np", "INS by way of a page table that EPT has not").meets(
        DEEP_DATA,
        Write,
        Pt,
        EptEntry::NP,
    ),
    insb_deep("ins-pd-np", "INS by way of a page directory that EPT has not").meets(
        DEEP_DATA,
        Write,
        Pd,
        EptEntry::NP,
    ),
    insb_deep("ins-pt-ro", "INS by way of a page table that EPT makes read-only").meets(
        DEEP_DATA,
        Write,
        Pt,
        EptEntry::RO,
    ),
    insb_deep("ins-both", "INS to a page that neither L2's tables nor EPT have")
        .nested(Nested {
            address: DEEP_DATA,
            access: Write,
            during: During::Instruction,
            guest: Some((Pte, Kind::NP)),
            frame: Some((Page, EptEntry::NP)),
        })
        .only_64_bit()
        .section(PRIORITIES),
    user("outs-np", "OUTS from a page that EPT has not", &[0x6e], "outsb dx,[rsi]")
        .ports(&[(Rdx, PORT), (Rsi, DATA0)])
        .at_end(&[(Rsi, DATA0 + 1)])
        .answer(Answer::Retry)
        .meets(DATA0, Read, At(Data0), EptEntry::NP),
    user(
        "outs-xo",
        "OUTS from a page that EPT gives for execution alone",
        &[0x6e],
        "outsb dx,[rsi]",
    )
    .ports(&[(Rdx, PORT), (Rsi, DATA0)])
    .at_end(&[(Rsi, DATA0 + 1)])
    .answer(Answer::Retry)
    .meets(DATA0, Read, At(Data0), EptEntry::XO)
    .needs(Feature::ExecuteOnly),
    movs("movs-ro", "MOVS from the device to a page that EPT makes read-only").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RO,
    ),
    movs("movs-np", "MOVS from the device to a page that EPT has not").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::NP,
    ),
    movs("movs-rsvd", "MOVS from the device to a page whose EPT entry is misconfigured").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RSVD,
    ),
    user(
        "movs-source-np",
        "MOVS to the device from a page that EPT has not",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DATA0), (Rdi, DEVICE)])
    .needs(Feature::Channel)
    .meets(DATA0, Read, At(Data0), EptEntry::NP),
    user(
        "push-ro",
        "a push of the device's memory to a stack that EPT makes read-only",
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .registers(&[(Rdi, DEVICE)])
    .rsp(DATA1)
    .watch(END0)
    .needs(Feature::Channel)
    .meets(END0, Write, At(Data0), EptEntry::RO),
    forced_write("forced-write", "a write to a page that EPT gives").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::GOOD,
    ),
    forced_write("forced-write-ro", "a write to a page that EPT makes read-only").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RO,
    ),
    forced_write("forced-write-np", "a write to a page that EPT has not").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::NP,
    ),
    forced_write("forced-write-rsvd", "a write to a page whose EPT entry is misconfigured").meets(
        DATA0,
        Write,
        At(Data0),
        EptEntry::RSVD,
    ),
    forced_read("forced-read-ro", "a read of a page that EPT makes read-only").meets(
        DATA0,
        Read,
        At(Data0),
        EptEntry::RO,
    ),
    forced_read("forced-read-np", "a read of a page that EPT has not").meets(
        DATA0,
        Read,
        At(Data0),
        EptEntry::NP,
    ),
    forced_write("forced-write-pt-np", "a write by way of a page table that EPT has not")
        .registers(&[(Rdi, DEEP_DATA)])
        .watch(DEEP_DATA)
        .meets(DEEP_DATA, Write, Pt, EptEntry::NP),
    forced_read("forced-read-pd-np", "a read by way of a page directory that EPT has not")
        .registers(&[(Rdi, DEEP_DATA)])
        .memory(&[(DEEP_DATA, VALUE)])
        .watch(DEEP_DATA)
        .meets(DEEP_DATA, Read, Pd, EptEntry::NP),
    forced!("forced-push-ro", "a push to a stack that EPT makes read-only", [0x50], "push rax")
        .rsp(DATA1)
        .watch(END0)
        .at_end(const { &[(Rsp, END0), (Memory, RAX)] })
        .answer(Answer::Retry)
        .meets(END0, Write, At(Data0), EptEntry::RO),
    forced!("forced-stos-ro", "STOS to a page that EPT makes read-only", [0xab], "stosd [rdi]")
        .at_end(const { &[(Rdi, DATA0 + 4), (Memory, RAX)] })
        .answer(Answer::Retry)
        .meets(DATA0, Write, At(Data0), EptEntry::RO),
    // Which of bits 1:0 a read-modify-write sets is the implementation's choice.
    forced!(
        "forced-add-ro",
        "a read and write of a page that EPT makes read-only",
        [0x01, 0x07],
        "add [rdi],eax"
    )
    .open(Qualification.bit())
    .meets(DATA0, Write, At(Data0), EptEntry::RO),
    forced!(
        "forced-xchg-np",
        "an exchange with a page that EPT has not",
        [0x87, 0x07],
        "xchg [rdi],eax"
    )
    .open(Qualification.bit())
    .meets(DATA0, Write, At(Data0), EptEntry::NP),
    // Which byte is named is open, and that nothing is written is not.
    forced!(
        "forced-write-cross",
        "a write across two pages, of which EPT makes the second read-only",
        [0x89, 0x07],
        "mov [rdi],eax"
    )
    .registers(&[(Rdi, DATA1 - 2)])
    .watch(END0)
    .open(GuestPhysical.bit() | GuestLinear.bit())
    .meets(DATA1, Write, At(Data1), EptEntry::RO),
];
