//! Accesses through EPT: which comes first on the way of an access, the #PF or the EPT-induced VM
//! exit.
//!
//! SDM vol. 3C, "The Extended Page Table Mechanism (EPT)": "EPT Translation Mechanism" for the
//! entries, "EPT Misconfigurations", "EPT Violations", "Prioritization of EPT Misconfigurations and
//! EPT Violations". What is reported: "Basic VM-Exit Information".
//!
//! EPT-induced VM exits are no exceptions, so no filter is asked about them. The walk under test is
//! that of a page of its own at [`DEEP`], each of whose tables but the root leads to nothing else.

mod entry;

pub use entry::{EXECUTE_FOR_USER, EptEntry};

use super::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, End, Ends, How, Word};
use super::environment::{Environment, REAL_SELECTOR, Width};
use super::place::{Kind, PAGE, PLACES, Place};
use super::{Answer, Scene};
use crate::manual::filter::Filter;
use crate::manual::paging::format::Format;
use crate::manual::paging::{Access, Level, Maxphyaddr, Privilege, walk};
use crate::manual::pfec::Pfec;
use crate::walk::outcome::{INTERRUPTION_INFO_PF, RFLAGS_RF};
use crate::walk::page::good;

/// Linear address of the deep page: at each level it has an entry of its own.
pub const DEEP: u64 = 2 << 39 | 2 << 30 | 3 << 21 | 4 << 12;

/// A frame of L2's memory whose EPT entry can be spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestFrame {
    /// L2's root table, which all walks read.
    Root,
    /// The page-directory-pointer table of the deep page.
    Pdpt,
    /// The page directory of the deep page.
    Pd,
    /// The page table of the deep page.
    Pt,
    /// The deep page.
    Page,
    /// A page of the stage.
    Place(Place),
}

/// How many numbers [`GuestFrame::number`] gives.
pub const FRAMES: usize = 5 + PLACES;

impl GuestFrame {
    /// The table that the walk to the deep page reads at a level.
    #[must_use]
    pub const fn of(level: Level) -> Self {
        match level {
            Level::Pml5e | Level::Pml4e => Self::Root,
            Level::Pdpte => Self::Pdpt,
            Level::Pde => Self::Pd,
            Level::Pte => Self::Pt,
        }
    }

    /// The frame's number.
    #[must_use]
    pub const fn number(self) -> usize {
        match self {
            Self::Root => 0,
            Self::Pdpt => 1,
            Self::Pd => 2,
            Self::Pt => 3,
            Self::Page => 4,
            Self::Place(place) => 5 + place as usize,
        }
    }

    /// The frame of a number below [`FRAMES`].
    #[must_use]
    pub const fn from_number(number: usize) -> Self {
        match number {
            0 => Self::Root,
            1 => Self::Pdpt,
            2 => Self::Pd,
            3 => Self::Pt,
            4 => Self::Page,
            _ => Self::Place(Place::ALL[number - 5]),
        }
    }

    /// A guest-physical address in the frame as [`Word::GuestPhysical`] has it: where frames are is
    /// L1's choice, so their numbers stand for it.
    #[must_use]
    pub const fn guest_physical(self, offset: u64) -> u64 {
        (self.number() as u64) << 12 | offset
    }
}

/// What is on its way when the spoiled frame is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// The instruction's own access.
    Instruction,
    /// The delivery of the scene's event.
    Event,
    /// The delivery of the scene's page fault, which the filter let through.
    PageFault,
}

/// An access on whose way EPT has a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Linear address of the access, in the deep page or in one of the stage.
    pub address: u64,
    /// Read, write or fetch.
    pub access: Access,
    /// What it is part of.
    pub during: During,
    /// The guest paging-structure entry of the deep page that is not good.
    pub guest: Option<(Level, Kind)>,
    /// The frame whose EPT entry is not good, and that entry.
    pub frame: Option<(GuestFrame, EptEntry)>,
}

