//! Protection keys: the user-mode ones of PKRU, which L1 writes before the entry, and the
//! supervisor-mode ones of IA32_PKRS.

use super::ports::{IOPL, PORT};
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Entry;
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rcx, Rdi, Rdx, Rsi};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, Data1, Gdt};
use crate::scene::{Answer, Feature, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const CODE1: u64 = Code1.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
/// RFLAGS.AC: SMAP suspended.
const AC: u64 = 1 << 18;
/// Access-disable and write-disable of key 1, key 15, and key 0.
const AD1: u32 = 1 << 2;
const WD1: u32 = 1 << 3;
const AD15: u32 = 1 << 30;
const AD0: u32 = 1 << 0;
/// The bits of all keys but 0 and 1.
const OTHERS: u32 = 0xffff_fff0;
const KEY1: Kind = Kind { key: 1, ..Kind::GOOD };
const KEY15: Kind = Kind { key: 15, ..Kind::GOOD };
const NP1: Kind = Kind { key: 1, ..Kind::NP };
const RSVD1: Kind = Kind { key: 1, ..Kind::RSVD };
const RO1: Kind = Kind { key: 1, ..Kind::RO };
const NX1: Kind = Kind { key: 1, ..Kind::NX };
const SUPER1: Kind = Kind { key: 1, ..Kind::SUPER };
/// A user-mode page in a scene of CPL 0.
const USER1: Kind = Kind { key: 1, with: Entry::US, ..Kind::GOOD };
const KEYS: Citation = Section::PROTECTION_KEYS.says("");

const fn keyed(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    Row::new(name, what, cpl, code, instruction).needs(Feature::Pku).section(KEYS)
}

const fn read(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    keyed(name, what, cpl, &[0x8b, 0x07], "mov eax,[rdi]").registers(&[(Rdi, DATA0)])
}

const fn write(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    keyed(name, what, cpl, &[0x89, 0x07], "mov [rdi],eax").registers(&[(Rdi, DATA0)])
}

/// The rows.
pub const ROWS: &[Row] = &[
    read("ad-read", "a read, access-disable", User)
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .fault(DATA0, Read),
    write("ad-write", "a write, access-disable", User)
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .watch(DATA0)
        .fault(DATA0, Write),
    write("wd-write", "a write, write-disable", User)
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write),
    read("wd-read", "a read, write-disable: allowed", User)
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)]),
    keyed(
        "other-write",
        "a write, all other keys disabled: allowed",
        User,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0), (Rax, 7)])
    .pages(&[(Data0, KEY1)])
    .keys(OTHERS)
    .watch(DATA0)
    .at_end(&[(Memory, 7)]),
    read("ad15-read", "a read with the highest key", User)
        .pages(&[(Data0, KEY15)])
        .keys(AD15)
        .fault(DATA0, Read),
    read("ad0-read", "a read with key 0", User).keys(AD0).fault(DATA0, Read),
    read("ad-read-np", "a read of a page that is not there: no key", User)
        .pages(&[(Data0, NP1)])
        .keys(AD1)
        .fault(DATA0, Read),
    read("ad-read-rsvd", "a read through an entry with a reserved bit: no key", User)
        .pages(&[(Data0, RSVD1)])
        .keys(AD1)
        .fault(DATA0, Read),
    write("wd-write-ro", "a write that the page refuses as well as the key", User)
        .pages(&[(Data0, RO1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write),
    read("ad-read-super", "a read of a supervisor's page: PKRU does not count", User)
        .pages(&[(Data0, SUPER1)])
        .keys(AD1)
        .fault(DATA0, Read),
    keyed("ad-fetch", "a fetch: keys do not count", User, &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, KEY1)])
        .keys(AD1),
    keyed("ad-fetch-nx", "a fetch that the page refuses: keys do not count", User, &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, NX1)])
        .keys(AD1)
        .fault(CODE1, Fetch),
    keyed(
        "wd-add",
        "a read and write, write-disable",
        User,
        &[0xf0, 0x01, 0x07],
        "lock add [rdi],eax",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, KEY1)])
    .keys(WD1)
    .watch(DATA0)
    .fault(DATA0, Write),
    keyed(
        "ad-cross",
        "a read across two pages, the second disabled",
        User,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA1 - 2)])
    .pages(&[(Data1, KEY1)])
    .keys(AD1)
    .fault(DATA1, Read)
    .in_parts(),
    keyed("wd-push", "a push, write-disable", User, &[0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .fault(END0, Write)
        .only_64_bit(),
    keyed(
        "wd-movs",
        "MOVS, the third destination element is disabled",
        User,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA0), (Rdi, END0)])
    .pages(&[(Data1, KEY1)])
    .keys(WD1)
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1)]),
    keyed(
        "ad-retry",
        "a write that L1 lets be tried again on a page with key 0",
        User,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0), (Rax, 9)])
    .pages(&[(Data0, KEY1)])
    .keys(AD1)
    .watch(DATA0)
    .fault(DATA0, Write)
    .answer(Answer::Retry)
    .at_end(&[(Memory, 9)]),
    keyed(
        "ad-implicit",
        "a segment loaded from a supervisor's GDT with a key: PKRU does not count",
        User,
        &[0x8e, 0xd8],
        "mov ds,ax",
    )
    .registers(&[(Rax, 0x23)])
    .pages(&[(Gdt, KEY1)])
    .keys(AD1),
    read("super-ad-read", "a supervisor's read of a user's page, access-disable", Supervisor)
        .rflags(AC)
        .pages(&[(Data0, USER1)])
        .keys(AD1)
        .fault(DATA0, Read),
    write(
        "super-wd-write",
        "a supervisor's write to a user's page, write-disable and CR0.WP",
        Supervisor,
    )
    .rflags(AC)
    .pages(&[(Data0, USER1)])
    .keys(WD1)
    .fault(DATA0, Write),
    read(
        "super-ad-smap",
        "a supervisor's read of a user's page that SMAP refuses, too",
        Supervisor,
    )
    .pages(&[(Data0, USER1)])
    .keys(AD1)
    .fault(DATA0, Read),
    read("super-own", "a supervisor's read of its own page: PKRU does not count", Supervisor)
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .memory(&[(DATA0, 5)])
        .at_end(&[(Rax, 5)]),
    write("super-ad-write", "a supervisor's write to a user's page, access-disable", Supervisor)
        .rflags(AC)
        .pages(&[(Data0, USER1)])
        .keys(AD1)
        .fault(DATA0, Write),
    keyed(
        "super-own-write",
        "a supervisor's write to its own page: PKRU does not count",
        Supervisor,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0), (Rax, 7)])
    .pages(&[(Data0, KEY1)])
    .keys(AD1 | WD1)
    .watch(DATA0)
    .at_end(&[(Memory, 7)]),
    // String I/O, which L0 emulates where it intercepts ports.
    keyed("ad-outs", "OUTS, access-disable", User, &[0x6e], "outsb dx,[rsi]")
        .registers(&[(Rdx, PORT), (Rsi, DATA0)])
        .rflags(IOPL)
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .fault(DATA0, Read),
    keyed("wd-ins", "INS, write-disable", User, &[0x6c], "insb [rdi],dx")
        .registers(&[(Rdx, PORT), (Rdi, DATA0)])
        .rflags(IOPL)
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write),
    // Supervisor keys.
    Row::new(
        "pks-ad-read",
        "a supervisor's read of its own page, access-disable in IA32_PKRS",
        Supervisor,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, KEY1)])
    .keys(AD1)
    .fault(DATA0, Read)
    .needs(Feature::Pks)
    .section(KEYS),
    Row::new(
        "pks-wd-write",
        "a supervisor's write to its own page, write-disable in IA32_PKRS",
        Supervisor,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, KEY1)])
    .keys(WD1)
    .watch(DATA0)
    .fault(DATA0, Write)
    .needs(Feature::Pks)
    .section(KEYS),
    user(
        "pks-implicit",
        "a segment loaded at CPL 3 from a GDT with a key, access-disable in IA32_PKRS",
        &[0x0f, 0x03, 0xc1],
        "lsl eax,ecx",
    )
    .registers(&[(Rcx, 0x23)])
    .pages(&[(Gdt, KEY1)])
    .keys(AD1)
    .implicit_fault(Gdt.linear() + 0x20, Read)
    .unwanted(crate::scene::Unwanted::TripleFault)
    .needs(Feature::Pks)
    .section(KEYS),
    user("pks-user", "a user's read: IA32_PKRS does not count", &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .memory(&[(DATA0, 5)])
        .at_end(&[(Rax, 5)])
        .needs(Feature::Pks)
        .section(KEYS),
];
