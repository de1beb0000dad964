//! Known deviations of accesses through EPT.

use super::Deviation;
use crate::paging::Access;
use crate::scene::Scene;
use crate::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, End, Ends, How, Word};
use crate::scene::ept::{During, QUALIFICATION_READ, QUALIFICATION_TRANSLATION, QUALIFICATION_WRITE};
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
