//! Scenes that a host with a known deviation cannot play to an end: they would take the rest of the run with them.

use core::iter;

use super::{Deviation, Deviations};
use crate::catalogue::case::Case;
use crate::manual::paging::Maxphyaddr;
use crate::scene::Unwanted;
use crate::scene::end::{EXIT_TRIPLE_FAULT, Ends, How};
use crate::scene::environment::Width;
use crate::scene::event::EventType::{ExternalInterrupt, Nmi, SoftwareInterrupt};
use crate::scene::expect::VECTOR_DF;

/// INVLPG of what RDI points to.
const INVLPG: [u8; 3] = [0x0f, 0x01, 0x3f];

/// The deviations that have such scenes.
const UNPLAYABLE: Deviations = Deviations::NONE
    .with(Deviation::PaeInvlpg)
    .with(Deviation::RsvdHang)
    .with(Deviation::TripleKill)
    .with(Deviation::DeliveryHang);

impl Deviations {
    /// The member with which a scene that must end like this has no end, so that it cannot be played.
    #[must_use]
    pub fn unplayable(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends) -> Option<Deviation> {
        if self.is_disjoint(UNPLAYABLE) {
            return None;
        }
        let (environment, scene) = case.scene()?;
        let narrow = environment.width == Width::Bits32;
        let pfec = case.pfec(maxphyaddr);
        let event = scene.event.filter(|_| pfec.is_some());
        let reserved = scene.pages.iter().any(|(_, kind)| kind.reserved);
        let mut ends = iter::once(&want.first).chain(&want.second);
        let triple = ends.any(|end| end.how == How::Exit(EXIT_TRIPLE_FAULT));
        let applies = |deviation: &Deviation| match deviation {
            Deviation::PaeInvlpg => narrow && scene.code.windows(INVLPG.len()).any(|code| code == INVLPG),
            Deviation::RsvdHang => scene.event.is_some() && reserved,
            // Where a fault in the delivery of another is queued before L1's filter is looked at, it is joined with that
            // even if it is wanted.
            Deviation::TripleKill => {
                let double = event.is_some_and(|event| event.vector == VECTOR_DF && event.is_fault());
                let joined = scene.first.is_some() || event.is_some_and(|event| event.is_fault());
                let becomes_triple = double || joined && scene.unwanted == Unwanted::TripleFault;
                triple || becomes_triple && self.contains(Deviation::DoubleFirst)
            }
            // The same: also what is wanted waits.
            Deviation::DeliveryHang => {
                let interrupt =
                    event.is_some_and(|event| matches!(event.kind, ExternalInterrupt | Nmi | SoftwareInterrupt));
                let wanted = pfec.is_some_and(|pfec| case.filter.exits(pfec));
                interrupt && (!wanted || self.contains(Deviation::IdtLost))
            }
            _ => false,
        };
        self.iter().find(applies)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::case::Case;
    use crate::deviation::{Deviation, Deviations};

    fn unplayable(known: Deviations, id: &str) -> Option<Deviation> {
        let case = Case::from_id(id).unwrap();
        let (environment, scene) = case.scene().expect(id);
        known.unplayable(&case, 40, &scene.expect(environment, case.filter, 40))
    }

    #[test]
    fn what_would_hang_or_kill_the_guest_is_not_played() {
        use Deviation::{DeliveryHang, DoubleFirst, IdtLost, PaeInvlpg, RsvdHang, TripleKill};
        for (known, with, id, kept) in [
            (RsvdHang, None, "event.long:int-idt-rsvd:1,0,0", true),
            (RsvdHang, None, "event.long:int-idt-np:1,0,0", false),
            (PaeInvlpg, None, "tlb.pae:pdpte-np-not-loaded:1,0,0", true),
            (PaeInvlpg, None, "tlb.pae-ept:invlpg-np:1,0,0", true),
            (PaeInvlpg, None, "tlb.pae:pdpte-np:1,0,0", false),
            (PaeInvlpg, None, "tlb.long:invlpg-np:1,0,0", false),
            (TripleKill, None, "event.long:int-idt-rsvd:1,0,0", false),
            (TripleKill, None, "forced.long:mov-ds:1,0,ffffffff", true),
            (TripleKill, None, "forced.long:mov-ds:1,0,0", false),
            (TripleKill, None, "inject.long:df-stack-np:1,0,0", false),
            (TripleKill, Some(DoubleFirst), "inject.long:df-stack-np:1,0,0", true),
            (TripleKill, Some(DoubleFirst), "inject.long:pf-triple:1,0,0", true),
            (TripleKill, Some(DoubleFirst), "event.long:pf-triple:1,4,0", true),
            (TripleKill, Some(DoubleFirst), "forced.long:mov-ds:1,0,0", false),
            (RsvdHang, None, "forced.long:mov-ds:1,0,ffffffff", false),
            (DeliveryHang, None, "event.long:int-idt-np:1,0,ffffffff", true),
            (DeliveryHang, None, "event.long:nmi-idt-np:1,0,ffffffff", true),
            (DeliveryHang, None, "event.long:int-idt-np:1,0,0", false),
            (DeliveryHang, Some(IdtLost), "event.long:int-idt-np:1,0,0", true),
            (DeliveryHang, Some(IdtLost), "event.long:int:1,0,0", false),
            (DeliveryHang, Some(IdtLost), "event.long:int3-idt-np:1,0,0", false),
        ] {
            let set = with.map_or(Deviations::NONE, |with| Deviations::NONE.with(with)).with(known);
            assert_eq!(unplayable(set, id), kept.then_some(known), "{known:?} {id}");
            assert_eq!(unplayable(Deviations::NONE, id), None);
        }
    }
}
