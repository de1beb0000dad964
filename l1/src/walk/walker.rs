//! One walk: L2 makes every access of a setting under one filter.
//!
//! "L2 does not run" in this folder: L2 runs only inside the functions of [`enter_walk`], on the
//! first processor. While any other code runs there, no one writes to the shared area, to L2's
//! tables or to the frame of the pages under test.
#![allow(unsafe_code, reason = "the shared area is L2's too")]

use core::ptr;

use spec::channel::{Ask, SMI_HANDLED, Status};
use spec::manual::filter::Filter;
use spec::manual::paging::format::Format;
use spec::manual::paging::{Mode, Privilege};
use spec::scene::end::EXIT_EXCEPTION;
use spec::walk::action::{Event, Then};
use spec::walk::layout::{
    Control, EVENT_SLOT, EXCHANGE_SLOT, Exchange, ExitRecord, SCRATCH, SCRATCH_SIZE,
    SHARED_SUPERVISOR, SHARED_USER, Slot,
};
pub use spec::walk::outcome::CR2_AT_START;
use spec::walk::outcome::{Observed, RFLAGS_AC, RFLAGS_IF, WALK_RFLAGS};
use spec::walk::setting::BASE;
use spec::walk::stimulus::LOOPS;

use crate::machine::cpu::write_cr2;
use crate::machine::expected::take_stray;
use crate::machine::trace;
use crate::vmx::exit::{LastExit, REASON_VMCALL};
use crate::vmx::filter::bitmap;
use crate::vmx::limit::{self, Stay};
use crate::vmx::{
    Field, FilterFields, Region, Vmcs, Vmx, changes, enter_walk, vmcs12, vmread, vmwrite,
};
use crate::walk::async_fault::AsyncFaults;
use crate::walk::broken::{Broken, EntryFailed};
use crate::walk::guest::{self, Guest, shared};
use crate::walk::interrupt::Interrupts;

/// Of walks with an ordinary VMCS, and with an enlightened one.
static VMCS: [Region; 2] = [const { Region::new() }; 2];

/// L2, that walks.
pub struct Walker {
    vmx: Vmx,
    vmcs: Vmcs,
    guest: Guest,
    filter: FilterFields,
    number: u64,
    mode: Mode,
    /// The last VM entry worked, and a restart led through L2's start.
    is_ready: bool,
    /// L2 got through its start once.
    has_started: bool,
    /// Set while external interrupts come to L2.
    interrupts: Option<Interrupts>,
    /// Set while asynchronous page faults of KVM come.
    async_faults: Option<AsyncFaults>,
}

/// What a walk left.
pub struct Walked<'a> {
    /// The walk's number: what its writes wrote.
    pub number: u64,
    /// What CR2 held before the first access.
    pub cr2: u64,
    /// Exits by exception in their order.
    pub exits: &'a [ExitRecord],
}

impl Walker {
    /// Makes vmcs12 current and writes it.
    pub fn new(vmx: Vmx, guest: Guest) -> Result<Self, EntryFailed> {
        let vmcs = vmx.load(&VMCS[usize::from(vmx.is_enlightened())])?;
        guest.write_vmcs(&vmx, &vmcs);
        limit::set(&vmx);
        Ok(Self {
            vmx,
            vmcs,
            guest,
            filter: FilterFields::default(),
            number: 0,
            mode: BASE.mode,
            is_ready: false,
            has_started: false,
            interrupts: None,
            async_faults: None,
        })
    }

    /// Gets L2 through its start, if it is not ready to walk.
    pub fn start(&mut self) -> Result<(), EntryFailed> {
        if self.is_ready { Ok(()) } else { self.restart() }
    }

    /// The filter in vmcs12.
    pub fn filter(&self) -> Filter {
        self.filter.filter().unwrap_or(Filter::ALWAYS)
    }

    /// VMX, for a VMCS in addition to the walker's.
    pub fn vmx(&self) -> &Vmx {
        &self.vmx
    }

    /// Makes the walker's VMCS inactive.
    pub fn clear(&mut self) -> Result<(), EntryFailed> {
        Ok(self.vmcs.clear()?)
    }

    /// Makes the walker's VMCS current.
    pub fn make_current(&self) -> Result<(), EntryFailed> {
        Ok(self.vmcs.make_current()?)
    }

