//! Known deviations in event delivery and in the state that exits save.

use super::Deviation;
use crate::catalogue::case::Case;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::scene::end::{End, Ends, How, Word};
use crate::scene::event::{Event, EventType, Source};
use crate::scene::expect::{
    BLOCKING_BY_MOV_SS, BLOCKING_BY_NMI, BLOCKING_BY_STI, CR2_AT_START, DR6_BS, NMI_UNBLOCKED, VECTOR_PF,
};
use crate::scene::{Answer, Scene};
use crate::walk::outcome::{RFLAGS_RF, RFLAGS_TF};

/// Interruption information of a #DB: valid, hardware exception, vector 1.
const INTERRUPTION_INFO_DB: u64 = 1 << 31 | 3 << 8 | 1;
const VECTOR_DB: u8 = 1;
/// IRETQ.
const IRETQ: [u8; 2] = [0x48, 0xcf];

/// The end with a word changed, if it is fixed.
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
fn changed(end: End, word: Word, change: impl Fn(u64) -> u64) -> End {
    if end.fixed & word.bit() == 0 { end } else { end.with(word, change(end.word(word))) }
}

impl Deviation {
    /// What is seen on a host with the deviation where `want` must be, if it shows in the scene. `got` decides between
    /// the forms of one that has two.
    pub(super) fn ends_in_event(self, scene: &Scene, want: &Ends, got: &Ends) -> Option<Ends> {
        let exits = matches!(want.first.how, How::Exit(_));
        let event = scene.event.map(|event| (event.source, event.kind));
        let first = match self {
            Self::ShadowLost if exits && scene.pending.is_none() => {
                let end = changed(want.first, Word::Interruptibility, |state| {
                    state & !(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)
                });
                changed(end, Word::PendingDebug, |_| 0)
            }
            // L0 handled an exit of the instruction that blocked an interrupt: that comes before it.
            Self::ShadowLost if scene.pending.is_some() && scene.interruptibility != 0 => {
                return Some(want.map(|end| early(scene, end)));
            }
            Self::NmiKept if exits && scene.code == IRETQ && scene.pins != 0 => {
                changed(want.first, Word::Info, |info| info | NMI_UNBLOCKED)
            }
            // Also where its delivery meets a fault that L1 does not want, unless Bochs before 2.8 keeps NMIs blocked.
            Self::NmiOpen
                if scene.event.is_some_and(|event| {
                    let faults = exits || want.first.how != How::Delivered(event.vector) && !is_blocked(&got.first);
                    event.kind == EventType::Nmi && faults
                }) =>
            {
                changed(want.first, Word::Interruptibility, |state| state & !BLOCKING_BY_NMI)
            }
            Self::IretReblocked if scene.nmi_unblocked => {
                // In either play or in both: not where L0 handled an exit of the IRET before.
                return Some(as_seen(want, got, blocked_as));
            }
            Self::IretUnreported if exits && scene.nmi_unblocked => {
                return Some(want.map(unreported));
            }
            // NMIs are blocked again or not, as in iret-reblocked.
            Self::IretUntold if exits && scene.nmi_unblocked => {
                return Some(as_seen(want, got, |end, seen| {
                    let told = seen.word(Word::Info) & NMI_UNBLOCKED != 0;
                    let end = changed(end, Word::Info, |info| if told { info } else { info & !NMI_UNBLOCKED });
                    blocked_as(end, seen)
                }));
            }
            Self::NmiExiting if scene.code == IRETQ && scene.pins != 0 => {
                changed(want.first, Word::Interruptibility, |state| state & !BLOCKING_BY_NMI)
            }
            Self::NmiBit12 if exits && is_blocked(&want.first) => {
                changed(want.first, Word::Info, |info| info | NMI_UNBLOCKED)
            }
            Self::Int1Db if event == Some((Source::Raised, EventType::PrivilegedSoftwareException)) => {
                let length = scene.event.map_or(0, |event| event.length);
                let end = changed(want.first, Word::IdtInfo, |_| INTERRUPTION_INFO_DB).open(Word::Length);
                match end.how {
                    // Its frame is as it must be: INT1 is a trap either way.
                    How::Delivered(VECTOR_DB) => end,
                    _ => changed(end, Word::Rip, |rip| rip + length),
                }
            }
            Self::Int1Lost if event == Some((Source::Injected, EventType::PrivilegedSoftwareException)) => {
                let done = End::new(How::Done).with(Word::Rip, scene.rip);
                if got.first.how == How::Done {
                    return Some(Ends { first: done, second: None });
                }
                let first = changed(want.first, Word::IdtInfo, |_| 0).open(Word::Length);
                return exits.then_some(Ends { first, second: want.second.map(|_| done) });
            }
            Self::IdtLost if exits && is_exception(scene) => {
                let first = without_vectoring(scene, want.first);
                // Of a single step that came early, see step-early.
                let is_early = scene.rflags & RFLAGS_TF != 0 && got.first.word(Word::Rip) == scene.rip;
                let first = if is_early { early(scene, first) } else { first };
                // L1 has nothing to inject again. Where RIP is behind what raised the exception, that does not come again.
                let behind = scene.rip + scene.code.len() as u64;
                let done = (first.word(Word::Rip) == behind).then(|| End::new(How::Done).with(Word::Rip, behind));
                return Some(Ends { first, second: want.second.map(|again| done.unwrap_or(again)) });
            }
            _ => return None,
        };
        Some(Ends { first, ..*want })
    }

