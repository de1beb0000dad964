//! Scenes: one instruction or event of L2 each, entered by L1 right where it happens, with all that
//! must be reported of the page fault that it meets.
//!
//! A scene begins with a VM entry to the instruction (or with an event injected there) and ends at
//! the first VM exit: a #PF that L1's filter wants, a VMCALL in the handler to which L2's IDT
//! leads, or the VMCALL after the instruction. So every register, the interruptibility state and
//! the rest are L1's to choose before, and to compare with the manual afterwards.
//!
//! | to find | look in |
//! |---|---|
//! | scenes that belong together | [`act`] |
//! | what scenes need | [`feature`] |
//! | the pages of a scene | [`place`] |
//! | paging modes and controls | [`environment`] |
//! | pages with one entry that differs at any level | [`tested`] |
//! | the descriptor tables | [`descriptor`] |
//! | accesses that EPT translates too | [`ept`] |
//! | what is seen at the end | [`end`] |
//! | what must be seen | [`expect`] |
//! | what the manual leaves open of that | [`freedom`] |
//! | under which filters they play | `filters` |
//! | what comes between two plays | [`between`] |
//! | how L1 invalidates translations | [`invalidation`] |
//! | VM entries that must fail | [`flaw`] |
//! | VMX instructions of L1 that fault | [`own`] |
//! | what a row of a table says | [`Row`] |
//! | a scene as the image has it | [`SceneId`] |
//! | the scenes themselves | [`rows`] |

pub mod act;
pub mod between;
mod builder;
pub mod case;
pub mod descriptor;
mod details;
pub mod end;
pub mod environment;
pub mod ept;
pub mod event;
pub mod expect;
pub mod feature;
mod filters;
pub mod flaw;
pub mod freedom;
pub mod guest_memory;
pub mod invalidation;
mod names;
pub mod own;
mod parts;
pub mod place;
pub mod rows;
mod same;
mod table;
pub mod tested;

use crate::manual::filter::Filter;
use crate::manual::paging::keys::Keys;
use crate::manual::paging::{Access, Maxphyaddr, Mode, Privilege};

use between::Between;
use end::Word;
use environment::Environment;
use ept::{EptEntry, GuestFrame};
use event::Event;
use invalidation::Invalidation;
use place::{Kind, Place};
use tested::Tested;

pub use act::Act;
pub use builder::Row;
pub use feature::{Exiting, Feature, Intercepted, Stop};
pub use table::{Scene, SceneId, Texts};

/// The page fault that a scene meets, unless its entry allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The linear address.
    pub address: u64,
    /// Read, write or fetch.
    pub access: Access,
    /// A user-mode or a supervisor-mode access; implicit ones are supervisor-mode at any CPL. SDM
    /// vol. 3A, "Access Rights".
    pub privilege: Privilege,
    /// Where RIP is then; the instruction under test by default.
    pub rip: Option<u64>,
}

/// What comes where L1's filter lets the fault through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// #PF is delivered to L2.
    PageFault,
    /// It makes a double fault, which is delivered to L2.
    DoubleFault,
    /// It makes a double fault, which L1 intercepts.
    DoubleFaultExit,
    /// It makes a triple fault.
    TripleFault,
    /// Its delivery meets this contributory exception, which L1 intercepts.
    Exit(Event),
}

/// What L1 does about the end, as a rule an exit by #PF, to see where that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the scene is over.
    Nothing,
    /// Makes the page good and enters again: the instruction must complete.
    Retry,
    /// Makes the page good and injects what the IDT-vectoring information reported.
    Reinject,
    /// Injects the #PF into L2, CR2 written by L1.
    Reflect,
    /// Plays the scene again, whatever its first end was, with something in between.
    Again(Between),
    /// Changes nothing and enters again: the same must come again.
    Resume,
    /// The scene plays first with [`Scene::before`], and completes. Then L1 makes the page what it
    /// is to be, invalidates what is cached of it, and plays the scene again.
    Spoil(Invalidation),
    /// Where [`Scene::first`] reached L2, enters L2 at the instruction of [`Scene::fault`], with its
    /// registers as at the start and with all that is cached of its page tables. Where L1's filter
    /// wants the first fault, the scene is over with it.
    GoOn,
}

/// The widths of code in which a scene's bytes mean what its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// All.
    All,
    /// 64-bit mode alone.
    Bits64,
    /// Only where the VMCS is an enlightened one whose clean fields are used.
    CleanFields,
    /// 64-bit mode where the VMCS is no enlightened one, whose launch state no manual describes.
    LaunchState,
    /// 64-bit mode with linear addresses of 48 bits alone.
    Linear48,
    /// 64-bit mode with linear addresses of 57 bits alone.
    Linear57,
    /// Compatibility mode and protected mode alone.
    Narrow,
    /// 64-bit mode where debug controls are loaded and saved: with the default1 controls.
    DebugControls,
    /// 64-bit mode and compatibility mode: gates, the TSS and frames are those of IA-32e mode.
    Long,
    /// Compatibility mode alone.
    Compatibility,
    /// Protected mode alone: the scene says what its stacks do, of which a handler can have the
    /// interrupted one's.
    Bits32,
}

/// What stands before the instruction where KVM's emulator is to run it: UD2 and the letters "kvm".
pub const FORCED_EMULATION_PREFIX: [u8; 5] = *b"\x0f\x0bkvm";