/// Bit 0 of the exit qualification of EPT violations, "Basic VM-Exit Information": a data read.
pub const QUALIFICATION_READ: u64 = 1 << 0;
/// Bit 1: a data write.
pub const QUALIFICATION_WRITE: u64 = 1 << 1;
const QUALIFICATION_FETCH: u64 = 1 << 2;
const QUALIFICATION_RIGHTS: u32 = 3;
/// Bit 6, with mode-based execute control: code of user-mode addresses may be executed.
pub const QUALIFICATION_EXECUTE_FOR_USER: u64 = 1 << 6;
const QUALIFICATION_LINEAR_VALID: u64 = 1 << 7;
/// Bit 8: the access is to the translation of a linear address, not to a paging-structure entry.
pub const QUALIFICATION_TRANSLATION: u64 = 1 << 8;
const QUALIFICATION_NMI_UNBLOCKED: u64 = 1 << 12;
/// The bits that depend on features: mode-based execute control (6), advanced VM-exit information
/// (11:9), shadow stacks (14:13), guest-paging verification (15), and asynchronous accesses (16).
pub const QUALIFICATION_OPTIONAL: u64 = 1 << 6 | 7 << 9 | 0xf << 13;

/// What an access meets.
enum Met {
    Nothing,
    Fault(Pfec),
    Violation { qualification: u64, guest_physical: u64, linear: u64 },
    Misconfiguration { guest_physical: u64 },
}

/// One access to a guest-physical address.
struct Step {
    frame: GuestFrame,
    offset: u64,
    linear: u64,
    /// Bits 2:0 of the qualification.
    access: u64,
    /// It is the access itself, not one to a paging-structure entry.
    translated: bool,
}

impl Nested {
    /// Whether a processor with this address width has its entries.
    pub(super) fn exists(&self, environment: &Environment, maxphyaddr: Maxphyaddr) -> bool {
        let large = environment.ept.is_some_and(|ept| ept.large);
        self.guest.is_none_or(|(_, kind)| kind.exists(environment.format, maxphyaddr))
            && self.frame.is_none_or(|(_, entry)| entry.exists(large, maxphyaddr))
    }

    /// The error code of the #PF of the deep page's guest entries, and the level whose entry raises
    /// it: that of the entry where it is not present or has a reserved bit, the last where rights
    /// are missing.
    fn fault(
        &self,
        scene: &Scene,
        environment: &Environment,
        maxphyaddr: Maxphyaddr,
    ) -> Option<(Pfec, Level)> {
        let (level, kind) = self.guest?;
        let entries = Level::WALK
            .map(|at| if at == level { deep_entry(at, kind, maxphyaddr) } else { good(at) });
        let pfec = walk(entries, self.access, scene.cpl, environment.mode, maxphyaddr).err()?;
        let of_rights = pfec.contains(Pfec::P) && !pfec.contains(Pfec::RSVD);
        Some((pfec, if of_rights { Level::Pte } else { level }))
    }

    /// The EPT-induced exit of a step.
    fn exit_of(&self, step: &Step, of_user: bool) -> Option<Met> {
        let (frame, entry) = self.frame?;
        if frame != step.frame {
            return None;
        }
        let guest_physical = frame.guest_physical(step.offset);
        if entry.is_misconfigured() {
            return Some(Met::Misconfiguration { guest_physical });
        }
        let translation = if step.translated { QUALIFICATION_TRANSLATION } else { 0 };
        let user = if entry.user == Some(true) { QUALIFICATION_EXECUTE_FOR_USER } else { 0 };
        let qualification = step.access
            | u64::from(entry.rights) << QUALIFICATION_RIGHTS
            | user
            | QUALIFICATION_LINEAR_VALID
            | translation;
        let allowed = step.access & !u64::from(entry.rights_for(of_user)) == 0;
        (!allowed).then_some(Met::Violation { qualification, guest_physical, linear: step.linear })
    }

