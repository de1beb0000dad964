//! Protection keys: the user-mode ones of PKRU, which L1 writes before the entry, and the supervisor-mode ones of
//! IA32_PKRS.

use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Entry;
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::scene::end::Word::{Memory, Rax, Rcx, Rdi, Rsi};
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
const KEYS: &str = "vol. 3A, 4.6.2 (Protection Keys)";

/// The rows.
pub const ROWS: &[Row] = &[
    Row::new("ad-read", "a read, access-disable", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .fault(DATA0, Read)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad-write", "a write, access-disable", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .watch(DATA0)
        .fault(DATA0, Write)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("wd-write", "a write, write-disable", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("wd-read", "a read, write-disable: allowed", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)])
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("other-write", "a write, all other keys disabled: allowed", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0), (Rax, 7)])
        .pages(&[(Data0, KEY1)])
        .keys(OTHERS)
        .watch(DATA0)
        .at_end(&[(Memory, 7)])
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad15-read", "a read with the highest key", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY15)])
        .keys(AD15)
        .fault(DATA0, Read)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad0-read", "a read with key 0", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .keys(AD0)
        .fault(DATA0, Read)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad-read-np", "a read of a page that is not there: no key", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, NP1)])
        .keys(AD1)
        .fault(DATA0, Read)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad-read-rsvd", "a read behind a reserved bit: no key", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, RSVD1)])
        .keys(AD1)
        .fault(DATA0, Read)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("wd-write-ro", "a write that the page refuses as well as the key", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, RO1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new(
        "ad-read-super",
        "a read of a supervisor's page: PKRU does not count",
        User,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, SUPER1)])
    .keys(AD1)
    .fault(DATA0, Read)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new("ad-fetch", "a fetch: keys do not count", User, &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, KEY1)])
        .keys(AD1)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad-fetch-nx", "a fetch that the page refuses: keys do not count", User, &[0x90], "nop")
        .rip(CODE1)
        .pages(&[(Code1, NX1)])
        .keys(AD1)
        .fault(CODE1, Fetch)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("wd-add", "a read and write, write-disable", User, &[0xf0, 0x01, 0x07], "lock add [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .watch(DATA0)
        .fault(DATA0, Write)
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("ad-cross", "a read across two pages, the second disabled", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA1 - 2)])
        .pages(&[(Data1, KEY1)])
        .keys(AD1)
        .fault(DATA1, Read)
        .in_parts()
        .needs(Feature::Pku)
        .section(KEYS),
    Row::new("wd-push", "a push, write-disable", User, &[0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, KEY1)])
        .keys(WD1)
        .fault(END0, Write)
        .needs(Feature::Pku)
        .only_64_bit()
        .section(KEYS),
    Row::new(
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
    .at_fault(&[(Rcx, 6), (Rsi, DATA0 + 8), (Rdi, DATA1)])
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
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
    .at_end(&[(Memory, 9)])
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "ad-implicit",
        "a segment loaded from a supervisor's GDT with a key: PKRU does not count",
        User,
        &[0x8e, 0xd8],
        "mov ds,ax",
    )
    .registers(&[(Rax, 0x23)])
    .pages(&[(Gdt, KEY1)])
    .keys(AD1)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "super-ad-read",
        "a supervisor's read of a user's page, access-disable",
        Supervisor,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .rflags(AC)
    .pages(&[(Data0, USER1)])
    .keys(AD1)
    .fault(DATA0, Read)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "super-wd-write",
        "a supervisor's write to a user's page, write-disable and CR0.WP",
        Supervisor,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0)])
    .rflags(AC)
    .pages(&[(Data0, USER1)])
    .keys(WD1)
    .fault(DATA0, Write)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "super-ad-smap",
        "a supervisor's read of a user's page that SMAP refuses, too",
        Supervisor,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, USER1)])
    .keys(AD1)
    .fault(DATA0, Read)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "super-own",
        "a supervisor's read of its own page: PKRU does not count",
        Supervisor,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, KEY1)])
    .keys(AD1)
    .memory(&[(DATA0, 5)])
    .at_end(&[(Rax, 5)])
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
        "super-ad-write",
        "a supervisor's write to a user's page, access-disable",
        Supervisor,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DATA0)])
    .rflags(AC)
    .pages(&[(Data0, USER1)])
    .keys(AD1)
    .fault(DATA0, Write)
    .needs(Feature::Pku)
    .section(KEYS),
    Row::new(
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
    .at_end(&[(Memory, 7)])
    .needs(Feature::Pku)
    .section(KEYS),
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
    Row::new(
        "pks-implicit",
        "a segment loaded at CPL 3 from a GDT with a key, access-disable in IA32_PKRS",
        User,
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
    Row::new("pks-user", "a user's read: IA32_PKRS does not count", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, KEY1)])
        .keys(AD1)
        .memory(&[(DATA0, 5)])
        .at_end(&[(Rax, 5)])
        .needs(Feature::Pks)
        .section(KEYS),
];