/// The instruction's place unless a scene says otherwise.
pub const RIP: u64 = Place::Code0.linear() + 0x100;
/// Between the top of a stack and what is pushed first. A multiple of 16.
const BELOW_TOP: u64 = 0x100;

/// What the register of this number of [`Word`] holds if a scene does not name it: a value of its
/// own for each.
#[must_use]
pub const fn initial_register(at: usize) -> u64 {
    0x1111_1111 * (at as u64 % 7 + 1) + at as u64
}

/// What all registers hold if a scene names none.
const INITIAL_REGISTERS: [u64; Word::REGISTERS] = {
    let (mut registers, mut at) = ([0; Word::REGISTERS], 0);
    while at < Word::REGISTERS {
        registers[at] = initial_register(at);
        at += 1;
    }
    registers
};

impl Scene {
    /// The rights of protection keys that are in force when the access comes that can fault.
    #[must_use]
    pub fn keys_in_force(&self) -> Keys {
        let keys = self.keys_then.unwrap_or(self.keys);
        Keys {
            user: (self.needs == Some(Feature::Pku)).then_some(keys),
            supervisor: (self.needs == Some(Feature::Pks)).then_some(keys),
        }
    }

    /// Whether a processor with this address width can have the scene's entries in an environment:
    /// where no bit is reserved, no entry can have a reserved one.
    #[must_use]
    pub fn exists(&self, environment: &Environment, maxphyaddr: Maxphyaddr) -> bool {
        let format = environment.format;
        let tested = self.tested.map(|tested| tested.page);
        let own = match self.answer {
            Answer::Again(Between::Own(own)) => own.exists(maxphyaddr),
            _ => true,
        };
        own && tested.into_iter().chain(self.before).all(|page| page.exists_in(format, maxphyaddr))
            && self.pages.iter().all(|(_, kind)| kind.exists(format, maxphyaddr))
            && self.nested.is_none_or(|nested| nested.exists(environment, maxphyaddr))
    }

    /// Whether it must end on a processor with only the SMEP and SMAP of `offered` as it must on
    /// one with both.
    #[must_use]
    pub fn is_same_on(
        &self,
        offered: Mode,
        environment: &Environment,
        maxphyaddr: Maxphyaddr,
    ) -> bool {
        let flips = self.flips;
        if flips.smep && !offered.smep || flips.smap && !offered.smap {
            return false;
        }
        let there = environment.mode(environment.mode.on(offered));
        let ends = |environment, filter| self.expect(environment, filter, maxphyaddr);
        let same = |filter| ends(&there, filter) == ends(environment, filter);
        there.mode == environment.mode || [Filter::ALWAYS, Filter::NEVER].into_iter().all(same)
    }

    /// The page under test as it is at the start.
    #[must_use]
    pub fn tested_at_start(&self) -> Option<Tested> {
        self.tested.map(|tested| Tested { page: self.before.unwrap_or(tested.page), ..tested })
    }

    /// What the registers hold at the start, each at the number of its [`Word`].
    #[must_use]
    pub fn start_registers(&self) -> [u64; Word::REGISTERS] {
        let mut registers = INITIAL_REGISTERS;
        for (named, value) in self.registers.iter().rev() {
            registers[*named as usize] = *value;
        }
        registers
    }

    /// Whether NMIs are blocked at some point of the scene.
    #[must_use]
    pub fn blocks_nmis(&self) -> bool {
        self.interruptibility & expect::BLOCKING_BY_NMI != 0
            || self.event.is_some_and(|event| event.kind == event::EventType::Nmi)
    }

    /// RSP at the start.
    #[must_use]
    pub const fn start_rsp(&self) -> u64 {
        match self.rsp {
            Some(rsp) => rsp,
            None => stack_of(self.cpl),
        }
    }

    /// The frame whose EPT entry is not good in the end, and that entry.
    #[must_use]
    pub fn spoiled(&self) -> Option<(GuestFrame, EptEntry)> {
        self.nested.and_then(|nested| nested.frame)
    }

    /// The same at the start.
    #[must_use]
    pub fn spoiled_at_start(&self) -> Option<(GuestFrame, EptEntry)> {
        match self.answer {
            Answer::Spoil(_) => None,
            _ => self.spoiled(),
        }
    }

    /// Whether a linear address is in a page of the stage whose entry is good.
    const fn is_good_at(&self, linear: u64) -> bool {
        let Some(place) = Place::of(linear) else { return false };
        let mut at = 0;
        while at < self.pages.len() {
            if self.pages[at].0 as u8 == place as u8 {
                return false;
            }
            at += 1;
        }
        true
    }

    /// How a page's entry differs from a good one.
    #[must_use]
    pub fn kind(&self, place: Place) -> Kind {
        self.pages.iter().find(|(named, _)| *named == place).map_or(Kind::GOOD, |(_, kind)| *kind)
    }
}

/// Where a CPL's stack begins.
#[must_use]
pub const fn stack_of(cpl: Privilege) -> u64 {
    match cpl {
        Privilege::Supervisor => Place::Stack.linear() + place::PAGE - BELOW_TOP,
        Privilege::User => Place::UserStack.linear() + place::PAGE - BELOW_TOP,
    }
}

#[cfg(test)]
mod tests;
