//! `smp.filters`: two processors make the same accesses at the same time, each under its own
//! filter.

use core::fmt;

use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::walk::layout::Header;
use crate::walk::outcome::{Expectation, Outcome};
use crate::walk::setting::BASE;
use crate::walk::stimulus::Stimulus;

crate::listed! {
    /// One of the two processors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Processor {
        /// The one that booted.
        First = 0 => "cpu0",
        /// The one that L1 starts.
        Second = 1 => "cpu1",
    }
    fn name;
}

crate::listed! {
    /// The filter of processor 1, given that of processor 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Partner {
        /// The one that asks for exactly what the other does not.
        Inverse => "inverse",
        /// [`Filter::NEVER`].
        Never => "never",
    }
    fn name;
}

impl Partner {
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

impl Together {
    /// All accesses that are made at once, by partner and processor.
    pub fn all(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Self> {
        let of = move |partner, processor| {
            stimuli(maxphyaddr).map(move |stimulus| Self { partner, processor, stimulus })
        };
        Partner::ALL.into_iter().flat_map(move |partner| {
            Processor::ALL.into_iter().flat_map(move |processor| of(partner, processor))
        })
    }

    /// The filter under which the access is made, where processor 0's is `filter`.
    #[must_use]
    pub const fn filter(&self, filter: Filter) -> Filter {
        match self.processor {
            Processor::First => filter,
            Processor::Second => self.partner.filter(filter),
        }
    }
}

impl fmt::Display for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.partner.name(), self.processor.name(), self.stimulus)
    }
}

/// The accesses of `smp.filters`: one for each error code and kind of access.
pub fn stimuli(maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Stimulus> {
    Stimulus::selected(BASE, maxphyaddr, true)
}

/// More stimuli than there are.
pub const MAX_STIMULI: usize = 48;

/// What must be seen of an access of `smp.filters`; `l2` says where the processor's L2 has its
/// instructions.
#[must_use]
pub fn together(
    stimulus: &Stimulus,
    filter: Filter,
    l2: &Header,
    cr2: u64,
    maxphyaddr: Maxphyaddr,
) -> Outcome {
    Expectation::new(stimulus, stimulus.pfec(BASE, maxphyaddr), false, l2).outcome(filter, cr2)
}

#[cfg(test)]
mod tests {
    use super::{MAX_STIMULI, Partner, stimuli};
    use crate::catalogue::plan::QUICK_BASIC;
    use crate::manual::pfec::Pfec;

    #[test]
    fn stimuli_fit() {
        for maxphyaddr in [36, 40, 46, 52] {
            assert!(stimuli(maxphyaddr).count() <= MAX_STIMULI);
        }
    }

    #[test]
    fn the_partner_wants_what_the_other_does_not() {
        for filter in QUICK_BASIC {
            for code in 0..32 {
                let pfec = Pfec::from_bits_retain(code);
                assert_ne!(filter.exits(pfec), Partner::Inverse.filter(filter).exits(pfec));
                assert!(!Partner::Never.filter(filter).exits(pfec));
            }
        }
    }
}
