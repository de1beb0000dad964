//! Two processors at once, each with an L1 and an L2 of its own.
//!
//! `smp.filters`: both L2s make the same accesses at the same time, each under its own L1's filter. A processor's VMCS
//! is its own (SDM vol. 3C, section 24.1, "Overview"), so neither filter may show on the other processor.
//!
//! `smp.shootdown`: both L2s have the same page tables. Processor 1 uses a page; processor 0 changes an entry that leads
//! to it; processor 1 invalidates by INVLPG, told by a flag in memory or by an interrupt from processor 0. SDM vol. 3A,
//! sections 4.10.4, "Invalidation of TLBs and Paging-Structure Caches", and 4.10.5, "Propagation of Paging-Structure
//! Changes to Multiple Processors": before INVLPG the old or the new entry may count, behind it the new one counts.

use core::fmt;

use crate::catalogue::plan::{Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Entry, Level, Maxphyaddr, Privilege, walk};
use crate::manual::pfec::Pfec;
use crate::walk::layout::{FETCHED_CODE, Header, TOKEN};
use crate::walk::outcome::{Expectation, Outcome, RFLAGS_RF};
use crate::walk::page::good;
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;

/// What two processors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smp {
    /// Accesses under two filters at a time.
    Filters,
    /// A change of page tables that the other processor has to be told of.
    Shootdown,
}

/// All but writes, in the inverse form.
const QUICK: [Filter; 1] = [Filter::new(false, 2, 2)];

impl Smp {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Filters, Self::Shootdown];

    /// The part of a group's name behind `smp.`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filters => "filters",
            Self::Shootdown => "shootdown",
        }
    }

    /// One line for `maskmatch list`.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Filters => "two processors, two L1s with different filters at the same time",
            Self::Shootdown => "two processors: one changes page tables that the other uses, which does INVLPG",
        }
    }

    /// The filters that are tried.
    #[must_use]
    pub const fn filters(profile: Profile) -> &'static [Filter] {
        match profile {
            Profile::Quick => &QUICK,
            Profile::Standard | Profile::Exhaustive => &QUICK_BASIC,
        }
    }

    /// The cases of each filter.
    pub fn probes(self, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = SmpProbe> {
        let together = (self == Self::Filters).then(|| {
            Partner::ALL.into_iter().flat_map(move |partner| {
                Processor::ALL.into_iter().flat_map(move |processor| {
                    stimuli(maxphyaddr).map(move |stimulus| Together { partner, processor, stimulus })
                })
            })
        });
        let shots = (self == Self::Shootdown).then(|| {
            changes(maxphyaddr).flat_map(|change| Moment::ALL.into_iter().map(move |moment| Shot { change, moment }))
        });
        let together = together.into_iter().flatten().map(SmpProbe::Together);
        together.chain(shots.into_iter().flatten().map(SmpProbe::Shot))
    }
}

/// A case of one of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmpProbe {
    /// Of `smp.filters`.
    Together(Together),
    /// Of `smp.shootdown`.
    Shot(Shot),
}

impl fmt::Display for SmpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together(Together { partner, processor, stimulus }) => {
                write!(f, "{}-{}-{stimulus}", partner.name(), processor.name())
            }
            Self::Shot(Shot { change, moment }) => write!(f, "{change}-{}", moment.name()),
        }
    }
}

impl SmpProbe {
    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        match self {
            Self::Together(together) => together.stimulus.pfec(BASE, maxphyaddr),
            Self::Shot(shot) => shot.change.pfec(State::New, maxphyaddr),
        }
    }

    /// The filter under which the access is made, where the case's id has `filter`.
    #[must_use]
    pub const fn filter(&self, filter: Filter) -> Filter {
        match self {
            Self::Together(Together { partner, processor: Processor::Second, .. }) => partner.filter(filter),
            // Of `smp.shootdown` it is processor 1 that accesses, and the id has its filter.
            Self::Together(_) | Self::Shot(_) => filter,
        }
    }
}

/// One of the two processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// The one that booted.
    First = 0,
    /// The one that L1 starts.
    Second = 1,
}

