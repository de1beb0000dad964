//! Host actions: what the VMM does to L0 while L2 is active.
//!
//! L2 asks for the action itself, by the port of [`crate::channel`], as the first thing in a walk; so it
//! happens between two instructions of L2. Whatever L0 has to do for it, the walk behind it must go as the
//! filter says, and L1's own page faults must be as before.
//!
//! Where an action changes the guest's MAXPHYADDR, the new one counts from there on: CPUID shows it. L0 may
//! refuse such a change; then nothing has changed.

use crate::catalogue::plan::{Profile, QUICK_BASIC};
use crate::channel::Ask;
use crate::manual::filter::Filter;
use crate::manual::paging::{Maxphyaddr, Mode, Privilege};
use crate::manual::pfec::Pfec;
use crate::walk::outcome::{Expectation, Outcome};
use crate::walk::page::PAGES;
use crate::walk::setting::BASE;
use crate::walk::stimulus::{Stimulus, is_corrected};

/// A MAXPHYADDR of the guest, as far as actions change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The one that the guest started with.
    AtStart,
    /// The host's.
    Wide,
    /// [`crate::channel::NARROW`].
    Narrow,
}

impl Width {
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
    /// The next one, behind a VM entry for which L1 wrote nothing but where L2 goes on.
    NextEntry,
    /// The next one, behind a VMWRITE of the exception bitmap's old value.
    WriteBitmap,
    /// The next one, behind a VMWRITE of MASK's old value.
    WriteMask,
}

/// An event that an action brings to L2 beside what the walk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An NMI, which L1 does not ask to exit: L2's handler gets it once. SDM section 25.2, "Other Causes of VM Exits".
    Nmi,
    /// An SMI: neither L1 nor L2 can see it, but for what its handler leaves in memory.
    Smi,
    /// Exits to user space in the middle of L2's instructions: string I/O to and from a port, reads and writes of a
    /// device. L2 must get what the VMM gave.
    Exits,
    /// A page fault behind the instruction that asked: L1's filter decides about it.
    Fault,
    /// A page fault that is being delivered already: no filter is asked, L2 gets it. SDM section 26.6.1.
    FaultInDelivery,
    /// An external interrupt: L2's handler gets it once if vmcs12's "external-interrupt exiting" is 0 and L2's IF is 1; L1
    /// gets it once if that is 1, whatever IF is. SDM section 25.2.
    Interrupt,
    /// [`Event::Interrupt`] and [`Event::Fault`] at once: both must come, in whichever order.
    InterruptAndFault,
    /// Asynchronous page faults of KVM, which L1 has enabled: while L0 fetches a page for L2's user mode, a VM exit by #PF that no
    /// filter is asked about, and an interrupt when the page is there. Linux, `Documentation/virt/kvm/x86/msr.rst`,
    /// MSR_KVM_ASYNC_PF_EN. L2 walks as if nothing had been.
    AsyncFaults,
    /// An INIT signal: a VM exit, whatever vmcs12 says. SDM section 25.2.
    Init,
}

