//! Implicit accesses under SMAP: RFLAGS.AC lets explicit accesses reach a user's page, and not
//! those to descriptor tables and the TSS, whatever the CPL.

use super::delivery::{IST1, IST2, RSP0, UD, VECTOR, gate_address, raised, software};
use super::parts::{LLDT, MOV_DS, Part, READ, READ_FORCED, SMAP_OFF, SMAP_ON, parts};
use crate::manual::paging::Access::Read;
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::paging::{Entry, Mode};
use crate::manual::section::{Citation, Section};
use crate::scene::descriptor::{LDT_SELECTOR, LOCAL_DATA_SELECTOR};
use crate::scene::end::Word::{Rax, Rbx, Rcx, Rdi};
use crate::scene::event::{Event, EventType};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Gdt, Idt0, Ldt, Tss};
use crate::scene::{Answer, Feature, Row, Unwanted};
use crate::walk::outcome::RFLAGS_AC;

const LDT: u64 = Ldt.linear();
const GDT: u64 = Gdt.linear();
const USER_DATA: u64 = 0x23;
const DATA: u64 = 0x10;
/// A user-mode page where the supervisor's would be.
const USER: Kind = Kind { with: Entry::US, ..Kind::GOOD };
const IMPLICIT: Citation = Section::ACCESS_RIGHTS.says("implicit supervisor-mode accesses");
const INT: Event = software(EventType::SoftwareInterrupt, VECTOR, 2);

const MOV_DS_FORCED: Part = Part(&[0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x8e, 0xd9], "mov ds,cx");
const LSL: Part = Part(&[0x0f, 0x03, 0xc1], "lsl eax,ecx");
const VERR: Part = Part(&[0x0f, 0x00, 0xe1], "verr cx");

impl Row {
    /// With AC set, and an LDT on a user's page, of which a selector is in CX.
    const fn of_user_ldt(self) -> Self {
        self.registers(&[(Rcx, LOCAL_DATA_SELECTOR as u64), (Rdi, LDT)])
            .pages(&[(Ldt, USER)])
            .rflags(RFLAGS_AC)
            .of_implicit_access()
            .section(IMPLICIT)
    }

    /// With AC set, and a GDT on a user's page: no event can be delivered.
    const fn of_user_gdt(self) -> Self {
        self.pages(&[(Gdt, USER)])
            .rflags(RFLAGS_AC)
            .of_implicit_access()
            .unwanted(Unwanted::TripleFault)
            .section(IMPLICIT)
    }
}

const fn int(name: &'static str, cpl: Privilege) -> Row {
    Row::new(name, "INT n, and an IDT on a user's page", cpl, &[0xcd, 0x09], "int 9")
        .event(INT)
        .rflags(RFLAGS_AC)
        .pages(&[(Idt0, USER)])
        .implicit_fault(gate_address(VECTOR), Read)
        .of_implicit_access()
        .answer(Answer::Reinject)
        .section(IMPLICIT)
}

macro_rules! by_both {
    ($($name:literal, $what:literal: $part:ident;)*) => {
        &[$(
            parts!(concat!("super-", $name), $what, Supervisor; $part).of_user_ldt().implicit_fault(LDT, Read),
            parts!(concat!("user-", $name), $what, User; $part).of_user_ldt().implicit_fault(LDT, Read),
        )*]
    };
}

const OF_LDT: &[Row] = by_both![
    "smap-mov-ds-ldt", "a segment loaded from an LDT on a user's page": MOV_DS;
    "smap-lsl-ldt", "a limit from an LDT on a user's page": LSL;
    "smap-verr-ldt", "VERR with an LDT on a user's page": VERR;
];

