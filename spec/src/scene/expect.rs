//! What must be seen at the end of a scene.
//!
//! SDM vol. 3C, "VM Exits": "Architectural State Before a VM Exit" (CR2, DR6 and the
//! general-purpose registers as if the exception had not come), "Basic VM-Exit Information",
//! "Information for VM Exits Due to Vectored Events", "Information for VM Exits During Event
//! Delivery", "Saving RIP, RSP, RFLAGS, and SSP", and "Saving Non-Register State". For what reaches
//! L2: SDM vol. 3A, "Exception- or Interrupt-Handler Procedures", "64-Bit Mode Stack Frame", and
//! "Exception and Interrupt Reference".

mod exits;

use super::between::Between;
use super::end::{EVERY_REGISTER, EXIT_EXCEPTION, EXIT_TRIPLE_FAULT, End, Ends, How, Word};
use super::environment::{Environment, REAL_SELECTOR};
use super::event::{Event, EventType, Source};
use super::place::Place;
use super::{Answer, Fault, Scene, Unwanted};
use crate::manual::filter::{EXCEPTION_BITMAP_PF, Filter};
use crate::manual::paging::keys::shadow_stack_access;
use crate::manual::paging::{Access, Entry, Level, Maxphyaddr, Mode, Privilege, walk_in};
use crate::manual::pfec::Pfec;
use crate::walk::outcome::{RFLAGS_AC, RFLAGS_RF};
use crate::walk::page::good;

/// What CR2 holds at the start of a scene: no page of the stage is there.
pub use crate::walk::outcome::CR2_AT_START;
/// What DR6 holds at the start of a scene: its value at reset. SDM vol. 3B, "Debug Registers".
pub const DR6_AT_START: u64 = 0xffff_0ff0;
/// DR6.BS, which a single step sets.
pub const DR6_BS: u64 = 1 << 14;
/// What DR7 holds at the start of a scene: its value at reset.
pub const DR7_AT_START: u64 = 0x400;
/// Bit 3 of the interruptibility state. SDM vol. 3C, "Guest Non-Register State".
pub const BLOCKING_BY_NMI: u64 = 1 << 3;
/// Bit 1 of the same.
pub const BLOCKING_BY_MOV_SS: u64 = 1 << 1;
/// Bit 0 of the same.
pub const BLOCKING_BY_STI: u64 = 1 << 0;
/// Bit 14 of the pending debug exceptions: a single step. SDM vol. 3C, "Guest Non-Register State".
pub const PENDING_BS: u64 = 1 << 14;
/// The bit of RFLAGS that is always 1.
const RFLAGS_FIXED: u64 = 1 << 1;
/// Bit 12 of interruption information: NMI unblocking due to IRET.
pub const NMI_UNBLOCKED: u64 = 1 << 12;
/// Interruption information of a #DF: valid, error code valid, hardware exception, vector 8.
const INTERRUPTION_INFO_DF: u64 = 1 << 31 | 1 << 11 | 3 << 8 | 8;
pub(crate) const VECTOR_DF: u8 = 8;
pub(crate) const VECTOR_PF: u8 = 14;
/// The most levels that a walk has.
const LEVELS: usize = 5;

/// Selectors of L2's code and stack segments in 64-bit mode, with RPL.
#[must_use]
pub const fn selectors(cpl: Privilege) -> (u64, u64) {
    match cpl {
        Privilege::Supervisor => (0x08, 0x10),
        Privilege::User => (0x1b, 0x23),
    }
}

impl Scene {
    /// The error code of the page fault that must arise, or `None` if the access is allowed.
    #[must_use]
    pub fn pfec(&self, environment: &Environment, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match &self.nested {
            Some(nested) if nested.guest.is_some() => {
                self.nested_pfec(nested, environment, maxphyaddr)
            }
            _ => self.place_pfec(environment, maxphyaddr),
        }
    }

    /// The error code of the fault that the page of a [`Place`] raises.
    pub(super) fn place_pfec(
        &self,
        environment: &Environment,
        maxphyaddr: Maxphyaddr,
    ) -> Option<Pfec> {
        self.pfec_of(&self.fault?, environment, maxphyaddr)
    }

