//! VM exits at instruction boundaries beside a fault that is wanted or not: windows for interrupts
//! and NMIs, the VMX-preemption timer at 0, the monitor trap flag, an interrupt or an NMI that
//! exits. SDM vol. 3C, "Other Causes of VM Exits", "Interrupt-Window Exiting and Virtual-Interrupt
//! Delivery", "NMI-Window Exiting", "VMX-Preemption Timer", and "Monitor Trap Flag".
//!
//! What comes before the first instruction hides its fault. What comes after it does not hide an
//! exit by the fault, and finds L2 in its handler where the filter let the fault through.

#![expect(clippy::large_types_passed_by_value, reason = "as the builder methods of scenes")]

use super::delivery::{FAR, NMI, PF, VECTOR, arrived, gate_address, injected, software};
use crate::manual::paging::Access::Read;
use crate::manual::section::{Citation, Section};
use crate::scene::between::Between;
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rdi};
use crate::scene::event::Sender::{Guest, Hypervisor};
use crate::scene::event::{COMMAND, Event, EventType};
use crate::scene::expect::{BLOCKING_BY_MOV_SS, BLOCKING_BY_NMI, BLOCKING_BY_STI};
use crate::scene::freedom::{NMI_EXITING, VIRTUAL_NMIS};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Device, Idt0, Idt1};
use crate::scene::{Answer, Exiting, Feature, Fits, Row, Unwanted};
use crate::walk::outcome::RFLAGS_IF;

const DATA0: u64 = Data0.linear();
/// Basic exit reasons. SDM vol. 3D, "VMX Basic Exit Reasons".
const INTERRUPT: u16 = 1;
const INTERRUPT_WINDOW: u16 = 7;
const NMI_WINDOW: u16 = 8;
/// The basic exit reason of the monitor trap flag.
pub const MONITOR_TRAP: u16 = 37;
const TIMER: u16 = 52;
/// "External-interrupt exiting" and "activate VMX-preemption timer" among the pin-based controls.
/// The timer's value is 0.
const EXTERNAL_INTERRUPT_EXITING: u32 = 1 << 0;
const PREEMPTION_TIMER: u32 = 1 << 6;
const VIRTUAL: u32 = NMI_EXITING | VIRTUAL_NMIS;
const ARRIVES: Event = arrived(EventType::ExternalInterrupt, FAR);
const THE_NMI: Event = arrived(EventType::Nmi, NMI);
/// The interrupt command by which L2 sends itself an NMI.
const SEND_NMI: u64 = 0x4400;

/// A read of a page that is not present.
const fn read(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
}

const fn nop(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x90], "nop")
}

/// #PF that L1 injects.
const fn pf(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[], "")
        .event(injected(EventType::HardwareException, PF).error_code(5))
        .section(Section::EVENT_INJECTION.says(""))
}

/// #PF that L1 injects and whose delivery meets a fault.
const fn pf_idt_np(name: &'static str, what: &'static str) -> Row {
    pf(name, what)
        .pages(&[(Idt1, Kind::NP)])
        .implicit_fault(gate_address(PF), Read)
        .unwanted(Unwanted::DoubleFault)
        .fits(Fits::Long)
}

const fn window(row: Row) -> Row {
    const SAYS: Citation = Section::INTERRUPT_WINDOW.says("");
    row.rflags(RFLAGS_IF).exiting(Exiting::InterruptWindow).section(SAYS)
}

const fn nmi_window(row: Row) -> Row {
    row.pins(VIRTUAL).exiting(Exiting::NmiWindow).section(Section::NMI_WINDOW.says(""))
}

const fn timer(row: Row) -> Row {
    row.pins(PREEMPTION_TIMER).section(Section::PREEMPTION_TIMER.says(""))
}

const fn trap(row: Row) -> Row {
    row.exiting(Exiting::MonitorTrap).section(Section::MONITOR_TRAP.says(""))
}

