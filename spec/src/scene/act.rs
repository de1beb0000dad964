//! Acts: scenes that belong together, and the environments that have them.

use super::end::{Word, Words};
use super::environment::{Environment, Width};
use super::table::OF_ACT;
use super::{Row, SceneId, rows};
use crate::catalogue::plan::Profile;

crate::listed! {
    /// Scenes that belong together.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Act {
        /// Reads, writes and fetches: plain, across the end of a page, not canonical.
        Access => "access", "reads, writes and fetches: plain, across the end of a page, not canonical",
        /// Read-modify-write, locked or not, and whole states saved.
        Modify => "modify", "read-modify-write, locked or not, and whole states saved",
        /// Pushes, pops, calls, returns, ENTER, LEAVE.
        Stack => "stack", "pushes, pops, calls, returns, ENTER, LEAVE",
        /// String instructions in mid-iteration.
        Strings => "strings", "string instructions in mid-iteration",
        /// Descriptor tables and TSS: implicit supervisor-mode accesses.
        Implicit => "implicit", "descriptor tables and TSS: implicit supervisor-mode accesses",
        /// Instructions that L1 intercepts: VM exit before fault.
        Priority => "priority", "instructions that L1 intercepts: VM exit before fault",
        /// Instructions that L1 intercepts, with and without L0's emulator.
        Intercept => "intercept", "instructions that L1 intercepts, executed by the processor and by L0's emulator",
        /// VM exits at instruction boundaries.
        Boundary => "boundary", "VM exits at instruction boundaries beside a fault: windows, the timer, the monitor trap, NMIs",
        /// L1's own VMX instructions.
        Operand => "operand", "page faults of L1's own VMX instructions, between two plays of a scene",
        /// Each entry of the walk, in each paging mode.
        Page => "page", "every access through every entry of the walk, large pages too",
        /// A page after L2 changed its own mode.
        Mode => "mode", "accesses after L2 changed its own mode without an exit",
        /// A page after another use of it.
        History => "history", "one page or table, used in several ways in turn",
        /// Translations that must be gone, and ones that must hold.
        Tlb => "tlb",
            "translations that must be gone, by INVLPG, MOV to CR3, INVVPID or a VM entry, and ones that must hold",
        /// Accesses through EPT.
        Ept => "ept", "which comes first, the page fault or the EPT-induced exit, and what is reported of it",
        /// Instructions that L0 emulates, on pages that L1's EPT keeps.
        Guarded => "guarded", "instructions that L0 emulates, on pages that L1's EPT keeps from L2",
        /// Accesses in real mode.
        Unpaged => "unpaged", "accesses without paging, which raise no page fault",
        /// What is delivered when the fault comes.
        Event => "event", "faults while an event is delivered, up to double and triple faults",
        /// What L1 injects.
        Inject => "inject", "events that L1 injects, and faults while they are delivered",
        /// VM entries that fail.
        Entry => "entry", "VM entries that must fail, and the right ones that follow them",
        /// L2 saved and restored.
        Restored => "restored", "L2 of every kind, saved and restored in the middle",
        /// What is reported of L2's state.
        State => "state", "the state of L2 that a fault leaves: interruptibility, debug, NMIs, A and D flags",
        /// What L2 changed before the fault.
        Saved => "saved", "what L2 changed before the fault, saved and given back",
        /// Changes of the filter, and what must not change it.
        Stale => "stale", "a filter that changes, and one that must not",
        /// Instructions that L0 emulates for a device.
        Device => "device", "instructions that L0 emulates for a device",
        /// String I/O that L0 emulates.
        Ports => "ports", "string I/O that L0 emulates",
        /// Instructions after KVM's forced-emulation prefix.
        Forced => "forced", "instructions after KVM's forced-emulation prefix",
        /// Protection keys.
        Pkey => "pkey", "protection keys",
        /// Shadow stacks.
        Shadow => "shadow", "shadow stacks",
    }
    /// The act's part of a group's name.
    pub fn name;
    /// One line for `maskmatch list`.
    pub fn what;
}

