//! Scenes: one instruction or event of L2 each, entered by L1 right where it happens, with all that must be
//! reported of the page fault that it meets.
//!
//! A scene begins with a VM entry to the instruction (or with an event injected there) and ends at the first VM
//! exit: a #PF that L1's filter wants, a VMCALL in the handler to which L2's IDT leads, or the VMCALL behind
//! the instruction. So every register, the interruptibility state and the rest are L1's to choose before, and
//! to hold against the manual behind.
//!
//! | to find | look in |
//! |---|---|
//! | scenes that belong together | [`act`] |
//! | what scenes need | [`feature`] |
//! | the pages of a scene | [`place`] |
//! | paging modes and controls | [`environment`] |
//! | pages with one entry that differs at any level | [`tested`] |
//! | the descriptor tables | [`descriptor`] |
//! | accesses that EPT has a word in | [`ept`] |
//! | what is seen at the end | [`end`] |
//! | what must be seen | [`expect`] |
//! | what was seen, where some of it is undefined | `seen` |
//! | what comes between two plays | [`interlude`] |
//! | how L1 invalidates translations | [`invalidation`] |
//! | the scenes themselves | [`rows`] |

pub mod act;
mod builder;
pub mod descriptor;
pub mod end;
pub mod environment;
pub mod ept;
pub mod event;
pub mod expect;
pub mod feature;
pub mod interlude;
pub mod invalidation;
pub mod place;
pub mod rows;
mod seen;
pub mod tested;

use crate::manual::paging::keys::Keys;
use crate::manual::paging::{Access, Level, Maxphyaddr, Privilege};
use crate::walk::page::Page;

use end::{Word, Words};
use environment::Environment;
use ept::{EptEntry, Frame, Nested};
use event::{Event, Pending};
use interlude::Interlude;
use invalidation::Invalidation;
use place::{Kind, Place};
use tested::Tested;

pub use act::Act;
pub use feature::{Exiting, Feature, Intercepted};

/// The page fault that a scene meets, unless its entry allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The linear address.
    pub address: u64,
    /// Read, write or fetch.
    pub access: Access,
    /// A user-mode or a supervisor-mode access; implicit ones are supervisor-mode at any CPL.
    /// SDM vol. 3A, section 4.6, "Access Rights".
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
    Again(Interlude),
    /// Changes nothing and enters again: the same must come again.
    Resume,
    /// The scene plays first with [`Scene::before`], and completes. Then L1 makes the page what it is to be, invalidates
    /// what is cached of it, and plays the scene again.
    Spoil(Invalidation),
}

/// The widths of code in which a scene's bytes mean what its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// All.
    All,
    /// 64-bit mode alone.
    Bits64,
    /// 64-bit mode with linear addresses of 48 bits alone.
    Linear48,
    /// 64-bit mode with linear addresses of 57 bits alone.
    Linear57,
    /// Compatibility mode and protected mode alone.
    Narrow,
    /// 64-bit mode and compatibility mode: gates, the TSS and frames are those of IA-32e mode.
    Long,
    /// Compatibility mode alone.
    Compatibility,
    /// Protected mode alone: the scene says what its stacks do, of which a handler can have the interrupted one's.
    Bits32,
}

/// How a host applies protection keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysApplied {
    /// As SDM vol. 3A, section 4.6.2, "Protection Keys", says.
    AsTheManualSays,
    /// PKRU counts for any page, of it for supervisor-mode accesses write-disable alone: see
    /// [`Deviation::PkeyAccess`](crate::deviation::Deviation::PkeyAccess).
    ByAccess,
    /// PKRU counts for any page, IA32_PKRS for none: see
    /// [`Deviation::PkruAlone`](crate::deviation::Deviation::PkruAlone).
    PkruAlone,
}