const OTHERS: &[Row] = &[
    parts!("super-smap-mov-ds-gdt", "a segment loaded from a GDT on a user's page", Supervisor; MOV_DS)
        .registers(&[(Rcx, DATA)])
        .of_user_gdt()
        .implicit_fault(GDT + DATA, Read),
    parts!("user-smap-mov-ds-gdt", "a segment loaded from a GDT on a user's page", User; MOV_DS)
        .registers(&[(Rcx, USER_DATA)])
        .of_user_gdt()
        .implicit_fault(GDT + 0x20, Read),
    parts!("super-smap-lldt-gdt", "LLDT with a GDT on a user's page", Supervisor; LLDT)
        .registers(&[(Rcx, LDT_SELECTOR as u64)])
        .of_user_gdt()
        .implicit_fault(GDT + LDT_SELECTOR as u64, Read),
    int("super-smap-int-idt", Supervisor),
    int("user-smap-int-idt", User),
    Row::new("user-smap-int-tss", "INT n, and a TSS on a user's page: RSP0, then IST1 of #PF and #DF", User, &[0xcd, 0x09], "int 9")
        .event(INT)
        .rflags(RFLAGS_AC)
        .pages(&[(Tss, USER)])
        .implicit_first(RSP0, Read)
        .implicit_fault(IST1, Read)
        .unwanted(Unwanted::TripleFault)
        .section(IMPLICIT),
    Row::new("super-smap-ud-tss", "#UD by an IST, and a TSS on a user's page", Supervisor, &[0x0f, 0x0b], "ud2")
        .event(raised(UD))
        .event_stack(1 << UD)
        .rflags(RFLAGS_AC)
        .pages(&[(Tss, USER)])
        .implicit_first(IST2, Read)
        .implicit_fault(IST1, Read)
        .of_implicit_access()
        .unwanted(Unwanted::TripleFault)
        .section(IMPLICIT),
    // Explicit accesses to the same page, and the same without SMAP, fault nowhere.
    parts!("super-smap-read-ldt", "an explicit read of the LDT on a user's page", Supervisor; READ)
        .of_user_ldt()
        .open(Rbx.bit()),
    parts!("super-smap-off-mov-ds-ldt", "SMAP off, and a segment loaded from an LDT on a user's page", Supervisor; SMAP_OFF, MOV_DS)
        .of_user_ldt()
        .flips(Mode { smap: true, ..Mode::NONE })
        .open(Rax.bit())
        .unsettles(),
    parts!(
        "super-smap-off-on-mov-ds-ldt",
        "SMAP off and on: a segment that could be loaded from an LDT on a user's page", Supervisor;
        SMAP_OFF, MOV_DS, SMAP_ON, MOV_DS => LDT, Read
    )
    .of_user_ldt()
    .open(Rax.bit())
    .unsettles(),
    // Emulated.
    parts!("super-smap-forced-ldt", "a segment loaded from an LDT on a user's page, emulated", Supervisor; MOV_DS_FORCED => LDT, Read)
        .of_user_ldt()
        .needs(Feature::ForcedEmulation),
    parts!("user-smap-forced-ldt", "a segment loaded from an LDT on a user's page, emulated", User; MOV_DS_FORCED)
        .of_user_ldt()
        .implicit_fault_after(LDT, Read, crate::scene::RIP + 5)
        .needs(Feature::ForcedEmulation),
    parts!("super-smap-forced-gdt", "a segment loaded from a GDT on a user's page, emulated", Supervisor; MOV_DS_FORCED => GDT + DATA, Read)
        .registers(&[(Rcx, DATA)])
        .of_user_gdt()
        .needs(Feature::ForcedEmulation),
    parts!("super-smap-forced-off-ldt", "SMAP off, and a segment loaded from an LDT on a user's page, emulated", Supervisor;
        SMAP_OFF, MOV_DS_FORCED)
        .of_user_ldt()
        .flips(Mode { smap: true, ..Mode::NONE })
        .open(Rax.bit())
        .unsettles()
        .needs(Feature::ForcedEmulation),
    parts!("super-smap-forced-read", "an explicit read of the LDT on a user's page, emulated", Supervisor; READ_FORCED)
        .of_user_ldt()
        .open(Rbx.bit())
        .needs(Feature::ForcedEmulation),
];

/// The rows.
pub const ROWS: &[Row] = &super::delivery::join::<{ OF_LDT.len() + OTHERS.len() }>(OF_LDT, OTHERS);
