//! Faults in the delivery of what the instruction raises, outside 64-bit mode: INTO, which 64-bit
//! mode does not have, and all kinds of events through gates of 32 bits. SDM vol. 3A, "Exception
//! and Interrupt Reference".

use super::delivery::{
    BP, DB, DE, DF, FARTHER, GP, NP, OF, PF, SS, UD, VECTOR, deliveries, gate_error, join, raised,
    software,
};
use super::delivery_32::{ESP0, HANDLER_CS, absent_gate, deliveries_32, gate_address, push};
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::scene::builder::user;
use crate::scene::descriptor::{FRESH_DATA_SELECTOR, FRESH_SEGMENTS, FRESH_USER_DATA_SELECTOR};
use crate::scene::end::Word::{Dr6, Rax, Rcx, Rdi, Rflags, Rip};
use crate::scene::event::{Event, EventType};
use crate::scene::expect::{DR6_AT_START, DR6_BS};
use crate::scene::place::Place::{Data0, EventStack, Gdt, Idt0, Idt1, Stack, Tss, UserStack};
use crate::scene::place::{Kind, PAGE};
use crate::scene::{Answer, Fits, RIP, Row, Unwanted};
use crate::walk::outcome::RFLAGS_TF;

const DATA0: u64 = Data0.linear();
/// RFLAGS.OF: INTO raises #OF if it is set.
const RFLAGS_OF: u64 = 1 << 11;
const SEGMENT_P: u64 = 1 << 47;
/// A selector beyond the last descriptor, for either CPL.
const OUTSIDE: u32 = 0xf8;
const FRESH: u64 = Gdt.linear() + FRESH_DATA_SELECTOR as u64;
/// So near to the start of a page that the third push of four bytes is the first one below it, or
/// the fourth.
const THIRD: u64 = EventStack.linear() + 8;
const FOURTH: u64 = EventStack.linear() + 12;
/// Where that push goes.
const BELOW: u64 = UserStack.linear() + PAGE - 4;

const INT: Event = software(EventType::SoftwareInterrupt, VECTOR, 2);
const INT3: Event = software(EventType::SoftwareException, BP, 1);
const INTO: Event = software(EventType::SoftwareException, OF, 1);
const INT1: Event = software(EventType::PrivilegedSoftwareException, DB, 1);
const NP_AGAIN: Event = raised(NP).error_code(gate_error(PF));
const NO_PF_GATE: [(u64, u64); 1] = [absent_gate(PF)];

const fn by(cpl: Privilege, code: &'static [u8], text: &'static str) -> Row {
    Row::new("", "", cpl, code, text)
}

const fn into(cpl: Privilege) -> Row {
    by(cpl, &[0xce], "into").rflags(RFLAGS_OF).event(INTO)
}

const fn one(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    text: &'static str,
) -> Row {
    Row::new(name, what, cpl, code, text).fits(Fits::Bits32)
}

const fn int(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    one(name, what, cpl, &[0xcd, 0x09], "int 9").event(INT)
}

/// A read of a page that is not present.
const fn pf(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    one(name, what, cpl, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, 0x1234)])
        .first(DATA0, Read)
        .at_end(&[(Rax, 0x1234)])
}

