//! What a filter in vmcs02 is worth: whether it is sound, what it costs, and a case that shows its
//! fault.

use super::Parties;
use super::set::{Cube, Exits, smallest_spared, spared};
use spec::catalogue::case::Case;
use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr, Privilege, walk};
use spec::manual::pfec::Pfec;
use spec::walk::case::{WalkCase, WalkGroup};
use spec::walk::family::Family;
use spec::walk::host::{HostCase, Need, Round};
use spec::walk::page::PAGES;
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;

/// Who needs a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The host.
    L0,
    /// Our hypervisor.
    L1,
}

/// A fault that does not exit though a party needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The fault's error code.
    pub pfec: Pfec,
    /// Who needs it. If both do, L1, since L1 can notice.
    pub party: Party,
}

/// A filter judged against what both parties need, for all 2^32 error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The filter.
    pub vmcs02: Filter,
    /// The smallest error code that is needed and does not exit, or `None` if the filter is sound.
    pub missed: Option<Missed>,
    /// How many error codes exit though nobody needs them.
    pub excess: u64,
}

impl Judgement {
    /// Judges a filter. It computes and does not count, which takes a few microseconds.
    pub fn of(vmcs02: Filter, parties: Parties<'_>) -> Self {
        let needless = |cube| spared(cube, parties.filters());
        let excess = match Exits::of(vmcs02) {
            Exits::Inside(cube) => needless(cube),
            Exits::Outside(cube) => needless(Cube::ALL) - needless(cube),
        };
        let missed = parties.filters().filter_map(|filter| smallest_missed(filter, vmcs02)).min();
        let party = |pfec| if parties.l1.exits(pfec) { Party::L1 } else { Party::L0 };
        Self { vmcs02, missed: missed.map(|pfec| Missed { pfec, party: party(pfec) }), excess }
    }

    /// Whether every fault that a party needs exits.
    pub const fn is_sound(&self) -> bool {
        self.missed.is_none()
    }

    /// Whether the faults that exit are those that a party needs, and no others.
    pub const fn is_exact(&self) -> bool {
        self.is_sound() && self.excess == 0
    }

    /// `exact`, `sound` or `unsound`.
    pub const fn verdict(&self) -> &'static str {
        match (self.is_sound(), self.excess) {
            (true, 0) => "exact",
            (true, _) => "sound",
            (false, _) => "unsound",
        }
    }

    /// A case that fails on a host which has this filter in vmcs02: the one with the smallest error
    /// code, and among equals one that L1 misses. `None` if the filter is sound, or if no access of
    /// L2 shows what it misses.
    ///
    /// L0's loss shows where L0 needs the fault for a smaller MAXPHYADDR, or for shadow page
    /// tables.
    pub fn case(&self, parties: Parties<'_>) -> Option<Case> {
        let missed_by = |filter: Filter, pfec: Pfec| filter.exits(pfec) && !self.vmcs02.exits(pfec);
        let mut best: Option<(Pfec, Case)> = None;
        let mut offer = |pfec: Pfec, case| {
            if best.is_none_or(|(smallest, _)| pfec < smallest) {
                best = Some((pfec, case));
            }
        };
        let filter = parties.l1;
        let group = WalkGroup { family: family(filter), setting: BASE };
        let on_walk = |stimulus| Case::Walk(WalkCase { group, stimulus, filter });
        for stimulus in Stimulus::all(BASE, NARROW) {
            let seen_by_l2 = stimulus.pfec(BASE, NARROW);
            if let Some(pfec) = seen_by_l2.filter(|&pfec| missed_by(parties.l1, pfec)) {
                offer(pfec, on_walk(stimulus));
            }
        }
        // What only L0 needs, and needs as a host does that needs all of `need`.
        let missed_by_l0 = |need: Filter, pfec| {
            let lost = |&filter: &Filter| {
                missed_by(filter, pfec) && smallest_missed(need, filter).is_none()
            };
            !parties.l1.exits(pfec) && parties.l0.iter().any(lost)
        };
        for stimulus in Stimulus::all(BASE, NARROW) {
            // L0 promised a smaller MAXPHYADDR: the processor's code lacks RSVD, and L0 must
            // intercept the fault to correct it.
            let (raised, mended) = (on_wide_processor(stimulus), stimulus.pfec(BASE, NARROW));
            let need = PRESENT_NOT_RESERVED;
            if let Some(pfec) = raised.filter(|&pfec| raised != mended && missed_by_l0(need, pfec))
            {
                offer(pfec, on_walk(stimulus));
            }
        }
        for (why, need) in [(Need::Touch, NOT_PRESENT), (Need::Dirty, PRESENT_WRITE)] {
            for access in why.accesses().filter(|access| access.round == Round::First) {
                let raised = shadow_fault(why, access.privilege, access.access);
                if let Some(pfec) = raised.filter(|&pfec| missed_by_l0(need, pfec)) {
                    offer(pfec, Case::Host(HostCase { access, filter }));
                }
            }
        }
        best.map(|(_, case)| case)
    }
}

/// The smallest error code that `filter` makes exit and `vmcs02` does not.
fn smallest_missed(filter: Filter, vmcs02: Filter) -> Option<Pfec> {
    let inverse = Filter { eb_pf: !filter.eb_pf, ..filter };
    smallest_spared(&[inverse, vmcs02].into_iter())
}

/// What a host needs that presents a smaller MAXPHYADDR.
const PRESENT_NOT_RESERVED: Filter = Filter::new(true, 0x09, 0x01);
/// What a host needs that fills shadow page tables.
const NOT_PRESENT: Filter = Filter::new(true, 0x01, 0x00);
/// What a host needs that tracks writes in shadow page tables.
const PRESENT_WRITE: Filter = Filter::new(true, 0x03, 0x03);

/// A MAXPHYADDR below that of most processors. Ids of cases do not depend on it.
const NARROW: Maxphyaddr = 40;
/// No address bit is reserved.
const WIDE: Maxphyaddr = 52;

/// The error code of a processor that takes every address bit for valid.
fn on_wide_processor(stimulus: Stimulus) -> Option<Pfec> {
    let entries = PAGES[stimulus.page].entries(NARROW);
    walk(entries, stimulus.access, stimulus.privilege, BASE.mode, WIDE).err()
}

/// The error code of the fault that a host with shadow page tables gets on the first access to a
/// page.
fn shadow_fault(why: Need, privilege: Privilege, access: Access) -> Option<Pfec> {
    let not_present = walk([0; 4], access, privilege, BASE.mode, NARROW).err()?;
    match (why, access) {
        (Need::Touch, _) => Some(not_present),
        (Need::Dirty, Access::Write) => Some(not_present | Pfec::P),
        _ => None,
    }
}

/// The family of groups that has a filter.
fn family(filter: Filter) -> Family {
    if (filter.mask | filter.matching) & !Pfec::BASIC.bits() == 0 {
        Family::Basic
    } else {
        Family::High
    }
}
