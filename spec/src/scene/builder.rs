//! How a row becomes a scene: it begins as an instruction that completes, and each method says what is otherwise.

use super::end::{Word, Words};
use super::ept::Nested;
use super::event::{Event, Pending, Sender};
use super::place::{Kind, Place};
use super::tested::Tested;
use super::{Answer, Exiting, Fault, Feature, Fits, Intercepted, KeysApplied, RIP, Scene, Unwanted};
use crate::manual::paging::{Access, Level, Privilege};
use crate::walk::page::Page;

impl Scene {
    /// A scene in which an instruction completes: the start of each row.
    #[must_use]
    pub const fn new(
        name: &'static str,
        what: &'static str,
        cpl: Privilege,
        code: &'static [u8],
        text: &'static str,
    ) -> Self {
        Self {
            name,
            what,
            cpl,
            code,
            text,
            rip: RIP,
            rsp: None,
            registers: &[],
            rflags: 0,
            interruptibility: 0,
            pending_debug: 0,
            fits: Fits::All,
            tested: None,
            before: None,
            table: None,
            activity: 0,
            pins: 0,
            pages: &[],
            memory: &[],
            watch: None,
            intercepts: 0,
            event_stack: 0,
            nested: None,
            real: false,
            event: None,
            pending: None,
            first: None,
            fault: None,
            unwanted: Unwanted::PageFault,
            nmi_unblocked: false,
            address_open: 0,
            exiting: Exiting::Nothing,
            intercepted: None,
            keys: 0,
            ssp: 0,
            shadow: false,
            keys_applied: KeysApplied::AsTheManualSays,
            at_fault: &[],
            at_end: &[],
            open: 0,
            answer: Answer::Nothing,
            needs: None,
            section: "",
        }
    }

    /// The same under another name.
    #[must_use]
    pub const fn renamed(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// With pages that are not good.
    #[must_use]
    pub const fn pages(mut self, pages: &'static [(Place, Kind)]) -> Self {
        self.pages = pages;
        self
    }

    /// With the widths of code in which it can play.
    #[must_use]
    pub const fn fits(mut self, fits: Fits) -> Self {
        self.fits = fits;
        self
    }

    /// With a page under test.
    #[must_use]
    pub const fn tested(mut self, tested: Tested) -> Self {
        self.tested = Some(tested);
        self
    }

    /// With another page under test at the start.
    #[must_use]
    pub const fn before(mut self, page: Page) -> Self {
        self.before = Some(page);
        self
    }

    /// With the table of a level in [`Place::Device`].
    #[must_use]
    pub const fn table(mut self, level: Level) -> Self {
        self.table = Some(level);
        self
    }

    /// With registers set.
    #[must_use]
    pub const fn registers(mut self, registers: &'static [(Word, u64)]) -> Self {
        self.registers = registers;
        self
    }

    /// With the instruction elsewhere.
    #[must_use]
    pub const fn rip(mut self, rip: u64) -> Self {
        self.rip = rip;
        self
    }

    /// With RSP elsewhere.
    #[must_use]
    pub const fn rsp(mut self, rsp: u64) -> Self {
        self.rsp = Some(rsp);
        self
    }

    /// With bits set in RFLAGS.
    #[must_use]
    pub const fn rflags(mut self, rflags: u64) -> Self {
        self.rflags = rflags;
        self
    }

    /// With an interruptibility state.
    #[must_use]
    pub const fn interruptibility(mut self, interruptibility: u64) -> Self {
        self.interruptibility = interruptibility;
        self
    }

    /// With pending debug exceptions.
    #[must_use]
    pub const fn pending_debug(mut self, pending_debug: u64) -> Self {
        self.pending_debug = pending_debug;
        self
    }

    /// With an activity state.
    #[must_use]
    pub const fn activity(mut self, activity: u64) -> Self {
        self.activity = activity;
        self
    }

    /// With pin-based controls set.
    #[must_use]
    pub const fn pins(mut self, pins: u32) -> Self {
        self.pins = pins;
        self
    }

    /// With memory written before.
    #[must_use]
    pub const fn memory(mut self, memory: &'static [(u64, u64)]) -> Self {
        self.memory = memory;
        self
    }

    /// With memory looked at behind.
    #[must_use]
    pub const fn watch(mut self, linear: u64) -> Self {
        self.watch = Some(linear);
        self
    }

    /// With exceptions that L1 intercepts.
    #[must_use]
    pub const fn intercepts(mut self, vectors: u32) -> Self {
        self.intercepts = vectors;
        self
    }

    /// With vectors whose gates select the stack of events.
    #[must_use]
    pub const fn event_stack(mut self, vectors: u64) -> Self {
        self.event_stack = vectors;
        self
    }

    /// With an access in which EPT has a word; a fault of the deep page's guest entry with it.
    #[must_use]
    pub const fn nested(mut self, nested: Nested) -> Self {
        if nested.guest.is_some() {
            self = self.fault(nested.address, nested.access);
        }
        self.nested = Some(nested);
        self
    }

    /// As one of real mode.
    #[must_use]
    pub const fn real(mut self) -> Self {
        self.real = true;
        self
    }

    /// With an event.
    #[must_use]
    pub const fn event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }

