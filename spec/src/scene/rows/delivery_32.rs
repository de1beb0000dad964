//! What rows of event delivery in protected mode share. A handler has no stack of its own: it runs
//! on the interrupted one or, from CPL 3, on that of the TSS. A stack that is bad for the event is
//! so for #PF and #DF too. SDM vol. 3A, "Exception- or Interrupt-Handler Procedures".

use super::delivery::gate_error;
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::scene::descriptor::{gate_32, gate_address as address_of_gate};
use crate::scene::place::{PAGE, Place};
use crate::scene::stack_of;

/// Where the descriptor of the handlers' code segment is.
pub const HANDLER_CS: u64 = Place::Gdt.linear() + 0x28;
/// Where the TSS has ESP0; SS0 follows it. SDM vol. 3A, "Task-State Segment (TSS)".
pub const ESP0: u64 = Place::Tss.linear() + 0x04;
const P: u64 = 1 << 47;

/// Linear address of a vector's gate.
pub const fn gate_address(vector: u8) -> u64 {
    address_of_gate(vector, false)
}

/// A gate with P clear.
pub const fn absent_gate(vector: u8) -> (u64, u64) {
    (gate_address(vector), gate_32(vector) & !P)
}

/// Where the delivery of an event at a CPL pushes first: SS on the stack of the TSS, or EFLAGS on
/// its own.
pub const fn push(cpl: Privilege) -> u64 {
    match cpl {
        User => Place::Stack.linear() + PAGE - 4,
        Supervisor => stack_of(Supervisor) - 4,
    }
}

const _: () = assert!(gate_error(14) == 0x73);

/// Scenes of one event: with nothing in its way, and with each fault that its delivery can meet.
/// The event's vector must be below 14.
macro_rules! deliveries_32 {
    ($($name:literal: $what:literal, $vector:expr, $cpl:ident, $row:expr;)* .. $($more:expr,)*) => {
        &[
            $(
                $row.fits(Fits::Bits32).described($name, $what),
                $row.fits(Fits::Bits32)
                    .described(concat!($name, "-idt-np"), concat!($what, ", IDT not present"))
                    .pages(&[(Idt0, Kind::NP)])
                    .implicit_fault(gate_address($vector), Read)
                    .answer(Answer::Reinject),
                $row.fits(Fits::Bits32)
                    .described(concat!($name, "-stack-np"), concat!($what, ", stack of all handlers not present"))
                    .pages(&[(Stack, Kind::NP)])
                    .implicit_first(push($cpl), Write)
                    .implicit_fault(push($cpl), Write)
                    .unwanted(Unwanted::TripleFault)
                    .answer(Answer::Reinject),
                $row.fits(Fits::Bits32)
                    .described(
                        concat!($name, "-stack-ro"),
                        concat!($what, ", stack of all handlers read-only; L1 intercepts #DF"),
                    )
                    .pages(&[(Stack, Kind::RO)])
                    .implicit_first(push($cpl), Write)
                    .implicit_fault(push($cpl), Write)
                    .unwanted(Unwanted::DoubleFaultExit)
                    .intercepts(1 << DF),
            )*
            $($more,)*
        ]
    };
}

pub(super) use deliveries_32;