/// One scene. Rows are made by [`Scene::new`] and the methods behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The scene's name in ids.
    pub name: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// CPL 0 or CPL 3.
    pub cpl: Privilege,
    /// The instruction's bytes; none where an event alone is the scene.
    pub code: &'static [u8],
    /// The instruction as a disassembler writes it.
    pub text: &'static str,
    /// Linear address of the instruction.
    pub rip: u64,
    /// RSP at the start; the top of the stack of the CPL by default.
    pub rsp: Option<u64>,
    /// Registers that do not hold [`initial_register`].
    pub registers: &'static [(Word, u64)],
    /// RFLAGS beside bit 1.
    pub rflags: u64,
    /// Guest interruptibility state at the entry.
    pub interruptibility: u64,
    /// Guest pending debug exceptions at the entry.
    pub pending_debug: u64,
    /// The widths of code in which it can play.
    pub fits: Fits,
    /// The page that it accesses beside those of [`Place`].
    pub tested: Option<Tested>,
    /// That page at the start, where L2's code or [`Answer::Spoil`] makes [`Scene::tested`] of it.
    pub before: Option<Page>,
    /// The level of the table that L2 has at [`Place::Device`].
    pub table: Option<Level>,
    /// Guest activity state at the entry.
    pub activity: u64,
    /// Pin-based controls that are set beside those of the environment.
    pub pins: u32,
    /// The pages that are not good.
    pub pages: &'static [(Place, Kind)],
    /// Eight bytes each that are written before: linear address and value.
    pub memory: &'static [(u64, u64)],
    /// Linear address of eight bytes that are looked at behind.
    pub watch: Option<u64>,
    /// Vectors beside #PF that L1 intercepts: bits of the exception bitmap.
    pub intercepts: u32,
    /// Gates of these vectors, one bit each up to 63, use [`Place::EventStack`].
    pub event_stack: u64,
    /// The access in which EPT has a word, and what it meets.
    pub nested: Option<Nested>,
    /// The instruction is one of 16-bit code, and its pointers are those of real mode.
    pub real: bool,
    /// The event that is under way when the fault comes, or that is delivered where none comes.
    pub event: Option<Event>,
    /// What L1's local APIC has. It is [`Scene::event`], or L2 blocks it.
    pub pending: Option<Pending>,
    /// The page fault in whose delivery [`Scene::fault`] comes, if that is so. Both meet L1's filter.
    pub first: Option<Fault>,
    /// The fault, if there is one.
    pub fault: Option<Fault>,
    /// What comes where the filter does not want it.
    pub unwanted: Unwanted,
    /// Bit 12 of the interruption information is set: the fault is one of IRET, which unblocked NMIs.
    pub nmi_unblocked: bool,
    /// Bits of the reported linear address that the manual leaves open: which byte of an access is named.
    pub address_open: u64,
    /// What L1 intercepts of instructions.
    pub exiting: Exiting,
    /// The VM exit that comes before any access of the instruction.
    pub intercepted: Option<Intercepted>,
    /// PKRU, or IA32_PKRS where the scene needs [`Feature::Pks`].
    pub keys: u32,
    /// SSP at the start, where the scene needs [`Feature::ShadowStack`].
    pub ssp: u64,
    /// Whether it is a shadow-stack access that faults.
    pub shadow: bool,
    /// How protection keys are applied: as the manual says in all rows.
    pub keys_applied: KeysApplied,
    /// Words that a fault leaves otherwise than at the start: a string instruction's registers.
    pub at_fault: &'static [(Word, u64)],
    /// Words that completion leaves otherwise than at the start.
    pub at_end: &'static [(Word, u64)],
    /// Words that the manual leaves open here.
    pub open: Words,
    /// What L1 does about an exit.
    pub answer: Answer,
    /// What the processor must have.
    pub needs: Option<Feature>,
    /// Where the manual says so, beside the sections of [`expect`].
    pub section: &'static str,
}

/// What stands before the instruction where KVM's emulator is to run it: UD2 and the letters "kvm".
pub const FORCED_EMULATION_PREFIX: [u8; 5] = *b"\x0f\x0bkvm";

/// The write-disable bits of PKRU.
const WRITE_DISABLES: u32 = 0xaaaa_aaaa;

/// The instruction's place unless a scene says otherwise.
pub const RIP: u64 = Place::Code0.linear() + 0x100;
/// Between the top of a stack and what is pushed first. A multiple of 16.
const BELOW_TOP: u64 = 0x100;

/// What the register of this number of [`Word`] holds if a scene does not name it: a value of its own for each.
#[must_use]
pub const fn initial_register(at: usize) -> u64 {
    0x1111_1111 * (at as u64 % 7 + 1) + at as u64
}

impl Scene {
    /// The rights of protection keys that are in force.
    #[must_use]
    pub fn keys_in_force(&self) -> Keys {
        let supervisor = self.fault.is_some_and(|fault| fault.privilege == Privilege::Supervisor);
        let by_access = self.keys_applied == KeysApplied::ByAccess;
        let counts = if by_access && supervisor { WRITE_DISABLES } else { u32::MAX };
        let pks = self.needs == Some(Feature::Pks) && self.keys_applied != KeysApplied::PkruAlone;
        Keys {
            user: (self.needs == Some(Feature::Pku)).then_some(self.keys & counts),
            supervisor: pks.then_some(self.keys),
        }
    }

    /// Whether the scene can play in an environment.
    #[must_use]
    pub fn plays_in(&self, environment: &Environment) -> bool {
        environment.admits(self)
    }

    /// Whether a processor with this address width can have the scene's pages.
    #[must_use]
    pub fn exists(&self, maxphyaddr: Maxphyaddr) -> bool {
        self.tested.is_none_or(|tested| tested.page.exists(maxphyaddr))
    }

    /// The page under test as it is at the start.
    #[must_use]
    pub fn tested_at_start(&self) -> Option<Tested> {
        self.tested.map(|tested| Tested { page: self.before.unwrap_or(tested.page), ..tested })
    }

    /// What the register of this number of [`Word`] holds at the start.
    #[must_use]
    pub fn register_at(&self, at: usize) -> u64 {
        let named = self.registers.iter().find(|(word, _)| *word as usize == at);
        named.map_or(initial_register(at), |(_, value)| *value)
    }

    /// The same of all registers.
    #[must_use]
    pub fn start_registers(&self) -> [u64; Word::REGISTERS] {
        let mut registers = core::array::from_fn(initial_register);
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
    pub fn start_rsp(&self) -> u64 {
        self.rsp.unwrap_or_else(|| stack_of(self.cpl))
    }

    /// The frame whose EPT entry is not good, and that entry.
    #[must_use]
    pub fn spoiled(&self) -> Option<(Frame, EptEntry)> {
        self.nested.and_then(|nested| nested.frame)
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
