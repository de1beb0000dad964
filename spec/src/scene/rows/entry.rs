//! VM entries that must fail, each followed by the right one: what L1 injects then, and the page
//! fault of L2 that meets the filter, must come as if the first had not been tried. Each row is a
//! scene that works, and the bits of one field or two that spoil its first entry.

#![expect(clippy::large_types_passed_by_value, reason = "as the builder methods of scenes")]

use super::delivery::{DF, GP, NMI, PF, UD, VECTOR, injected};
use crate::manual::paging::Access::Read;
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rdi};
use crate::scene::environment::{REAL, REAL_SELECTOR};
use crate::scene::event::{Event, EventType};
use crate::scene::expect::{BLOCKING_BY_MOV_SS, PENDING_BS};
use crate::scene::flaw::Checked::{
    self, Activity, Cr0, Cr3, Cr4, CsAccess, Efer, ErrorCode, Info, Interruptibility, Length, Link,
    PendingDebug, Rflags, Rip, SsAccess,
};
use crate::scene::freedom::{NMI_EXITING, VIRTUAL_NMIS};
use crate::scene::place::Kind;
use crate::scene::place::Place::Data0;
use crate::scene::{Feature, Fits, RIP, Row, stack_of};
use crate::walk::outcome::{RFLAGS_IF, RFLAGS_TF};

const DATA0: u64 = Data0.linear();
/// Bits of fields, by their numbers: 10:8 of the interruption information, which tell the types apart.
const HARDWARE_TO_NMI: u8 = 8;
const HARDWARE_TO_RESERVED: u8 = 9;
const HARDWARE_TO_OTHER: u8 = 10;
/// Of the same: there is an error code.
const CODE: u8 = 11;
/// Bits of the activity state: HLT is 1, shutdown 2.
const HLT: u8 = 0;
const SHUTDOWN: u8 = 1;
const IF: u8 = 9;
const RFLAGS_VM: u8 = 17;
/// Bits of the interruptibility state.
const STI: u8 = 0;
const MOV_SS: u8 = 1;
const BY_NMI: u8 = 3;
/// BS of the pending debug exceptions.
const STEP: u8 = 14;
/// The exit qualifications of failed entries that have a meaning. SDM vol. 3C, "VM-Entry Failures
/// During or After Loading Guest State".
const LINK_POINTER: u8 = 4;

const CONTROLS: Citation = Section::ENTRY_CONTROL_CHECKS.says("");
const SEGMENTS: Citation = Section::SEGMENT_CHECKS.says("");
const NON_REGISTERS: Citation = Section::NON_REGISTER_CHECKS.says("");

/// A read of a page that is not present.
const fn read(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .section(Section::FAILED_ENTRIES.says(""))
}

/// An event that L1 injects.
const fn event(name: &'static str, what: &'static str, event: Event) -> Row {
    user(name, what, &[], "").event(event).section(CONTROLS)
}

/// An exception that L1 injects.
const fn exception(name: &'static str, what: &'static str, vector: u8) -> Row {
    event(name, what, injected(EventType::HardwareException, vector))
}

/// #PF that L1 injects: P and U.
const fn pf(name: &'static str, what: &'static str) -> Row {
    event(name, what, injected(EventType::HardwareException, PF).error_code(5))
}

/// An external interrupt that L1 injects.
const fn extint(name: &'static str, what: &'static str) -> Row {
    event(name, what, injected(EventType::ExternalInterrupt, VECTOR)).rflags(RFLAGS_IF)
}

/// An NMI that L1 injects.
const fn nmi(name: &'static str, what: &'static str) -> Row {
    event(name, what, injected(EventType::Nmi, NMI))
}

/// INT n that L1 injects.
const fn int(name: &'static str, what: &'static str) -> Row {
    event(name, what, injected(EventType::SoftwareInterrupt, VECTOR).length(2))
}

/// An exception that L1 injects into real mode, where none has an error code.
const fn real(name: &'static str, what: &'static str, vector: u8) -> Row {
    Row::new(name, what, Supervisor, &[], "")
        .event(injected(EventType::HardwareException, vector))
        .real()
        .watch(TOP - 6)
        .at_end(const { &[(Memory, REAL.pointer(RIP) | REAL_SELECTOR << 16 | 2 << 32)] })
        .section(CONTROLS)
}
const TOP: u64 = stack_of(Supervisor);

