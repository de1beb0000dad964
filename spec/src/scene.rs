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
//! | the pages of a scene | [`place`] |
//! | paging modes and controls | [`environment`] |
//! | pages with one entry that differs at any level | [`tested`] |
//! | the descriptor tables | [`descriptor`] |
//! | accesses that EPT has a word in | [`ept`] |
//! | what is seen at the end | [`end`] |
//! | what must be seen | [`expect`] |
//! | what comes between two plays | [`interlude`] |
//! | the scenes themselves | [`rows`] |

pub mod descriptor;
pub mod end;
pub mod environment;
pub mod ept;
pub mod event;
pub mod expect;
pub mod interlude;
pub mod place;
pub mod rows;
pub mod tested;

use crate::filter::Filter;
use crate::paging::keys::Keys;
use crate::paging::{Access, Maxphyaddr, Privilege};
use crate::pfec::Pfec;
use crate::plan::{self, Profile, QUICK_BASIC};
use end::{Word, Words};
use environment::{Environment, Width};
use ept::{EptEntry, Frame, Nested};
use event::Event;
use interlude::Interlude;
use place::{Kind, Place};
use tested::Tested;

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
}

/// The widths of code in which a scene's bytes mean what its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// All.
    All,
    /// 64-bit mode alone.
    Bits64,
    /// Compatibility mode and protected mode alone.
    Narrow,
}

/// What a processor must have for a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// CMPXCHG16B: CPUID.1:ECX\[13\].
    Cmpxchg16b,
    /// XSAVE: CPUID.1:ECX\[26\].
    Xsave,
    /// INVPCID: CPUID.(7,0):EBX\[10\].
    Invpcid,
    /// Protection keys for user-mode pages: CPUID.(7,0):ECX\[3\].
    Pku,
    /// Protection keys for supervisor-mode pages: CPUID.(7,0):ECX\[31\].
    Pks,
    /// Shadow stacks: CPUID.(7,0):ECX\[7\], and the VM-entry control "load CET state".
    ShadowStack,
    /// maskmatch's built-in VMM, for its device.
    Channel,
    /// 1-GByte pages: CPUID.80000001H:EDX\[26\].
    GbytePages,
    /// EPT entries that allow execution alone: IA32_VMX_EPT_VPID_CAP\[0\].
    ExecuteOnly,
    /// An L0 that emulates the instruction behind UD2 and the letters "kvm": KVM's parameter
    /// `force_emulation_prefix`.
    ForcedEmulation,
    /// The secondary control "descriptor-table exiting".
    DescriptorTableExiting,
    /// INVPCID, and the secondary control that enables it for L2.
    InvpcidExiting,
}

impl Feature {
    /// The bits of CR4 that L2 has with the feature. SDM vol. 3A, section 2.5, "Control Registers".
    #[must_use]
    pub const fn cr4(self) -> u64 {
        match self {
            // OSXSAVE.
            Self::Xsave => 1 << 18,
            // PKE.
            Self::Pku => 1 << 22,
            // CET.
            Self::ShadowStack => 1 << 23,
            // PKS.
            Self::Pks => 1 << 24,
            _ => 0,
        }
    }
}

/// Instructions that L1 intercepts beside those of which each execution exits. SDM vol. 3C, section 24.6.2,
/// "Processor-Based VM-Execution Controls".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exiting {
    /// None.
    Nothing,
    /// "Descriptor-table exiting": LGDT, LIDT, LLDT, LTR, SGDT, SIDT, SLDT, STR.
    DescriptorTables,
    /// "INVLPG exiting", with "enable INVPCID".
    Invlpg,
    /// "Unconditional I/O exiting".
    Io,
}

/// A VM exit by the instruction itself, before it accesses its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intercepted {
    /// The basic exit reason.
    pub reason: u16,
    /// The exit qualification, where the manual gives it a meaning.
    pub qualification: Option<u64>,
}

