//! Translations that must be gone, by what is rarer than INVLPG: INVPCID, PCIDs, global pages, large
//! pages in place of tables, INVEPT.

use super::parts::{INVLPG, Part, READ, WRITE, parts};
use crate::manual::paging::Access::{self, Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level};
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rbx, Rcx, Rdi, Rdx, Rsi};
use crate::scene::ept::{During, EptEntry, GuestFrame, Nested};
use crate::scene::invalidation::Invalidation;
use crate::scene::place::Place::{Data0, Device};
use crate::scene::tested::{Formats, Tested, linear};
use crate::scene::{Answer, Exiting, Feature, Row};
use crate::walk::page::Page;

const VALUE: u64 = 0x5a5a_1234;
const BY_PTE: u64 = linear(Format::Level4, Level::Pte);
const BY_PDE: u64 = linear(Format::Level4, Level::Pde);
/// Where L2 finds the PTE and the PDE.
const PTE: u64 = Device.linear() + 8 * Format::Level4.index(Level::Pte, BY_PTE) as u64;
const PDE: u64 = Device.linear() + 8 * Format::Level4.index(Level::Pde, BY_PDE) as u64;
/// INVPCID's descriptor: PCID 0, and the address.
const DESCRIPTOR: u64 = Data0.linear();

const SUPER: Page = Page::new("", Level::Pte).without(Entry::US);
const SUPER_NP: Page = SUPER.without(Entry::P);
/// G.
const GLOBAL: u64 = 1 << 8;
const TABLE: Page = Page::new("", Level::Pde).without(Entry::US);
const LARGE_RO: Page = TABLE.without(Entry::RW).with(Entry::PS);
const TABLE_RO: Page = TABLE.without(Entry::RW);

/// The low byte of the supervisor's PTE without P.
const CLEAR_P: Part = Part(&[0xc6, 0x06, 0x62], "mov byte ptr [rsi],62h");
const INVPCID: Part = Part(&[0x66, 0x0f, 0x38, 0x82, 0x0a], "invpcid rcx,[rdx]");
const PGE_ON: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x80, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+80h]; mov cr4,rax",
);
const PGE_OFF: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x40, 0x80, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax-80h]; mov cr4,rax",
);
const PCIDE_ON: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0x02, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+20000h]; mov cr4,rax",
);
const PCIDE_OFF: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0xfe, 0xff, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax-20000h]; mov cr4,rax",
);
/// The same PCID, whose translations go.
const CR3: Part = Part(&[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8], "mov rax,cr3; mov cr3,rax");
/// PCID 1, and what is cached of it stays: nothing is.
const CR3_PCID_1: Part = Part(
    &[0x0f, 0x20, 0xd8, 0x48, 0x8d, 0x40, 0x01, 0x48, 0x0f, 0xba, 0xe8, 0x3f, 0x0f, 0x22, 0xd8],
    "mov rax,cr3; lea rax,[rax+1]; bts rax,3Fh; mov cr3,rax",
);
/// A large page at 0 in place of the page table, and the table again, read-only.
const LARGE: Part = Part(&[0x48, 0x8b, 0x0e, 0x48, 0x89, 0x16], "mov rcx,[rsi]; mov [rsi],rdx");
const TABLE_AGAIN: Part =
    Part(&[0x48, 0x8d, 0x49, 0xfe, 0x48, 0x89, 0x0e], "lea rcx,[rcx-2]; mov [rsi],rcx");

impl Row {
    /// With a supervisor's page whose P L2 clears.
    const fn clears(self) -> Self {
        self.of_entry(Level::Pte, SUPER, SUPER_NP).registers(&[(Rdi, BY_PTE), (Rsi, PTE), (Rbx, 0)])
    }

    const fn of_entry(self, table: Level, before: Page, page: Page) -> Self {
        self.memory(&[(BY_PTE, VALUE)])
            .table(table)
            .before(before)
            .tested(Tested { page, formats: Formats::LONG })
            .at_fault(&[(Rbx, VALUE)])
            .open(Rax.bit() | Rcx.bit())
            .only_64_bit()
            .unsettles()
    }

    /// The same of a global page, with CR4.PGE set by L2.
    const fn clears_global(self) -> Self {
        self.clears()
            .before(SUPER.bits(GLOBAL))
            .tested(Tested { page: SUPER_NP.bits(GLOBAL), formats: Formats::LONG })
    }

    /// With INVPCID of a type in RCX.
    const fn invpcid(self, registers: &'static [(crate::scene::end::Word, u64)]) -> Self {
        self.clears()
            .registers(registers)
            .memory(&[(BY_PTE, VALUE), (DESCRIPTOR, 0), (DESCRIPTOR + 8, BY_PTE)])
            .exiting(Exiting::NotEvenInvpcid)
            .needs(Feature::InvpcidWithoutExits)
    }
}

