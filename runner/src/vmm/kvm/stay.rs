//! Ends a stay of L2 in which only L0 is busy.
//!
//! An L0 that delivers an event again and again may never come to see that L1's VMX-preemption timer
//! has run out. KVM counts its exits and L2's entries: if the exits go on, and L2 is neither left
//! nor entered for seconds, an INIT signal makes it exit. So L1 goes on, and reports the case.

use crate::vmm::kvm::action::MSI_INIT;
use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::machine::Machine;
use crate::vmm::kvm::state::{self, Failed};
use kvm_bindings::KVM_STATE_NESTED_GUEST_MODE;
use spec::channel::Step;
use std::time::Duration;

/// How long the guest writes nothing before each look.
pub const PAUSE: Duration = Duration::from_secs(1);
/// So many looks in a row show that L2 does not go on.
const LOOKS: u32 = 5;
/// The same once it has not: it may not in many cases.
const LOOKS_LATER: u32 = 2;
/// So many exits between two looks are more than the host's own interrupts make.
const BUSY: u64 = 2000;

/// The stay of L2 that was seen last.
#[derive(Debug)]
pub struct Stay {
    entries: u64,
    exits: u64,
    looks: u32,
    needed: u32,
}

impl Default for Stay {
    fn default() -> Self {
        Self { entries: 0, exits: 0, looks: 0, needed: LOOKS }
    }
}

impl Stay {
    /// Takes what KVM has counted at a look. Returns whether L0 is busy, and L2 is not entered anew,
    /// for so long that the stay must end.
    fn is_over(&mut self, entries: u64, exits: u64) -> bool {
        let is_busy = exits.saturating_sub(self.exits) >= BUSY;
        self.looks = if entries == self.entries && is_busy { self.looks + 1 } else { 0 };
        (self.entries, self.exits) = (entries, exits);
        let is_over = self.looks >= self.needed;
        if is_over {
            (self.looks, self.needed) = (0, LOOKS_LATER);
        }
        is_over
    }
}

impl Machine {
    /// Looks whether L2 goes on, and makes it exit if not.
    pub fn look(&mut self) {
        let Some((entries, exits)) = self.counter.as_ref().and_then(ExitCounter::with_entries)
        else {
            return;
        };
        if self.stay.is_over(entries, exits) {
            // If it fails, it is tried again at a later look.
            let _ = self.end_stay();
        }
    }

    /// Drops what is to be delivered to L2, and signals INIT, if L2 is active.
    fn end_stay(&self) -> Result<(), Failed> {
        if u32::from(state::nested(&self.vcpu)?.flags) & KVM_STATE_NESTED_GUEST_MODE == 0 {
            return Ok(());
        }
        let mut events = self.vcpu.get_vcpu_events().map_err(Failed::at(Step::SaveEvents))?;
        (events.exception.pending, events.exception.injected) = (0, 0);
        (events.interrupt.injected, events.nmi.injected) = (0, 0);
        self.vcpu.set_vcpu_events(&events).map_err(Failed::at(Step::RestoreEvents))?;
        self.signal(MSI_INIT)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSY, LOOKS, LOOKS_LATER, Stay};

    /// At which look a stay is over, if each has so many more entries and exits.
    fn over(stay: &mut Stay, entries: u64, exits: u64) -> Option<u32> {
        let at = |stay: &Stay| (stay.entries + entries, stay.exits + exits);
        (0..20).find(|_| {
            let (entries, exits) = at(stay);
            stay.is_over(entries, exits)
        })
    }

    #[test]
    fn a_stay_is_over_if_l0_is_busy_and_l2_is_not_entered() {
        let mut stay = Stay::default();
        assert_eq!(over(&mut stay, 1, BUSY), None);
        assert_eq!(over(&mut stay, 0, BUSY - 1), None);
        assert_eq!(over(&mut stay, 0, BUSY), Some(LOOKS - 1));
        assert_eq!(over(&mut stay, 0, BUSY), Some(LOOKS_LATER - 1));
        assert_eq!(over(&mut stay, 1, BUSY), None);
    }
}