    /// Lets external interrupts come from now on, or stops them.
    pub fn expect_interrupts(&mut self, interrupts: Option<Interrupts>) {
        if core::mem::replace(&mut self.interrupts, interrupts).is_some() && interrupts.is_none() {
            Interrupts::off(&self.vmx);
        }
    }

    /// Lets asynchronous page faults come from now on, or stops them.
    pub fn expect_async_faults(&mut self, faults: Option<AsyncFaults>) {
        if core::mem::replace(&mut self.async_faults, faults).is_some() {
            AsyncFaults::off();
        }
    }

    /// Whether an interrupt came once in the last walk, to the party that must get it.
    fn interrupted_once(&self) -> bool {
        // SAFETY: a word of the shared area, by a pointer; L2 does not run.
        let delivered = unsafe { (&raw const (*shared()).control.interrupts).read_volatile() };
        self.interrupts.is_some_and(|interrupts| interrupts.came_once(delivered))
    }

    /// The guest that walks.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Sets the slots (loop number and address of each), and the register bits around them.
    pub fn prepare(&mut self, mode: Mode, addresses: impl Iterator<Item = (usize, u64)>) {
        vmcs12::write_paging(&self.vmx, Format::Level4, mode);
        self.mode = mode;
        let mut counts = [0; LOOPS];
        let shared = shared();
        for (at, (loop_number, address)) in addresses.enumerate() {
            counts[loop_number] += 1;
            // SAFETY: the index is checked; the slot is written by a pointer; L2 does not run.
            unsafe { (&raw mut (*shared).slots[at]).write(Slot::new(address)) };
        }
        // SAFETY: a field of the shared area, by a pointer; L2 does not run.
        unsafe {
            (&raw mut (*shared).control).write(Control {
                walk: 0,
                unexpected: 0,
                counts,
                ask: 0,
                status: 0,
                nmis: 0,
                interrupts: 0,
                exchange: 0,
            });
        };
    }

    /// Lets L2 walk all slots under a filter. Returns why the walk is not complete, if so; what it
    /// left is in [`Walker::last`].
    pub fn walk(&mut self, filter: Filter) -> Result<Option<Broken>, EntryFailed> {
        self.walk_asking(filter, None)
    }

    /// Lets L2 ask the VMM for something and then walk, as [`Walker::walk`] does.
    pub fn walk_asking(
        &mut self,
        filter: Filter,
        ask: Option<Ask>,
    ) -> Result<Option<Broken>, EntryFailed> {
        self.ready(filter, ask);
        self.go()
    }

    /// Gets all ready for a walk under a filter, before which L2 asks the VMM for something.
    pub fn ready(&mut self, filter: Filter, ask: Option<Ask>) {
        self.filter.set(filter, 0);
        self.number += 1;
        let number = SCRATCH + self.number % SCRATCH_SIZE;
        vmwrite(Field::GuestRip, self.guest.header.walk);
        let rflags = WALK_RFLAGS | if self.mode.ac { RFLAGS_AC } else { 0 };
        self.async_faults = self.async_faults.map(|_| AsyncFaults::default());
        let interrupts_on =
            self.interrupts.as_mut().is_some_and(Interrupts::begin) && ask.is_some();
        vmwrite(Field::GuestRflags, rflags | if interrupts_on { RFLAGS_IF } else { 0 });
        // SAFETY: computes an address, reads nothing.
        let control = unsafe { &raw mut (*shared()).control };
        // SAFETY: words of the shared area, and the exchange's slot of it, by pointers; L2 does not
        // run.
        unsafe {
            (&raw mut (*control).walk).write_volatile(number);
            (&raw mut (*control).ask).write_volatile(ask.map_or(0, guest::word_of));
            (&raw mut (*control).status).write_volatile(0);
            (&raw mut (*control).exchange).write_volatile(u64::from(ask.is_some_and(leaves_more)));
            exchange().write_volatile(Exchange::new(number as u32));
        }
        write_cr2(CR2_AT_START);
    }

    /// Lets L2 walk, as [`Walker::ready`] got it ready. Returns why the walk is not complete, if so.
    pub fn go(&mut self) -> Result<Option<Broken>, EntryFailed> {
        changes::entry();
        self.is_ready = false;
        let one_by_one = self.async_faults.is_some() || enter_walk::is_noted_one_by_one(&self.vmcs);
        let first = if one_by_one { enter_walk::enter_walk_once } else { enter_walk::enter_walk };
        first(&mut self.vmcs)?;
        let mut stay = Stay::default();
        while stay.goes_on() || self.goes_on() {
            enter_walk::resume_walk(&mut self.vmcs)?;
        }
        self.is_ready = true;
        if trace::is_on() {
            trace_walk(self.last().exits);
        }
        Ok(how_it_ended())
    }

