//! Translations that must be gone: L2 or L1 makes a good entry bad and invalidates what is cached
//! of it, so that the next access faults. And ones that hold: PAE paging walks from the PDPTE
//! registers, whatever memory has. SDM vol. 3A, "Invalidation of TLBs and Paging-Structure Caches",
//! and "PDPTE Registers"; vol. 3C, "Invalidating Cached Translation Information".

use super::delivery::{GP, join, raised};
use super::tlb_contexts;
use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level};
use crate::manual::section::Section;
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rcx, Rdi, Rip, Rsi, Rsp};
use crate::scene::invalidation::Invalidation;
use crate::scene::place::Place::Device;
use crate::scene::tested::{Formats, Tested, linear};
use crate::scene::{Answer, Feature, Fits, RIP, Row, stack_of};
use crate::walk::outcome::RFLAGS_AC;
use crate::walk::page::Page;

/// What a read finds.
const VALUE: u64 = 0x5a5a_1234;
/// The address of a page whose PTE differs, and of ones whose PDE or PDPTE does. The index of each
/// has the same place in all modes with entries of eight bytes.
const BY_PTE: u64 = linear(Format::Level4, Level::Pte);
const BY_PDE: u64 = linear(Format::Level4, Level::Pde);
const BY_PDPTE: u64 = linear(Format::Pae, Level::Pdpte);
/// Where L2 finds the PTE and the PDPTE.
const PTE: u64 = Device.linear() + 8 * Format::Level4.index(Level::Pte, BY_PTE) as u64;
const PDPTE: u64 = Device.linear() + 8 * Format::Pae.index(Level::Pdpte, BY_PDPTE) as u64;

const fn entry(level: Level) -> Page {
    Page::new("", level)
}

const GOOD: Page = entry(Level::Pte);
const NP: Page = GOOD.without(Entry::P);
const RO: Page = GOOD.without(Entry::RW);
/// A page of the supervisor's, which SMAP has no word in.
const SUPER: Page = GOOD.without(Entry::US);
const SUPER_NP: Page = SUPER.without(Entry::P);
const SUPER_RO: Page = SUPER.without(Entry::RW);
const SUPER_NX: Page = SUPER.with(Entry::XD);
const SUPER_RO_NX: Page = SUPER_RO.with(Entry::XD);
const PDPTE_GOOD: Page = entry(Level::Pdpte);
const PDPTE_NP: Page = PDPTE_GOOD.without(Entry::P);
const PDE_GOOD: Page = entry(Level::Pde);

const fn of(page: Page, formats: Formats) -> Tested {
    Tested { page, formats }
}

/// L2's code at CPL 0.
const fn code(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    text: &'static str,
) -> Row {
    Row::new(name, what, Supervisor, code, text)
        .registers(&[(Rdi, BY_PTE), (Rsi, PTE)])
        .memory(&[(BY_PTE, VALUE)])
        .table(Level::Pte)
        .before(SUPER)
        .tested(of(SUPER_NP, Formats::WIDE))
}

/// The same for the PDPTEs, with RFLAGS.AC set, so that SMAP lets it access the user's page.
const fn pdpte(
    name: &'static str,
    what: &'static str,
    bytes: &'static [u8],
    text: &'static str,
) -> Row {
    code(name, what, bytes, text)
        .fits(Fits::Bits32)
        .rflags(RFLAGS_AC)
        .registers(&[(Rdi, BY_PDPTE), (Rsi, PDPTE)])
        .memory(&[(BY_PDPTE, VALUE)])
        .table(Level::Pdpte)
        .before(PDPTE_GOOD)
        .tested(of(PDPTE_NP, Formats::PAE))
}

/// With loads of CR3, by way of RCX.
const fn loads_cr3(mut row: Row, instruction: &'static str) -> Row {
    row.texts.instruction = instruction;
    row.scene.open |= Rcx.bit();
    row.needs(Feature::Cr3WithoutExits)
}

