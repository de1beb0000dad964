//! Known deviations of accesses through EPT.

use super::Deviation;
use crate::manual::paging::Access;
use crate::scene::Scene;
use crate::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, End, Ends, How, Word};
use crate::scene::ept::{During, QUALIFICATION_READ, QUALIFICATION_TRANSLATION, QUALIFICATION_WRITE};
use crate::scene::event::EventType;
use crate::scene::expect::BLOCKING_BY_NMI;
use crate::scene::place::Kind;

impl Deviation {
    /// What is seen on a host with the deviation where `want` must be, if it shows in the scene. Of `got` only what
    /// the deviation leaves open is taken.
    pub(super) fn ends_with_ept(self, scene: &Scene, want: &Ends, got: &Ends) -> Option<Ends> {
        let nested = scene.nested?;
        match self {
            Self::EptAdRead => each(want, None, |end, _| {
                let walk = QUALIFICATION_READ | QUALIFICATION_WRITE;
                let qualification = end.word(Word::Qualification);
                let differs = end.how == How::Exit(EXIT_EPT_VIOLATION)
                    && qualification & (walk | QUALIFICATION_TRANSLATION) == walk;
                differs.then(|| end.with(Word::Qualification, qualification & !QUALIFICATION_READ))
            }),
            Self::EptFlagWrite => {
                let reads_clean = nested.access == Access::Read
                    && nested.during == During::Instruction
                    && nested.guest.is_some_and(|(_, kind)| kind == Kind::CLEAN);
                let second = want.second.filter(|end| reads_clean && end.how == How::Done)?;
                (want.first.how == How::Exit(EXIT_EPT_VIOLATION)).then_some(Ends { first: second, second: None })
            }
            Self::EptMisconfigQual => each(want, Some(got), |end, got| {
                let seen = got.filter(|_| end.how == How::Exit(EXIT_EPT_MISCONFIGURATION))?;
                Some(end.with(Word::Qualification, seen.word(Word::Qualification)))
            }),
            Self::NmiOpen => {
                let nmi = scene.event.is_some_and(|event| event.kind == EventType::Nmi);
                each(want, None, |end, _| {
                    let exit = matches!(end.how, How::Exit(_));
                    let blocked = nmi && exit && end.word(Word::Interruptibility) == BLOCKING_BY_NMI;
                    blocked.then(|| end.with(Word::Interruptibility, 0))
                })
            }
            _ => None,
        }
    }
}

/// Both ends with the change that the deviation makes of them, if it makes one of either.
fn each(want: &Ends, got: Option<&Ends>, change: impl Fn(End, Option<End>) -> Option<End>) -> Option<Ends> {
    let first = change(want.first, got.map(|got| got.first));
    let second = want.second.and_then(|end| change(end, got.and_then(|got| got.second)));
    (first.is_some() || second.is_some())
        .then(|| Ends { first: first.unwrap_or(want.first), second: second.or(want.second) })
}

#[cfg(test)]
mod tests {
    use crate::catalogue::case::Case;
    use crate::deviation::{Deviation, Deviations};
    use crate::scene::end::{End, Ends, How, Word};
    use crate::walk::outcome::RFLAGS_RF;

    /// A case, and what must be seen in it.
    fn want(id: &str) -> (Case, Ends) {
        let case = Case::from_id(id).unwrap();
        let (environment, scene) = case.scene().expect(id);
        (case, scene.expect(environment, case.filter, 40))
    }

    /// Whether the deviation explains what `change` makes of what must be, with and without rf0.
    fn explains(deviation: Deviation, id: &str, change: impl Fn(Ends) -> Ends) -> bool {
        let (case, want) = want(id);
        let got = change(want);
        let known = Deviations::NONE.with(deviation);
        let found = known.explaining_scene(&case, 40, &want, &got) == Some(deviation);
        let rf_clear = got.map(End::with_rf_clear);
        let both = known.with(Deviation::Rf0).explaining_scene(&case, 40, &want, &rf_clear) == Some(deviation);
        assert_eq!(found, both, "{id}: together with rf0");
        assert_eq!(Deviations::NONE.explaining_scene(&case, 40, &want, &got), None);
        found
    }

