//! What rows of event delivery share: addresses that a delivery reads and writes, and its faults as
//! rows.

use crate::scene::Row;
use crate::scene::descriptor::{TSS_SELECTOR, gate, gate_address as address_of_gate};
use crate::scene::event::{Event, EventType, Source};
use crate::scene::place::{PAGE, Place};

/// The vector of `int 9` and of external interrupts with a gate before #PF's: nothing else uses it.
pub const VECTOR: u8 = 9;
/// Vectors after #PF's gate.
pub const FAR: u8 = 0x30;
pub const FARTHER: u8 = 0x80;

pub const DE: u8 = 0;
pub const DB: u8 = 1;
pub const NMI: u8 = 2;
pub const BP: u8 = 3;
pub const OF: u8 = 4;
pub const UD: u8 = 6;
pub const DF: u8 = 8;
pub const NP: u8 = 11;
pub const SS: u8 = 12;
pub const GP: u8 = 13;
pub const PF: u8 = 14;

/// Where the first push on a stack of its own goes: SS. SDM vol. 3A, "64-Bit Mode Stack Frame".
pub const fn push(stack: Place) -> u64 {
    stack.linear() + PAGE - 8
}

/// Where the descriptor of the handlers' code segment is.
pub const HANDLER_CS: u64 = Place::Gdt.linear() + 8;
/// Where the TSS has RSP0, IST1 and IST2. SDM vol. 3A, "Task Management in 64-bit Mode".
pub const RSP0: u64 = Place::Tss.linear() + 0x04;
pub const IST1: u64 = Place::Tss.linear() + 0x24;
pub const IST2: u64 = Place::Tss.linear() + 0x2c;

/// Linear address of a vector's gate: these rows are of IA-32e mode.
pub const fn gate_address(vector: u8) -> u64 {
    address_of_gate(vector, true)
}

const P: u64 = 1 << 47;
/// A gate's first half with P clear.
pub const fn absent_gate(vector: u8) -> (u64, u64) {
    (gate_address(vector), gate(vector, 0)[0] & !P)
}

/// The error code of a fault that names a gate of the IDT, met while an event was delivered: EXT
/// and IDT are set. SDM vol. 3A, "Error Code".
pub const fn gate_error(vector: u8) -> u32 {
    (vector as u32) << 3 | 3
}

/// A hardware exception raised by the instruction.
pub const fn raised(vector: u8) -> Event {
    Event::new(Source::Raised, EventType::HardwareException, vector)
}

/// A software event raised by the instruction.
pub const fn software(kind: EventType, vector: u8, length: u64) -> Event {
    Event::new(Source::Raised, kind, vector).length(length)
}

/// An event injected.
pub const fn injected(kind: EventType, vector: u8) -> Event {
    Event::new(Source::Injected, kind, vector)
}

/// An event of the local APIC.
pub const fn arrived(kind: EventType, vector: u8) -> Event {
    Event::new(Source::Arrived, kind, vector)
}

const _: () =
    assert!(address_of_gate(1, true) - address_of_gate(0, true) == 16 && TSS_SELECTOR == 0x38);

/// Scenes of one event: with nothing in its way, and with each fault that its delivery can meet
/// while that of #PF meets none. The event's vector must be below 14. `$fits` says which code
/// widths of IA-32e mode, whose gates, stacks and frames they name.
macro_rules! deliveries {
    ($fits:ident; $($name:literal: $what:literal, $vector:expr, $row:expr;)* .. $($more:expr,)*) => {
        &[
            $(
                $row.fits(Fits::$fits).described($name, $what),
                $row.fits(Fits::$fits)
                    .described(concat!($name, "-idt-np"), concat!($what, ", IDT not present"))
                    .pages(&[(Idt0, Kind::NP)])
                    .implicit_fault(gate_address($vector), Read)
                    .answer(Answer::Reinject),
                $row.fits(Fits::$fits)
                    .described(concat!($name, "-stack-np"), concat!($what, ", stack not present"))
                    .event_stack(1 << $vector)
                    .pages(&[(EventStack, Kind::NP)])
                    .implicit_fault(push(EventStack), Write)
                    .answer(Answer::Reinject),
                $row.fits(Fits::$fits)
                    .described(concat!($name, "-stack-ro"), concat!($what, ", stack read-only"))
                    .event_stack(1 << $vector)
                    .pages(&[(EventStack, Kind::RO)])
                    .implicit_fault(push(EventStack), Write)
                    .answer(Answer::Nothing),
            )*
            $($more.fits(Fits::$fits),)*
        ]
    };
}

pub(super) use deliveries;

/// The rows of two lists. `N` is the sum of their lengths.
pub const fn join<const N: usize>(first: &[Row], second: &[Row]) -> [Row; N] {
    assert!(first.len() + second.len() == N);
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}