    /// The error code of [`Scene::first`], if the scene has it.
    #[must_use]
    pub fn first_pfec(&self, environment: &Environment, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        self.pfec_of(&self.first?, environment, maxphyaddr)
    }

    fn pfec_of(
        &self,
        fault: &Fault,
        environment: &Environment,
        maxphyaddr: Maxphyaddr,
    ) -> Option<Pfec> {
        let mut entries = [0; LEVELS];
        let levels = environment.format.levels();
        match (&self.tested, Place::of(fault.address)) {
            (Some(tested), None) => {
                for (entry, &level) in entries.iter_mut().zip(levels) {
                    *entry = tested.entry(level, maxphyaddr);
                }
            }
            // Nothing is mapped elsewhere: no entry is present.
            (None, None) => {}
            (_, Some(place)) => {
                for (entry, &level) in entries.iter_mut().zip(levels) {
                    *entry = match level {
                        Level::Pte => self.kind(place).entry(place, self.cpl, maxphyaddr),
                        _ => good(level),
                    };
                }
            }
        }
        // Implicit accesses do not look at RFLAGS.AC. SDM vol. 3A, "Determination of Access
        // Rights".
        let implicit = self.implicit || fault.privilege != self.cpl;
        let mode = Mode { ac: self.rflags & RFLAGS_AC != 0, ..environment.mode };
        let mode = mode.xor(self.flips);
        let mode = Mode { ac: !implicit && mode.ac, ..mode };
        let entries = &entries[..levels.len()];
        let walked = |access| {
            walk_in(environment.format, entries, access, fault.privilege, mode, maxphyaddr)
        };
        let leaf = entries[entries.len() - 1];
        let user_address = leaf & Entry::US.bits() != 0;
        if self.shadow {
            return shadow_stack_access(
                walked(Access::Read),
                leaf,
                user_address,
                fault.access,
                fault.privilege,
            )
            .err();
        }
        let keys = self.keys_in_force();
        keys.check(walked(fault.access), leaf, user_address, fault.access, fault.privilege, mode)
            .err()
    }

    /// What must be seen under a filter of L1.
    #[must_use]
    pub fn expect(
        &self,
        environment: &Environment,
        filter: Filter,
        maxphyaddr: Maxphyaddr,
    ) -> Ends {
        let mut ends = if let Some(nested) = &self.nested {
            self.expect_nested(nested, environment, filter, maxphyaddr)
        } else {
            let mut ends = self.expect_faults(environment, filter, maxphyaddr);
            environment.narrow(&mut ends);
            ends
        };
        ends.clear_open(self);
        ends
    }

    /// What must be seen where EPT has no word, with the selectors of 64-bit mode.
    fn expect_faults(
        &self,
        environment: &Environment,
        filter: Filter,
        maxphyaddr: Maxphyaddr,
    ) -> Ends {
        let pfec = self.pfec(environment, maxphyaddr);
        let first = self.first.zip(self.first_pfec(environment, maxphyaddr));
        match first.zip(self.fault.zip(pfec)) {
            Some((first, then)) if self.answer == Answer::GoOn => {
                self.expect_in_turn(first, then, filter)
            }
            Some((first, then)) => self.expect_two(first, then, filter),
            None => self.expect_64(filter, pfec),
        }
    }