    fn first(word: Word, change: impl Fn(u64) -> u64) -> impl Fn(Ends) -> Ends {
        move |ends| Ends { first: ends.first.with(word, change(ends.first.word(word))), ..ends }
    }

    #[test]
    fn ept_ad_read_explains_bit_0_of_walks() {
        let explains = |id: &str, change: &dyn Fn(Ends) -> Ends| explains(Deviation::EptAdRead, id, change);
        let bit_0 = first(Word::Qualification, |bits| bits & !1);
        assert!(explains("ept.long-ept-ad:read-pt:1,0,0", &bit_0));
        assert!(!explains("ept.long-ept:read-pt:1,0,0", &bit_0));
        assert!(!explains("ept.long-ept-ad:read-page:1,0,0", &bit_0));
        assert!(!explains("ept.long-ept-ad:read-pt:1,0,0", &first(Word::Qualification, |bits| bits & !2)));
        assert!(!explains("ept.long-ept-ad:read-pt:1,0,0", &first(Word::GuestPhysical, |_| 1)));
    }

    #[test]
    fn ept_flag_write_explains_a_read_that_completes() {
        let explains = |id: &str, change: &dyn Fn(Ends) -> Ends| explains(Deviation::EptFlagWrite, id, change);
        let completes = |ends: Ends| Ends { first: ends.second.unwrap(), second: None };
        assert!(explains("ept.long-ept:read-clean-pd:1,0,0", &completes));
        assert!(!explains("ept.long-ept:read-pd:1,0,0", &completes));
        assert!(!explains("ept.long-ept:read-clean-pd:1,0,0", &first(Word::Rax, |_| 7)));
    }

    #[test]
    fn ept_misconfig_qual_explains_the_qualification_of_misconfigurations() {
        let explains = |id: &str, change: &dyn Fn(Ends) -> Ends| explains(Deviation::EptMisconfigQual, id, change);
        let qualification = first(Word::Qualification, |_| 0x181);
        assert!(explains("ept.long-ept:read-page-rsvd:1,0,0", &qualification));
        assert!(explains("unpaged.real:read-ept-rsvd:1,0,0", &qualification));
        assert!(!explains("ept.long-ept:write-page-ro:1,0,0", &qualification));
        assert!(!explains("ept.long-ept:read-page-rsvd:1,0,0", &first(Word::GuestPhysical, |_| 1)));
        assert!(!explains("ept.long-ept:read-page-rsvd:1,0,0", &|ends| Ends {
            first: End { how: How::Exit(48), ..ends.first },
            ..ends
        }));
    }

    #[test]
    fn nmi_open_explains_nmis_that_are_not_blocked() {
        let explains = |id: &str, change: &dyn Fn(Ends) -> Ends| explains(Deviation::NmiOpen, id, change);
        assert!(explains("ept.long-ept:nmi-push:1,0,0", &first(Word::Interruptibility, |_| 0)));
        assert!(!explains("ept.long-ept:nmi-push:1,0,0", &first(Word::Interruptibility, |_| 1)));
        assert!(!explains("ept.long-ept:nmi-push:1,0,0", &first(Word::IdtInfo, |_| 0)));
    }

    #[test]
    fn rf_alone_is_rf0s() {
        let (case, want) = want("ept.long-ept:read-page:1,0,0");
        let got = Ends { first: want.first.with_rf_clear(), ..want };
        assert_ne!(want.first.word(Word::Rflags) & RFLAGS_RF, 0);
        let known = Deviations::NONE.with(Deviation::Rf0).with(Deviation::EptAdRead);
        assert_eq!(known.explaining_scene(&case, 40, &want, &got), Some(Deviation::Rf0));
    }
}