macro_rules! clears {
    ($name:literal, $what:literal; $($part:ident),+) => {
        parts!($name, $what, Supervisor; $($part),+ => BY_PTE, Read)
    };
}

macro_rules! invpcid {
    ($($number:literal: $name:literal, $what:literal;)*) => {
        &[$(
            clears!($name, $what; READ, CLEAR_P, INVPCID, READ)
                .invpcid(&[(Rdi, BY_PTE), (Rsi, PTE), (Rbx, 0), (Rcx, $number), (Rdx, DESCRIPTOR)]),
        )*]
    };
}

const BY_INVPCID: &[Row] = invpcid![
    0: "invpcid-address", "a read; L2 clears P and does INVPCID of the address; the read again";
    1: "invpcid-context", "a read; L2 clears P and does INVPCID of the PCID; the read again";
    2: "invpcid-all", "a read; L2 clears P and does INVPCID of all; the read again";
    3: "invpcid-no-globals", "a read; L2 clears P and does INVPCID of all but global pages; the read again";
];

/// An access at CPL 3, until L1 takes rights from its frame in EPT.
const fn spoiled(name: &'static str, access: Access, entry: EptEntry, how: Invalidation) -> Row {
    let address = Data0.linear();
    let frame = Some((GuestFrame::Place(Data0), entry));
    let nested = Nested { address, access, during: During::Instruction, guest: None, frame };
    let row = match access {
        Write => user(name, "a write, twice", &[0x89, 0x07], "mov [rdi],eax"),
        _ => user(name, "a read, twice", &[0x8b, 0x07], "mov eax,[rdi]").open(Rax.bit()),
    };
    let row =
        row.registers(const { &[(Rdi, Data0.linear())] }).nested(nested).answer(Answer::Spoil(how));
    row.only_64_bit()
}

const OTHERS: &[Row] = &[
    clears!("global-pge", "a read of a global page; L2 clears P and CR4.PGE; the read again";
        PGE_ON, READ, CLEAR_P, PGE_OFF, READ).clears_global(),
    clears!("global-invlpg", "a read of a global page; L2 clears P and does INVLPG; the read again";
        PGE_ON, READ, CLEAR_P, INVLPG, READ).clears_global(),
    clears!("pcid-cr3", "a read with CR4.PCIDE; L2 clears P and loads CR3 with bit 63 clear; the read again";
        PCIDE_ON, READ, CLEAR_P, CR3, READ)
        .clears()
        .needs(Feature::Pcid),
    clears!("pcid-new", "a read with CR4.PCIDE; L2 clears P and loads CR3 with another PCID and bit 63; the read again";
        PCIDE_ON, READ, CLEAR_P, CR3_PCID_1, READ)
        .clears()
        .needs(Feature::Pcid),
    clears!("pcide-off", "a read with CR4.PCIDE; L2 clears P and CR4.PCIDE; the read again";
        PCIDE_ON, READ, CLEAR_P, PCIDE_OFF, READ)
        .clears()
        .needs(Feature::Pcid),
    parts!("pcid-same", "two reads, by one PCID and another", Supervisor; PCIDE_ON, READ, CR3_PCID_1, READ)
        .clears()
        .tested(Tested { page: SUPER, formats: Formats::LONG })
        .at_end(&[(Rbx, VALUE)])
        .needs(Feature::Pcid),
    parts!("table-large", "a write by way of a page table; a read-only large page in its place; a write", Supervisor;
        WRITE, LARGE, INVLPG, WRITE => BY_PDE, Write)
        .of_entry(Level::Pde, TABLE, LARGE_RO)
        .at_fault(&[])
        .registers(&[(Rdi, BY_PDE), (Rsi, PDE), (Rdx, LARGE_RO.entry(0))]),
    parts!("large-table", "a write to a large page in place of a page table; the table again, read-only; a write", Supervisor;
        WRITE, LARGE, INVLPG, WRITE, TABLE_AGAIN, INVLPG, WRITE => BY_PDE, Write)
        .of_entry(Level::Pde, TABLE, TABLE_RO)
        .at_fault(&[])
        .registers(&[(Rdi, BY_PDE), (Rsi, PDE), (Rdx, LARGE_RO.with(Entry::RW).entry(0))]),
    spoiled("invept-single-np", Read, EptEntry::NP, Invalidation::EptSingle),
    spoiled("invept-single-ro", Write, EptEntry::RO, Invalidation::EptSingle),
    spoiled("invept-all-np", Read, EptEntry::NP, Invalidation::EptAll).needs(Feature::InveptOfAll),
    spoiled("invept-all-ro", Write, EptEntry::RO, Invalidation::EptAll).needs(Feature::InveptOfAll),
];

/// The rows.
pub const ROWS: &[Row] =
    &super::delivery::join::<{ BY_INVPCID.len() + OTHERS.len() }>(BY_INVPCID, OTHERS);