impl Row {
    /// With a fault, and after L2 got it another of the same address: what each accesses, and where
    /// it is.
    const fn faulted(self, first: (Access, u64), then: (Access, u64)) -> Self {
        self.fault_after(BY_PTE, then.0, then.1)
            .goes_on_after(BY_PTE, first.0, first.1)
            .section(Section::INVALIDATING.says("a page-fault exception"))
    }

    /// With a call of a read-only page, which returns.
    const fn calls(self) -> Self {
        self.only_64_bit()
            // RET.
            .memory(&[(BY_PTE, 0xc3)])
            .before(SUPER_RO)
            .tested(of(SUPER_RO_NX, Formats::WIDE))
            .telling()
    }
}

/// L2 writes the low byte of the PDPTE and loads CR3; then it reads by way of it, or the load
/// faults.
macro_rules! loads_pdpte {
    ($name:literal, $what:literal, $byte:literal, then read) => {
        loads_pdpte!($name, $what, $byte, [0x8b, 0x07], "; mov eax,[rdi]")
    };
    ($name:literal, $what:literal, $byte:literal) => {
        loads_pdpte!($name, $what, $byte, [], "")
    };
    ($name:literal, $what:literal, $byte:literal, [$($read:literal),*], $then:literal) => {
        loads_cr3(
            pdpte($name, $what, &[0xc6, 0x06, $byte, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xd9, $($read),*], ""),
            concat!("mov byte ptr [rsi],", $byte, "; mov rcx,cr3; mov cr3,rcx", $then),
        )
    };
}

/// An access at CPL 3 that completes, until L1 makes the page bad.
macro_rules! spoiled {
    ($($prefix:literal, $how:ident $(, needs $feature:expr)?;)*) => {
        &[$(
            spoiled!(one concat!($prefix, "-np"), "a read, twice", 0x8b, "mov eax,[rdi]", BY_PTE, GOOD, NP, $how $(, $feature)?)
                .at_end(&[(Rax, VALUE)])
                .fault(BY_PTE, Read),
            spoiled!(one concat!($prefix, "-ro"), "a write, twice", 0x89, "mov [rdi],eax", BY_PTE, GOOD, RO, $how $(, $feature)?)
                .fault(BY_PTE, Write),
            spoiled!(one concat!($prefix, "-np-pde"), "a read, twice", 0x8b, "mov eax,[rdi]", BY_PDE, PDE_GOOD,
                PDE_GOOD.without(Entry::P), $how $(, $feature)?)
                .at_end(&[(Rax, VALUE)])
                .fault(BY_PDE, Read),
        )*]
    };
    (one $name:expr, $what:literal, $opcode:literal, $text:literal, $address:ident, $before:expr, $page:expr, $how:ident
        $(, $feature:expr)?) => {
        user($name, $what, &[$opcode, 0x07], $text)
            .registers(&[(Rdi, $address)])
            .memory(&[($address, VALUE)])
            .before($before)
            .tested(of($page, Formats::WIDE))
            .answer(Answer::Spoil(Invalidation::$how))
            $(.needs($feature))?
    };
}

/// Rows in which L1 changes the page.
const BY_L1: &[Row] = spoiled![
    "entry", Entry;
    "entry-cut", EntryCut, needs Feature::LocalApic;
    "new-vpid", NewVpid;
    "new-vpid-cut", NewVpidCut, needs Feature::LocalApic;
    "invvpid-address", Address, needs Feature::Invvpid(Invalidation::Address);
    "invvpid-context", SingleContext, needs Feature::Invvpid(Invalidation::SingleContext);
    "invvpid-all", AllContexts, needs Feature::Invvpid(Invalidation::AllContexts);
    "invvpid-globals", RetainingGlobals, needs Feature::Invvpid(Invalidation::RetainingGlobals);
];

const CR3_NP: Row = code(
    "cr3-np",
    "a read; L2 clears P and loads CR3; the read again",
    &[0x8b, 0x07, 0xc6, 0x06, 0x62, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xd9, 0x8b, 0x07],
    "",
)
.fault_after(BY_PTE, Read, RIP + 11)
.at_fault(&[(Rax, VALUE)]);

