//! Ways to merge: those that hypervisors use or that were proposed, and the best one.

use super::{Parties, exact, wants_any};
use spec::manual::filter::Filter;

spec::listed! {
    /// A way to make vmcs02's filter from what both parties need.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Policy {
        /// What KVM does since 2020: if L0 needs any fault, MASK = MATCH = 0 and EB.PF = 1, else
        /// L1's filter.
        Kvm => "kvm",
        /// What VirtualBox does: if L0's EB.PF is 1, MASK = MATCH = 0, else L1's pair; and EB.PF if
        /// either party has it. That is KVM's rule, in other words.
        VirtualBox => "virtualbox",
        /// The thread's draft of 2022-07-15, as written.
        Draft => "draft",
        /// The draft without its mistake, and with EB.PF = 0 taken as a filter like any other.
        DraftRepaired => "draft-repaired",
        /// What Xen does: L1's MASK and MATCH, and EB.PF if either party has it.
        Xen => "xen",
        /// MASK = MATCH = 0 on every VM entry, and EB.PF if either party has it.
        Cleared => "cleared",
        /// The filter with the least excess, see [`exact()`].
        Exact => "exact",
    }
    /// The word in tables.
    pub fn name;
}

impl Policy {
    /// vmcs02's filter. `before` is what vmcs02 had: the draft does not always write MASK and
    /// MATCH.
    pub fn vmcs02(self, parties: Parties<'_>, before: Filter) -> Filter {
        let l1 = parties.l1;
        let l0_needs = parties.l0_needs().next().is_some();
        let eb_pf = l0_needs || l1.eb_pf;
        match self {
            Self::Kvm if l0_needs => Filter::ALWAYS,
            Self::Kvm => l1,
            Self::VirtualBox if l0_needs => Filter::new(eb_pf, 0, 0),
            Self::Draft if eb_pf => draft(parties, l0_needs),
            Self::Draft => Filter { eb_pf, ..before },
            Self::DraftRepaired => draft_repaired(parties, l0_needs),
            Self::VirtualBox | Self::Xen => Filter { eb_pf, ..l1 },
            Self::Cleared => Filter::new(eb_pf, 0, 0),
            Self::Exact => exact(parties),
        }
    }
}

/// The draft where EB.PF of either party is 1.
fn draft(parties: Parties<'_>, l0_needs: bool) -> Filter {
    let (l0, l1) = (l0_direct(parties), parties.l1);
    if !l1.eb_pf {
        l0
    } else if !l0_needs {
        l1
    } else if l0.mask != l1.mask || l0.matching != l1.mask {
        // The mistake: L0's MATCH against L1's MASK.
        Filter::ALWAYS
    } else {
        l0
    }
}

fn draft_repaired(parties: Parties<'_>, l0_needs: bool) -> Filter {
    let (l0, l1) = (l0_direct(parties), parties.l1);
    if !l0_needs {
        l1
    } else if l0 == l1 || !wants_any(l1) {
        l0
    } else {
        Filter::ALWAYS
    }
}

/// L0's need as the draft has it: one pair with EB.PF = 1, or else every fault.
fn l0_direct(parties: Parties<'_>) -> Filter {
    let mut needs = parties.l0_needs();
    match (needs.next(), needs.next()) {
        (Some(only), None) if only.eb_pf => only,
        _ => Filter::ALWAYS,
    }
}