    /// The same of a single step that comes before the instruction.
    pub(super) fn ends_in_step(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends) -> Option<Ends> {
        let (environment, scene) = case.scene()?;
        if self != Self::StepEarly || scene.rflags & RFLAGS_TF == 0 {
            return None;
        }
        if scene.event.is_some_and(|event| event.vector == VECTOR_DB) {
            return Some(want.map(|end| early(scene, end)));
        }
        scene.pfec(environment, maxphyaddr)?;
        // As the delivered fault, which comes at the same instruction.
        let fault = scene.expect(environment, Filter::NEVER, maxphyaddr).first;
        let step = End { how: How::Delivered(VECTOR_DB), ..fault };
        let step = changed(step, Word::Dr6, |dr6| dr6 | DR6_BS).with(Word::Cr2, CR2_AT_START).open(Word::ErrorCode);
        Some(Ends { first: changed(step, Word::Rflags, |rflags| rflags & !RFLAGS_RF), second: None })
    }

    /// The same where one page fault comes in the delivery of another, which the instruction raises or L1 injects: what
    /// comes of the second is as if it were not wanted.
    pub(super) fn ends_in_two(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) -> Option<Ends> {
        let (environment, scene) = case.scene()?;
        if self != Self::DoubleFirst || scene.pfec(environment, maxphyaddr).is_none() {
            return None;
        }
        let first = scene.first_pfec(environment, maxphyaddr);
        let injected = scene.event.is_some_and(|event| event.vector == VECTOR_PF && event.is_fault());
        let unwanted = scene.expect(environment, Filter::NEVER, maxphyaddr).first;
        if injected || first.is_some_and(|pfec| !case.filter.exits(pfec)) {
            // If an exit was to come and one came, L1 entered L2 again, with nothing to inject: the same comes again.
            return Some(Ends { first: unwanted, second: got.second.map(|_| unwanted) });
        }
        (first.is_some() && scene.answer == Answer::Reflect).then_some(Ends { second: Some(unwanted), ..*want })
    }
}

/// The end with RIP at the instruction: what was to come behind it came before.
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
fn early(scene: &Scene, end: End) -> End {
    changed(end, Word::Rip, |_| scene.rip)
}

/// The ends that must be, each with what a change takes from the one that was seen.
fn as_seen(want: &Ends, got: &Ends, change: impl Fn(End, &End) -> End) -> Ends {
    let second = want.second.zip(got.second).map(|(end, seen)| change(end, &seen));
    Ends { first: change(want.first, &got.first), second }
}

/// The end of an IRET that unblocked NMIs, with NMIs blocked again if they were seen so.
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
fn blocked_as(end: End, seen: &End) -> End {
    if is_blocked(seen) { reblocked(end) } else { end }
}

/// Whether NMIs are blocked at an end.
pub(super) fn is_blocked(seen: &End) -> bool {
    seen.word(Word::Interruptibility) & BLOCKING_BY_NMI != 0
}

/// The end of an IRET that unblocked NMIs, with NMIs blocked again.
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
fn reblocked(end: End) -> End {
    changed(end, Word::Interruptibility, |state| state | BLOCKING_BY_NMI)
}

/// The same, and an exit does not say that it unblocked them.
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
fn unreported(end: End) -> End {
    reblocked(changed(end, Word::Info, |info| info & !NMI_UNBLOCKED))
}

/// Whether a fault comes in the delivery of an exception.
pub(super) fn is_exception(scene: &Scene) -> bool {
    use EventType::{HardwareException, PrivilegedSoftwareException, SoftwareException};
    let exception = |kind| matches!(kind, HardwareException | PrivilegedSoftwareException | SoftwareException);
    scene.event.is_some_and(|event| exception(event.kind))
}

