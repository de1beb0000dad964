//! Faults in the delivery of what the instruction raises, and of interrupts: IDT-vectoring
//! information, and what becomes of two faults. SDM vol. 3A, "Exception and Interrupt Reference".

use super::delivery::{
    BP, DB, DE, DF, FARTHER, GP, HANDLER_CS, IST1, IST2, NMI, NP, PF, RSP0, SS, UD, VECTOR,
    absent_gate, deliveries, gate_address, gate_error, injected, join, push, raised, software,
};
use super::{apic, event_32};
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::manual::section::Section;
use crate::scene::builder::user;
use crate::scene::descriptor::{FRESH_DATA_SELECTOR, FRESH_SEGMENTS, FRESH_USER_DATA_SELECTOR};
use crate::scene::end::Word::{Dr6, Rax, Rcx, Rdi, Rflags, Rip};
use crate::scene::event::{Event, EventType};
use crate::scene::expect::{DR6_AT_START, DR6_BS, PENDING_BS};
use crate::scene::place::Kind;
use crate::scene::place::Place::{
    Data0, EventStack, FaultStack, Gdt, Idt0, Idt1, Stack, Tss, UserStack,
};
use crate::scene::{Answer, Fits, RIP, Row, Unwanted, stack_of};
use crate::walk::outcome::{RFLAGS_IF, RFLAGS_TF};

const DATA0: u64 = Data0.linear();
const SEGMENT_P: u64 = 1 << 47;
/// A selector beyond the last descriptor, for either CPL.
const OUTSIDE: u32 = 0xf8;
const FRESH: u64 = Gdt.linear() + FRESH_DATA_SELECTOR as u64;

const INT: Event = software(EventType::SoftwareInterrupt, VECTOR, 2);
const INT3: Event = software(EventType::SoftwareException, BP, 1);
const INT1: Event = software(EventType::PrivilegedSoftwareException, DB, 1);
const NP_AGAIN: Event = raised(NP).error_code(gate_error(PF));

const fn by(cpl: crate::manual::paging::Privilege, code: &'static [u8], text: &'static str) -> Row {
    Row::new("", "", cpl, code, text)
}

const NO_PF_GATE: [(u64, u64); 1] = [absent_gate(PF)];

/// A read at CPL 3 of a page that is not present.
const fn pf(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, 0x1234)])
        .first(DATA0, Read)
        .at_end(&[(Rax, 0x1234)])
}

/// The same, of which L2 sees nothing but a second fault that is no #PF.
const fn pf_alone(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .memory(&NO_PF_GATE)
}

