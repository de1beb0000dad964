//! Interrupts and NMIs that L1's local APIC has pending at the VM entry and L1 does not intercept:
//! they are delivered by L2's IDT at its first instruction boundary at which they are not blocked.
//! SDM vol. 3C, "Pin-Based VM-Execution Controls", and "Interrupt-Window Exiting and
//! Virtual-Interrupt Delivery", for when that is.

#![expect(clippy::large_types_passed_by_value, reason = "a row is built up at compile time")]

use super::delivery::{FAR, NMI, PF, arrived, deliveries, gate_address, join, push};
use super::delivery_32::{self, gate_address as gate_address_32};
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rdi, Rflags, Rip, Rsp};
use crate::scene::event::Sender::{Guest, Hypervisor};
use crate::scene::event::{COMMAND, Event, EventType};
use crate::scene::expect::BLOCKING_BY_STI;
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Device, EventStack, Idt0, Idt1, Stack};
use crate::scene::{Answer, Fits, RIP, Row, Unwanted, stack_of};
use crate::walk::outcome::{RFLAGS_IF, RFLAGS_RF};

const DATA0: u64 = Data0.linear();
const HLT: u64 = 1;
/// An interrupt with a vector that the local APIC has: #PF's gate is in the same page as its own.
const INTERRUPT: Event = arrived(EventType::ExternalInterrupt, FAR);
const THE_NMI: Event = arrived(EventType::Nmi, NMI);
/// Where L2 writes the interrupt command register, and what: level asserted, with the delivery mode
/// NMI or a vector.
const TO: u64 = Device.linear() + COMMAND;
const SEND_NMI: u64 = 0x4400;
const SEND_INTERRUPT: u64 = 0x4000 | FAR as u64;

/// An interrupt that is taken at once.
const fn interrupt(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    Row::new(name, what, cpl, &[], "").rflags(RFLAGS_IF).arrives(INTERRUPT, Hypervisor)
}

/// An interrupt or NMI that L2 sends itself, and takes after the instruction.
const fn sent(name: &'static str, what: &'static str, cpl: Privilege, event: Event) -> Row {
    let nmi = matches!(event.kind, EventType::Nmi);
    Row::new(name, what, cpl, &[0x89, 0x07], "mov [rdi],eax")
        .registers(if nmi {
            &[(Rdi, TO), (Rax, SEND_NMI)]
        } else {
            &[(Rdi, TO), (Rax, SEND_INTERRUPT)]
        })
        .rflags(if nmi { 0 } else { RFLAGS_IF })
        .arrives(event, Guest)
        .at_fault(&[(Rip, RIP + 2)])
        .at_end(&[(Rip, RIP + 2)])
}

const fn nmi(cpl: Privilege) -> Row {
    sent("", "", cpl, THE_NMI)
}

/// The same, and the stack for its handler is not present.
const fn stack_np(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    interrupt(name, what, cpl)
        .event_stack(1 << FAR)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .answer(Answer::Reinject)
}

/// A read with an interrupt pending, which RFLAGS.IF blocks.
const fn blocked(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)])
        .pending(INTERRUPT, Hypervisor)
        .fits(Fits::Long)
}

/// RSP at POPF.
const AT_POPF: u64 = stack_of(Supervisor);

/// POPF that sets IF: the interrupt comes after it.
const fn popf(name: &'static str, what: &'static str) -> Row {
    Row::new(name, what, Supervisor, &[0x9d], "popfq")
        .memory(&[(AT_POPF, RFLAGS_IF | 2)])
        .arrives(INTERRUPT, Hypervisor)
        .at_fault(&[(Rip, RIP + 1), (Rsp, AT_POPF + 8), (Rflags, RFLAGS_IF | RFLAGS_RF | 2)])
        .at_end(&[(Rip, RIP + 1), (Rsp, AT_POPF + 8)])
        .only_64_bit()
}