    /// What must be seen of one fault, or of none.
    fn expect_64(&self, filter: Filter, pfec: Option<Pfec>) -> Ends {
        if let Some(flaw) = &self.flaw {
            let first = self.with_filter(self.refused(flaw), filter);
            return Ends { first, second: Some(self.end_under(filter, pfec)) };
        }
        if let Some(intercepted) = self.intercepted {
            return Ends { first: self.exit_by_instruction(intercepted), second: None };
        }
        match self.answer {
            Answer::Again(between) => {
                let before = self.first_filter(between, filter, pfec);
                let under = |filter| self.with_filter(self.end_under(filter, pfec), filter);
                Ends {
                    first: under(before),
                    second: Some(under(Self::second_filter(between, filter))),
                }
            }
            Answer::Nothing | Answer::GoOn => {
                Ends { first: self.end_under(filter, pfec), second: None }
            }
            Answer::Spoil(_) => {
                Ends { first: self.settled(), second: Some(self.end_under(filter, pfec)) }
            }
            Answer::Resume => {
                let end = self.end_under(filter, pfec);
                let exits = pfec.is_some_and(|pfec| filter.exits(pfec));
                Ends { first: end, second: exits.then_some(end) }
            }
            Answer::Retry | Answer::Reinject | Answer::Reflect => {
                let second =
                    pfec.filter(|pfec| filter.exits(*pfec)).map(|pfec| match self.answer {
                        // The pushed RF is what L1 found.
                        Answer::Reflect => self.own_delivered_fault(pfec).open(Word::Rflags),
                        _ => self.settled_later(),
                    });
                Ends { first: self.end_under(filter, pfec), second }
            }
        }
    }

    /// The filter of the first play, where the second is under `filter`.
    #[must_use]
    pub fn first_filter(&self, between: Between, filter: Filter, pfec: Option<Pfec>) -> Filter {
        match (between, pfec) {
            (
                Between::Rewrite(field) | Between::Unannounced(field) | Between::Moved(field),
                Some(pfec),
            ) => filter.wanting_but_for(field, pfec).unwrap_or(filter),
            (Between::Upper { field, bit, set }, _) => filter.with_upper(field, bit, !set),
            _ => filter,
        }
    }

    /// The filter of the second play.
    #[must_use]
    pub const fn second_filter(between: Between, filter: Filter) -> Filter {
        match between {
            Between::Upper { field, bit, set } => filter.with_upper(field, bit, set),
            _ => filter,
        }
    }

    /// The end with the fields of the filter as VMREAD must give them. SDM vol. 3C, "Exception
    /// Bitmap": the fields have 32 bits, of which none is reserved.
    fn with_filter(&self, mut end: End, filter: Filter) -> End {
        let pf = if filter.eb_pf { EXCEPTION_BITMAP_PF } else { 0 };
        end.set(Word::Bitmap, (pf | self.intercepts).into());
        end.set(Word::Mask, filter.mask.into());
        end.set(Word::Match, filter.matching.into());
        end
    }

    /// Where the instruction leads.
    fn end_under(&self, filter: Filter, pfec: Option<Pfec>) -> End {
        let end = match self.fault.zip(pfec) {
            Some((fault, pfec)) => {
                self.arises(fault, pfec, self.event.as_ref(), CR2_AT_START, filter)
            }
            None => self.settled(),
        };
        self.stop.map_or(end, |stop| self.stopped(end, stop))
    }

    /// What must be seen of one fault, and if L2 gets it of the next: nothing that was cached of the
    /// address before the first fault counts. Whether a fault that exits makes that invalid too is
    /// left open. SDM vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches".
    fn expect_in_turn(&self, first: (Fault, Pfec), then: (Fault, Pfec), filter: Filter) -> Ends {
        let end =
            |(fault, pfec)| self.arises(fault, pfec, self.event.as_ref(), CR2_AT_START, filter);
        Ends { first: end(first), second: (!filter.exits(first.1)).then(|| end(then)) }
    }

    /// What must be seen where a page fault comes in the delivery of one. Interception of each is
    /// decided before a double fault is made of them: "Other Causes of VM Exits".
    fn expect_two(&self, first: (Fault, Pfec), then: (Fault, Pfec), filter: Filter) -> Ends {
        let under_way = Event::new(Source::Raised, EventType::HardwareException, VECTOR_PF)
            .error_code(first.1.bits());
        // An event that leads to an exit indirectly does update CR2: "Architectural State Before a
        // VM Exit".
        let in_delivery = self.arises(then.0, then.1, Some(&under_way), first.0.address, filter);
        let delivered = || self.delivered_fault(first.0, first.1).open(Word::Rflags);
        let (end, second) = if filter.exits(first.1) {
            let second = match self.answer {
                // The others are for scenes with one fault.
                Answer::Nothing
                | Answer::Again(_)
                | Answer::Resume
                | Answer::Spoil(_)
                | Answer::GoOn => None,
                Answer::Retry | Answer::Reinject => Some(self.settled_later()),
                // L1 writes CR2, and then it goes as in hardware.
                Answer::Reflect => Some(in_delivery),
            };
            (self.exit(first.0, first.1, self.event.as_ref(), CR2_AT_START), second)
        } else {
            (in_delivery, (filter.exits(then.1) && self.answer == Answer::Reinject).then(delivered))
        };
        Ends { first: end, second }
    }