/// An exit without the exception in whose delivery it came. INT1 is done by then, see [`Deviation::Int1Db`].
#[expect(clippy::large_types_passed_by_value, reason = "as the builder methods of ends")]
pub(super) fn without_vectoring(scene: &Scene, end: End) -> End {
    let end = changed(end, Word::IdtInfo, |_| 0).open(Word::Length).open(Word::IdtError);
    match scene.event {
        Some(Event { source: Source::Raised, kind: EventType::PrivilegedSoftwareException, length, .. }) => {
            changed(end, Word::Rip, |rip| rip + length)
        }
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::{CR2_AT_START, Filter, RFLAGS_TF, VECTOR_DB};
    use crate::catalogue::case::Case;
    use crate::deviation::{Deviation, Deviations};
    use crate::scene::Scene;
    use crate::scene::end::{End, Ends, How, Word};

    /// A case, its scene, and what must be seen.
    fn want(id: &str) -> (Case, &'static Scene, Ends) {
        let case = Case::from_id(id).unwrap();
        let (environment, scene) = case.scene().expect(id);
        (case, scene, scene.expect(environment, case.filter, 40))
    }

    fn explains(deviation: Deviation, id: &str, words: &[(Word, u64)]) -> bool {
        let (case, _, want) = want(id);
        let first = words.iter().fold(want.first, |end, (word, value)| end.with(*word, *value));
        let got = Ends { first, ..want };
        let explaining = |known: Deviations| known.explaining_scene(&case, 40, &want, &got) == Some(deviation);
        let known = Deviations::NONE.with(deviation);
        let with_rf0 = Ends { first: first.with_rf_clear(), second: want.second.map(End::with_rf_clear) };
        assert_eq!(
            explaining(known),
            known.with(Deviation::Rf0).explaining_scene(&case, 40, &want, &with_rf0) == Some(deviation),
            "{id}"
        );
        !want.admits(&got) && explaining(known) && !explaining(Deviations::NONE)
    }

    #[test]
    fn step_early_explains_a_debug_exception_before_the_instruction() {
        let known = Deviations::NONE.with(Deviation::StepEarly);
        let explained = |id: &str, dr6: u64| {
            let case = Case::from_id(id).unwrap();
            let (environment, scene) = case.scene().expect(id);
            let want = scene.expect(environment, case.filter, 40);
            let fault = scene.expect(environment, Filter::NEVER, 40).first;
            let step = End { how: How::Delivered(VECTOR_DB), ..fault };
            let step = step.with(Word::Dr6, dr6).with(Word::Cr2, CR2_AT_START).with(Word::Rflags, RFLAGS_TF | 2);
            known.explaining_scene(&case, 40, &want, &Ends { first: step, second: None }).is_some()
        };
        assert!(explained("state.long-ept:tf:1,0,0", 0xffff_4ff0));
        assert!(explained("state.long-ept:tf:1,0,ffffffff", 0xffff_4ff0));
        assert!(!explained("state.long-ept:tf:1,0,0", 0xffff_0ff0));
        assert!(!explained("state.long-ept:sti:1,0,0", 0xffff_4ff0));
    }

    const INTR: Word = Word::Interruptibility;

    #[test]
    fn deviations_explain_their_words_in_their_scenes_alone() {
        for (deviation, id, words, explained) in [
            (Deviation::ShadowLost, "state.long:sti:1,0,0", &[(INTR, 0)][..], true),
            (Deviation::ShadowLost, "state.long:tf-mov-ss:1,0,0", &[(INTR, 0), (Word::PendingDebug, 0)], true),
            (Deviation::ShadowLost, "state.long:sti:1,0,0", &[(INTR, 2)], false),
            (Deviation::ShadowLost, "state.long:nmi-blocked:1,0,0", &[(INTR, 0)], false),
            (Deviation::ShadowLost, "event.long:apic-extint-sti:1,1,0", &[(Word::Rip, crate::scene::RIP)], true),
            (Deviation::ShadowLost, "event.long:apic-extint-sti:1,1,0", &[(Word::Rip, 0)], false),
            (Deviation::StepEarly, "event.long-ept:step:1,0,0", &[(Word::Rip, crate::scene::RIP)], true),
            (Deviation::StepEarly, "event.long-ept:int1:1,0,0", &[(Word::Rip, crate::scene::RIP)], false),
            (Deviation::NmiKept, "state.long:iret-virtual:1,0,0", &[(Word::Info, 0x8000_1b0e)], true),
            (Deviation::NmiKept, "state.long:sti:1,0,0", &[(Word::Info, 0x8000_1b0e)], false),
            (Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,0", &[(INTR, 0)], true),
            (Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,0", &[(INTR, 0), (Word::IdtInfo, 0)], false),
            (Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,ffffffff", &[(INTR, 0)], true),
            (Deviation::NmiOpen, "event.long:nmi:1,0,ffffffff", &[(INTR, 0)], false),
            (Deviation::IretReblocked, "state.long:iret-unblocks:1,0,0", &[(INTR, 8)], true),
            (Deviation::IretReblocked, "state.long:iret-unblocks:1,0,ffffffff", &[(INTR, 8)], true),
            (Deviation::IretReblocked, "state.long:iret:1,0,0", &[(INTR, 8)], false),
            (
                Deviation::IretUnreported,
                "state.long:iret-unblocks:1,0,0",
                &[(Word::Info, 0x8000_0b0e), (INTR, 8)],
                true,
            ),
            (Deviation::IretUnreported, "state.long:iret-unblocks:1,0,0", &[(Word::Info, 0x8000_0b0e)], false),
            (Deviation::IretUntold, "state.long:iret-unblocks:1,0,0", &[(Word::Info, 0x8000_0b0e), (INTR, 8)], true),
            (Deviation::IretUntold, "state.long:iret-unblocks:1,0,0", &[(Word::Info, 0x8000_0b0e)], true),
            (
                Deviation::IretUntold,
                "state.long:iret-unblocks:1,0,0",
                &[(Word::Info, 0x8000_0b0e), (Word::Cr2, 1)],
                false,
            ),
            (Deviation::IretUntold, "state.long:sti:1,0,0", &[(Word::Info, 0x8000_0b06)], false),
            (Deviation::NmiExiting, "state.long:iret-nmi-exiting:1,0,ffffffff", &[(INTR, 0)], true),
            (Deviation::NmiExiting, "state.long:nmi-blocked:1,0,0", &[(INTR, 0)], false),
            (Deviation::NmiBit12, "state.long:nmi-blocked:1,0,0", &[(Word::Info, 0x8000_1b0e)], true),
            (Deviation::NmiBit12, "state.long:iret:1,0,0", &[(Word::Info, 0x8000_1b0e)], false),
            (
                Deviation::Int1Db,
                "event.long:int1-idt-np:1,0,0",
                &[(Word::IdtInfo, 0x8000_0301), (Word::Length, 0), (Word::Rip, crate::scene::RIP + 1)],
                true,
            ),
            (Deviation::Int1Db, "event.long:int1-idt-np:1,0,ffffffff", &[(Word::Rip, crate::scene::RIP + 1)], true),
            (Deviation::Int1Db, "event.long:int1-idt-np:1,0,0", &[(Word::IdtInfo, 0)], false),
            (Deviation::IdtLost, "event.long:int3-idt-np:1,0,0", &[(Word::IdtInfo, 0)], true),
            (Deviation::IdtLost, "event.long:int3-idt-np:1,0,0", &[(Word::IdtInfo, 0), (Word::Rip, 0)], false),
            (
                Deviation::IdtLost,
                "event.long:step-idt-np:1,0,0",
                &[(Word::IdtInfo, 0), (Word::Rip, crate::scene::RIP)],
                true,
            ),
            (Deviation::IdtLost, "event.long:gp-idt-np:1,0,0", &[(Word::IdtInfo, 0), (Word::IdtError, 0)], true),
            (Deviation::IdtLost, "event.long:int-idt-np:1,0,0", &[(Word::IdtInfo, 0)], false),
            (Deviation::Int1Db, "event.long:int3-idt-np:1,0,ffffffff", &[(Word::Rip, crate::scene::RIP + 1)], false),
        ] {
            assert_eq!(explains(deviation, id, words), explained, "{deviation:?} {id} {words:x?}");
        }
    }

    #[test]
    fn int1_lost_explains_that_nothing_came_of_it() {
        let known = Deviations::NONE.with(Deviation::Int1Lost);
        let explained = |id: &str, got: fn(Ends, End) -> Ends| {
            let (case, scene, want) = want(id);
            let done = End::new(How::Done).with(Word::Rip, scene.rip);
            known.explaining_scene(&case, 40, &want, &got(want, done)) == Some(Deviation::Int1Lost)
        };
        let alone: fn(Ends, End) -> Ends = |_, done| Ends { first: done, second: None };
        assert!(explained("inject.long:int1:1,0,0", alone));
        assert!(explained("inject.long:int1-idt-np:1,0,0", alone));
        assert!(!explained("inject.long:int3:1,0,0", alone));
        let behind: fn(Ends, End) -> Ends =
            |want, done| Ends { first: want.first.with(Word::IdtInfo, 0), second: Some(done) };
        assert!(explained("inject.long:int1-idt-np:1,0,0", behind));
        assert!(!explained("inject.long:int3-idt-np:1,0,0", behind));
    }
}