/// The same, of which L2 sees nothing but a second fault that is no #PF.
const fn pf_alone(name: &'static str, what: &'static str) -> Row {
    one(name, what, User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .memory(&NO_PF_GATE)
}

const INTO_NO_OVERFLOW: Row =
    user("into-no-overflow", "INTO with OF clear, IDT not present", &[0xce], "into")
        .fits(Fits::Narrow)
        .pages(&[(Idt0, Kind::NP)]);

/// INTO in compatibility mode, whose handlers are of 64 bits.
const COMPATIBILITY: &[Row] = {
    use super::delivery::{gate_address, push};
    deliveries![
        Compatibility;
        "into": "INTO with OF set", OF, into(User);
        "super-into": "INTO with OF set at CPL 0", OF, into(Supervisor);
        ..
    ]
};

/// The rows of protected mode.
const PROTECTED: &[Row] = deliveries_32![
    "int": "INT n", VECTOR, User, by(User, &[0xcd, 0x09], "int 9").event(INT);
    "super-int": "INT n at CPL 0", VECTOR, Supervisor, by(Supervisor, &[0xcd, 0x09], "int 9").event(INT);
    "int3": "INT3", BP, User, by(User, &[0xcc], "int3").event(INT3);
    "super-int3": "INT3 at CPL 0", BP, Supervisor, by(Supervisor, &[0xcc], "int3").event(INT3);
    "into": "INTO with OF set", OF, User, into(User);
    "super-into": "INTO with OF set at CPL 0", OF, Supervisor, into(Supervisor);
    "int1": "INT1", DB, User, by(User, &[0xf1], "int1").event(INT1);
    "de": "#DE", DE, User, by(User, &[0xf7, 0xf1], "div ecx").registers(&[(Rcx, 0)]).event(raised(DE));
    "ud": "#UD", UD, User, by(User, &[0x0f, 0x0b], "ud2").event(raised(UD));
    "super-ud": "#UD at CPL 0", UD, Supervisor, by(Supervisor, &[0x0f, 0x0b], "ud2").event(raised(UD));
    "gp": "#GP", GP, User, by(User, &[0xf4], "hlt").event(raised(GP).error_code(0));
    "gp-selector": "#GP that names a selector", GP, User,
        by(User, &[0x8e, 0xd8], "mov ds,ax")
            .registers(&[(Rax, OUTSIDE as u64)])
            .event(raised(GP).error_code(OUTSIDE));
    "np": "#NP", NP, User,
        by(User, &[0x8e, 0xd8], "mov ds,ax")
            .registers(&[(Rax, FRESH_USER_DATA_SELECTOR as u64)])
            .memory(&[(FRESH + 8, FRESH_SEGMENTS[1] & !SEGMENT_P)])
            .event(raised(NP).error_code(FRESH_USER_DATA_SELECTOR as u32 & !3));
    "ss": "#SS", SS, Supervisor,
        by(Supervisor, &[0x8e, 0xd0], "mov ss,ax")
            .registers(&[(Rax, FRESH_DATA_SELECTOR as u64)])
            .memory(&[(FRESH, FRESH_SEGMENTS[0] & !SEGMENT_P)])
            .event(raised(SS).error_code(FRESH_DATA_SELECTOR as u32));
    "step": "#DB of a single step", DB, User,
        by(User, &[0x90], "nop").rflags(RFLAGS_TF).event(raised(DB))
            .at_fault(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, RIP + 1)])
            .at_end(&[(Dr6, DR6_AT_START | DR6_BS), (Rip, RIP + 1), (Rflags, RFLAGS_TF | 2)]);
    ..
    int("int-idt-rsvd", "INT n, reserved bit in the entry of the IDT's page", User)
        .pages(&[(Idt0, Kind::RSVD)])
        .implicit_fault(gate_address(VECTOR), Read),
    // Frames of which a part is pushed.
    int("super-int-split", "INT n at CPL 0, the page of its last push not present", Supervisor)
        .rsp(THIRD)
        .pages(&[(UserStack, Kind::NP)])
        .implicit_first(BELOW, Write)
        .implicit_fault(BELOW, Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    one("super-gp-split", "#GP at CPL 0, the page of its error code not present", Supervisor, &[0x8e, 0xd8], "mov ds,ax")
        .registers(&[(Rax, OUTSIDE as u64)])
        .event(raised(GP).error_code(OUTSIDE))
        .rsp(FOURTH)
        .pages(&[(UserStack, Kind::NP)])
        .implicit_first(BELOW, Write)
        .implicit_fault(BELOW, Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    // Vectors whose fault #PF shares, so that #PF meets it too.
    one("int-far-idt-np", "INT n, and #PF's gate is in the same page", User, &[0xcd, 0x80], "int 80h")
        .event(software(EventType::SoftwareInterrupt, FARTHER, 2))
        .pages(&[(Idt1, Kind::NP)])
        .implicit_first(gate_address(FARTHER), Read)
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault),
    int("int-tss-np", "INT n, TSS not present: ESP0 and SS0 of any handler", User)
        .pages(&[(Tss, Kind::NP)])
        .implicit_first(ESP0, Read)
        .implicit_fault(ESP0, Read)
        .unwanted(Unwanted::TripleFault),
    int("super-int-tss-np", "INT n at CPL 0, which does not read the TSS", Supervisor).pages(&[(Tss, Kind::NP)]),
    int("int-gdt-np", "INT n, GDT not present: the handlers' CS", User)
        .pages(&[(Gdt, Kind::NP)])
        .implicit_first(HANDLER_CS, Read)
        .implicit_fault(HANDLER_CS, Read)
        .unwanted(Unwanted::TripleFault),
    int("int-user-stack-np", "a stack that no delivery uses is not present", User).pages(&[(UserStack, Kind::NP)]),
    // #PF in the delivery of #PF.
    pf("pf-idt-np", "#PF in the delivery of #PF, IDT not present", User)
        .pages(&[(Data0, Kind::NP), (Idt1, Kind::NP)])
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reflect),
    pf("pf-idt-np-df-intercepted", "#PF in the delivery of #PF, IDT not present; L1 intercepts #DF", User)
        .pages(&[(Data0, Kind::NP), (Idt1, Kind::NP)])
        .intercepts(1 << DF)
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFaultExit)
        .answer(Answer::Reinject),
    pf("pf-triple", "#PF in the delivery of #PF and of #DF", User)
        .pages(&[(Data0, Kind::NP), (Stack, Kind::NP)])
        .implicit_fault(push(User), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reinject),
    pf("super-pf-triple", "#PF at CPL 0 in the delivery of #PF and of #DF, without a stack switch", Supervisor)
        .pages(&[(Data0, Kind::NP), (Stack, Kind::RO)])
        .implicit_fault(push(Supervisor), Write)
        .unwanted(Unwanted::TripleFault)
        .answer(Answer::Reflect),
    // A contributory exception in the delivery of #PF.
    pf_alone("pf-np", "#NP in the delivery of #PF").unwanted(Unwanted::DoubleFault),
    pf_alone("pf-np-intercepted", "#NP in the delivery of #PF; L1 intercepts #NP")
        .intercepts(1 << NP)
        .unwanted(Unwanted::Exit(NP_AGAIN)),
    pf_alone("pf-np-df-intercepted", "#NP in the delivery of #PF; L1 intercepts #DF")
        .intercepts(1 << DF)
        .unwanted(Unwanted::DoubleFaultExit),
    // #DF of two contributory exceptions, whose delivery meets #PF.
    one("df", "#NP in the delivery of #GP makes #DF, whose stack is not present", User, &[0xf4], "hlt")
        .event(raised(DF).error_code(0))
        .memory(&[absent_gate(GP)])
        .pages(&[(Stack, Kind::NP)])
        .implicit_fault(push(User), Write)
        .unwanted(Unwanted::TripleFault)
        // SDM vol. 3A, "Exception and Interrupt Reference", interrupt 8: the saved CS and RIP are
        // undefined.
        .open(Rip.bit() | Rflags.bit()),
    INTO_NO_OVERFLOW,
];

/// The rows.
pub(super) const NARROW: &[Row] =
    &join::<{ COMPATIBILITY.len() + PROTECTED.len() }>(COMPATIBILITY, PROTECTED);