    /// Handles an exit that is not the walk's end. Returns whether it was one.
    fn goes_on(&mut self) -> bool {
        let interrupted = self.interrupts.as_mut().is_some_and(Interrupts::take);
        let by_exception = || vmread(Field::ExitReason) == u64::from(EXIT_EXCEPTION);
        match &mut self.async_faults {
            Some(faults) if interrupted => faults.ready(),
            Some(faults) if by_exception() => return faults.take() || enter_walk::note(&self.vmcs),
            None if enter_walk::is_noted_one_by_one(&self.vmcs) && by_exception() => {
                return enter_walk::note(&self.vmcs);
            }
            _ => {}
        }
        interrupted
    }

    /// The last walk.
    pub fn last(&self) -> Walked<'_> {
        let number = SCRATCH + self.number % SCRATCH_SIZE;
        Walked { number, cr2: CR2_AT_START, exits: enter_walk::exits(&self.vmcs) }
    }

    /// Writes to vmcs12 what it already holds.
    pub fn rewrite(&self, then: Then) {
        let Some(filter) = self.filter.filter() else { return };
        match then {
            Then::SameWalk | Then::NextEntry => {}
            Then::WriteBitmap => vmwrite(Field::ExceptionBitmap, bitmap(filter, 0)),
            Then::WriteMask => vmwrite(Field::PfecMask, filter.mask.into()),
        }
    }

    /// Puts L2 to its start: after a broken walk its registers are not known. All faults exit
    /// meanwhile, to L1 and so to any L0: one that gives L2 faults of its own by the filter of the
    /// broken walk gets L2 through its start.
    pub fn restart(&mut self) -> Result<(), EntryFailed> {
        self.is_ready = false;
        self.filter.set(Filter::ALWAYS, 0);
        // SAFETY: words of the shared area, by pointers; L2 does not run.
        unsafe {
            (&raw mut (*shared()).control.unexpected).write_volatile(0);
            (&raw mut (*shared()).control.status).write_volatile(0);
        }
        self.guest.write_guest_state(&self.vmx);
        if self.has_started {
            // A host that gives L2 faults of L0's may keep it in its handler for good.
            limit::shorten();
            limit::set(&self.vmx);
        }
        enter_walk::enter_walk(&mut self.vmcs)?;
        let mut stay = Stay::default();
        while stay.goes_on() {
            enter_walk::resume_walk(&mut self.vmcs)?;
        }
        if let Some(broken) = how_it_ended() {
            return Err(EntryFailed::Start(broken));
        }
        vmcs12::write_paging(&self.vmx, Format::Level4, self.mode);
        (self.is_ready, self.has_started) = (true, true);
        Ok(())
    }
}

/// Traces what a walk left: exits by exception, what L2's handler got, and the end.
#[cold]
fn trace_walk(exits: &[ExitRecord]) {
    for record in exits {
        trace::step(&format_args!("{}", record.exit));
    }
    // SAFETY: a field of the shared area, by a pointer; L2 does not run.
    let slots: u64 = unsafe { (&raw const (*shared()).control.counts).read() }.iter().sum();
    for at in 0..slots as usize {
        // SAFETY: `Walker::prepare` counted slots that it wrote; L2 does not run, nor does L1 write
        // while the reference lives.
        let slot = unsafe { &*self::slots().add(at) };
        if slot.faults == 0 {
            trace::step(&format_args!(
                "slot {at}: nothing delivered, RAX = {:x} after the access",
                slot.result
            ));
        } else {
            trace::step(&format_args!("slot {at}: {}", slot.delivery));
        }
    }
    trace::step(&format_args!(
        "VM exit, reason {:x}: the end of the walk is a VMCALL, 12",
        vmread(Field::ExitReason)
    ));
}

/// The slots. L2 fills them while L1 waits in [`enter_walk`].
pub fn slots() -> *mut Slot {
    // SAFETY: computes an address, reads nothing.
    unsafe { (&raw mut (*shared()).slots).cast() }
}

/// Where L2 puts the result of a slot's access.
pub fn result_at(at: usize) -> *mut u64 {
    // SAFETY: computes an address within the slots, since callers have a stimulus for this one;
    // reads nothing.
    unsafe { &raw mut (*slots().add(at)).result }
}