/// One scene. Rows are made by [`Scene::new`] and the methods behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the scene, and most have none")]
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
    /// Whether PKRU counts for any page, and for supervisor-mode accesses write-disable alone, as on a host with
    /// [`Deviation::PkeyAccess`](crate::deviation::Deviation::PkeyAccess); no row has it.
    pub keys_by_access: bool,
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
            keys_by_access: false,
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

    /// The rights of protection keys that are in force.
    #[must_use]
    pub fn keys_in_force(&self) -> Keys {
        let supervisor = self.fault.is_some_and(|fault| fault.privilege == Privilege::Supervisor);
        let counts = if self.keys_by_access && supervisor { WRITE_DISABLES } else { u32::MAX };
        Keys {
            user: (self.needs == Some(Feature::Pku)).then_some(self.keys & counts),
            supervisor: (self.needs == Some(Feature::Pks)).then_some(self.keys),
        }
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

    /// What the register of this number of [`Word`] holds at the start.
    #[must_use]
    pub fn register_at(&self, at: usize) -> u64 {
        let named = self.registers.iter().find(|(word, _)| *word as usize == at);
        named.map_or(initial_register(at), |(_, value)| *value)
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

/// Scenes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads, writes and fetches: plain, across the end of a page, not canonical.
    Access,
    /// Changes of the filter, and what must not change it.
    Stale,
    /// Each entry of the walk, in each paging mode.
    Page,
    /// Read-modify-write, locked or not, and whole states saved.
    Modify,
    /// Pushes, pops, calls, returns, ENTER, LEAVE.
    Stack,
    /// String instructions in mid-iteration.
    Strings,
    /// Descriptor tables and TSS: implicit supervisor-mode accesses.
    Implicit,
    /// Instructions that L1 intercepts: VM exit before fault.
    Priority,
    /// Instructions that L0 emulates for a device.
    Device,
    /// String I/O that L0 emulates.
    Ports,
    /// Instructions behind KVM's forced-emulation prefix.
    Forced,
    /// Protection keys.
    Pkey,
    /// Shadow stacks.
    Shadow,
    /// Accesses through EPT.
    Ept,
    /// Accesses in real mode.
    Unpaged,
    /// What is delivered when the fault comes.
    Event,
    /// What L1 injects.
    Inject,
    /// What is reported of L2's state.
    State,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Access,
        Self::Modify,
        Self::Stack,
        Self::Strings,
        Self::Implicit,
        Self::Priority,
        Self::Page,
        Self::Ept,
        Self::Unpaged,
        Self::Event,
        Self::Inject,
        Self::State,
        Self::Stale,
        Self::Device,
        Self::Ports,
        Self::Forced,
        Self::Pkey,
        Self::Shadow,
    ];

    /// The act's part of a group's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Stale => "stale",
            Self::Page => "page",
            Self::Modify => "modify",
            Self::Stack => "stack",
            Self::Strings => "strings",
            Self::Implicit => "implicit",
            Self::Priority => "priority",
            Self::Device => "device",
            Self::Ports => "ports",
            Self::Forced => "forced",
            Self::Pkey => "pkey",
            Self::Shadow => "shadow",
            Self::Ept => "ept",
            Self::Unpaged => "unpaged",
            Self::Event => "event",
            Self::Inject => "inject",
            Self::State => "state",
        }
    }

    /// One line for `maskmatch list`.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Access => "reads, writes and fetches: plain, across the end of a page, not canonical",
            Self::Modify => "read-modify-write, locked or not, and whole states saved",
            Self::Stack => "pushes, pops, calls, returns, ENTER, LEAVE",
            Self::Strings => "string instructions in mid-iteration",
            Self::Implicit => "descriptor tables and TSS: implicit supervisor-mode accesses",
            Self::Priority => "instructions that L1 intercepts: VM exit before fault",
            Self::Device => "instructions that L0 emulates for a device",
            Self::Ports => "string I/O that L0 emulates",
            Self::Forced => "instructions behind KVM's forced-emulation prefix",
            Self::Pkey => "protection keys",
            Self::Shadow => "shadow stacks",
            Self::Stale => "a filter that changes, and one that must not",
            Self::Page => "every access through every entry of the walk, large pages too",
            Self::Ept => "which comes first, the page fault or the EPT-induced exit, and what is reported of it",
            Self::Unpaged => "accesses without paging, which raise no page fault",
            Self::Event => "faults while an event is delivered, up to double and triple faults",
            Self::Inject => "events that L1 injects, and faults while they are delivered",
            Self::State => "the state of L2 that a fault leaves: interruptibility, debug, NMIs, A and D flags",
        }
    }

    /// Its scenes.
    #[must_use]
    pub const fn scenes(self) -> &'static [Scene] {
        match self {
            Self::Access => rows::access::SCENES,
            Self::Stale => rows::stale::SCENES,
            Self::Page => rows::page::SCENES,
            Self::Modify => rows::modify::SCENES,
            Self::Stack => rows::stack::SCENES,
            Self::Strings => rows::strings::SCENES,
            Self::Implicit => rows::implicit::SCENES,
            Self::Priority => rows::priority::SCENES,
            Self::Device => rows::device::SCENES,
            Self::Ports => rows::ports::SCENES,
            Self::Forced => rows::forced::SCENES,
            Self::Pkey => rows::pkey::SCENES,
            Self::Shadow => rows::shadow::SCENES,
            Self::Ept => rows::ept::SCENES,
            Self::Unpaged => rows::unpaged::SCENES,
            Self::Event => rows::event::SCENES,
            Self::Inject => rows::inject::SCENES,
            Self::State => rows::state::SCENES,
        }
    }

    /// Its scenes in an environment.
    pub fn scenes_in(self, environment: &Environment) -> impl Iterator<Item = &'static Scene> {
        let plays = self.plays_narrow() || environment.width == Width::Bits64 && (!environment.thin || self.plays_thin());
        self.scenes().iter().filter(move |scene| plays && scene.plays_in(environment))
    }

    /// Whether the scenes are for code of any width. The others push eight bytes, have descriptors of IA-32e mode, or
    /// features that are its alone.
    const fn plays_narrow(self) -> bool {
        matches!(self, Self::Access | Self::Modify | Self::Strings | Self::Page | Self::Ept | Self::Unpaged)
    }

    /// Whether the scenes are for other controls in vmcs12 too. The others set controls of their own.
    const fn plays_thin(self) -> bool {
        !matches!(self, Self::Priority | Self::Pkey | Self::Shadow)
    }

    /// Its scenes in an environment that a profile plays: a few of those of a thin one in the quick profile.
    pub fn scenes_of(self, environment: &Environment, profile: Profile) -> impl Iterator<Item = &'static Scene> {
        // The act of EPT has to be played in full somewhere.
        let home = self == Self::Ept && *environment == environment::LONG_EPT;
        let step = if environment.thin && profile == Profile::Quick && !home { THIN_STEP } else { 1 };
        self.scenes_in(environment).step_by(step)
    }

    /// How many filters the scenes are played under.
    #[must_use]
    pub fn filter_count(self, profile: Profile) -> usize {
        match profile {
            Profile::Exhaustive if self.bit().is_some() => plan::EVERY_NAMED,
            _ => self.row(profile).len() + if self.bit().is_some() { BIT.len() } else { 0 },
        }
    }

    /// The filter at `index`, which must be below [`Act::filter_count`].
    #[must_use]
    pub fn filter(self, profile: Profile, index: usize) -> Filter {
        let row = self.row(profile);
        match (self.bit(), profile) {
            (Some(_), Profile::Exhaustive) => plan::every_named(index),
            (Some(bit), _) if index >= row.len() => BIT[index - row.len()](bit.bits()),
            _ => row[index],
        }
    }

    /// The filters of all acts.
    const fn row(self, profile: Profile) -> &'static [Filter] {
        match (self, profile) {
            // Many scenes that differ in the error code alone.
            (Self::Page, Profile::Quick) => &QUICK_PAGE,
            (Self::Page, Profile::Standard) | (_, Profile::Quick) => &QUICK,
            (_, Profile::Standard | Profile::Exhaustive) => &QUICK_BASIC,
        }
    }

    /// The bit of the error code, beyond the basic ones, that the act is about.
    const fn bit(self) -> Option<Pfec> {
        match self {
            Self::Pkey => Some(Pfec::PK),
            Self::Shadow => Some(Pfec::SS),
            _ => None,
        }
    }
}

/// Filters with a bit of an act: wanted set, wanted clear, in both forms, together with P, and MASK without MATCH.
const BIT: [fn(u32) -> Filter; 8] = [
    |bit| Filter::new(true, bit, bit),
    |bit| Filter::new(true, bit, 0),
    |bit| Filter::new(false, bit, bit),
    |bit| Filter::new(false, bit, 0),
    |bit| Filter::new(true, bit | 1, 1),
    |bit| Filter::new(true, bit | 1, bit | 1),
    |bit| Filter::new(true, 0, bit),
    |bit| Filter::new(false, bit | 0x1f, bit | 0x05),
];
/// In a thin environment one scene of so many is played: odd, since rows often come in pairs.
const THIN_STEP: usize = 9;

/// Always and never in both forms, not present, present.
const QUICK: [Filter; 6] = [
    Filter::ALWAYS,
    Filter::NEVER,
    Filter::new(false, 0, 1),
    Filter::new(false, 0, 0),
    Filter::new(true, 1, 0),
    Filter::new(true, 1, 1),
];

/// Always and never: each fault as an exit and as a delivery.
const QUICK_PAGE: [Filter; 2] = [Filter::ALWAYS, Filter::NEVER];

#[cfg(test)]
mod tests;
