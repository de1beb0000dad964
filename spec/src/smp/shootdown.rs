//! `smp.shootdown`: one processor changes page tables that the other uses and invalidates.

use core::fmt;

use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Entry, Level, Maxphyaddr, Mode, Privilege, walk};
use crate::manual::pfec::Pfec;
use crate::walk::layout::{FETCHED_CODE, TOKEN};
use crate::walk::outcome::{Expectation, Outcome, RFLAGS_RF};
use crate::walk::page::good;
use crate::walk::setting::BASE;

/// An entry before and after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Before.
    Old,
    /// After.
    New,
}

/// A change of one entry, and the access that must notice it. Written as `WHO-ACCESS-CHANGE`.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Made at CPL 0 or CPL 3.
    pub privilege: Privilege,
    /// Read, write or fetch.
    pub access: Access,
    name: &'static str,
    /// The level whose entry changes.
    pub level: Level,
    /// Bits in which the entry differs from one that allows the access, before and after the
    /// change.
    differs: [u64; 2],
}

/// A reserved address bit on every processor whose MAXPHYADDR is below 52.
const RESERVED: u64 = 1 << 51;

impl Change {
    const fn to(
        privilege: Privilege,
        access: Access,
        name: &'static str,
        level: Level,
        bits: u64,
    ) -> Self {
        Self { privilege, access, name, level, differs: [0, bits] }
    }

    const fn from(
        privilege: Privilege,
        access: Access,
        name: &'static str,
        level: Level,
        bits: u64,
    ) -> Self {
        Self { privilege, access, name, level, differs: [bits, 0] }
    }

    /// The entry of a level without the address of its table or frame.
    #[must_use]
    pub fn entry(&self, level: Level, state: State) -> u64 {
        // A supervisor's page if a supervisor accesses it: SMAP and SMEP are on.
        let supervisor = level == Level::Pte && self.privilege == Privilege::Supervisor;
        let allows = good(level) & !if supervisor { Entry::US.bits() } else { 0 };
        allows ^ if level == self.level { self.differs[state as usize] } else { 0 }
    }

    /// The error code of the access' fault, if it must raise one.
    #[must_use]
    pub fn pfec(&self, state: State, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        self.pfec_in(BASE.mode, state, maxphyaddr)
    }

    /// Whether the access must end on a processor with only the SMEP and SMAP of `offered` as it
    /// must on one with both.
    #[must_use]
    pub fn is_same_on(&self, offered: Mode, maxphyaddr: Maxphyaddr) -> bool {
        let ends =
            |mode| [State::Old, State::New].map(|state| self.pfec_in(mode, state, maxphyaddr));
        ends(BASE.mode.on(offered)) == ends(BASE.mode)
    }

    fn pfec_in(&self, mode: Mode, state: State, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        let entries = Level::WALK.map(|level| self.entry(level, state));
        walk(entries, self.access, self.privilege, mode, maxphyaddr).err()
    }

    /// Whether the old entry is not present, so that no processor keeps anything of it: SDM
    /// "Optional Invalidation".
    #[must_use]
    pub fn was_not_present(&self) -> bool {
        self.entry(self.level, State::Old) & Entry::P.bits() == 0
    }