    /// What the access meets first, "Prioritization of EPT Misconfigurations and EPT Violations".
    fn meets(&self, scene: &Scene, environment: &Environment, maxphyaddr: Maxphyaddr) -> Met {
        // Stage pages that are a user's, and the deep page, are user-mode at CPL 3.
        let of_user = scene.cpl == Privilege::User
            && Place::of(self.address).is_none_or(Place::is_users)
            && self.access == Access::Fetch;
        let check = |step: &Step| self.exit_of(step, of_user);
        // With accessed and dirty flags for EPT, the walk's accesses count as writes too. "EPT
        // Violations".
        let walks = QUALIFICATION_READ
            | if environment.ept.is_some_and(|ept| ept.ad) { QUALIFICATION_WRITE } else { 0 };
        let paging = environment.width != Width::Real;
        let read_entry = |level: Level, linear: u64| Step {
            frame: GuestFrame::of(level),
            offset: entry_offset(level, linear),
            linear,
            access: walks,
            translated: false,
        };
        // The instruction is fetched first. Of what leads to its page only the root can be spoiled.
        let fetches = self.during == During::Instruction && self.access != Access::Fetch && paging;
        if fetches && let Some(met) = check(&read_entry(Level::Pml4e, scene.rip)) {
            return met;
        }
        let fault = self.fault(scene, environment, maxphyaddr);
        for level in Level::WALK
            .into_iter()
            .filter(|level| paging && (is_deep(self.address) || *level == Level::Pml4e))
        {
            let step = read_entry(level, self.address);
            if let Some(met) = check(&step) {
                return met;
            }
            match fault {
                Some((pfec, at)) if at == level => return Met::Fault(pfec),
                _ => {}
            }
            // An entry not accessed yet is written.
            let clean = self.guest.is_some_and(|(at, kind)| at == level && kind == Kind::CLEAN);
            if clean && let Some(met) = check(&Step { access: QUALIFICATION_WRITE | walks, ..step })
            {
                return met;
            }
        }
        let access = match self.access {
            Access::Read => QUALIFICATION_READ,
            Access::Write => QUALIFICATION_WRITE,
            Access::Fetch => QUALIFICATION_FETCH,
        };
        let frame = Place::of(self.address).map_or(GuestFrame::Page, GuestFrame::Place);
        let step = Step {
            frame,
            offset: self.address % PAGE,
            linear: self.address,
            access,
            translated: true,
        };
        check(&step).unwrap_or(Met::Nothing)
    }
}

/// Whether a linear address is in the deep page.
#[must_use]
pub const fn is_deep(linear: u64) -> bool {
    linear / PAGE == DEEP / PAGE
}

/// Where in its table the entry of a level is that a linear address selects, in bytes.
#[must_use]
pub const fn entry_offset(level: Level, linear: u64) -> u64 {
    Format::Level4.index(level, linear) as u64 * Format::Level4.entry_bytes()
}

/// An entry of the deep page's walk without its address.
#[must_use]
pub const fn deep_entry(level: Level, kind: Kind, maxphyaddr: Maxphyaddr) -> u64 {
    let reserved = (kind.reserved as u64) << maxphyaddr;
    good(level) & !kind.without.bits() | kind.with.bits() | reserved
}

impl Scene {
    /// The error code of the fault that the deep page's guest entries raise.
    pub(super) fn nested_pfec(
        &self,
        nested: &Nested,
        environment: &Environment,
        maxphyaddr: Maxphyaddr,
    ) -> Option<Pfec> {
        nested.fault(self, environment, maxphyaddr).map(|(pfec, _)| pfec)
    }

    /// What must be seen under a filter of L1, EPT's word included.
    pub(super) fn expect_nested(
        &self,
        nested: &Nested,
        environment: &Environment,
        filter: Filter,
        maxphyaddr: Maxphyaddr,
    ) -> Ends {
        if nested.during == During::PageFault {
            return self.expect_during_fault(nested, environment, filter, maxphyaddr);
        }
        let end = |nested: &Nested| self.met(&nested.meets(self, environment, maxphyaddr), filter);
        if let Answer::Spoil(_) = self.answer {
            return Ends { first: self.settled(), second: Some(end(nested)) };
        }
        let first = end(nested);
        let mended = match first.how {
            How::Exit(EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION) => {
                Nested { frame: None, ..*nested }
            }
            How::Exit(_) => Nested { guest: None, ..*nested },
            How::Delivered(_) | How::Done | How::Failed(_) => return Ends { first, second: None },
        };
        let second = match self.answer {
            Answer::Nothing | Answer::Resume | Answer::Spoil(_) | Answer::GoOn => None,
            _ => Some(end(&mended)),
        };
        Ends { first, second }
    }

