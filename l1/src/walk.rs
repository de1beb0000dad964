//! One walk: L2 makes every access of a setting under one filter.
#![allow(unsafe_code, reason = "the shared area is L2's too")]

use core::arch::asm;
use core::fmt;
use core::ptr;

use spec::filter::{EXCEPTION_BITMAP_PF, Filter};
use spec::layout::{Control, ExitRecord, SCRATCH, SCRATCH_SIZE, SHARED_SUPERVISOR, SHARED_USER, Slot};
use spec::outcome::{RFLAGS_AC, WALK_RFLAGS};
use spec::paging::{Mode, Privilege};
use spec::setting::BASE;
use spec::stimulus::LOOPS;

use crate::guest::{Guest, set_mode, shared};
use crate::vmx::{Field, VmFail, Vmx, entry, vmread, vmwrite};

/// The basic exit reason of VMCALL. SDM vol. 3D, appendix C, "VMX Basic Exit Reasons".
const REASON_VMCALL: u64 = 18;
/// What CR2 holds at the start of each walk: no page under test is there.
pub const CR2_AT_START: u64 = 0x0c2;

/// How a walk ended, if not at its end.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// L2 got an exception that it did not expect; its vector.
    Vector(u64),
    /// L2 exited for another reason than a #PF or its VMCALL; reason and qualification.
    Reason(u64, u64),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(vector) => write!(f, "unexpected-vector,vector={vector:x}"),
            Self::Reason(reason, qualification) => {
                write!(f, "unexpected-exit,reason={reason:x},qual={qualification:x}")
            }
        }
    }
}

/// A VM entry that failed: no case can be judged after it.
#[derive(Clone, Copy, Debug)]
pub enum EntryFailed {
    /// The VM entry itself failed.
    Entry(VmFail),
    /// L2 was entered at its start and did not call back.
    Start(Broken),
}

impl fmt::Display for EntryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(fail) => write!(f, "the VM entry {fail}"),
            Self::Start(broken) => write!(f, "L2 does not get through its start: {broken}"),
        }
    }
}

/// L2 ready to walk.
pub struct Walker {
    vmx: Vmx,
    guest: Guest,
    filter: Option<Filter>,
    number: u64,
    mode: Mode,
}

/// What a walk left.
pub struct Walked<'a> {
    /// The walk's number: what its writes wrote.
    pub number: u64,
    /// Exits by exception in their order.
    pub exits: &'a [ExitRecord],
    /// Why it is not complete.
    pub broken: Option<Broken>,
}

impl Walker {
    /// Writes vmcs12 and lets L2 load its tables.
    pub fn new(vmx: Vmx, guest: Guest) -> Result<Self, EntryFailed> {
        guest.write_vmcs(&vmx);
        let mut walker = Self { vmx, guest, filter: None, number: 0, mode: BASE.mode };
        walker.set_filter(Filter::ALWAYS);
        walker.start_guest()?;
        Ok(walker)
    }

    /// The guest that walks.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Sets the slots (loop number and address of each), and the register bits around them.
    pub fn prepare(&mut self, mode: Mode, addresses: impl Iterator<Item = (usize, u64)>) {
        set_mode(&self.vmx, mode);
        self.mode = mode;
        let mut counts = [0; LOOPS];
        let shared = shared();
        for (at, (loop_number, address)) in addresses.enumerate() {
            counts[loop_number] += 1;
            // SAFETY: L2 does not run; stimuli are at most as many as slots, as a test of `spec` shows.
            unsafe { (&raw mut (*shared).slots[at]).write(Slot::new(address)) };
        }
        // SAFETY: L2 does not run.
        unsafe { (&raw mut (*shared).control).write(Control { walk: 0, unexpected: 0, counts }) };
    }

    /// Lets L2 walk all slots under a filter.
    pub fn walk(&mut self, filter: Filter) -> Result<Walked<'_>, EntryFailed> {
        self.ready(filter);
        self.go()
    }

    /// Gets all ready for a walk under a filter.
    pub fn ready(&mut self, filter: Filter) {
        self.set_filter(filter);
        self.number += 1;
        let number = SCRATCH + self.number % SCRATCH_SIZE;
        vmwrite(Field::GuestRip, self.guest.header.walk);
        vmwrite(Field::GuestRflags, WALK_RFLAGS | if self.mode.ac { RFLAGS_AC } else { 0 });
        // SAFETY: L2 does not run.
        unsafe { (&raw mut (*shared()).control.walk).write_volatile(number) };
        write_cr2(CR2_AT_START);
    }

    /// Lets L2 walk, as [`Walker::ready`] got it ready.
    pub fn go(&mut self) -> Result<Walked<'_>, EntryFailed> {
        let number = SCRATCH + self.number % SCRATCH_SIZE;
        let exits = entry::enter(&mut self.vmx.vmcs).map_err(EntryFailed::Entry)?;
        Ok(Walked { number, exits, broken: how_it_ended() })
    }

    /// Puts L2 back to its start: after a broken walk its registers are not known.
    pub fn restart(&mut self) -> Result<(), EntryFailed> {
        self.guest.write_guest_state(&self.vmx);
        self.start_guest()?;
        set_mode(&self.vmx, self.mode);
        // SAFETY: L2 does not run.
        unsafe { (&raw mut (*shared()).control.unexpected).write_volatile(0) };
        Ok(())
    }

    fn start_guest(&mut self) -> Result<(), EntryFailed> {
        entry::enter(&mut self.vmx.vmcs).map_err(EntryFailed::Entry)?;
        match how_it_ended() {
            None => Ok(()),
            Some(broken) => Err(EntryFailed::Start(broken)),
        }
    }

    /// Writes what changes of the filter, and nothing else.
    fn set_filter(&mut self, filter: Filter) {
        let old = self.filter.replace(filter);
        if old.is_none_or(|old| old.eb_pf != filter.eb_pf) {
            vmwrite(Field::ExceptionBitmap, if filter.eb_pf { EXCEPTION_BITMAP_PF.into() } else { 0 });
        }
        if old.is_none_or(|old| old.mask != filter.mask) {
            vmwrite(Field::PfecMask, filter.mask.into());
        }
        if old.is_none_or(|old| old.matching != filter.matching) {
            vmwrite(Field::PfecMatch, filter.matching.into());
        }
    }
}

/// The slots. L2 fills them while L1 waits in `entry::enter`.
pub fn slots() -> *mut Slot {
    // SAFETY: computes an address, reads nothing.
    unsafe { (&raw mut (*shared()).slots).cast() }
}

/// Where L2 puts the result of a slot's access.
pub fn result_at(at: usize) -> *mut u64 {
    // SAFETY: computes an address, reads nothing; callers have a stimulus for the slot.
    unsafe { &raw mut (*slots().add(at)).result }
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
    let reason = vmread(Field::ExitReason);
    if reason != REASON_VMCALL {
        return Some(Broken::Reason(reason, vmread(Field::ExitQualification)));
    }
    // SAFETY: L2 does not run.
    let unexpected = unsafe { ptr::read_volatile(&raw const (*shared()).control.unexpected) };
    (unexpected != 0).then_some(Broken::Vector(unexpected & 0xff))
}

fn write_cr2(value: u64) {
    // SAFETY: CR2 has no effect on anything; L1's own handlers never return to read it.
    unsafe { asm!("mov cr2, {0}", in(reg) value, options(nomem, nostack, preserves_flags)) }
}
