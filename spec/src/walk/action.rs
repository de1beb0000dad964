//! Host actions: what the VMM does to L0 while L2 is active.
//!
//! L2 asks for the action itself, by the port of [`crate::channel`], as the first thing in a walk;
//! so it happens between two instructions of L2. Whatever L0 has to do for it, the walk after it
//! must go as the filter says, and L1's own page faults must be as before.
//!
//! Where an action changes the guest's MAXPHYADDR, the new one holds from then on: CPUID shows it.
//! L0 may refuse such a change; then nothing has changed.

pub mod case;
pub mod rows;

use crate::channel::Ask;
use crate::manual::filter::Filter;
use crate::manual::paging::{Maxphyaddr, Mode, Privilege, walk};
use crate::manual::pfec::Pfec;
use crate::walk::outcome::{Expectation, Outcome};
use crate::walk::page::PAGES;
use crate::walk::setting::BASE;
use crate::walk::stimulus::{Stimulus, is_corrected};

/// A MAXPHYADDR of the guest, as actions change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressWidth {
    /// The one that the guest started with.
    AtStart,
    /// The host's.
    Wide,
    /// [`crate::channel::NARROW`].
    Narrow,
}

impl AddressWidth {
    /// The move by which L1 gets it.
    #[must_use]
    pub const fn moving(self) -> Ask {
        match self {
            Self::AtStart => Ask::Move,
            Self::Wide => Ask::MoveWide,
            Self::Narrow => Ask::MoveNarrow,
        }
    }
}

/// Which walk of L2 is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The one that asked for the action.
    SameWalk,
    /// The next one, after a VM entry for which L1 wrote only where L2 goes on.
    NextEntry,
    /// The next one, after a VMWRITE of the exception bitmap's old value.
    WriteBitmap,
    /// The next one, after a VMWRITE of MASK's old value.
    WriteMask,
}

/// An event that an action brings to L2, apart from what the walk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An NMI, which L1 does not ask to exit: L2's handler gets it once. SDM "Other Causes of VM
    /// Exits".
    Nmi,
    /// An SMI: neither L1 nor L2 can see it, except for what its handler leaves in memory.
    Smi,
    /// [`Event::Smi`] and [`Event::Fault`] at once: both must come, in whichever order.
    SmiAndFault,
    /// [`Event::Smi`] and [`Event::Nmi`] at once: both must come. In system-management mode NMIs are
    /// blocked.
    SmiAndNmi,
    /// Exits to user space in the middle of L2's instructions: string I/O to and from a port, reads
    /// and writes of a device. L2 must get what the VMM gave.
    Exits,
    /// A page fault after the instruction that asked: L1's filter decides about it.
    Fault,
    /// A page fault that is already being delivered: no filter applies, and L2 gets it. SDM
    /// "Vectored-Event Injection".
    FaultInDelivery,
    /// An external interrupt: L2's handler gets it once if vmcs12's "external-interrupt exiting" is
    /// 0 and L2's IF is 1; L1 gets it once if that is 1, whatever IF is. SDM "Other Causes of VM
    /// Exits".
    Interrupt,
    /// [`Event::Interrupt`] and [`Event::Fault`] at once: both must come, in whichever order.
    InterruptAndFault,
    /// Asynchronous page faults of KVM, which L1 has enabled: while L0 fetches a page for L2's user
    /// mode, a VM exit by #PF to which no filter applies, and an interrupt when the page is there.
    /// Linux, `Documentation/virt/kvm/x86/msr.rst`, MSR_KVM_ASYNC_PF_EN. L2 walks as if nothing had
    /// happened.
    AsyncFaults,
    /// The same, and [`Event::Smi`] whenever a page is awaited.
    AsyncFaultsAndSmi,
    /// An INIT signal: a VM exit, whatever vmcs12 says. SDM "Other Causes of VM Exits".
    Init,
}