impl Event {
    /// What must be seen of it. `asked` is where L2 goes on when it has asked; `cs` is L2's; `cr2` is what CR2 holds;
    /// `interrupts_on` is L2's IF.
    #[must_use]
    pub fn outcome(self, filter: Filter, asked: u64, cs: u64, cr2: u64, interrupts_on: bool) -> Outcome {
        let expectation = Expectation::of_event(asked, cs, interrupts_on);
        match self {
            Self::Nmi | Self::Smi | Self::Exits | Self::Init | Self::Interrupt | Self::AsyncFaults => Outcome::Silent,
            Self::Fault | Self::InterruptAndFault => expectation.outcome(filter, cr2),
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
    pub what: &'static str,
    /// The guest's MAXPHYADDR before it.
    pub before: Width,
    /// What L1 asks for before each walk.
    pub prepare: Option<Ask>,
    /// What L2 asks for.
    pub ask: Ask,
    /// The guest's MAXPHYADDR behind it.
    pub after: Width,
    /// Which walk is judged.
    pub then: Then,
    /// What comes to L2 with it.
    pub event: Option<Event>,
    /// What L1 asks for when all is judged.
    pub undo: Option<Ask>,
    /// vmcs12's "external-interrupt exiting".
    pub interrupt_exiting: bool,
}

/// Everything, in the inverse form, and faults by a reserved bit: what a change of MAXPHYADDR shows in.
const QUICK_WIDTH: [Filter; 2] = [Filter::new(false, 0, 1), Filter::new(true, 8, 8)];
/// All but writes, in the inverse form: some faults exit, some do not.
const QUICK: [Filter; 1] = [Filter::new(false, 2, 2)];

impl Action {
    const fn new(name: &'static str, ask: Ask, what: &'static str) -> Self {
        let (before, after) = (Width::AtStart, Width::AtStart);
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

    const fn event(self, event: Event) -> Self {
        Self { event: Some(event), ..self }
    }

    const fn widths(self, before: Width, after: Width) -> Self {
        Self { before, after, ..self }
    }

    const fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// Whether L0 may refuse the action: a change of CPUID that comes too late for it.
    #[must_use]
    pub const fn may_be_refused(&self) -> bool {
        matches!(self.ask, Ask::Narrow | Ask::Widen | Ask::MoveThenNarrow | Ask::MoveThenWiden)
    }

    /// Whether an external interrupt comes to L2.
    #[must_use]
    pub const fn has_interrupt(&self) -> bool {
        matches!(self.event, Some(Event::Interrupt | Event::InterruptAndFault | Event::AsyncFaults))
    }

    /// Whether the VMM makes a page fault pending.
    #[must_use]
    pub const fn has_pending_fault(&self) -> bool {
        matches!(self.event, Some(Event::Fault | Event::InterruptAndFault))
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

    /// Whether each walk needs [`Action::before`] anew. An action that moves the guest and sets its MAXPHYADDR
    /// twice brings its own.
    #[must_use]
    pub fn needs_width_before(&self) -> bool {
        self.changes_width() && !matches!(self.ask, Ask::MoveThenNarrow | Ask::MoveThenWiden)
    }

    /// The filters that are tried: every class of wish, in the quick profile the few that tell most.
    #[must_use]
    pub const fn filters(&self, profile: Profile) -> &'static [Filter] {
        match profile {
            Profile::Quick if self.changes_width() => &QUICK_WIDTH,
            Profile::Quick => &QUICK,
            Profile::Standard | Profile::Exhaustive => &QUICK_BASIC,
        }
    }

    /// Whether the action is left out where all groups run in the quick profile. What stays is one of each kind: moves,
    /// exits to user space, events, changes of memory and of CPUID.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        let short = matches!(self.ask, Ask::Move | Ask::PendingFault | Ask::PlainExits | Ask::Nmi | Ask::DirtyLogOn)
            || matches!(self.ask, Ask::MoveThenNarrow) && matches!(self.then, Then::SameWalk);
        !short
    }

    /// The accesses of L2: one for each error code and kind of access, and all whose error code L0 has to
    /// correct if the guest's MAXPHYADDR is below the host's.
    pub fn stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
        Stimulus::thin_and(BASE, maxphyaddr, is_corrected)
    }

    /// The accesses that L1 makes itself behind the walk, to the same pages.
    pub fn own_stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
        Self::stimuli(maxphyaddr).filter(|stimulus| stimulus.privilege == Privilege::Supervisor)
    }
}

/// The error code that an access raises on a processor on which the lowest reserved address bit of its page
/// is none: what the hardware makes of it if the guest's MAXPHYADDR is below the processor's.
#[must_use]
pub fn uncorrected_pfec(stimulus: &Stimulus, mode: Mode) -> Option<Pfec> {
    let entries = PAGES[stimulus.page].entries(crate::channel::NARROW);
    // 51 bits: the highest address bit is reserved for every processor that has such pages.
    crate::manual::paging::walk(entries, stimulus.access, stimulus.privilege, mode, 51).err()
}

/// L1's own register bits, under which its own accesses are judged.
pub const OWN_MODE: Mode = Mode { wp: true, smep: false, smap: false, ac: false, nxe: true };

/// The error code that an access of L1's own must raise.
#[must_use]
pub fn own_pfec(stimulus: &Stimulus, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
    let entries = PAGES[stimulus.page].entries(maxphyaddr);
    crate::manual::paging::walk(entries, stimulus.access, stimulus.privilege, OWN_MODE, maxphyaddr).err()
}