/// The rows.
pub const ROWS: &[Row] = &[
    window(read("window", "interrupt-window exiting with IF = 1, and a read"))
        .stops_before(INTERRUPT_WINDOW),
    window(read("window-closed", "interrupt-window exiting with IF = 0: a read")).rflags(0),
    window(read("window-sti", "interrupt-window exiting, blocked by STI: a read"))
        .interruptibility(BLOCKING_BY_STI),
    window(nop(
        "window-after-sti",
        "interrupt-window exiting after an instruction that STI blocks",
    ))
    .interruptibility(BLOCKING_BY_STI)
    .stops_after(INTERRUPT_WINDOW),
    window(pf("window-pf", "interrupt-window exiting, #PF injected, whose handler clears IF")),
    nmi_window(read("nmi-window", "NMI-window exiting, and a read")).stops_before(NMI_WINDOW),
    nmi_window(read("nmi-window-closed", "NMI-window exiting, virtual NMIs blocked: a read"))
        .interruptibility(BLOCKING_BY_NMI),
    nmi_window(nop(
        "nmi-window-after-mov-ss",
        "NMI-window exiting after an instruction that MOV SS blocks",
    ))
    .interruptibility(BLOCKING_BY_MOV_SS)
    .stops_after(NMI_WINDOW),
    nmi_window(pf("nmi-window-pf", "NMI-window exiting, #PF injected")).stops_before(NMI_WINDOW),
    nmi_window(pf_idt_np(
        "nmi-window-pf-idt-np",
        "NMI-window exiting, #PF injected, IDT not present",
    ))
    .stops_before(NMI_WINDOW),
    timer(read("timer", "the VMX-preemption timer at 0, and a read")).stops_before(TIMER).telling(),
    timer(pf("timer-pf", "the VMX-preemption timer at 0, #PF injected")).stops_before(TIMER),
    timer(pf_idt_np(
        "timer-pf-idt-np",
        "the VMX-preemption timer at 0, #PF injected, IDT not present",
    ))
    .stops_before(TIMER),
    trap(nop("trap", "the monitor trap flag, and an instruction that completes"))
        .stops_after(MONITOR_TRAP)
        .telling(),
    trap(read("trap-read", "the monitor trap flag, and a read")).stops_after(MONITOR_TRAP),
    trap(pf("trap-pf", "the monitor trap flag, #PF injected")).stops_before(MONITOR_TRAP),
    trap(pf_idt_np("trap-pf-idt-np", "the monitor trap flag, #PF injected, IDT not present"))
        .stops_before(MONITOR_TRAP),
    trap(user("trap-int", "the monitor trap flag, and INT n", &[0xcd, 0x09], "int 9"))
        .event(software(EventType::SoftwareInterrupt, VECTOR, 2))
        .stops_after(MONITOR_TRAP),
    trap(user(
        "trap-int-idt-np",
        "the monitor trap flag, and INT n, IDT not present",
        &[0xcd, 0x09],
        "int 9",
    ))
    .event(software(EventType::SoftwareInterrupt, VECTOR, 2))
    .pages(&[(Idt0, Kind::NP)])
    .implicit_fault(gate_address(VECTOR), Read)
    .fits(Fits::Long)
    .stops_after(MONITOR_TRAP),
    trap(user(
        "trap-forced",
        "the monitor trap flag, and an instruction that L0 emulates",
        &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x90],
        "nop",
    ))
    .needs(Feature::ForcedEmulation)
    .only_64_bit()
    .stops_after(MONITOR_TRAP)
    .telling(),
    read("interrupt", "an interrupt that exits, IF = 0, and a read")
        .pins(EXTERNAL_INTERRUPT_EXITING)
        .pending(ARRIVES, Hypervisor)
        .stops_before(INTERRUPT),
    pf("interrupt-pf", "an interrupt that exits, #PF injected")
        .pins(EXTERNAL_INTERRUPT_EXITING)
        .pending(ARRIVES, Hypervisor)
        .stops_before(INTERRUPT),
    user(
        "nmi",
        "an NMI that L2 sends itself and that exits: it blocks NMIs in L1",
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(const { &[(Rdi, Device.linear() + COMMAND), (Rax, SEND_NMI)] })
    .pins(NMI_EXITING)
    .pending(THE_NMI, Guest)
    .stops_by(THE_NMI)
    .answer(Answer::Again(Between::Nmi))
    .section(Section::OTHER_CAUSES.says("")),
];
