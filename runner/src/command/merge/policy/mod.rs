//! The merge: one filter for two parties.
//!
//! While L2 runs, the processor has one filter, vmcs02's. L1 asks for its own in vmcs12, and L0 may
//! need page faults too. A merge is *sound* if every fault that a party needs exits: L0 can sort
//! out the rest in software, but never gets back a fault that it did not see. It is *exact* if no
//! other fault exits. The *excess* is the number of error codes, of all 2^32, that exit though
//! nobody needs them. Each such fault costs an exit and an injection.
//!
//! | to find | look in |
//! |---|---|
//! | ways to merge, those of hypervisors and the best one | [`Policy`] |
//! | the best filter, and the proof that it is | [`mod@exact`] |
//! | whether a filter is sound, exact, and what it costs | [`Judgement`] |
//! | which error codes a processor can deliver | [`codes`] |
//!
//! All is integer arithmetic, so a hypervisor could run [`exact()`] at a VM entry.

pub mod codes;
mod exact;
mod judgement;
mod rule;
mod set;
#[cfg(test)]
mod tests;

pub use exact::exact;
pub use judgement::{Judgement, Party};
pub use rule::Policy;

use set::{Cube, Exits};
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

/// What both parties need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties<'a> {
    /// L0's need: each fault that at least one of these filters makes exit. Without a filter, L0
    /// needs no fault.
    pub l0: &'a [Filter],
    /// L1's filter, as vmcs12 has it.
    pub l1: Filter,
}

impl<'a> Parties<'a> {
    /// The filters of both parties as one list, L0's first.
    pub fn filters(self) -> impl Iterator<Item = Filter> + Clone + use<'a> {
        self.l0.iter().copied().chain([self.l1])
    }

    /// Whether a party needs the fault.
    pub fn want(self, pfec: Pfec) -> bool {
        self.filters().any(|filter| filter.exits(pfec))
    }

    /// How many of the 2^32 error codes a party needs.
    pub fn count(self) -> u64 {
        Cube::ALL.size() - set::spared(Cube::ALL, self.filters())
    }

    /// L0's filters that make any fault exit.
    fn l0_needs(self) -> impl Iterator<Item = Filter> + use<'a> {
        self.l0.iter().copied().filter(|&filter| wants_any(filter))
    }
}

/// Whether any fault exits.
fn wants_any(filter: Filter) -> bool {
    Exits::of(filter) != Exits::Outside(Cube::ALL)
}
