//! The actions themselves.

use super::AddressWidth::{Narrow, Wide};
use super::{Action, Event, Then};
use crate::channel::Ask;

const RESTORED_NARROW: Action = Action::new(
    "cpuid-narrow-restored",
    Ask::MoveThenNarrow,
    "moved to a new VM; MAXPHYADDR shrinks to 36 after KVM_SET_NESTED_STATE, before KVM_RUN",
)
.widths(Wide, Narrow);
const RESTORED_WIDEN: Action = Action::new(
    "cpuid-widen-restored",
    Ask::MoveThenWiden,
    "moved to a new VM; MAXPHYADDR grows from 36 after KVM_SET_NESTED_STATE, before KVM_RUN",
)
.widths(Narrow, Wide);
const RUNNING_NARROW: Action =
    Action::new("cpuid-narrow", Ask::Narrow, "MAXPHYADDR shrinks to 36 on the running vCPU")
        .widths(Wide, Narrow);
const RUNNING_WIDEN: Action =
    Action::new("cpuid-widen", Ask::Widen, "MAXPHYADDR grows from 36 on the running vCPU")
        .widths(Narrow, Wide);

/// Every action. To add one, add a row.
pub(super) const ROWS: &[Action] = &[
    Action::new("restore", Ask::Move, "saved, and restored in a new VM"),
    Action::new(
        "restore-pending-fault",
        Ask::MovePendingFault,
        "a page fault is pending; saved, and restored in a new VM",
    )
    .event(Event::Fault),
    Action::new(
        "restore-registers-last",
        Ask::MoveFaultThenRegisters,
        "as restore-pending-fault; system registers are set once more, after the fault",
    )
    .event(Event::Fault),
    Action::new(
        "restore-injected-fault",
        Ask::MoveInjectedFault,
        "a page fault is being delivered; saved, and restored in a new VM",
    )
    .event(Event::FaultInDelivery),
    Action::new(
        "restore-malformed",
        Ask::MoveMalformed,
        "saved, and restored in a new VM, which must first refuse malformed states",
    ),
    Action::new(
        "restore-anywhere",
        Ask::MovesOn,
        "saved, and restored in a new VM, at each of the first signals",
    )
    .undoing(Ask::KicksOff),
    Action::new(
        "migrate",
        Ask::Migrate,
        "saved by QEMU's own migration to a file, and restored in a new QEMU",
    ),
    Action::new(
        "migrate-anywhere",
        Ask::MigrateMeanwhile,
        "the same, in the middle of a walk: at an arbitrary time",
    ),
    Action::new(
        "pending-fault",
        Ask::PendingFault,
        "the VMM makes a page fault pending (with payload)",
    )
    .event(Event::Fault),
    Action::new(
        "injected-fault",
        Ask::InjectedFault,
        "the VMM injects a page fault (without payload)",
    )
    .event(Event::FaultInDelivery),
    Action::new(
        "injected-fault-old",
        Ask::InjectedFault,
        "as injected-fault, in a VM without exception payloads",
    )
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
    Action::new(
        "immediate-exit",
        Ask::ImmediateExit,
        "the instruction is completed by a KVM_RUN that enters no guest",
    ),
    Action::new("kicks", Ask::KicksOn, "signals make KVM_RUN return again and again")
        .undoing(Ask::KicksOff),
    Action::new(
        "exits",
        Ask::PlainExits,
        "L2's string I/O and accesses to a device exit to the VMM",
    )
    .event(Event::Exits),
    Action::new(
        "exits-immediate",
        Ask::ImmediateExits,
        "as exits; after each, a KVM_RUN that enters no guest",
    )
    .event(Event::Exits)
    .undoing(Ask::PlainExits),
    Action::new(
        "exits-restored",
        Ask::MovedExits,
        "as exits; after each, saved, and restored in a new VM",
    )
    .event(Event::Exits)
    .undoing(Ask::PlainExits),
    Action::new("dirty-log-on", Ask::DirtyLogOn, "L0 begins to track writes to memory")
        .undoing(Ask::DirtyLogOff),
    Action::new("dirty-log-off", Ask::DirtyLogOff, "L0 ends tracking writes to memory")
        .preparing(Ask::DirtyLogOn),
    Action::new(
        "memory-removed",
        Ask::RemoveMemory,
        "all memory is taken from the VM and given back",
    ),
    Action::new(
        "memory-dropped",
        Ask::DropPages,
        "the VMM drops all pages (MADV_DONTNEED): L0 must find each anew",
    ),
    Action::new(
        "memory-late",
        Ask::LatePages,
        "all pages are taken away, each comes back when L0 waits for it (userfaultfd)",
    )
    .preparing(Ask::LatePagesReady)
    .undoing(Ask::LatePagesEnd),
    Action::new(
        "async-faults",
        Ask::LatePages,
        "as memory-late; L1 has enabled KVM's asynchronous page faults",
    )
    .async_faults(Event::AsyncFaults),
    Action::new(
        "async-faults-restored",
        Ask::LatePagesAndMoves,
        "as async-faults; the first times that a page is awaited, saved, and restored in a new VM",
    )
    .async_faults(Event::AsyncFaults),
    Action::new(
        "async-faults-moved-often",
        Ask::LatePagesAndManyMoves,
        "as async-faults-restored, and more often: also when L2's user mode awaits a page",
    )
    .async_faults(Event::AsyncFaults),
    Action::new(
        "memory-read-only",
        Ask::ReadOnlyOn,
        "the page under test is read-only; writes exit to the VMM",
    )
    .undoing(Ask::ReadOnlyEnd),
    Action::new("memory-writable", Ask::ReadOnlyOff, "the page under test is no longer read-only")
        .preparing(Ask::ReadOnlyOn),
    Action::new("guest-debug", Ask::DebugOn, "the VMM debugs the guest (KVM_SET_GUEST_DEBUG)")
        .undoing(Ask::DebugOff),
    Action::new("smi", Ask::Smi, "a system-management interrupt, and RSM back to L2")
        .event(Event::Smi),
    Action::new("smi-fault", Ask::SmiAndFault, "the same, and a page fault is pending")
        .event(Event::SmiAndFault),
    Action::new("smi-nmi", Ask::SmiAndNmi, "an SMI and an NMI, which L2 handles after RSM")
        .event(Event::SmiAndNmi),
    Action::new(
        "smi-async-faults",
        Ask::LatePagesAndSmi,
        "as async-faults; an SMI comes whenever a page is awaited",
    )
    .async_faults(Event::AsyncFaultsAndSmi),
    Action::new("nmi", Ask::Nmi, "an NMI, which L2 handles").event(Event::Nmi),
    Action::new("interrupt", Ask::Interrupt, "an external interrupt, which L2 handles")
        .event(Event::Interrupt),
    Action::new("interrupt-fault", Ask::InterruptAndFault, "the same, and a page fault is pending")
        .event(Event::InterruptAndFault),
    Action::new("interrupt-exit", Ask::Interrupt, "an external interrupt, which exits to L1")
        .event(Event::Interrupt)
        .interrupt_exiting(),
    Action::new(
        "interrupt-exit-fault",
        Ask::InterruptAndFault,
        "the same, and a page fault is pending",
    )
    .event(Event::InterruptAndFault)
    .interrupt_exiting(),
    Action::new("init", Ask::Init, "an INIT signal, which exits to L1; the next walk")
        .event(Event::Init),
    RUNNING_NARROW,
    RUNNING_WIDEN,
    Action::new(
        "cpuid-narrow-first",
        Ask::MoveNarrow,
        "moved to a new VM whose MAXPHYADDR is 36 from the start",
    )
    .widths(Wide, Narrow),
    Action::new(
        "cpuid-widen-first",
        Ask::MoveWide,
        "moved to a new VM whose MAXPHYADDR is the host's from the start",
    )
    .widths(Narrow, Wide),
    RESTORED_NARROW,
    Action {
        name: "cpuid-narrow-next-entry",
        what: "as cpuid-narrow-restored; the next walk, after a VM entry without a VMWRITE of controls",
        ..RESTORED_NARROW.then(Then::NextEntry)
    },
    Action {
        name: "cpuid-narrow-write-bitmap",
        what: "as cpuid-narrow-restored; the next walk, after a VMWRITE of the exception bitmap",
        ..RESTORED_NARROW.then(Then::WriteBitmap)
    },
    Action {
        name: "cpuid-narrow-write-mask",
        what: "as cpuid-narrow-restored; the next walk, after a VMWRITE of MASK",
        ..RESTORED_NARROW.then(Then::WriteMask)
    },
    RESTORED_WIDEN,
    Action {
        name: "cpuid-widen-next-entry",
        what: "as cpuid-widen-restored; the next walk, after a VM entry without a VMWRITE of controls",
        ..RESTORED_WIDEN.then(Then::NextEntry)
    },
    Action {
        name: "cpuid-widen-write-bitmap",
        what: "as cpuid-widen-restored; the next walk, after a VMWRITE of the exception bitmap",
        ..RESTORED_WIDEN.then(Then::WriteBitmap)
    },
    Action {
        name: "cpuid-widen-write-mask",
        what: "as cpuid-widen-restored; the next walk, after a VMWRITE of MASK",
        ..RESTORED_WIDEN.then(Then::WriteMask)
    },
];

/// The same without the texts, which need not be in the image.
pub const ACTIONS: &[Action] = &{
    let (mut actions, mut at) = ([ROWS[0]; ROWS.len()], 0);
    while at < ROWS.len() {
        actions[at] = Action { what: "", ..ROWS[at] };
        at += 1;
    }
    actions
};