    /// What a page fault leads to, in the delivery of `event` if there is one.
    fn arises(
        &self,
        fault: Fault,
        pfec: Pfec,
        event: Option<&Event>,
        cr2: u64,
        filter: Filter,
    ) -> End {
        if filter.exits(pfec) {
            return self.exit(fault, pfec, event, cr2);
        }
        match self.unwanted {
            Unwanted::PageFault => self.delivered_fault(fault, pfec),
            // SDM vol. 3A, "Exception and Interrupt Reference", interrupt 8: the saved CS and RIP
            // are undefined.
            Unwanted::DoubleFault => {
                self.doubled(How::Delivered(VECTOR_DF)).with(Word::ErrorCode, 0)
            }
            // "Information for VM Exits During Event Delivery": an original event that led to a #DF
            // which exits is not reported.
            Unwanted::DoubleFaultExit => self
                .doubled(How::Exit(EXIT_EXCEPTION))
                .with(Word::Info, INTERRUPTION_INFO_DF)
                .with(Word::ErrorCode, 0)
                .with(Word::IdtInfo, 0),
            Unwanted::TripleFault => {
                self.doubled(How::Exit(EXIT_TRIPLE_FAULT)).with(Word::IdtInfo, 0)
            }
            Unwanted::Exit(exception) => self.exit_in_pf(fault, pfec, &exception),
        }
    }

    /// What is left of the scene where its faults made a double or a triple fault: DR6 is written
    /// before the delivery of #DB begins. SDM vol. 3C, "Architectural State Before a VM Exit": an
    /// event that leads to an exit indirectly does update it.
    fn doubled(&self, how: How) -> End {
        let dr6 = self.at_fault.iter().find(|(word, _)| *word == Word::Dr6);
        let end = self.unchanged(how);
        dr6.map_or(end, |(word, value)| end.with(*word, *value))
    }

    /// RFLAGS at the start.
    #[must_use]
    pub const fn start_rflags(&self) -> u64 {
        self.rflags | RFLAGS_FIXED
    }

    /// The value of the watched memory before.
    fn memory_before(&self, watch: u64) -> u64 {
        self.memory.iter().find(|(at, _)| *at == watch).map_or(0, |(_, value)| *value)
    }

    /// An end at which registers, DR6 and memory are as at the start.
    fn unchanged(&self, how: How) -> End {
        let mut end = End::new(how);
        end.words[..Word::REGISTERS].copy_from_slice(&self.start_registers());
        end.fixed = EVERY_REGISTER;
        end.set(Word::Dr6, DR6_AT_START);
        if let Some(watch) = self.watch {
            end.set(Word::Memory, self.memory_before(watch));
        }
        end
    }

    fn finish(&self, end: &mut End, changes: &[(Word, u64)]) {
        Self::set_changes(end, changes);
        self.open_words(end);
    }

    /// Sets the words that changed. Where a selector is among them, the access rights must be too, or
    /// they are left open.
    fn set_changes(end: &mut End, changes: &[(Word, u64)]) {
        for (selector, rights) in [(Word::Cs, Word::CsAccess), (Word::Ss, Word::SsAccess)] {
            if changes.iter().any(|(word, _)| *word == selector) {
                end.unset(rights);
            }
        }
        end.set_all(changes.iter().copied());
    }

    /// Opens what the manual leaves open here.
    pub(super) fn open_words(&self, end: &mut End) {
        end.fixed &= !self.open;
    }