impl Processor {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    const fn name(self) -> &'static str {
        match self {
            Self::First => "cpu0",
            Self::Second => "cpu1",
        }
    }
}

/// The filter of processor 1 beside that of processor 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partner {
    /// The one that wants exactly what the other does not.
    Inverse,
    /// [`Filter::NEVER`].
    Never,
}

impl Partner {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inverse, Self::Never];

    const fn name(self) -> &'static str {
        match self {
            Self::Inverse => "inverse",
            Self::Never => "never",
        }
    }

    /// Processor 1's filter, given processor 0's.
    #[must_use]
    pub const fn filter(self, filter: Filter) -> Filter {
        match self {
            Self::Inverse => Filter { eb_pf: !filter.eb_pf, ..filter },
            Self::Never => Filter::NEVER,
        }
    }
}

/// One access that one processor makes while the other makes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// What processor 1's filter is.
    pub partner: Partner,
    /// Who makes it.
    pub processor: Processor,
    /// The access.
    pub stimulus: Stimulus,
}

/// The accesses of `smp.filters`: one for each error code and kind of access.
pub fn stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
    Stimulus::selected(BASE, maxphyaddr, true)
}

/// More stimuli than there are.
pub const MAX_STIMULI: usize = 48;

/// An entry before and behind the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Before.
    Old,
    /// Behind it.
    New,
}

/// A change of one entry, and the access that must feel it. Written as `WHO-ACCESS-CHANGE`.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Made at CPL 0 or CPL 3.
    pub privilege: Privilege,
    /// Read, write or fetch.
    pub access: Access,
    name: &'static str,
    /// The level whose entry changes.
    pub level: Level,
    /// Bits in which the entry differs from one that allows the access, before and behind the change.
    differs: [u64; 2],
}

/// A reserved address bit on every processor whose MAXPHYADDR is below 52.
const RESERVED: u64 = 1 << 51;

impl Change {
    const fn to(privilege: Privilege, access: Access, name: &'static str, level: Level, bits: u64) -> Self {
        Self { privilege, access, name, level, differs: [0, bits] }
    }

    const fn from(privilege: Privilege, access: Access, name: &'static str, level: Level, bits: u64) -> Self {
        Self { privilege, access, name, level, differs: [bits, 0] }
    }

    /// The entry of a level without the address of its table or frame.
    #[must_use]
    pub fn entry(&self, level: Level, state: State) -> u64 {
        // A supervisor's page, if a supervisor accesses: SMAP and SMEP are on.
        let supervisor = level == Level::Pte && self.privilege == Privilege::Supervisor;
        let allows = good(level) & !if supervisor { Entry::US.bits() } else { 0 };
        allows ^ if level == self.level { self.differs[state as usize] } else { 0 }
    }

    /// The error code of the access' fault, if it must raise one.
    #[must_use]
    pub fn pfec(&self, state: State, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        let entries = Level::WALK.map(|level| self.entry(level, state));
        walk(entries, self.access, self.privilege, BASE.mode, maxphyaddr).err()
    }

    /// Whether the old entry is not present, so that no processor keeps anything of it: SDM section 4.10.4.3,
    /// "Optional Invalidation".
    #[must_use]
    pub fn was_not_present(&self) -> bool {
        self.entry(self.level, State::Old) & Entry::P.bits() == 0
    }

    /// Whether a processor with this address width can have it.
    #[must_use]
    pub const fn exists(&self, maxphyaddr: Maxphyaddr) -> bool {
        self.differs[1] & RESERVED == 0 || maxphyaddr < 52
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.privilege, self.access, self.name)
    }
}

use Access::{Fetch, Read, Write};
use Level::{Pde, Pdpte, Pml4e, Pte};
use Privilege::{Supervisor, User};

const P: u64 = Entry::P.bits();
const RW: u64 = Entry::RW.bits();
const US: u64 = Entry::US.bits();
const XD: u64 = Entry::XD.bits();