/// Whether L2 is to exit to the VMM for more than to ask.
fn leaves_more(ask: Ask) -> bool {
    matches!(ask, Ask::PlainExits | Ask::ImmediateExits | Ask::MovedExits)
}

/// Where L2 has what it gives to the VMM.
fn exchange() -> *mut Exchange {
    slots().wrapping_add(EXCHANGE_SLOT).cast()
}

/// What was seen of an event that came while L2 asked the VMM for something, in the last walk.
pub fn observed_event(walker: &Walker, event: Event) -> Observed {
    let interrupted =
        matches!(event, Event::Interrupt | Event::InterruptAndFault) && walker.interrupted_once();
    // SAFETY: `EVENT_SLOT` and the counter are in the shared area, and L2 does not run; the low 4
    // GiB are mapped, and the byte at `SMI_HANDLED` is memory on every PC.
    let (slot, nmis, smi) = unsafe {
        (
            slots().add(EVENT_SLOT).read_volatile(),
            (&raw const (*shared()).control.nmis).read_volatile(),
            (SMI_HANDLED as *const u8).read_volatile(),
        )
    };
    let address = slot_address(EVENT_SLOT, Privilege::Supervisor);
    let mut exits = walker.last().exits.iter().filter(|record| record.slot == address);
    let own = exits.next_back().map(|record| record.exit);
    let exit = own.or_else(|| walker.async_faults.and_then(AsyncFaults::taken_for_one));
    Observed {
        exits: exits.count() as u64 + u64::from(exit.is_some()),
        exit,
        deliveries: slot.faults,
        delivery: (slot.faults != 0).then_some(slot.delivery),
        executed: match event {
            Event::Nmi => nmis == 1,
            Event::Smi => smi == 1 && nmis == 0,
            Event::SmiAndNmi => smi == 1 && nmis == 1,
            // SAFETY: `EXCHANGE_SLOT` is in the shared area and as large as an `Exchange`, as a
            // test of `spec` shows; any bytes are one; L2 does not run.
            Event::Exits => unsafe { exchange().read_volatile() }.is_right(),
            Event::AsyncFaults => walker.async_faults.is_some_and(AsyncFaults::complete),
            Event::AsyncFaultsAndSmi => {
                walker.async_faults.is_some_and(AsyncFaults::complete) && smi == 1
            }
            Event::Interrupt => interrupted && nmis == 0,
            // A fault has no effect, so this is one only if something is wrong.
            Event::InterruptAndFault => !interrupted || nmis != 0,
            Event::SmiAndFault => smi != 1 || nmis != 0,
            Event::Fault | Event::FaultInDelivery | Event::Init => nmis != 0,
        },
    }
}

impl Walked<'_> {
    /// The walk's own part: without the exit of an event that came while L2 asked for it, and with
    /// the CR2 that the event left.
    pub fn after_event(self, cr2: u64) -> Self {
        let event = slot_address(EVENT_SLOT, Privilege::Supervisor);
        let exits = match self.exits {
            [first, rest @ ..] if first.slot == event => rest,
            all => all,
        };
        Walked { cr2, exits, ..self }
    }
}

/// The address of a slot as L2 has it in RSI for an access of this privilege.
pub fn slot_address(at: usize, privilege: Privilege) -> u64 {
    let base = match privilege {
        Privilege::Supervisor => SHARED_SUPERVISOR,
        Privilege::User => SHARED_USER,
    };
    base + (size_of::<Control>() + at * size_of::<Slot>()) as u64
}

fn how_it_ended() -> Option<Broken> {
    if let Some(stray) = take_stray() {
        return Some(Broken::Stray(stray));
    }
    if vmread(Field::ExitReason) != REASON_VMCALL {
        return Some(Broken::Exit(LastExit::read()));
    }
    // SAFETY: a word of the shared area, by a pointer; L2 does not run.
    let unexpected = unsafe { ptr::read_volatile(&raw const (*shared()).control.unexpected) };
    // SAFETY: as above.
    let status = unsafe { ptr::read_volatile(&raw const (*shared()).control.status) };
    match (unexpected, Status::from_word(status as u32)) {
        (0, Status::Done) => None,
        (0, status) => Some(Broken::Refused(status)),
        (vector, _) => Some(Broken::Vector(vector & 0xff)),
    }
}

#[cfg(test)]
mod tests;
