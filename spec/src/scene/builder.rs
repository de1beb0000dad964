//! How a row says what its scene is: it begins as an instruction that completes, and each method
//! says what differs.

use super::end::{EXIT_EXCEPTION, Word, Words};
use super::ept::Nested;
use super::event::{Event, Pending, Sender};
use super::flaw::{Checked, Flaw, INVALID_CONTROL, INVALID_STATE};
use super::place::{Kind, Place};
use super::tested::Tested;
use super::{Answer, Exiting, Fault, Feature, Fits, Intercepted, Scene, Stop, Texts, Unwanted};
use crate::manual::paging::{Access, Level, Mode, Privilege};
use crate::manual::section::Citation;
use crate::walk::page::Page;

/// One row of a table of scenes. Rows are there at compile time only: what is played is
/// [`Row::scene`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it says of the scene.
    pub scene: Scene,
    pub(super) texts: Texts,
    /// The quick profile plays it before its neighbours.
    pub(super) telling: bool,
}

/// Methods that set the field of their name: to the value, or to `Some` of it.
macro_rules! setters {
    ($($(#[doc = $doc:literal])+ $field:ident($type:ty) $(in $some:ident)?;)*) => {
        $($(#[doc = $doc])+
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.scene.$field = $($some)? ($field);
            self
        })*
    };
}

/// A scene in which an instruction completes at CPL 3.
pub(super) const fn user(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    Row::new(name, what, Privilege::User, code, instruction)
}

impl Row {
    /// A scene in which an instruction completes: the start of each row.
    #[must_use]
    pub const fn new(
        name: &'static str,
        what: &'static str,
        cpl: Privilege,
        code: &'static [u8],
        instruction: &'static str,
    ) -> Self {
        let scene = Scene { cpl, code, ..Scene::USUAL };
        Self { scene, texts: Texts { name, what, instruction, section: None }, telling: false }
    }

    setters! {
        /// With pages that are not good.
        pages(&'static [(Place, Kind)]);
        /// With the widths of code in which it can play.
        fits(Fits);
        /// With a page under test.
        tested(Tested) in Some;
        /// With another page under test at the start.
        before(Page) in Some;
        /// With the table of a level in [`Place::Device`].
        table(Level) in Some;
        /// With registers set.
        registers(&'static [(Word, u64)]);
        /// With the instruction elsewhere.
        rip(u64);
        /// With RSP elsewhere.
        rsp(u64) in Some;
        /// With bits set in RFLAGS.
        rflags(u64);
        /// With an interruptibility state.
        interruptibility(u64);
        /// With pending debug exceptions.
        pending_debug(u64);
        /// With an activity state.
        activity(u64);
        /// With pin-based controls set.
        pins(u32);
        /// With memory written before.
        memory(&'static [(u64, u64)]);
        /// With memory looked at afterwards.
        watch(u64) in Some;
        /// With exceptions that L1 intercepts.
        intercepts(u32);
        /// With vectors whose gates select the stack of events.
        event_stack(u64);
        /// With an event.
        event(Event) in Some;
        /// With what comes where the filter does not want the fault.
        unwanted(Unwanted);
        /// With instructions that L1 intercepts.
        exiting(Exiting);
        /// With rights of protection keys.
        keys(u32);
        /// With other rights of protection keys, which L2's code sets.
        keys_then(u32) in Some;
        /// With bits of its mode that L2's code turns over.
        flips(Mode);
        /// With a shadow-stack pointer.
        ssp(u64);
        /// With words that the fault changes.
        at_fault(&'static [(Word, u64)]);
        /// With words that completion changes.
        at_end(&'static [(Word, u64)]);
        /// With words that the manual leaves open.
        open(Words);
        /// With L1's answer to an exit.
        answer(Answer);
        /// With a need.
        needs(Feature) in Some;
    }

    /// The same under another name.
    #[must_use]
    pub const fn renamed(mut self, name: &'static str) -> Self {
        self.texts.name = name;
        self
    }

    /// The same under another name, with other words for what happens.
    #[must_use]
    pub const fn described(mut self, name: &'static str, what: &'static str) -> Self {
        self.texts.what = what;
        self.renamed(name)
    }

    /// With the manual's section.
    #[must_use]
    pub const fn section(mut self, section: Citation) -> Self {
        self.texts.section = Some(section);
        self
    }

    /// As one that the quick profile plays before its neighbours: it notices a fault of hosts that
    /// they do not.
    #[must_use]
    pub const fn telling(mut self) -> Self {
        self.telling = true;
        self
    }

    /// With an operand in several parts, or on two pages.
    #[must_use]
    pub const fn in_parts(mut self) -> Self {
        self.scene.parts = true;
        self
    }

    /// For 64-bit mode alone.
    #[must_use]
    pub const fn only_64_bit(self) -> Self {
        self.fits(Fits::Bits64)
    }

    /// As one of real mode.
    #[must_use]
    pub const fn real(mut self) -> Self {
        self.scene.real = true;
        self
    }

    /// With an access in which EPT has a word; a fault of the deep page's guest entry with it.
    #[must_use]
    pub const fn nested(mut self, nested: Nested) -> Self {
        self.scene.nested = Some(nested);
        if nested.guest.is_some() { self.fault(nested.address, nested.access) } else { self }
    }

    /// With an event of the local APIC that is delivered.
    #[must_use]
    pub const fn arrives(self, event: Event, by: Sender) -> Self {
        self.event(event).pending(event, by)
    }

    /// With an event of the local APIC that is held back.
    #[must_use]
    pub const fn pending(mut self, event: Event, by: Sender) -> Self {
        self.scene.pending = Some(Pending { event, by });
        self.needs(Feature::LocalApic)
    }

    /// With this fault.
    #[must_use]
    pub const fn faults(mut self, fault: Fault) -> Self {
        self.scene.fault = Some(fault);
        self
    }

    /// With a fault of the scene's privilege.
    #[must_use]
    pub const fn fault(self, address: u64, access: Access) -> Self {
        self.faults(Fault { address, access, privilege: self.scene.cpl, rip: None })
    }

    /// With a fault of the scene's privilege, at which RIP is elsewhere than at the start.
    #[must_use]
    pub const fn fault_after(self, address: u64, access: Access, rip: u64) -> Self {
        self.faults(Fault { address, access, privilege: self.scene.cpl, rip: Some(rip) })
    }

    /// With a fault of an implicit supervisor-mode access.
    #[must_use]
    pub const fn implicit_fault(self, address: u64, access: Access) -> Self {
        self.faults(Fault { address, access, privilege: Privilege::Supervisor, rip: None })
    }

    /// With a fault of an implicit supervisor-mode access, at which RIP is elsewhere than at the
    /// start.
    #[must_use]
    pub const fn implicit_fault_after(self, address: u64, access: Access, rip: u64) -> Self {
        self.faults(Fault { address, access, privilege: Privilege::Supervisor, rip: Some(rip) })
    }

    /// With a fault that is one of an implicit access, whatever the scene's privilege.
    #[must_use]
    pub const fn of_implicit_access(mut self) -> Self {
        self.scene.implicit = true;
        self
    }

    /// With state that L2 leaves changed: control registers, segments, descriptor-table registers.
    #[must_use]
    pub const fn unsettles(mut self) -> Self {
        self.scene.unsettles = true;
        self
    }

    /// With a fault of a shadow-stack access of the scene's privilege.
    #[must_use]
    pub const fn shadow_fault(mut self, address: u64, access: Access) -> Self {
        self.scene.shadow = true;
        self.fault(address, access)
    }

    /// With a fault of the scene's privilege before [`Scene::fault`], which comes in its delivery.
    #[must_use]
    pub const fn first(mut self, address: u64, access: Access) -> Self {
        self.scene.first = Some(Fault { address, access, privilege: self.scene.cpl, rip: None });
        self
    }

    /// With a fault of the scene's privilege before [`Scene::fault`], which comes if L1 has L2 go on
    /// after it.
    #[must_use]
    pub const fn goes_on_after(mut self, address: u64, access: Access, rip: u64) -> Self {
        let privilege = self.scene.cpl;
        self.scene.first = Some(Fault { address, access, privilege, rip: Some(rip) });
        self.answer(Answer::GoOn)
    }

    /// With the first fault one of an implicit supervisor-mode access.
    #[must_use]
    pub const fn implicit_first(mut self, address: u64, access: Access) -> Self {
        self.scene.first =
            Some(Fault { address, access, privilege: Privilege::Supervisor, rip: None });
        self
    }

    /// With control fields that are wrong at first, so that VM-instruction error 7 comes.
    #[must_use]
    pub const fn wrong_control(mut self, bits: &'static [(Checked, u8)]) -> Self {
        self.scene.flaw = Some(Flaw { bits, number: INVALID_CONTROL, qualification: None });
        self
    }

    /// With guest state that is wrong at first, so that the entry fails with exit reason 33.
    #[must_use]
    pub const fn wrong_state(mut self, bits: &'static [(Checked, u8)], qualification: u8) -> Self {
        let qualification = Some(qualification);
        self.scene.flaw = Some(Flaw { bits, number: INVALID_STATE, qualification });
        self
    }

    /// With NMIs unblocked by the IRET that faults.
    #[must_use]
    pub const fn nmi_unblocked(mut self) -> Self {
        self.scene.nmi_unblocked = true;
        self
    }

    /// With a VM exit before the first instruction, after the delivery of an injected event.
    #[must_use]
    pub const fn stops_before(mut self, reason: u16) -> Self {
        self.scene.stop = Some(Stop { reason, info: 0, after: false });
        self
    }

    /// With a VM exit after the first instruction, or after the delivery of what it raises.
    #[must_use]
    pub const fn stops_after(mut self, reason: u16) -> Self {
        self.scene.stop = Some(Stop { reason, info: 0, after: true });
        self
    }

    /// With a VM exit by an event after the first instruction.
    #[must_use]
    pub const fn stops_by(mut self, event: Event) -> Self {
        self.scene.stop = Some(Stop { reason: EXIT_EXCEPTION, info: event.info(), after: true });
        self
    }

    /// With a VM exit that comes before any access.
    #[must_use]
    pub const fn intercepted(mut self, reason: u16, qualification: Option<u64>) -> Self {
        self.scene.intercepted = Some(Intercepted { reason, qualification });
        self
    }
}