/// As [`Row::wrong_state`], with an exit qualification that is not used.
const fn wrong(row: Row, bits: &'static [(Checked, u8)]) -> Row {
    row.wrong_state(bits, 0)
}

/// The rows.
pub const ROWS: &[Row] = &[
    // The injected event.
    pf("pf-type-reserved", "#PF injected, first with a reserved type")
        .wrong_control(&[(Info, HARDWARE_TO_RESERVED)]),
    pf("pf-type-other", "#PF injected, first with the type of a pending MTF exit")
        .wrong_control(&[(Info, HARDWARE_TO_OTHER), (Info, CODE)]),
    pf("pf-type-nmi", "#PF injected, first as an NMI")
        .wrong_control(&[(Info, HARDWARE_TO_NMI), (Info, CODE)]),
    pf("pf-code-missing", "#PF injected, first without its error code")
        .wrong_control(&[(Info, CODE)])
        .needs(Feature::CodeByVector),
    pf("pf-info-bit12", "#PF injected, first with bit 12 of the interruption information")
        .wrong_control(&[(Info, 12)]),
    pf("pf-info-bit30", "#PF injected, first with bit 30 of the interruption information")
        .wrong_control(&[(Info, 30)]),
    pf("pf-code-bit16", "#PF injected, first with bit 16 of the error code")
        .wrong_control(&[(ErrorCode, 16)]),
    pf("pf-code-bit31", "#PF injected, first with bit 31 of the error code")
        .wrong_control(&[(ErrorCode, 31)]),
    exception("ud-code", "#UD injected, first with an error code", UD)
        .wrong_control(&[(Info, CODE)])
        .needs(Feature::CodeByVector),
    exception("ud-vector-38", "#UD injected, first as an exception of vector 38", UD)
        .wrong_control(&[(Info, 5)]),
    event(
        "gp-code-missing",
        "#GP injected, first without its error code",
        injected(EventType::HardwareException, GP).error_code(0x18),
    )
    .wrong_control(&[(Info, CODE)])
    .needs(Feature::CodeByVector),
    event(
        "df-code-missing",
        "#DF injected, first without its error code",
        injected(EventType::HardwareException, DF).error_code(0),
    )
    .wrong_control(&[(Info, CODE)])
    .needs(Feature::CodeByVector),
    nmi("nmi-code", "an NMI injected, first with an error code").wrong_control(&[(Info, CODE)]),
    nmi("nmi-vector-3", "an NMI injected, first with vector 3").wrong_control(&[(Info, 0)]),
    extint("extint-code", "an external interrupt injected, first with an error code")
        .wrong_control(&[(Info, CODE)]),
    int("int-code", "INT n injected, first with an error code").wrong_control(&[(Info, CODE)]),
    int("int-length-18", "INT n injected, first as an instruction of 18 bytes")
        .wrong_control(&[(Length, 4)]),
    real("real-gp-code", "#GP injected into real mode, first with an error code", GP)
        .wrong_control(&[(Info, CODE)]),
    real("real-pf-code", "vector 14 injected into real mode, first with an error code", PF)
        .wrong_control(&[(Info, CODE)]),
    // The event and L2's state.
    wrong(
        extint("extint-if-clear", "an external interrupt injected, first with IF = 0"),
        &[(Rflags, IF)],
    )
    .telling(),
    wrong(
        extint("extint-sti", "an external interrupt injected, first blocked by STI"),
        &[(Interruptibility, STI)],
    )
    .section(NON_REGISTERS),
    wrong(
        extint("extint-mov-ss", "an external interrupt injected, first blocked by MOV SS"),
        &[(Interruptibility, MOV_SS)],
    )
    .section(NON_REGISTERS),
    wrong(
        nmi("nmi-mov-ss", "an NMI injected, first blocked by MOV SS"),
        &[(Interruptibility, MOV_SS)],
    )
    .section(NON_REGISTERS),
    wrong(
        nmi("nmi-blocked-virtual", "a virtual NMI injected, first blocked"),
        &[(Interruptibility, BY_NMI)],
    )
    .pins(NMI_EXITING | VIRTUAL_NMIS)
    .section(NON_REGISTERS),
    wrong(pf("pf-hlt", "#PF injected, first into HLT"), &[(Activity, HLT)]).section(NON_REGISTERS),
    wrong(pf("pf-shutdown", "#PF injected, first into shutdown"), &[(Activity, SHUTDOWN)])
        .section(NON_REGISTERS),
    wrong(
        extint("extint-hlt-user", "an external interrupt injected, first into HLT at CPL 3"),
        &[(Activity, HLT)],
    )
    .section(NON_REGISTERS),
    wrong(int("int-hlt", "INT n injected, first into HLT"), &[(Activity, HLT)])
        .section(NON_REGISTERS),
    wrong(pf("pf-rflags-bit1", "#PF injected, first with bit 1 of RFLAGS clear"), &[(Rflags, 1)]),
    pf("pf-link", "#PF injected, first with a VMCS link pointer that is not aligned")
        .wrong_state(&[(Link, 0)], LINK_POINTER)
        .telling(),
    // L2's state.
    wrong(read("rflags-bit3", "a read, first with bit 3 of RFLAGS"), &[(Rflags, 3)]),
    wrong(read("rflags-bit22", "a read, first with bit 22 of RFLAGS"), &[(Rflags, 22)]),
    wrong(
        read("rflags-vm", "a read, first in virtual-8086 mode within IA-32e mode"),
        &[(Rflags, RFLAGS_VM)],
    )
    .fits(Fits::Long),
    wrong(
        read("sti-if-clear", "a read, first blocked by STI with IF = 0"),
        &[(Interruptibility, STI)],
    ),
    wrong(
        read("sti-and-mov-ss", "a read, first blocked by STI and by MOV SS"),
        &[(Interruptibility, STI), (Interruptibility, MOV_SS)],
    )
    .rflags(RFLAGS_IF),
    wrong(
        read("blocked-by-smi", "a read, first with SMIs blocked outside SMM"),
        &[(Interruptibility, 2)],
    ),
    wrong(
        read("interruptibility-bit5", "a read, first with bit 5 of the interruptibility state"),
        &[(Interruptibility, 5)],
    ),
    wrong(read("activity-4", "a read, first with activity state 4"), &[(Activity, 2)]),
    wrong(
        read("pending-debug-bit4", "a read, first with bit 4 of the pending debug exceptions"),
        &[(PendingDebug, 4)],
    ),
    wrong(
        read(
            "step-without-tf",
            "a read, first with a single step pending after MOV SS, and TF clear",
        ),
        &[(PendingDebug, STEP), (Interruptibility, MOV_SS)],
    ),
    wrong(
        read("tf-without-step", "a read with TF after MOV SS, first with no single step pending"),
        &[(PendingDebug, STEP)],
    )
    .rflags(RFLAGS_TF)
    .interruptibility(BLOCKING_BY_MOV_SS)
    .pending_debug(PENDING_BS),
    wrong(
        read("cr0-pg-without-pe", "a read, first with paging outside protected mode"),
        &[(Cr0, 0)],
    ),
    wrong(read("cr3-bit57", "a read, first with bit 57 of CR3"), &[(Cr3, 57)]),
    wrong(read("cr4-bit15", "a read, first with bit 15 of CR4"), &[(Cr4, 15)]),
    wrong(read("cr4-pae-clear", "a read, first without PAE in IA-32e mode"), &[(Cr4, 5)])
        .fits(Fits::Long),
    wrong(read("efer-lma", "a read, first with IA32_EFER.LMA the other way round"), &[(Efer, 10)]),
    wrong(read("cs-data", "a read, first with data in CS"), &[(CsAccess, 3)]).section(SEGMENTS),
    wrong(read("cs-l-and-d", "a read, first with L and D in CS"), &[(CsAccess, 14)])
        .fits(Fits::Bits64)
        .section(SEGMENTS),
    wrong(read("ss-dpl", "a read, first with DPL 0 in SS"), &[(SsAccess, 5), (SsAccess, 6)])
        .section(SEGMENTS),
    wrong(
        read("rip-not-canonical", "a read, first with an RIP that is not canonical"),
        &[(Rip, 62)],
    )
    .fits(Fits::Bits64),
    read("link", "a read, first with a VMCS link pointer that is not aligned")
        .wrong_state(&[(Link, 0)], LINK_POINTER),
];