/// The rows of IA-32e mode.
const LONG: &[Row] = deliveries![
    Long;
    "int": "INT n", VECTOR, by(User, &[0xcd, 0x09], "int 9").event(INT);
    "super-int": "INT n at CPL 0", VECTOR, by(Supervisor, &[0xcd, 0x09], "int 9").event(INT);
    "int3": "INT3", BP, by(User, &[0xcc], "int3").event(INT3);
    "int1": "INT1", DB, by(User, &[0xf1], "int1").event(INT1);
    "de": "#DE", DE, by(User, &[0xf7, 0xf1], "div ecx").registers(&[(Rcx, 0)]).event(raised(DE));
    "ud": "#UD", UD, by(User, &[0x0f, 0x0b], "ud2").event(raised(UD));
    "super-ud": "#UD at CPL 0", UD, by(Supervisor, &[0x0f, 0x0b], "ud2").event(raised(UD));
    "gp": "#GP", GP, by(User, &[0xf4], "hlt").event(raised(GP).error_code(0));
    "gp-selector": "#GP that names a selector", GP,
        by(User, &[0x8e, 0xd8], "mov ds,ax")
            .registers(&[(Rax, OUTSIDE as u64)])
            .event(raised(GP).error_code(OUTSIDE));
    "np": "#NP", NP,
        by(User, &[0x8e, 0xd8], "mov ds,ax")
            .registers(&[(Rax, FRESH_USER_DATA_SELECTOR as u64)])
            .memory(&[(FRESH + 8, FRESH_SEGMENTS[1] & !SEGMENT_P)])
            .event(raised(NP).error_code(FRESH_USER_DATA_SELECTOR as u32 & !3));
    "ss": "#SS", SS,
        by(Supervisor, &[0x8e, 0xd0], "mov ss,ax")
            .registers(&[(Rax, FRESH_DATA_SELECTOR as u64)])
            .memory(&[(FRESH, FRESH_SEGMENTS[0] & !SEGMENT_P)])
            .event(raised(SS).error_code(FRESH_DATA_SELECTOR as u32));
    "step": "#DB of a single step", DB,
        by(User, &[0x90], "nop").rflags(RFLAGS_TF).event(raised(DB))
            .at_fault(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, RIP + 1)])
            .at_end(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, RIP + 1), (Rflags, RFLAGS_TF | 2)]);
    "pending-step": "#DB of a step that is pending at the VM entry", DB,
        by(User, &[0x90], "nop").rflags(RFLAGS_TF).pending_debug(PENDING_BS).event(raised(DB))
            .section(Section::PENDING_DEBUG.says(""))
            .at_fault(&[(Dr6, DR6_AT_START | DR6_BS)])
            .at_end(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, RIP), (Rflags, RFLAGS_TF | 2)]);
    "nmi": "an NMI", NMI, by(User, &[], "").event(injected(EventType::Nmi, NMI));
    "super-nmi": "an NMI at CPL 0", NMI, by(Supervisor, &[], "").event(injected(EventType::Nmi, NMI));
    "extint": "an external interrupt", VECTOR, by(User, &[], "").rflags(RFLAGS_IF).event(injected(EventType::ExternalInterrupt, VECTOR));
    "super-extint": "an external interrupt at CPL 0", VECTOR,
        by(Supervisor, &[], "").rflags(RFLAGS_IF).event(injected(EventType::ExternalInterrupt, VECTOR));
    ..
    // Faults of other kinds, and ones that the stack of the interrupted CPL meets.
    Row::new("super-int-own-stack-np", "INT n at CPL 0 without a stack switch", Supervisor, &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(Stack, Kind::NP)])
        .implicit_fault(stack_of(Supervisor) - 8, Write)
        .answer(Answer::Reinject),
    user("int-rsp0-stack-np", "INT n, the stack of CPL 0 not present", &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(Stack, Kind::NP)])
        .implicit_fault(push(Stack), Write)
        .answer(Answer::Reinject),
    user("int-idt-rsvd", "INT n, reserved bit in the entry of the IDT's page", &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(Idt0, Kind::RSVD)])
        .implicit_fault(gate_address(VECTOR), Read),
    // Vectors whose fault #PF shares, so that #PF meets it too.
    user("int-far-idt-np", "INT n, and #PF's gate is in the same page", &[0xcd, 0x80], "int 80h")
        .event(software(EventType::SoftwareInterrupt, FARTHER, 2))
        .pages(&[(Idt1, Kind::NP)])
        .implicit_first(gate_address(FARTHER), Read)
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault),
    user("int-tss-np", "INT n, TSS not present: RSP0, then IST1 of #PF and #DF", &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(Tss, Kind::NP)])
        .implicit_first(RSP0, Read)
        .implicit_fault(IST1, Read)
        .unwanted(Unwanted::TripleFault),
    Row::new("ud-tss-np", "#UD by an IST, TSS not present", Supervisor, &[0x0f, 0x0b], "ud2")
        .event(raised(UD))
        .event_stack(1 << UD)
        .pages(&[(Tss, Kind::NP)])
        .implicit_first(IST2, Read)
        .implicit_fault(IST1, Read)
        .unwanted(Unwanted::TripleFault),
    user("int-gdt-np", "INT n, GDT not present: the handlers' CS", &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(Gdt, Kind::NP)])
        .implicit_first(HANDLER_CS, Read)
        .implicit_fault(HANDLER_CS, Read)
        .unwanted(Unwanted::TripleFault),
    // #PF in the delivery of #PF.
    pf("pf-idt-np", "#PF in the delivery of #PF, IDT not present")
        .pages(&[(Data0, Kind::NP), (Idt1, Kind::NP)])
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reflect),
    pf("pf-stack-np", "#PF in the delivery of #PF, stack not present")
        .pages(&[(Data0, Kind::NP), (EventStack, Kind::NP)])
        .event_stack(1 << PF)
        .implicit_fault(push(EventStack), Write)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reinject),
    pf("pf-stack-ro", "#PF in the delivery of #PF, stack read-only; L1 intercepts #DF")
        .pages(&[(Data0, Kind::NP), (EventStack, Kind::RO)])
        .event_stack(1 << PF)
        .intercepts(1 << DF)
        .implicit_fault(push(EventStack), Write)
        .unwanted(Unwanted::DoubleFaultExit)
        .answer(Answer::Reflect),
    pf("pf-triple", "#PF in the delivery of #PF and of #DF")
        .pages(&[(Data0, Kind::NP), (FaultStack, Kind::NP)])
        .implicit_fault(push(FaultStack), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reflect),
    pf("pf-triple-df-intercepted", "#PF in the delivery of #PF; #DF, which L1 intercepts, could not be delivered")
        .pages(&[(Data0, Kind::NP), (FaultStack, Kind::NP)])
        .intercepts(1 << DF)
        .implicit_fault(push(FaultStack), Write)
        .unwanted(Unwanted::DoubleFaultExit),
    // A contributory exception in the delivery of #PF.
    pf_alone("pf-np", "#NP in the delivery of #PF").unwanted(Unwanted::DoubleFault),
    pf_alone("pf-np-intercepted", "#NP in the delivery of #PF; L1 intercepts #NP")
        .intercepts(1 << NP)
        .unwanted(Unwanted::Exit(NP_AGAIN)),
    pf_alone("pf-np-both-intercepted", "#NP in the delivery of #PF; L1 intercepts #NP and #DF")
        .intercepts(1 << NP | 1 << DF)
        .unwanted(Unwanted::Exit(NP_AGAIN)),
    pf_alone("pf-np-df-intercepted", "#NP in the delivery of #PF; L1 intercepts #DF")
        .intercepts(1 << DF)
        .unwanted(Unwanted::DoubleFaultExit),
    // #DF of two contributory exceptions, whose delivery meets #PF.
    user("df", "#NP in the delivery of #GP makes #DF, whose stack is not present", &[0xf4], "hlt")
        .event(raised(DF).error_code(0))
        .memory(&[absent_gate(GP)])
        .pages(&[(FaultStack, Kind::NP)])
        .implicit_fault(push(FaultStack), Write)
        .unwanted(Unwanted::TripleFault)
        // SDM vol. 3A, "Exception and Interrupt Reference", interrupt 8: the saved CS and RIP are
        // undefined.
        .open(Rip.bit() | Rflags.bit()),
    user("int-user-stack-np", "a stack that no delivery uses is not present", &[0xcd, 0x09], "int 9")
        .event(INT)
        .pages(&[(UserStack, Kind::NP)]),
];

/// The rows.
pub const ROWS: &[Row] = &join::<{ OF_L2.len() + apic::ROWS.len() }>(OF_L2, apic::ROWS);
const OF_L2: &[Row] = &join::<{ LONG.len() + event_32::NARROW.len() }>(LONG, event_32::NARROW);