    /// The instruction completed, or the event was delivered.
    pub(super) fn settled(&self) -> End {
        if let Some(event) = &self.event {
            return self.delivered_event(event);
        }
        let mut end = self.unchanged(How::Done);
        end.set(Word::Cr2, CR2_AT_START);
        end.set(Word::Rsp, self.start_rsp());
        end.set(Word::Interruptibility, self.nmi_blocking());
        end.set(Word::Rip, self.rip + self.code.len() as u64);
        self.finish(&mut end, self.at_end);
        end
    }

    /// The same when L1 has dealt with an exit before. What is pushed of RF is then what L1 found.
    fn settled_later(&self) -> End {
        let end = self.settled();
        if self.event.is_some() { end.open(Word::Rflags) } else { end }
    }

    fn delivered_event(&self, event: &Event) -> End {
        if event.source == Source::Raised
            && self.intercepts.unbounded_shr(event.vector.into()) & 1 == 1
        {
            return self.exit_by_event(event);
        }
        let mut end = self.unchanged(How::Delivered(event.vector));
        end.set(Word::Cr2, CR2_AT_START);
        // What is pushed in real mode is looked at as memory.
        if !self.real {
            let length = if event.is_software() { event.length } else { 0 };
            self.frame(&mut end, self.rip + self.prefix() + length);
            end.set(Word::Interruptibility, self.nmi_blocking());
            end.set_all(event.error_code.map(|code| (Word::ErrorCode, code.into())));
            // What an injected event pushes of RF is left open.
            if event.source != Source::Raised || !event.is_fault() {
                end.unset(Word::Rflags);
            }
        }
        self.finish(&mut end, self.at_end);
        end
    }

    /// Bit 3 of the interruptibility state when what happens has happened: delivery of an NMI
    /// blocks further ones, even if it meets a fault, and IRET unblocks them, even if it does.
    /// "Architectural State Before a VM Exit", and "Changes to Instruction Behavior in VMX Non-Root
    /// Operation".
    fn nmi_blocking(&self) -> u64 {
        let delivered = self.event.is_some_and(|event| event.kind == EventType::Nmi);
        let before = self.interruptibility & BLOCKING_BY_NMI != 0;
        if delivered || before && !self.nmi_unblocked { BLOCKING_BY_NMI } else { 0 }
    }

    /// What a handler's stack holds of a fault at `rip`.
    fn frame(&self, end: &mut End, rip: u64) {
        let (cs, ss) = if self.real { (REAL_SELECTOR, REAL_SELECTOR) } else { selectors(self.cpl) };
        end.set(Word::Rip, rip);
        end.set(Word::Rsp, self.start_rsp());
        end.set(Word::Rflags, self.start_rflags() | RFLAGS_RF);
        end.set(Word::Cs, cs);
        end.set(Word::Ss, ss);
    }

    /// The scene's own fault, for what is there of an exit even if no fault arises.
    fn own_fault(&self) -> Fault {
        let none = Fault { address: 0, access: Access::Read, privilege: self.cpl, rip: None };
        self.fault.unwrap_or(none)
    }

    /// [`Scene::fault`] as it is delivered.
    pub(super) fn own_delivered_fault(&self, pfec: Pfec) -> End {
        self.delivered_fault(self.own_fault(), pfec)
    }

    /// [`Scene::fault`] as an exit.
    pub(super) fn own_exit(&self, pfec: Pfec) -> End {
        self.exit(self.own_fault(), pfec, self.event.as_ref(), CR2_AT_START)
    }

    fn delivered_fault(&self, fault: Fault, pfec: Pfec) -> End {
        let mut end = self.unchanged(How::Delivered(VECTOR_PF));
        self.frame(&mut end, fault.rip.unwrap_or(self.rip));
        end.set(Word::ErrorCode, pfec.bits().into());
        end.set(Word::Cr2, fault.address);
        end.set(Word::Interruptibility, self.nmi_blocking());
        self.finish(&mut end, self.at_fault);
        // The VMCS has those of the handler.
        end.unset(Word::CsAccess);
        end.unset(Word::SsAccess);
        end
    }
}
