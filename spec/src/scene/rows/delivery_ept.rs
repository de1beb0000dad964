//! What rows of event delivery through EPT share: the events, and rows with a frame spoiled on the
//! way of the delivery.

use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rdi};
use crate::scene::ept::{During, EptEntry, GuestFrame, Nested};
use crate::scene::event::EventType::{
    ExternalInterrupt, HardwareException, Nmi, SoftwareInterrupt,
};
use crate::scene::event::{Event, Source};
use crate::scene::place::Place::{Data0, Stack};
use crate::scene::place::{Kind, PAGE};
use crate::scene::{Answer, Row, initial_register};
use crate::walk::outcome::RFLAGS_IF;

const DELIVERY: Citation = Section::EVENT_DELIVERY.says("");

pub const VECTOR: u8 = 0x80;
pub const INTERRUPT: Event = Event::new(Source::Injected, ExternalInterrupt, VECTOR);
pub const NMI: Event = Event::new(Source::Injected, Nmi, 2);
pub const GP: Event = Event::new(Source::Injected, HardwareException, 13).error_code(0x18);
pub const INT: Event = Event::new(Source::Raised, SoftwareInterrupt, VECTOR).length(2);
/// Where the delivery pushes first: SS, at the top of the stack.
pub const FIRST_PUSH: u64 = Stack.linear() + PAGE - 8;

/// The delivery of an event of this vector, on whose way a frame is spoiled.
pub const fn delivery(
    name: &'static str,
    what: &'static str,
    event: Event,
    address: u64,
    access: Access,
    frame: (GuestFrame, EptEntry),
) -> Row {
    let nested = Nested { address, access, during: During::Event, guest: None, frame: Some(frame) };
    let row = match event.source {
        // An external interrupt needs RFLAGS.IF. SDM vol. 3C, "Checks on Guest RIP, RFLAGS, and
        // SSP".
        Source::Injected => user(name, what, &[], "").rflags(RFLAGS_IF),
        Source::Raised | Source::Arrived => user(name, what, &[0xcd, VECTOR], "int 80h"),
    };
    row.event(event).nested(nested).answer(Answer::Reinject).section(DELIVERY)
}

/// A page fault that the filter may let through, and a frame on the way of its delivery.
pub const fn fault_delivery(
    name: &'static str,
    what: &'static str,
    address: u64,
    access: Access,
    frame: GuestFrame,
) -> Row {
    let entry = match access {
        Write => EptEntry::RO,
        Read | Fetch => EptEntry::NP,
    };
    let during = During::PageFault;
    user(name, what, &[0x89, 0x07], "mov [rdi],eax")
        .registers(const { &[(Rdi, Data0.linear())] })
        .pages(const { &[(Data0, Kind::NP)] })
        .watch(Data0.linear())
        .at_end(const { &[(Memory, initial_register(Rax as usize))] })
        .fault(Data0.linear(), Write)
        .answer(Answer::Reinject)
        .section(DELIVERY)
        .nested(Nested { address, access, during, guest: None, frame: Some((frame, entry)) })
}