    /// With an event of the local APIC that is delivered.
    #[must_use]
    pub const fn arrives(mut self, event: Event, by: Sender) -> Self {
        self.event = Some(event);
        self.pending(event, by)
    }

    /// With an event of the local APIC that is held back.
    #[must_use]
    pub const fn pending(mut self, event: Event, by: Sender) -> Self {
        self.pending = Some(Pending { event, by });
        self.needs(Feature::LocalApic)
    }

    /// With a fault of the scene's privilege.
    #[must_use]
    pub const fn fault(mut self, address: u64, access: Access) -> Self {
        self.fault = Some(Fault { address, access, privilege: self.cpl, rip: None });
        self
    }

    /// With a fault of the scene's privilege before [`Scene::fault`], which comes in its delivery.
    #[must_use]
    pub const fn first(mut self, address: u64, access: Access) -> Self {
        self.first = Some(Fault { address, access, privilege: self.cpl, rip: None });
        self
    }

    /// The same, of an implicit supervisor-mode access.
    #[must_use]
    pub const fn implicit_first(mut self, address: u64, access: Access) -> Self {
        self.first = Some(Fault { address, access, privilege: Privilege::Supervisor, rip: None });
        self
    }

    /// With a fault of an implicit supervisor-mode access.
    #[must_use]
    pub const fn implicit_fault(mut self, address: u64, access: Access) -> Self {
        self.fault = Some(Fault { address, access, privilege: Privilege::Supervisor, rip: None });
        self
    }

    /// With what comes where the filter does not want the fault.
    #[must_use]
    pub const fn unwanted(mut self, unwanted: Unwanted) -> Self {
        self.unwanted = unwanted;
        self
    }

    /// With a fault of the scene's privilege, at which RIP is elsewhere than at the start.
    #[must_use]
    pub const fn fault_behind(mut self, address: u64, access: Access, rip: u64) -> Self {
        self.fault = Some(Fault { address, access, privilege: self.cpl, rip: Some(rip) });
        self
    }

    /// With a fault of an implicit supervisor-mode access, at which RIP is elsewhere than at the start.
    #[must_use]
    pub const fn implicit_fault_behind(mut self, address: u64, access: Access, rip: u64) -> Self {
        self.fault = Some(Fault { address, access, privilege: Privilege::Supervisor, rip: Some(rip) });
        self
    }

    /// With bits of the reported address left open.
    #[must_use]
    pub const fn address_open(mut self, bits: u64) -> Self {
        self.address_open = bits;
        self
    }

    /// With instructions that L1 intercepts.
    #[must_use]
    pub const fn exiting(mut self, exiting: Exiting) -> Self {
        self.exiting = exiting;
        self
    }

    /// With a VM exit that comes before any access.
    #[must_use]
    pub const fn intercepted(mut self, reason: u16, qualification: Option<u64>) -> Self {
        self.intercepted = Some(Intercepted { reason, qualification });
        self
    }

    /// With rights of protection keys.
    #[must_use]
    pub const fn keys(mut self, keys: u32) -> Self {
        self.keys = keys;
        self
    }

    /// With a shadow-stack pointer.
    #[must_use]
    pub const fn ssp(mut self, ssp: u64) -> Self {
        self.ssp = ssp;
        self
    }

    /// With a fault of a shadow-stack access of the scene's privilege.
    #[must_use]
    pub const fn shadow_fault(mut self, address: u64, access: Access) -> Self {
        self.shadow = true;
        self.fault(address, access)
    }

    /// For 64-bit mode alone.
    #[must_use]
    pub const fn only_64_bit(mut self) -> Self {
        self.fits = Fits::Bits64;
        self
    }

    /// With NMIs unblocked by the IRET that faults.
    #[must_use]
    pub const fn nmi_unblocked(mut self) -> Self {
        self.nmi_unblocked = true;
        self
    }

    /// With words that the fault changes.
    #[must_use]
    pub const fn at_fault(mut self, words: &'static [(Word, u64)]) -> Self {
        self.at_fault = words;
        self
    }

    /// With words that completion changes.
    #[must_use]
    pub const fn at_end(mut self, words: &'static [(Word, u64)]) -> Self {
        self.at_end = words;
        self
    }

    /// With words that the manual leaves open.
    #[must_use]
    pub const fn open(mut self, words: Words) -> Self {
        self.open = words;
        self
    }

    /// With L1's answer to an exit.
    #[must_use]
    pub const fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// With a need.
    #[must_use]
    pub const fn needs(mut self, feature: Feature) -> Self {
        self.needs = Some(feature);
        self
    }

    /// With the manual's section.
    #[must_use]
    pub const fn section(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }
}