impl Act {
    /// The rows of its scenes, for the compile time.
    pub(super) const fn rows(self) -> &'static [Row] {
        match self {
            Self::Access => rows::access::ROWS,
            Self::Stale => rows::stale::ROWS,
            Self::Guarded => rows::guarded::ROWS,
            Self::Saved => rows::saved::ROWS,
            Self::Mode => rows::mode::ROWS,
            Self::History => rows::history::ROWS,
            Self::Tlb => rows::tlb::ROWS,
            Self::Page => rows::page::ROWS,
            Self::Modify => rows::modify::ROWS,
            Self::Stack => rows::stack::ROWS,
            Self::Strings => rows::strings::ROWS,
            Self::Implicit => rows::implicit::ROWS,
            Self::Priority => rows::priority::ROWS,
            Self::Device => rows::device::ROWS,
            Self::Ports => rows::ports::ROWS,
            Self::Forced => rows::forced::ROWS,
            Self::Pkey => rows::pkey::ROWS,
            Self::Shadow => rows::shadow::ROWS,
            Self::Ept => rows::ept::ROWS,
            Self::Unpaged => rows::unpaged::ROWS,
            Self::Event => rows::event::ROWS,
            Self::Inject => rows::inject::ROWS,
            Self::Entry => rows::entry::ROWS,
            Self::Intercept => rows::intercept::ROWS,
            Self::Boundary => rows::boundary::ROWS,
            Self::Operand => rows::operand::ROWS,
            Self::Restored => rows::restored::ROWS,
            Self::State => rows::state::ROWS,
        }
    }

    /// Its scenes.
    pub fn scenes(self) -> impl ExactSizeIterator<Item = SceneId> {
        let (first, end) = OF_ACT[self as usize];
        (first..end).map(SceneId)
    }

    /// Whether the environment is one for the act.
    #[must_use]
    pub fn plays_at_all(self, environment: &Environment) -> bool {
        let has_width = self.plays_narrow()
            || environment.width == Width::Bits64 && (!environment.thin || self.plays_thin());
        // With an enlightened VMCS, what differs is how L0 reads the filter and what a move keeps.
        has_width
            && (environment.enlightened.is_none() || matches!(self, Self::Stale | Self::Restored))
            && !(environment.walk_only && matches!(self, Self::Tlb | Self::Mode | Self::History))
    }

    /// Whether the scenes are for code of any width. The others push eight bytes, have descriptors
    /// of IA-32e mode, or features that are its alone.
    const fn plays_narrow(self) -> bool {
        matches!(
            self,
            Self::Access
                | Self::Modify
                | Self::Strings
                | Self::Page
                | Self::Ept
                | Self::Unpaged
                | Self::Tlb
                | Self::Mode
                | Self::Saved
                | Self::History
                | Self::Event
                | Self::Inject
                | Self::Entry
                | Self::Boundary
                | Self::Restored
        )
    }

    /// Whether the scenes are for other controls in vmcs12 too. The others set controls of their
    /// own.
    const fn plays_thin(self) -> bool {
        !matches!(self, Self::Priority | Self::Pkey | Self::Shadow)
    }

    /// Whether the quick profile leaves it out of environments that it is not at home in: they
    /// differ little for it, or are dear to set up.
    pub(super) const fn stays_at_home(self) -> bool {
        matches!(
            self,
            Self::Restored
                | Self::Mode
                | Self::History
                | Self::Saved
                | Self::Entry
                | Self::Intercept
                | Self::Operand
                | Self::Boundary
                | Self::Guarded
        )
    }

    /// The words that a profile looks at. Under KVM to read one of those that the quick profile
    /// leaves out is a VM exit to L0 each; acts that are about them, and other profiles, look at
    /// all.
    #[must_use]
    pub const fn words(self, profile: Profile) -> Words {
        let about = matches!(
            self,
            Self::Saved | Self::Event | Self::Inject | Self::Entry | Self::State | Self::Stale
        );
        if about || !matches!(profile, Profile::Quick) { Words::MAX } else { !DEAR }
    }
}

/// Words of an exit that no shadow VMCS has, and DR6, which KVM intercepts.
const DEAR: Words = Word::Cs.bit()
    | Word::Ss.bit()
    | Word::Activity.bit()
    | Word::PendingDebug.bit()
    | Word::Dr6.bit()
    | Word::Dr7.bit()
    | Word::Debugctl.bit()
    | Word::CsAccess.bit()
    | Word::SsAccess.bit();