impl Event {
    /// What must be seen of it. `asked` is where L2 goes on when it has asked; `cs` is L2's; `cr2`
    /// is what CR2 holds; `interrupts_on` is L2's IF.
    #[must_use]
    pub fn outcome(
        self,
        filter: Filter,
        asked: u64,
        cs: u64,
        cr2: u64,
        interrupts_on: bool,
    ) -> Outcome {
        let expectation = Expectation::of_event(asked, cs, interrupts_on);
        match self {
            Self::Nmi
            | Self::Smi
            | Self::SmiAndNmi
            | Self::Exits
            | Self::Init
            | Self::Interrupt
            | Self::AsyncFaults
            | Self::AsyncFaultsAndSmi => Outcome::Silent,
            Self::Fault | Self::InterruptAndFault | Self::SmiAndFault => {
                expectation.outcome(filter, cr2)
            }
            Self::FaultInDelivery => Outcome::Delivered(expectation.delivery()),
        }
    }
}

/// A host action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The action's part of a group's name.
    pub name: &'static str,
    /// One line for `maskmatch list`.
    what: &'static str,
    /// The guest's MAXPHYADDR before it.
    pub before: AddressWidth,
    /// What L1 asks for before each walk.
    pub prepare: Option<Ask>,
    /// What L2 asks for.
    pub ask: Ask,
    /// The guest's MAXPHYADDR after it.
    pub after: AddressWidth,
    /// Which walk is judged.
    pub then: Then,
    /// What comes to L2 with it.
    pub event: Option<Event>,
    /// What L1 asks for when everything is judged.
    pub undo: Option<Ask>,
    /// vmcs12's "external-interrupt exiting".
    pub interrupt_exiting: bool,
}

impl Action {
    /// One line for `maskmatch list`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        rows::ROWS.iter().find(|row| row.name == self.name).map_or("", |row| row.what)
    }

    const fn new(name: &'static str, ask: Ask, what: &'static str) -> Self {
        let (before, after) = (AddressWidth::AtStart, AddressWidth::AtStart);
        Self {
            name,
            what,
            before,
            prepare: None,
            ask,
            after,
            then: Then::SameWalk,
            event: None,
            undo: None,
            interrupt_exiting: false,
        }
    }

    const fn interrupt_exiting(self) -> Self {
        Self { interrupt_exiting: true, ..self }
    }

    const fn preparing(self, ask: Ask) -> Self {
        Self { prepare: Some(ask), ..self }
    }

    const fn undoing(self, ask: Ask) -> Self {
        Self { undo: Some(ask), ..self }
    }

    /// L1 has enabled asynchronous page faults, and pages come late.
    const fn async_faults(self, event: Event) -> Self {
        let late = self.preparing(Ask::LatePagesReady).undoing(Ask::LatePagesEnd);
        late.event(event).interrupt_exiting()
    }

    const fn event(self, event: Event) -> Self {
        Self { event: Some(event), ..self }
    }

    const fn widths(self, before: AddressWidth, after: AddressWidth) -> Self {
        Self { before, after, ..self }
    }

    const fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// Whether L0 may refuse the action: a change of CPUID that comes too late.
    #[must_use]
    pub const fn may_be_refused(&self) -> bool {
        matches!(self.ask, Ask::Narrow | Ask::Widen | Ask::MoveThenNarrow | Ask::MoveThenWiden)
    }

    /// Whether an external interrupt comes to L2.
    #[must_use]
    pub const fn has_interrupt(&self) -> bool {
        matches!(self.event, Some(Event::Interrupt | Event::InterruptAndFault))
            || self.has_async_faults()
    }

    /// Whether L1 has asynchronous page faults.
    #[must_use]
    pub const fn has_async_faults(&self) -> bool {
        matches!(self.event, Some(Event::AsyncFaults | Event::AsyncFaultsAndSmi))
    }

    /// L2's IF when it asks.
    #[must_use]
    pub const fn interrupts_on(&self) -> bool {
        self.has_interrupt() && !self.interrupt_exiting
    }

    /// Whether the action changes the guest's MAXPHYADDR.
    #[must_use]
    pub const fn changes_width(&self) -> bool {
        self.before as u8 != self.after as u8
    }

    /// Whether each walk needs [`Action::before`] anew. An action that moves the guest and sets its
    /// MAXPHYADDR twice includes it.
    #[must_use]
    pub fn needs_width_before(&self) -> bool {
        self.changes_width() && !matches!(self.ask, Ask::MoveThenNarrow | Ask::MoveThenWiden)
    }

    /// The accesses of L2: one for each error code and kind of access, and all whose error code L0
    /// has to correct if the guest's MAXPHYADDR is below the host's.
    pub fn stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
        Stimulus::thin_and(BASE, maxphyaddr, is_corrected)
    }

    /// The accesses that L1 makes itself after the walk, to the same pages.
    pub fn own_stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
        Self::stimuli(maxphyaddr).filter(|stimulus| stimulus.privilege == Privilege::Supervisor)
    }
}