    /// The end of what was met.
    fn met(&self, met: &Met, filter: Filter) -> End {
        match *met {
            Met::Nothing => self.settled(),
            Met::Fault(pfec) if filter.exits(pfec) => self.own_exit(pfec),
            Met::Fault(pfec) => self.own_delivered_fault(pfec),
            Met::Violation { qualification, guest_physical, linear } => {
                let unblocked = if self.nmi_unblocked { QUALIFICATION_NMI_UNBLOCKED } else { 0 };
                let mut end = self.ept_exit(EXIT_EPT_VIOLATION);
                end.set_all([
                    (Word::Qualification, qualification | unblocked),
                    (Word::GuestPhysical, guest_physical),
                    (Word::GuestLinear, linear),
                ]);
                self.open_words(&mut end);
                end
            }
            Met::Misconfiguration { guest_physical } => {
                // "Basic VM-Exit Information": the qualification is cleared, the guest-linear
                // address undefined.
                let mut end = self.ept_exit(EXIT_EPT_MISCONFIGURATION);
                end.set_all([(Word::Qualification, 0), (Word::GuestPhysical, guest_physical)]);
                self.open_words(&mut end);
                end
            }
        }
    }

    /// An exit that has all of one by #PF but what tells of the fault. RF is saved as 1 if no event
    /// was under way, and else as the event's delivery would have pushed it: "Saving RIP, RSP,
    /// RFLAGS, and SSP". What that is, an injected event leaves open.
    fn ept_exit(&self, reason: u16) -> End {
        let end = End { how: How::Exit(reason), ..self.own_exit(Pfec::empty()) };
        let end = end.with(Word::Info, 0).open(Word::ErrorCode);
        let end = if self.real {
            let end = end.with(Word::Cs, REAL_SELECTOR).with(Word::Ss, REAL_SELECTOR);
            end.open(Word::CsAccess).open(Word::SsAccess)
        } else {
            end
        };
        match self.event {
            Some(_) => end.open(Word::Rflags),
            None => end,
        }
    }

    /// A page fault whose delivery meets the spoiled frame, if the filter lets it through.
    fn expect_during_fault(
        &self,
        nested: &Nested,
        environment: &Environment,
        filter: Filter,
        maxphyaddr: Maxphyaddr,
    ) -> Ends {
        let Some(pfec) = self.place_pfec(environment, maxphyaddr) else {
            return Ends { first: self.settled(), second: None };
        };
        if filter.exits(pfec) {
            // Nothing is to be reinjected then; the instruction completes.
            return Ends { first: self.own_exit(pfec), second: Some(self.settled()) };
        }
        let delivered = self.own_delivered_fault(pfec);
        // What an injected event pushes of RF is left open.
        let reinjected = delivered.open(Word::Rflags);
        // "Architectural State Before a VM Exit": an event that causes a VM exit indirectly does
        // update the state, a page fault CR2.
        let first = match nested.meets(self, environment, maxphyaddr) {
            Met::Nothing | Met::Fault(_) => return Ends { first: delivered, second: None },
            met => self
                .met(&met, filter)
                .with(Word::IdtInfo, INTERRUPTION_INFO_PF)
                .with(Word::IdtError, pfec.bits().into())
                .with(Word::Cr2, delivered.words[Word::Cr2 as usize])
                .with(Word::Rflags, self.start_rflags() | RFLAGS_RF),
        };
        Ends { first, second: Some(reinjected) }
    }
}