/// Every change. To add one, add a row.
pub const CHANGES: &[Change] = &[
    Change::to(Supervisor, Read, "np-pte", Pte, P),
    Change::to(Supervisor, Write, "np-pte", Pte, P),
    Change::to(Supervisor, Fetch, "np-pte", Pte, P),
    Change::to(User, Read, "np-pte", Pte, P),
    Change::to(User, Write, "np-pte", Pte, P),
    Change::to(User, Fetch, "np-pte", Pte, P),
    Change::to(Supervisor, Write, "ro-pte", Pte, RW),
    Change::to(User, Write, "ro-pte", Pte, RW),
    // From the user's to the supervisor's, and back: SMAP and SMEP.
    Change::to(User, Read, "super-pte", Pte, US),
    Change::to(User, Fetch, "super-pte", Pte, US),
    Change::to(Supervisor, Read, "user-pte", Pte, US),
    Change::to(Supervisor, Fetch, "user-pte", Pte, US),
    Change::to(Supervisor, Fetch, "nx-pte", Pte, XD),
    Change::to(User, Fetch, "nx-pte", Pte, XD),
    Change::to(Supervisor, Read, "rsvd-pte", Pte, RESERVED),
    Change::to(User, Write, "rsvd-pte", Pte, RESERVED),
    // INVLPG invalidates what the processor keeps of the upper levels too: section 4.10.4.1.
    Change::to(User, Read, "np-pde", Pde, P),
    Change::to(Supervisor, Write, "ro-pde", Pde, RW),
    Change::to(User, Write, "np-pdpte", Pdpte, P),
    Change::to(User, Read, "rsvd-pdpte", Pdpte, RESERVED),
    Change::to(User, Fetch, "nx-pml4e", Pml4e, XD),
    Change::to(Supervisor, Read, "np-pml4e", Pml4e, P),
    // More rights than before.
    Change::from(User, Read, "present-pte", Pte, P),
    Change::from(Supervisor, Write, "present-pde", Pde, P),
    Change::from(User, Write, "rw-pte", Pte, RW),
    Change::from(Supervisor, Fetch, "exec-pte", Pte, XD),
];

/// The changes that a processor with this address width can have.
pub fn changes(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = &'static Change> {
    CHANGES.iter().filter(move |change| change.exists(maxphyaddr))
}

/// When processor 1 accesses the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has seen a flag that processor 0 set behind the change, and has not invalidated.
    Before,
    /// It has seen the flag, and has invalidated.
    After,
    /// It has invalidated in its handler of the interrupt that processor 0 sent behind the change.
    Interrupt,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Interrupt];

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Interrupt => "interrupt",
        }
    }
}

/// One access of processor 1 around a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// The change.
    pub change: &'static Change,
    /// When.
    pub moment: Moment,
}

impl Shot {
    /// What may be seen: the second is the same as the first where one outcome alone may be. `rip` is the accessing
    /// instruction (no matter for a fetch), `cs` what CS holds, `cr2` what CR2 held before.
    #[must_use]
    pub fn outcomes(&self, filter: Filter, rip: u64, cs: u64, cr2: u64, maxphyaddr: Maxphyaddr) -> [Outcome; 2] {
        let Self { change, moment } = self;
        let address = shot_address(*moment);
        let rip = if change.access == Fetch { address } else { rip };
        let rflags = SHOT_RFLAGS | RFLAGS_RF;
        let of = |state| {
            let pfec = change.pfec(state, maxphyaddr);
            Expectation::at(pfec, address, rip, cs, rflags).outcome(filter, cr2)
        };
        let old = if *moment == Moment::Before && !change.was_not_present() { State::Old } else { State::New };
        [of(State::New), of(old)]
    }
}

/// RFLAGS of processor 1's L2 around a change: IF, as any guest has it that waits for another, and what a comparison of 1 with 0 leaves.
pub const SHOT_RFLAGS: u64 = 0x202;
/// Linear address of the page whose entries change: another index at each level, and nothing else below its PML4 entry.
pub const SHOT_PAGE: u64 = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12;
/// Where in the page what is: 16 bytes each for the first use, the access before INVLPG, and the one behind it.
pub const SHOT_FIRST: u64 = 0;
/// See [`SHOT_FIRST`].
pub const SHOT_BEFORE: u64 = 16;
/// See [`SHOT_FIRST`].
pub const SHOT_AFTER: u64 = 32;