/// The error code that an access raises on a processor for which the lowest reserved address bit of
/// its page is not reserved. This is what the hardware raises if the guest's MAXPHYADDR is below
/// the processor's.
#[must_use]
pub fn uncorrected_pfec(stimulus: &Stimulus, mode: Mode) -> Option<Pfec> {
    let entries = PAGES[stimulus.page].entries(crate::channel::NARROW);
    // 51 bits: the highest address bit is reserved for every processor that has such pages.
    walk(entries, stimulus.access, stimulus.privilege, mode, 51).err()
}

/// L1's own register bits, under which its own accesses are judged.
pub const OWN_MODE: Mode = Mode { wp: true, smep: false, smap: false, ac: false, nxe: true };

/// The error code that one of L1's own accesses must raise.
#[must_use]
pub fn own_pfec(stimulus: &Stimulus, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
    let entries = PAGES[stimulus.page].entries(maxphyaddr);
    walk(entries, stimulus.access, stimulus.privilege, OWN_MODE, maxphyaddr).err()
}

#[cfg(test)]
mod tests {
    use super::rows::ACTIONS;
    use super::{Action, OWN_MODE, own_pfec, uncorrected_pfec};
    use crate::manual::paging::{Access, Privilege};
    use crate::walk::layout::MAX_SLOTS;
    use crate::walk::page::PAGES;
    use crate::walk::setting::BASE;
    use crate::walk::stimulus::Stimulus;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = ACTIONS.iter().map(|action| action.name).collect();
        assert_eq!(names.len(), ACTIONS.len());
    }

    #[test]
    fn the_page_of_the_seeds_bug_is_among_the_accesses() {
        let page = PAGES.iter().position(|page| page.name == "rsvd-ro-pte").unwrap();
        let write = Stimulus { privilege: Privilege::Supervisor, access: Access::Write, page };
        for maxphyaddr in [36, 40, 46] {
            assert!(Action::stimuli(maxphyaddr).any(|stimulus| stimulus == write));
            assert!(Action::own_stimuli(maxphyaddr).any(|stimulus| stimulus == write));
            assert!(Action::stimuli(maxphyaddr).count() <= MAX_SLOTS);
            assert!(Action::stimuli(maxphyaddr).map(|s| s.loop_number()).is_sorted());
        }
        assert_eq!(write.pfec(BASE, 36).map(|pfec| pfec.bits()), Some(0xb));
        assert_eq!(uncorrected_pfec(&write, BASE.mode).map(|pfec| pfec.bits()), Some(0x3));
        assert_eq!(own_pfec(&write, 36).map(|pfec| pfec.bits()), Some(0xb));
        assert_eq!(uncorrected_pfec(&write, OWN_MODE).map(|pfec| pfec.bits()), Some(0x3));
    }
}
