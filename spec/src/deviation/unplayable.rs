//! Scenes that a host with a known deviation cannot play to an end: they would take the rest of the run with them.

use super::{Deviation, Deviations};
use crate::scene::Scene;
use crate::scene::end::{EXIT_TRIPLE_FAULT, Ends, How};

impl Deviations {
    /// The member with which a scene that must end like this has no end, so that it cannot be played.
    #[must_use]
    pub fn unplayable(self, scene: &Scene, want: &Ends) -> Option<Deviation> {
        let reserved = scene.pages.iter().any(|(_, kind)| kind.reserved);
        let triple =
            [Some(want.first), want.second].into_iter().flatten().any(|end| end.how == How::Exit(EXIT_TRIPLE_FAULT));
        let applies = |deviation: &Deviation| match deviation {
            Deviation::RsvdHang => scene.event.is_some() && reserved,
            Deviation::TripleKill => triple,
            _ => false,
        };
        self.iter().find(applies)
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Case, Probe};
    use crate::deviation::{Deviation, Deviations};
    use crate::group::Group;

    fn unplayable(known: Deviations, id: &str) -> Option<Deviation> {
        let case = Case::from_id(id).unwrap();
        match (case.group, case.probe) {
            (Group::Scene { environment, .. }, Probe::Scene(scene)) => {
                known.unplayable(scene, &scene.expect(environment, case.filter, 40))
            }
            _ => panic!("{id} is no scene"),
        }
    }

    #[test]
    fn what_would_hang_or_kill_the_guest_is_not_played() {
        let (hang, kill) = (Deviation::RsvdHang, Deviation::TripleKill);
        for (known, id, kept) in [
            (hang, "event.long:int-idt-rsvd:1,0,0", true),
            (hang, "event.long:int-idt-np:1,0,0", false),
            (kill, "event.long:int-idt-rsvd:1,0,0", false),
            (kill, "forced.long:mov-ds:1,0,ffffffff", true),
            (kill, "forced.long:mov-ds:1,0,0", false),
            (hang, "forced.long:mov-ds:1,0,ffffffff", false),
        ] {
            assert_eq!(unplayable(Deviations::NONE.with(known), id), kept.then_some(known), "{known:?} {id}");
            assert_eq!(unplayable(Deviations::NONE, id), None);
        }
    }
}