/// What is in each of the 16 bytes of a page that is not written: code to be fetched, or [`TOKEN`] to be read.
#[must_use]
pub const fn shot_contents(access: Access) -> [u8; 8] {
    match access {
        Access::Read => TOKEN.to_le_bytes(),
        Access::Fetch => {
            let mut bytes = [0; 8];
            let mut at = 0;
            while at < FETCHED_CODE.len() {
                bytes[at] = FETCHED_CODE[at];
                at += 1;
            }
            bytes
        }
        Access::Write => [0; 8],
    }
}

/// The address of an access.
#[must_use]
pub const fn shot_address(moment: Moment) -> u64 {
    SHOT_PAGE
        + match moment {
            Moment::Before => SHOT_BEFORE,
            Moment::After | Moment::Interrupt => SHOT_AFTER,
        }
}

/// What must be seen of an access of `smp.filters`; `l2` says where the processor's L2 has its instructions.
#[must_use]
pub fn together(stimulus: &Stimulus, filter: Filter, l2: &Header, cr2: u64, maxphyaddr: Maxphyaddr) -> Outcome {
    Expectation::new(stimulus, stimulus.pfec(BASE, maxphyaddr), false, l2).outcome(filter, cr2)
}

#[cfg(test)]
mod tests {
    use super::{CHANGES, MAX_STIMULI, Moment, Partner, Shot, Smp, SmpProbe, State, stimuli};
    use crate::catalogue::plan::Profile;
    use crate::manual::filter::Filter;
    use crate::manual::pfec::Pfec;
    use crate::walk::outcome::Outcome;
    use std::collections::{BTreeSet, HashSet};
    use std::string::ToString;

    #[test]
    fn names_are_unique_and_stimuli_fit() {
        for smp in Smp::ALL {
            let names: HashSet<_> = smp.probes(40).map(|probe| probe.to_string()).collect();
            assert_eq!(names.len(), smp.probes(40).count());
        }
        for maxphyaddr in [36, 40, 46, 52] {
            assert!(stimuli(maxphyaddr).count() <= MAX_STIMULI);
        }
    }

    #[test]
    fn the_partner_wants_what_the_other_does_not() {
        for &filter in Smp::filters(Profile::Standard) {
            for code in 0..32 {
                let pfec = Pfec::from_bits_retain(code);
                assert_ne!(filter.exits(pfec), Partner::Inverse.filter(filter).exits(pfec));
                assert!(!Partner::Never.filter(filter).exits(pfec));
            }
        }
    }

    #[test]
    fn each_change_is_felt_and_the_codes_are_those_of_its_row() {
        for change in CHANGES {
            let (old, new) = (change.pfec(State::Old, 40), change.pfec(State::New, 40));
            assert_ne!(old, new, "{change}");
            assert!(old.is_none() || new.is_none(), "{change}");
        }
        let codes: BTreeSet<_> = CHANGES.iter().filter_map(|change| change.pfec(State::New, 40)).collect();
        let codes: BTreeSet<u32> = codes.into_iter().map(|pfec| pfec.bits()).collect();
        assert_eq!(codes, BTreeSet::from([0, 1, 2, 3, 4, 5, 6, 7, 9, 0xd, 0xf, 0x10, 0x11, 0x14, 0x15]));
    }

    #[test]
    fn only_before_the_invalidation_two_outcomes_may_be() {
        for probe in Smp::Shootdown.probes(40) {
            let SmpProbe::Shot(shot) = probe else { panic!("{probe}") };
            let [new, old] = shot.outcomes(Filter::ALWAYS, 1, 8, 0, 40);
            let open = shot.moment == Moment::Before && !shot.change.was_not_present();
            assert_eq!(new != old, open, "{probe}");
            assert_eq!(matches!(new, Outcome::Silent), shot.change.pfec(State::New, 40).is_none());
        }
        let present = CHANGES.iter().find(|change| change.to_string() == "user-read-present-pte").unwrap();
        let shot = Shot { change: present, moment: Moment::Before };
        assert_eq!(shot.outcomes(Filter::NEVER, 1, 8, 0, 40), [Outcome::Silent; 2]);
    }
}
