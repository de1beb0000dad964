//! What L1 injects outside 64-bit mode, and faults in its delivery. SDM vol. 3C, "Vectored-Event
//! Injection".

use super::delivery::{
    BP, DB, DF, FAR, GP, NMI, NP, OF, PF, UD, VECTOR, deliveries, injected, join,
};
use super::delivery_32::{ESP0, HANDLER_CS, deliveries_32, gate_address, push};
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::scene::builder::user;
use crate::scene::end::Word::Rdi;
use crate::scene::event::{Event, EventType};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, EventStack, Gdt, Idt0, Idt1, Stack, Tss};
use crate::scene::{Answer, Fits, Row, Unwanted};
use crate::walk::outcome::RFLAGS_IF;

const DATA0: u64 = Data0.linear();
/// An error code that no page fault of the stage has.
const CODE: u32 = 0x1234;
const HLT: u64 = 1;
/// An injected #PF: P and U.
const PAGE_FAULT: Event = injected(EventType::HardwareException, PF).error_code(5);
const INTO: Event = injected(EventType::SoftwareException, OF).length(1);

const fn one(cpl: Privilege, event: Event) -> Row {
    named("", "", cpl, event)
}

const fn named(name: &'static str, what: &'static str, cpl: Privilege, event: Event) -> Row {
    Row::new(name, what, cpl, &[], "").event(event).fits(Fits::Bits32)
}

/// INTO in compatibility mode, whose handlers are of 64 bits.
const COMPATIBILITY: &[Row] = {
    use super::delivery::{gate_address, push};
    deliveries![
        Compatibility;
        "into": "INTO injected", OF, one(User, INTO);
        ..
    ]
};

/// The rows of protected mode.
const PROTECTED: &[Row] = deliveries_32![
    "swint": "INT n injected", VECTOR, User, one(User, injected(EventType::SoftwareInterrupt, VECTOR).length(2));
    "int3": "INT3 injected", BP, User, one(User, injected(EventType::SoftwareException, BP).length(1));
    "into": "INTO injected", OF, User, one(User, INTO);
    "super-into": "INTO injected at CPL 0", OF, Supervisor, one(Supervisor, INTO);
    "int1": "INT1 injected", DB, User, one(User, injected(EventType::PrivilegedSoftwareException, DB).length(1));
    "ud": "#UD injected", UD, User, one(User, injected(EventType::HardwareException, UD));
    "super-ud": "#UD injected at CPL 0", UD, Supervisor, one(Supervisor, injected(EventType::HardwareException, UD));
    "np": "#NP injected", NP, User, one(User, injected(EventType::HardwareException, NP).error_code(CODE));
    "gp": "#GP injected", GP, User, one(User, injected(EventType::HardwareException, GP).error_code(CODE));
    "super-gp": "#GP injected at CPL 0", GP, Supervisor,
        one(Supervisor, injected(EventType::HardwareException, GP).error_code(CODE));
    "nmi": "an NMI injected", NMI, User, one(User, injected(EventType::Nmi, NMI));
    "super-nmi": "an NMI injected at CPL 0", NMI, Supervisor, one(Supervisor, injected(EventType::Nmi, NMI));
    "extint": "an external interrupt injected", VECTOR, User,
        one(User, injected(EventType::ExternalInterrupt, VECTOR)).rflags(RFLAGS_IF);
    "super-extint": "an external interrupt injected at CPL 0", VECTOR, Supervisor,
        one(Supervisor, injected(EventType::ExternalInterrupt, VECTOR)).rflags(RFLAGS_IF);
    ..
    named("extint-far", "an external interrupt with a vector above that of #PF", User, injected(EventType::ExternalInterrupt, FAR))
        .rflags(RFLAGS_IF),
    named("swint-pf-vector", "INT 14 injected, which is no #PF", User, injected(EventType::SoftwareInterrupt, PF).length(2)),
    named("extint-hlt-idt-np", "an external interrupt that ends HLT, IDT not present", Supervisor,
        injected(EventType::ExternalInterrupt, VECTOR))
        .rflags(RFLAGS_IF)
        .activity(HLT)
        .pages(&[(Idt0, Kind::NP)])
        .implicit_fault(gate_address(VECTOR), Read),
    named("swint-tss-np", "INT n injected, TSS not present", User, injected(EventType::SoftwareInterrupt, VECTOR).length(2))
        .pages(&[(Tss, Kind::NP)])
        .implicit_first(ESP0, Read)
        .implicit_fault(ESP0, Read)
        .unwanted(Unwanted::TripleFault),
    // #PF injected: not subject to the filter, and CR2 is not written; what its delivery meets is
    // subject to it.
    named("pf", "#PF injected", User, PAGE_FAULT),
    named("super-pf", "#PF injected at CPL 0", Supervisor, PAGE_FAULT),
    named("pf-idt-np", "#PF injected, IDT not present", User, PAGE_FAULT)
        .pages(&[(Idt1, Kind::NP)])
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reinject),
    named("pf-triple", "#PF injected, whose delivery and that of #DF meet #PF", User, PAGE_FAULT)
        .pages(&[(Stack, Kind::NP)])
        .implicit_fault(push(User), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    named("super-pf-stack-ro", "#PF injected at CPL 0, stack read-only; L1 intercepts #DF", Supervisor, PAGE_FAULT)
        .intercepts(1 << DF)
        .pages(&[(Stack, Kind::RO)])
        .implicit_fault(push(Supervisor), Write)
        .unwanted(Unwanted::DoubleFaultExit),
    named("pf-gdt-np", "#PF injected, GDT not present", User, PAGE_FAULT)
        .pages(&[(Gdt, Kind::NP)])
        .implicit_fault(HANDLER_CS, Read)
        .unwanted(Unwanted::TripleFault),
    // #DF injected.
    named("df", "#DF injected", User, injected(EventType::HardwareException, DF).error_code(0)),
    named("df-stack-np", "#DF injected, stack not present", User, injected(EventType::HardwareException, DF).error_code(0))
        .pages(&[(Stack, Kind::NP)])
        .implicit_fault(push(User), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    // What L1 gives back to L2.
    user("reflect", "L1 injects the #PF that exited", &[0x8b, 0x07], "mov eax,[rdi]")
        .fits(Fits::Bits32)
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .answer(Answer::Reflect),
];

/// The rows.
pub(super) const NARROW: &[Row] =
    &join::<{ COMPATIBILITY.len() + PROTECTED.len() }>(COMPATIBILITY, PROTECTED);