/// Rows of IA-32e mode.
const LONG: &[Row] = deliveries![
    Long;
    "apic-nmi": "an NMI of the local APIC", NMI, nmi(User);
    "apic-super-nmi": "an NMI of the local APIC at CPL 0", NMI, nmi(Supervisor);
    ..
    sent("apic-extint-sent", "an interrupt that L2 sends itself", User, INTERRUPT),
    sent("apic-extint-sent-stack-np", "an interrupt that L2 sends itself, stack not present", User, INTERRUPT)
        .event_stack(1 << FAR)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .answer(Answer::Reinject),
    interrupt("apic-extint", "an interrupt of the local APIC", User),
    interrupt("apic-super-extint", "an interrupt of the local APIC at CPL 0", Supervisor),
    interrupt("apic-extint-hlt", "an interrupt of the local APIC that ends HLT", Supervisor).activity(HLT),
    stack_np("apic-extint-stack-np", "an interrupt of the local APIC, stack not present", User),
    stack_np("apic-super-extint-stack-np", "an interrupt of the local APIC at CPL 0, stack not present", Supervisor),
    stack_np("apic-extint-hlt-stack-np", "an interrupt of the local APIC that ends HLT, stack not present", Supervisor)
        .activity(HLT)
        .telling(),
    stack_np("apic-extint-stack-ro", "an interrupt of the local APIC, stack read-only", User)
        .pages(&[(EventStack, Kind::RO)])
        .answer(Answer::Nothing),
    interrupt("apic-extint-idt-np", "an interrupt of the local APIC, and #PF's gate is in the same page", User)
        .pages(&[(Idt1, Kind::NP)])
        .implicit_first(gate_address(FAR), Read)
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .answer(Answer::Reinject),
    // Blocked for one instruction.
    user("apic-extint-sti", "an interrupt of the local APIC, blocked by STI for one instruction", &[0x90], "nop")
        .rflags(RFLAGS_IF)
        .interruptibility(BLOCKING_BY_STI)
        .arrives(INTERRUPT, Hypervisor)
        .at_end(&[(Rip, RIP + 1)]),
    user("apic-extint-sti-stack-np", "the same, stack not present", &[0x90], "nop")
        .rflags(RFLAGS_IF)
        .interruptibility(BLOCKING_BY_STI)
        .arrives(INTERRUPT, Hypervisor)
        .event_stack(1 << FAR)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .answer(Answer::Reinject)
        .at_fault(&[(Rip, RIP + 1)])
        .at_end(&[(Rip, RIP + 1)]),
];

/// Rows in which L2 opens for the interrupt, or never does.
const OPENED: &[Row] = &[
    popf("apic-extint-popf", "an interrupt of the local APIC after POPF, which sets IF"),
    popf("apic-extint-popf-stack-np", "the same, stack not present")
        .event_stack(1 << FAR)
        .pages(&[(EventStack, Kind::NP)])
        .implicit_fault(push(EventStack), Write)
        .answer(Answer::Reinject),
    blocked("apic-extint-if-clear", "an interrupt of the local APIC is pending, IF is clear"),
    blocked("apic-extint-if-clear-np", "the same, and the instruction faults")
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .answer(Answer::Retry),
];

const fn narrow(row: Row) -> Row {
    row.fits(Fits::Bits32)
}

/// Rows of protected mode.
const PROTECTED: &[Row] = &[
    narrow(interrupt("apic-extint", "an interrupt of the local APIC", User)),
    narrow(interrupt("apic-super-extint", "an interrupt of the local APIC at CPL 0", Supervisor)),
    narrow(interrupt(
        "apic-extint-idt-np",
        "an interrupt of the local APIC, and #PF's gate is in the same page",
        User,
    ))
    .pages(&[(Idt1, Kind::NP)])
    .implicit_first(gate_address_32(FAR), Read)
    .implicit_fault(gate_address_32(PF), Read)
    .unwanted(Unwanted::DoubleFault)
    .answer(Answer::Reinject),
    narrow(interrupt(
        "apic-extint-stack-np",
        "an interrupt of the local APIC, stack of all handlers not present",
        User,
    ))
    .pages(&[(Stack, Kind::NP)])
    .implicit_first(delivery_32::push(User), Write)
    .implicit_fault(delivery_32::push(User), Write)
    .unwanted(Unwanted::TripleFault)
    .answer(Answer::Reinject),
    narrow(sent("apic-nmi", "an NMI of the local APIC", User, THE_NMI)),
    narrow(sent("apic-super-nmi", "an NMI of the local APIC at CPL 0", Supervisor, THE_NMI)),
    narrow(sent("apic-nmi-idt-np", "an NMI of the local APIC, IDT not present", User, THE_NMI))
        .pages(&[(Idt0, Kind::NP)])
        .implicit_fault(gate_address_32(NMI), Read)
        .answer(Answer::Reinject),
    narrow(sent(
        "apic-super-nmi-stack-ro",
        "an NMI of the local APIC at CPL 0, its stack read-only",
        Supervisor,
        THE_NMI,
    ))
    .pages(&[(Stack, Kind::RO)])
    .implicit_first(delivery_32::push(Supervisor), Write)
    .implicit_fault(delivery_32::push(Supervisor), Write)
    .unwanted(Unwanted::TripleFault),
];

const IA_32E: &[Row] = &join::<{ LONG.len() + OPENED.len() }>(LONG, OPENED);
/// The rows.
pub(super) const ROWS: &[Row] = &join::<{ IA_32E.len() + PROTECTED.len() }>(IA_32E, PROTECTED);