const CR3_RO: Row = code(
    "cr3-ro",
    "a write; L2 clears R/W and loads CR3; the write again",
    &[0x89, 0x07, 0xc6, 0x06, 0x61, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xd9, 0x89, 0x07],
    "",
)
.tested(of(SUPER_RO, Formats::WIDE))
.fault_after(BY_PTE, Write, RIP + 11);

/// Rows in which L2 changes the entry.
const BY_L2: &[Row] = &[
    code(
        "invlpg-np",
        "a read; L2 clears P and does INVLPG; the read again",
        &[0x8b, 0x07, 0xc6, 0x06, 0x62, 0x0f, 0x01, 0x3f, 0x8b, 0x07],
        "mov eax,[rdi]; mov byte ptr [rsi],62h; invlpg [rdi]; mov eax,[rdi]",
    )
    .fault_after(BY_PTE, Read, RIP + 8)
    .at_fault(&[(Rax, VALUE)]),
    code(
        "invlpg-ro",
        "a write; L2 clears R/W and does INVLPG; the write again",
        &[0x89, 0x07, 0xc6, 0x06, 0x61, 0x0f, 0x01, 0x3f, 0x89, 0x07],
        "mov [rdi],eax; mov byte ptr [rsi],61h; invlpg [rdi]; mov [rdi],eax",
    )
    .tested(of(SUPER_RO, Formats::WIDE))
    .fault_after(BY_PTE, Write, RIP + 8),
    code(
        "invlpg-nx",
        "a call; L2 sets XD and does INVLPG; the call again",
        &[0xff, 0xd7, 0xc6, 0x46, 0x07, 0x80, 0x0f, 0x01, 0x3f, 0xff, 0xd7],
        "call rdi; mov byte ptr [rsi+7],80h; invlpg [rdi]; call rdi",
    )
    .only_64_bit()
    // RET.
    .memory(&[(BY_PTE, 0xc3)])
    .tested(of(SUPER_NX, Formats::WIDE))
    .fault_after(BY_PTE, Fetch, BY_PTE)
    .at_fault(&[(Rsp, stack_of(Supervisor) - 8)]),
    code(
        "made-present",
        "L2 sets P, which needs no invalidation",
        &[0xc6, 0x06, 0x63, 0x8b, 0x07],
        "mov byte ptr [rsi],63h; mov eax,[rdi]",
    )
    .before(SUPER_NP)
    .tested(of(SUPER, Formats::WIDE))
    .at_end(&[(Rax, VALUE)]),
    loads_cr3(CR3_NP, "mov eax,[rdi]; mov byte ptr [rsi],62h; mov rcx,cr3; mov cr3,rcx; mov eax,[rdi]"),
    loads_cr3(CR3_RO, "mov [rdi],eax; mov byte ptr [rsi],61h; mov rcx,cr3; mov cr3,rcx; mov [rdi],eax"),
    // A fault that has nothing to do with what L2 changed makes invalid what is cached.
    code(
        "fault-ro",
        "a write; L2 clears R/W; a fetch, which XD forbids; the write again",
        &[0x89, 0x07, 0xc6, 0x06, 0x61, 0xff, 0xe7, 0x89, 0x07],
        "mov [rdi],eax; mov byte ptr [rsi],61h; jmp rdi; mov [rdi],eax",
    )
    .only_64_bit()
    .before(SUPER_NX)
    .tested(of(SUPER_RO_NX, Formats::WIDE))
    .faulted((Fetch, BY_PTE), (Write, RIP + 7)),
    code(
        "fault-nx",
        "a call; L2 sets XD; a write, which R/W forbids; a fetch again",
        &[0xff, 0xd7, 0xc6, 0x46, 0x07, 0x80, 0x89, 0x07],
        "call rdi; mov byte ptr [rsi+7],80h; mov [rdi],eax",
    )
    .calls()
    .faulted((Write, RIP + 6), (Fetch, BY_PTE)),
    code(
        "fault-nx-forced",
        "a call; L2 sets XD; a write that L0 emulates and R/W forbids; a fetch again",
        &[0xff, 0xd7, 0xc6, 0x46, 0x07, 0x80, 0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x89, 0x07],
        "call rdi; mov byte ptr [rsi+7],80h; mov [rdi],eax",
    )
    .calls()
    .needs(Feature::ForcedEmulation)
    .faulted((Write, RIP + 11), (Fetch, BY_PTE)),
    // The PDPTE registers.
    loads_pdpte!("pdpte-np", "L2 clears P of a PDPTE and loads CR3; a read by way of it", 0, then read)
        .fault_after(BY_PDPTE, Read, RIP + 9)
        .answer(Answer::Resume),
    // There is no row with reserved bits in a PDPTE that is not present: whether the load of CR3
    // looks at them, and raises #GP, is the processor's choice. SDM vol. 3A, "PDPTE Registers", in
    // a footnote.
    loads_pdpte!("pdpte-present", "L2 sets P of a PDPTE and loads CR3; a read by way of it", 1, then read)
        .before(PDPTE_NP)
        .tested(of(PDPTE_GOOD, Formats::PAE))
        .at_end(&[(Rax, VALUE)]),
    loads_pdpte!("pdpte-rsvd", "L2 sets a reserved bit in a present PDPTE and loads CR3: #GP, no #PF", 3)
        .tested(of(PDPTE_GOOD, Formats::PAE))
        .event(raised(GP).error_code(0))
        .at_end(&[(Rip, RIP + 6)]),
    loads_pdpte!(
        "pdpte-rsvd-intercepted",
        "L2 sets a reserved bit in a present PDPTE and loads CR3: #GP, which L1 intercepts",
        3
    )
    .tested(of(PDPTE_GOOD, Formats::PAE))
    .event(raised(GP).error_code(0))
    .intercepts(1 << GP)
    .at_end(&[(Rip, RIP + 6)]),
    pdpte(
        "pdpte-np-not-loaded",
        "L2 clears P of a PDPTE in memory and does INVLPG, which loads no PDPTE; a read by way of it",
        &[0xc6, 0x06, 0x00, 0x0f, 0x01, 0x3f, 0x8b, 0x07],
        "mov byte ptr [rsi],0; invlpg [rdi]; mov eax,[rdi]",
    )
    .tested(of(PDPTE_GOOD, Formats::PAE))
    .at_end(&[(Rax, VALUE)]),
    pdpte(
        "pdpte-present-not-loaded",
        "L2 sets P of a PDPTE in memory and does INVLPG, which loads no PDPTE; a read by way of it",
        &[0xc6, 0x06, 0x01, 0x0f, 0x01, 0x3f, 0x8b, 0x07],
        "mov byte ptr [rsi],1; invlpg [rdi]; mov eax,[rdi]",
    )
    .before(PDPTE_NP)
    .fault_after(BY_PDPTE, Read, RIP + 6),
];

/// The rows.
pub const ROWS: &[Row] =
    &join::<{ PAGES.len() + tlb_contexts::ROWS.len() }>(PAGES, tlb_contexts::ROWS);
const PAGES: &[Row] = &join::<{ BY_L1.len() + BY_L2.len() }>(BY_L1, BY_L2);

#[cfg(test)]
mod tests {
    use super::{PDPTE_NP, SUPER, SUPER_NP, SUPER_NX, SUPER_RO};

    #[test]
    fn the_bytes_that_l2_writes_are_those_of_the_entries() {
        let low = |page: super::Page| page.entry(40) & 0xff;
        assert_eq!((low(SUPER), low(SUPER_NP), low(SUPER_RO)), (0x63, 0x62, 0x61));
        assert_eq!(SUPER_NX.entry(40) >> 56, 0x80);
        // Of a PDPTE the stage keeps P alone.
        assert_eq!(PDPTE_NP.entry(40) & 1, 0);
    }
}
