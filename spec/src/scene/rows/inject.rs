//! What L1 injects, and faults in its delivery. SDM vol. 3C, "Vectored-Event Injection".

use super::delivery::{
    BP, DB, DF, FAR, GP, HANDLER_CS, IST1, NP, PF, UD, VECTOR, deliveries, gate_address, injected,
    join, push,
};
use super::inject_32;
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::scene::builder::user;
use crate::scene::end::Word::Rdi;
use crate::scene::event::{Event, EventType};
use crate::scene::expect::BLOCKING_BY_MOV_SS;
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, EventStack, FaultStack, Gdt, Idt0, Idt1, Tss};
use crate::scene::{Answer, Fits, Row, Unwanted};
use crate::walk::outcome::RFLAGS_IF;

const DATA0: u64 = Data0.linear();
/// An error code that no page fault of the stage has.
const CODE: u32 = 0x1234;
const HLT: u64 = 1;
/// An injected #PF: P and U.
const PAGE_FAULT: Event = injected(EventType::HardwareException, PF).error_code(5);

const fn one(cpl: Privilege, event: Event) -> Row {
    Row::new("", "", cpl, &[], "").event(event)
}

const fn pf(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[], "").event(PAGE_FAULT)
}

/// The rows of IA-32e mode.
const LONG: &[Row] = deliveries![
    Long;
    "swint": "INT n injected", VECTOR,
        one(User, injected(EventType::SoftwareInterrupt, VECTOR).length(2));
    "int3": "INT3 injected", BP, one(User, injected(EventType::SoftwareException, BP).length(1));
    "int1": "INT1 injected", DB, one(User, injected(EventType::PrivilegedSoftwareException, DB).length(1));
    "ud": "#UD injected", UD, one(User, injected(EventType::HardwareException, UD));
    "super-ud": "#UD injected at CPL 0", UD, one(Supervisor, injected(EventType::HardwareException, UD));
    "np": "#NP injected", NP, one(User, injected(EventType::HardwareException, NP).error_code(CODE));
    "gp": "#GP injected", GP, one(User, injected(EventType::HardwareException, GP).error_code(CODE));
    ..
    user("extint-far", "an external interrupt with a vector above that of #PF", &[], "")
        .rflags(RFLAGS_IF)
        .event(injected(EventType::ExternalInterrupt, FAR)),
    user("extint-far-stack-np", "the same, stack not present", &[], "")
        .rflags(RFLAGS_IF)
        .event(injected(EventType::ExternalInterrupt, FAR))
        .event_stack(1 << FAR)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .answer(Answer::Reinject),
    user("swint-pf-vector", "INT 14 injected, which is no #PF", &[], "")
        .event(injected(EventType::SoftwareInterrupt, PF).length(2)),
    Row::new("extint-hlt", "an external interrupt that ends HLT", Supervisor, &[], "")
        .rflags(RFLAGS_IF)
        .event(injected(EventType::ExternalInterrupt, VECTOR))
        .activity(HLT),
    Row::new("extint-hlt-idt-np", "an external interrupt that ends HLT, IDT not present", Supervisor, &[], "")
        .rflags(RFLAGS_IF)
        .event(injected(EventType::ExternalInterrupt, VECTOR))
        .activity(HLT)
        .pages(&[(Idt0, Kind::NP)])
        .implicit_fault(gate_address(VECTOR), Read),
    user("swint-mov-ss-idt-np", "INT n injected after MOV SS, IDT not present", &[], "")
        .event(injected(EventType::SoftwareInterrupt, VECTOR).length(2))
        .interruptibility(BLOCKING_BY_MOV_SS)
        .pages(&[(Idt0, Kind::NP)])
        .implicit_fault(gate_address(VECTOR), Read),
    // #PF injected: not subject to the filter, and CR2 is not written; what its delivery meets is
    // subject to it.
    pf("pf", "#PF injected"),
    Row::new("super-pf", "#PF injected at CPL 0", Supervisor, &[], "").event(PAGE_FAULT),
    pf("pf-code-0", "#PF injected with error code 0").event(injected(EventType::HardwareException, PF).error_code(0)),
    pf("pf-idt-np", "#PF injected, IDT not present")
        .pages(&[(Idt1, Kind::NP)])
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reinject),
    pf("pf-stack-np", "#PF injected, stack not present")
        .event_stack(1 << PF)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reinject),
    pf("pf-stack-ro", "#PF injected, stack read-only; L1 intercepts #DF")
        .event_stack(1 << PF)
        .intercepts(1 << DF)
        .pages(&[(EventStack, Kind::RO)])
        .implicit_fault(push(EventStack), Write)
        .unwanted(Unwanted::DoubleFaultExit),
    pf("pf-triple", "#PF injected, whose delivery and that of #DF meet #PF")
        .pages(&[(FaultStack, Kind::NP)])
        .implicit_fault(push(FaultStack), Write)
        .unwanted(Unwanted::TripleFault),
    pf("pf-gdt-np", "#PF injected, GDT not present").pages(&[(Gdt, Kind::NP)])
        .implicit_fault(HANDLER_CS, Read)
        .unwanted(Unwanted::TripleFault),
    pf("pf-tss-np", "#PF injected, TSS not present").pages(&[(Tss, Kind::NP)])
        .implicit_fault(IST1, Read)
        .unwanted(Unwanted::TripleFault),
    // #DF injected.
    user("df", "#DF injected", &[], "").event(injected(EventType::HardwareException, DF).error_code(0)),
    user("df-stack-np", "#DF injected, stack not present", &[], "")
        .event(injected(EventType::HardwareException, DF).error_code(0))
        .pages(&[(FaultStack, Kind::NP)])
        .implicit_fault(push(FaultStack), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    // What L1 gives back to L2.
    user("reflect", "L1 injects the #PF that exited", &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .answer(Answer::Reflect),
];

/// The rows.
pub const ROWS: &[Row] = &join::<{ LONG.len() + inject_32::NARROW.len() }>(LONG, inject_32::NARROW);
