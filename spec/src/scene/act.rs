//! Acts: scenes that belong together, the environments that have them, and the filters under which they play.

use super::end::{Word, Words};
use super::environment::{self, Environment, Width};
use super::{Scene, rows};
use crate::catalogue::plan::{self, Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;

/// Scenes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads, writes and fetches: plain, across the end of a page, not canonical.
    Access,
    /// Changes of the filter, and what must not change it.
    Stale,
    /// Translations that must be gone, and ones that must hold.
    Tlb,
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
    pub const ALL: [Self; 19] = [
        Self::Access,
        Self::Modify,
        Self::Stack,
        Self::Strings,
        Self::Implicit,
        Self::Priority,
        Self::Page,
        Self::Tlb,
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
            Self::Tlb => "tlb",
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
            Self::Tlb => {
                "translations that must be gone, by INVLPG, MOV to CR3, INVVPID or a VM entry, and ones that must hold"
            }
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
            Self::Tlb => rows::tlb::SCENES,
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
        let plays = self.plays_at_all(environment);
        self.scenes().iter().filter(move |scene| plays && scene.plays_in(environment))
    }

    /// Whether the environment is one for the act.
    fn plays_at_all(self, environment: &Environment) -> bool {
        let has_width =
            self.plays_narrow() || environment.width == Width::Bits64 && (!environment.thin || self.plays_thin());
        has_width && !(environment.walk_only && self == Self::Tlb)
    }

    /// Whether the scenes are for code of any width. The others push eight bytes, have descriptors of IA-32e mode, or
    /// features that are its alone.
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
                | Self::Event
                | Self::Inject
        )
    }

    /// Whether the scenes are for other controls in vmcs12 too. The others set controls of their own.
    const fn plays_thin(self) -> bool {
        !matches!(self, Self::Priority | Self::Pkey | Self::Shadow)
    }

    /// Its scenes in an environment that a profile plays. The quick profile plays a sample, another one in each
    /// environment.
    pub fn scenes_of(self, environment: &Environment, profile: Profile) -> impl Iterator<Item = &'static Scene> {
        let plays = self.plays_at_all(environment);
        let step = if profile == Profile::Quick { self.step(environment) } else { 1 };
        let number = environment.number();
        self.scenes().chunks(step).enumerate().filter_map(move |(at, rows)| {
            let (last, first) = rows.split_at((number + at) % rows.len());
            first.iter().chain(last).find(|scene| plays && scene.plays_in(environment))
        })
    }

    /// Whether the act is left out where all groups run in the quick profile: of the environments that are not its home,
    /// it plays in every fifth.
    #[must_use]
    pub fn is_rare_in(self, environment: &Environment) -> bool {
        let home = match self {
            Self::Ept => *environment == environment::LONG_EPT,
            Self::Unpaged => true,
            _ => environment.number() == 0,
        };
        !home && !(self as usize + environment.number()).is_multiple_of(5)
    }

    /// The quick profile plays one scene in so many: most where the act is at home, few elsewhere.
    fn step(self, environment: &Environment) -> usize {
        match self {
            Self::Ept if *environment == environment::LONG_EPT => EPT_STEP,
            // The few that tell whether an invalidation is done.
            Self::Tlb => 1,
            Self::Page if environment.number() == 0 => PAGE_STEP,
            Self::Ept | Self::Page => RARE_STEP,
            _ if environment.number() == 0 => HOME_STEP,
            Self::Unpaged => HOME_STEP,
            _ => ELSEWHERE_STEP,
        }
    }

    /// Which of [`Act::scenes_of`] a profile plays under the filter of which number, in the order in which L1 plays them:
    /// one filter after the other, since a new one is dear; where scenes have EPT entries of their own, which are dearer
    /// still, one scene after the other. In the quick profile each scene has one filter, in turns.
    pub fn plays(
        self,
        environment: &Environment,
        profile: Profile,
    ) -> impl Iterator<Item = (usize, &'static Scene)> + Clone {
        // Found once: to ask of each scene whether it plays takes longer than to enter L2.
        let mut scenes = [None; MAX_SCENES];
        let mut count = 0;
        for (place, scene) in scenes.iter_mut().zip(self.scenes_of(environment, profile)) {
            *place = Some(scene);
            count += 1;
        }
        let filters = self.filter_count(profile);
        (0..count * filters).filter_map(move |at| {
            let (filter, scene) =
                if self == Self::Ept { (at % filters, at / filters) } else { (at / count, at % count) };
            let plays = profile != Profile::Quick || scene % filters == filter;
            if plays { Some((filter, scenes[scene]?)) } else { None }
        })
    }

    /// The words that a profile looks at. Under KVM to read one of those that the quick profile leaves out is a VM exit
    /// to L0 each; acts that are about them, and other profiles, look at all.
    #[must_use]
    pub const fn words(self, profile: Profile) -> Words {
        let about = matches!(self, Self::Event | Self::Inject | Self::State | Self::Stale);
        if about || !matches!(profile, Profile::Quick) { Words::MAX } else { !DEAR }
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
/// No act has more scenes.
const MAX_SCENES: usize = 512;

/// Words of an exit that no shadow VMCS has, and DR6, which KVM intercepts.
const DEAR: Words = Word::Cs.bit()
    | Word::Ss.bit()
    | Word::Activity.bit()
    | Word::PendingDebug.bit()
    | Word::Dr6.bit()
    | Word::Dr7.bit()
    | Word::Debugctl.bit();

/// Steps of the quick profile: prime, since rows often come in pairs or in groups of a few.
const HOME_STEP: usize = 3;
const PAGE_STEP: usize = 19;
const EPT_STEP: usize = 11;
const ELSEWHERE_STEP: usize = 53;
const RARE_STEP: usize = 127;

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