use Width::{Narrow, Wide};

const RESTORED_NARROW: Action = Action::new(
    "cpuid-narrow-restored",
    Ask::MoveThenNarrow,
    "moved to a new VM; MAXPHYADDR shrinks to 36 behind KVM_SET_NESTED_STATE, before KVM_RUN",
)
.widths(Wide, Narrow);
const RESTORED_WIDEN: Action = Action::new(
    "cpuid-widen-restored",
    Ask::MoveThenWiden,
    "moved to a new VM; MAXPHYADDR grows from 36 behind KVM_SET_NESTED_STATE, before KVM_RUN",
)
.widths(Narrow, Wide);
const RUNNING_NARROW: Action =
    Action::new("cpuid-narrow", Ask::Narrow, "MAXPHYADDR shrinks to 36 on the running vCPU").widths(Wide, Narrow);
const RUNNING_WIDEN: Action =
    Action::new("cpuid-widen", Ask::Widen, "MAXPHYADDR grows from 36 on the running vCPU").widths(Narrow, Wide);

/// Every action. To add one, add a row.
pub const ACTIONS: &[Action] = &[
    Action::new("restore", Ask::Move, "saved, and restored in a new VM"),
    Action::new(
        "restore-pending-fault",
        Ask::MovePendingFault,
        "a page fault is pending; saved, and restored in a new VM",
    )
    .event(Event::Fault),
    Action::new(
        "restore-injected-fault",
        Ask::MoveInjectedFault,
        "a page fault is being delivered; saved, and restored in a new VM",
    )
    .event(Event::FaultInDelivery),
    Action::new("restore-anywhere", Ask::MovesOn, "saved, and restored in a new VM, at each of the first signals")
        .undoing(Ask::KicksOff),
    Action::new("migrate", Ask::Migrate, "saved by QEMU's own migration to a file, and restored in a new QEMU"),
    Action::new(
        "migrate-anywhere",
        Ask::MigrateMeanwhile,
        "the same, in the middle of a walk: at a time that nobody chose",
    ),
    Action::new("pending-fault", Ask::PendingFault, "the VMM makes a page fault pending (with payload)")
        .event(Event::Fault),
    Action::new("injected-fault", Ask::InjectedFault, "the VMM injects a page fault (without payload)")
        .event(Event::FaultInDelivery),
    Action::new("injected-fault-old", Ask::InjectedFault, "as injected-fault, in a VM without exception payloads")
        .preparing(Ask::MoveWithoutPayload)
        .event(Event::FaultInDelivery)
        .undoing(Ask::Move),
    Action::new(
        "restore-injected-old",
        Ask::MoveInjectedFault,
        "as restore-injected-fault, without exception payloads",
    )
    .preparing(Ask::MoveWithoutPayload)
    .event(Event::FaultInDelivery)
    .undoing(Ask::Move),
    Action::new("immediate-exit", Ask::ImmediateExit, "the instruction is completed by a KVM_RUN that enters no guest"),
    Action::new("kicks", Ask::KicksOn, "signals make KVM_RUN return again and again").undoing(Ask::KicksOff),
    Action::new("exits", Ask::PlainExits, "L2's string I/O and accesses to a device leave to the VMM")
        .event(Event::Exits),
    Action::new("exits-immediate", Ask::ImmediateExits, "as exits; behind each, a KVM_RUN that enters no guest")
        .event(Event::Exits)
        .undoing(Ask::PlainExits),
    Action::new("exits-restored", Ask::MovedExits, "as exits; behind each, saved, and restored in a new VM")
        .event(Event::Exits)
        .undoing(Ask::PlainExits),
    Action::new("dirty-log-on", Ask::DirtyLogOn, "L0 begins to track writes to memory").undoing(Ask::DirtyLogOff),
    Action::new("dirty-log-off", Ask::DirtyLogOff, "L0 ends tracking writes to memory").preparing(Ask::DirtyLogOn),
    Action::new("memory-removed", Ask::RemoveMemory, "all memory is taken from the VM and given back"),
    Action::new("memory-dropped", Ask::DropPages, "the VMM drops all pages (MADV_DONTNEED): L0 must find each anew"),
    Action::new(
        "memory-late",
        Ask::LatePages,
        "all pages are taken away, each comes back when L0 waits for it (userfaultfd)",
    )
    .preparing(Ask::LatePagesReady)
    .undoing(Ask::LatePagesEnd),
    Action::new("async-faults", Ask::LatePages, "as memory-late; L1 has enabled KVM's asynchronous page faults")
        .preparing(Ask::LatePagesReady)
        .event(Event::AsyncFaults)
        .interrupt_exiting()
        .undoing(Ask::LatePagesEnd),
    Action::new(
        "memory-read-only",
        Ask::ReadOnlyOn,
        "the page under test is for reading alone; writes leave to the VMM",
    )
    .undoing(Ask::ReadOnlyEnd),
    Action::new("memory-writable", Ask::ReadOnlyOff, "the page under test is for reading alone no more")
        .preparing(Ask::ReadOnlyOn),
    Action::new("guest-debug", Ask::DebugOn, "the VMM debugs the guest (KVM_SET_GUEST_DEBUG)").undoing(Ask::DebugOff),
    Action::new("smi", Ask::Smi, "a system-management interrupt, and RSM back to L2").event(Event::Smi),
    Action::new("nmi", Ask::Nmi, "an NMI, which L2 handles").event(Event::Nmi),
    Action::new("interrupt", Ask::Interrupt, "an external interrupt, which L2 handles").event(Event::Interrupt),
    Action::new("interrupt-fault", Ask::InterruptAndFault, "the same, and a page fault is pending")
        .event(Event::InterruptAndFault),
    Action::new("interrupt-exit", Ask::Interrupt, "an external interrupt, which exits to L1")
        .event(Event::Interrupt)
        .interrupt_exiting(),
    Action::new("interrupt-exit-fault", Ask::InterruptAndFault, "the same, and a page fault is pending")
        .event(Event::InterruptAndFault)
        .interrupt_exiting(),
    Action::new("init", Ask::Init, "an INIT signal, which exits to L1; the next walk").event(Event::Init),
    RUNNING_NARROW,
    RUNNING_WIDEN,
    Action::new("cpuid-narrow-first", Ask::MoveNarrow, "moved to a new VM whose MAXPHYADDR is 36 from the start")
        .widths(Wide, Narrow),
    Action::new("cpuid-widen-first", Ask::MoveWide, "moved to a new VM whose MAXPHYADDR is the host's from the start")
        .widths(Narrow, Wide),
    RESTORED_NARROW,
    Action {
        name: "cpuid-narrow-next-entry",
        what: "as cpuid-narrow-restored; the next walk, behind a VM entry without a VMWRITE of controls",
        ..RESTORED_NARROW.then(Then::NextEntry)
    },
    Action {
        name: "cpuid-narrow-write-bitmap",
        what: "as cpuid-narrow-restored; the next walk, behind a VMWRITE of the exception bitmap",
        ..RESTORED_NARROW.then(Then::WriteBitmap)
    },
    Action {
        name: "cpuid-narrow-write-mask",
        what: "as cpuid-narrow-restored; the next walk, behind a VMWRITE of MASK",
        ..RESTORED_NARROW.then(Then::WriteMask)
    },
    RESTORED_WIDEN,
    Action {
        name: "cpuid-widen-next-entry",
        what: "as cpuid-widen-restored; the next walk, behind a VM entry without a VMWRITE of controls",
        ..RESTORED_WIDEN.then(Then::NextEntry)
    },
    Action {
        name: "cpuid-widen-write-bitmap",
        what: "as cpuid-widen-restored; the next walk, behind a VMWRITE of the exception bitmap",
        ..RESTORED_WIDEN.then(Then::WriteBitmap)
    },
    Action {
        name: "cpuid-widen-write-mask",
        what: "as cpuid-widen-restored; the next walk, behind a VMWRITE of MASK",
        ..RESTORED_WIDEN.then(Then::WriteMask)
    },
];

#[cfg(test)]
mod tests {
    use super::{ACTIONS, Action, OWN_MODE, own_pfec, uncorrected_pfec};
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