    /// Whether a processor with this address width can have it.
    #[must_use]
    pub const fn exists(&self, maxphyaddr: Maxphyaddr) -> bool {
        (self.differs[0] | self.differs[1]) & RESERVED == 0 || maxphyaddr < 52
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
    // INVLPG invalidates what the processor keeps of the upper levels too: "Operations that
    // Invalidate TLBs and Paging-Structure Caches".
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

crate::listed! {
    /// When processor 1 accesses the page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Moment {
        /// It has seen a flag that processor 0 set after the change, and has not invalidated.
        Before => "before",
        /// It has seen the flag, and has invalidated.
        After => "after",
        /// It has invalidated in its handler of the interrupt that processor 0 sent after the
        /// change.
        Interrupt => "interrupt",
    }
    fn name;
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
    /// All shots that a processor with this address width can have.
    pub fn all(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Self> {
        let around = |change| Moment::ALL.into_iter().map(move |moment| Self { change, moment });
        changes(maxphyaddr).flat_map(around)
    }

    /// What may be seen. The second outcome equals the first where only one is allowed. `rip` is
    /// the accessing instruction (which does not matter for a fetch), `cs` what CS holds, `cr2`
    /// what CR2 held before.
    #[must_use]
    pub fn outcomes(
        &self,
        filter: Filter,
        rip: u64,
        cs: u64,
        cr2: u64,
        maxphyaddr: Maxphyaddr,
    ) -> [Outcome; 2] {
        let Self { change, moment } = self;
        let address = shot_address(*moment);
        let rip = if change.access == Fetch { address } else { rip };
        let rflags = SHOT_RFLAGS | RFLAGS_RF;
        let of = |state| {
            let pfec = change.pfec(state, maxphyaddr);
            Expectation::at(pfec, address, rip, cs, rflags).outcome(filter, cr2)
        };
        let old = if *moment == Moment::Before && !change.was_not_present() {
            State::Old
        } else {
            State::New
        };
        [of(State::New), of(old)]
    }
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.change, self.moment.name())
    }
}

/// RFLAGS of processor 1's L2 around a change: IF, as in any guest that waits for another, and what
/// a comparison of 1 with 0 leaves.
pub const SHOT_RFLAGS: u64 = 0x202;
/// Linear address of the page whose entries change: another index at each level, and nothing else
/// below its PML4 entry.
pub const SHOT_PAGE: u64 = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12;
/// Where things are in the page: 16 bytes each for the first use, the access before INVLPG, and the
/// one after it.
pub const SHOT_FIRST: u64 = 0;
/// See [`SHOT_FIRST`].
pub const SHOT_BEFORE: u64 = 16;
/// See [`SHOT_FIRST`].
pub const SHOT_AFTER: u64 = 32;

/// What is in each of the 16 bytes of a page that is not written: code to be fetched, or [`TOKEN`]
/// to be read.
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

#[cfg(test)]
mod tests {
    use super::{CHANGES, Moment, Shot, State, changes};
    use crate::manual::filter::Filter;
    use crate::walk::outcome::Outcome;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn each_change_is_felt_and_the_codes_are_those_of_its_row() {
        for width in [36, 39, 40, 46, 48, 52] {
            for change in changes(width) {
                let (old, new) = (change.pfec(State::Old, width), change.pfec(State::New, width));
                assert_ne!(old, new, "{change}");
                assert!(old.is_none() || new.is_none(), "{change}");
            }
        }
        let codes: BTreeSet<_> =
            CHANGES.iter().filter_map(|change| change.pfec(State::New, 40)).collect();
        let codes: BTreeSet<u32> = codes.into_iter().map(|pfec| pfec.bits()).collect();
        assert_eq!(
            codes,
            BTreeSet::from([0, 1, 2, 3, 4, 5, 6, 7, 9, 0xd, 0xf, 0x10, 0x11, 0x14, 0x15])
        );
    }

    #[test]
    fn only_before_the_invalidation_two_outcomes_may_be() {
        for shot in Shot::all(40) {
            let [new, old] = shot.outcomes(Filter::ALWAYS, 1, 8, 0, 40);
            let open = shot.moment == Moment::Before && !shot.change.was_not_present();
            assert_eq!(new != old, open, "{shot}");
            assert_eq!(matches!(new, Outcome::Silent), shot.change.pfec(State::New, 40).is_none());
        }
        let present =
            CHANGES.iter().find(|change| change.to_string() == "user-read-present-pte").unwrap();
        let shot = Shot { change: present, moment: Moment::Before };
        assert_eq!(shot.outcomes(Filter::NEVER, 1, 8, 0, 40), [Outcome::Silent; 2]);
    }
}
