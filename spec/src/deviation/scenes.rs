//! Known deviations in scenes.

use super::event::{is_blocked, is_exception, without_vectoring};
use super::{Deviation, Deviations};
use crate::catalogue::case::Case;
use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Maxphyaddr, Privilege};
use crate::manual::pfec::Pfec;
use crate::scene::descriptor::gate_address;
use crate::scene::end::{EXIT_EXCEPTION, End, Ends, How, Word};
use crate::scene::environment::Environment;
use crate::scene::event::Sender;
use crate::scene::expect::{CR2_AT_START, NMI_UNBLOCKED, VECTOR_PF, selectors};
use crate::scene::interlude::Interlude;
use crate::scene::invalidation::Invalidation;
use crate::scene::place::Place;
use crate::scene::{Answer, Fault, Feature, KeysApplied, Scene, Unwanted};

/// RFLAGS.CF, PF, AF, ZF, SF and OF: what a comparison sets. SDM vol. 1, section 3.4.3.1, "Status Flags".
const STATUS_FLAGS: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 11;
/// The rights of key 0 in PKRU.
const KEY_0: u32 = 3;
/// The vector of #UD.
const VECTOR_UD: u8 = 6;
/// Opcodes of CMPS and SCAS.
const COMPARISONS: [u8; 4] = [0xa6, 0xa7, 0xae, 0xaf];
/// Opcodes of INS with elements of more than a byte.
const INS: u8 = 0x6d;
/// CALL RAX.
const CALL_RAX: &[u8] = &[0xff, 0xd0];
const RET: &[u8] = &[0xc3];
/// MOV of EAX to where RDI points.
const MOV_TO_RDI: [u8; 2] = [0x89, 0x07];

impl Deviations {
    /// The member that makes the difference between how a scene must end and how it did, if one does. On a host with
    /// [`Deviation::Rf0`] the others may come together with it, and where a fault exits against the filter, what is
    /// reported of it may be wrong in another way.
    #[must_use]
    pub fn explaining_scene(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) -> Option<Deviation> {
        if self.contains(Deviation::Rf0) && want.admits_with_rf_clear(got) {
            return Some(Deviation::Rf0);
        }
        let emulated = self.contains(Deviation::RfEmulated) && Deviation::RfEmulated.shows_in(case.group);
        let rf_clear = emulated || self.contains(Deviation::Rf0);
        let admits = |ends: Ends| {
            // Where L1 did not see the exit that its answer needs there is no second end.
            let ends = Ends { second: ends.second.filter(|_| got.second.is_some()), ..ends };
            ends.admits(got) || rf_clear && ends.admits_with_rf_clear(got)
        };
        let single = self.iter().find(|deviation| deviation.ends(case, maxphyaddr, want, got).is_some_and(admits));
        single.or_else(|| {
            let unfiltered = |deviation: &Deviation| matches!(deviation, Deviation::ApfFlag | Deviation::ApfEmulated);
            self.iter().filter(unfiltered).find(|deviation| {
                let exit = deviation.ends(case, maxphyaddr, want, got);
                let as_exit = Case { filter: Filter::ALWAYS, ..*case };
                exit.is_some_and(|exit| {
                    self.iter().any(|other| other.ends(&as_exit, maxphyaddr, &exit, got).is_some_and(admits))
                })
            })
        })
    }
}

impl Deviation {
    /// What is seen on a host with the deviation where `want` must be, if it shows in the scene. Of `got` only what
    /// the deviation leaves open is taken.
    pub(super) fn ends(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) -> Option<Ends> {
        let (_, scene) = case.scene()?;
        self.ends_of(case, maxphyaddr, want, got)
            .or_else(|| self.ends_with_ept(scene, want, got))
            .or_else(|| self.ends_in_event(scene, want, got))
            .or_else(|| self.ends_in_two(case, maxphyaddr, want, got))
            .or_else(|| self.ends_in_step(case, maxphyaddr, want))
    }

    /// The same of those that have no module of their own.
    fn ends_of(self, case: &Case, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) -> Option<Ends> {
        let (environment, scene) = case.scene()?;
        let opcode = scene.code.last().copied().unwrap_or_default();
        let repeats = scene.code.len() > 1 && scene.fault.is_some();
        let first = match self {
            Self::RfEmulated if self.shows_in(case.group) => {
                return Some(want.map(End::with_rf_clear));
            }
            Self::RepFlags if repeats && COMPARISONS.contains(&opcode) => {
                let flags = got.first.word(Word::Rflags) & STATUS_FLAGS;
                want.first.with(Word::Rflags, want.first.word(Word::Rflags) & !STATUS_FLAGS | flags)
            }
            Self::InsBatch if repeats && opcode == INS => [Word::Rcx, Word::Rdi]
                .into_iter()
                .fold(want.first, |end, word| end.with(word, scene.register_at(word as usize))),
            Self::CrossWrite if scene.code.ends_with(&MOV_TO_RDI) => {
                let (fault, watch) = (scene.fault?, scene.watch?);
                let rdi = scene.register_at(Word::Rdi as usize);
                if rdi <= watch || rdi >= fault.address || watch + 8 != fault.address {
                    return None;
                }
                let before = (1 << (8 * (rdi - watch))) - 1;
                let written = scene.register_at(Word::Rax as usize) << (8 * (rdi - watch));
                want.first.with(Word::Memory, want.first.word(Word::Memory) & before | written)
            }
            Self::PkeyAccess if scene.needs == Some(Feature::Pku) => {
                return Some(with_keys(scene, KeysApplied::ByAccess).expect(environment, case.filter, maxphyaddr));
            }
            Self::PkruAlone if self.shows_in(case.group) => {
                return Some(with_keys(scene, KeysApplied::PkruAlone).expect(environment, case.filter, maxphyaddr));
            }
            Self::RsvdUd if got.first.how == How::Delivered(VECTOR_UD) => {
                let fault = scene.fault.filter(|fault| fault.privilege != scene.cpl)?;
                let reserved = scene.pfec(environment, maxphyaddr)?.contains(Pfec::RSVD);
                return (reserved && fault.rip.is_none()).then(|| undefined(environment, scene));
            }
            Self::UcetLost if scene.shadow => {
                return without_shadow_stack(environment, scene, case.filter);
            }
            Self::NmiBlocked if matches!(want.first.how, How::Exit(_)) => {
                want.first.with(Word::Info, want.first.word(Word::Info) | NMI_UNBLOCKED)
            }
            Self::ApfFlag | Self::ApfEmulated if self.shows_in(case.group) => {
                return unfiltered(case, maxphyaddr, want, got);
            }
            // What L2 writes to its local APIC goes to memory, so that nothing arrives.
            Self::ApicPrefetch if scene.pending.is_some_and(|pending| pending.by == Sender::Guest) => {
                let silent = Scene { event: None, pending: None, first: None, fault: None, at_end: &[], ..*scene };
                return Some(Ends { second: None, ..silent.expect(environment, case.filter, maxphyaddr) });
            }
            // The access goes where it went before.
            Self::PgdUnsynced if scene.answer == Answer::Spoil(Invalidation::Entry) => {
                let again = scene.expect_pfec(environment, case.filter, None).second;
                return Some(Ends { second: again, ..*want });
            }
            Self::LegacyId if self.shows_in(case.group) && scene.fault?.access == Access::Fetch => {
                let with_id = scene.pfec(environment, maxphyaddr).map(|pfec| pfec | Pfec::ID);
                return Some(scene.expect_pfec(environment, case.filter, with_id));
            }
            _ => return None,
        };
        Some(Ends { first, ..*want })
    }
}

/// #UD delivered in place of the scene's fault: as that would be, but for vector, error code and CR2.
fn undefined(environment: &Environment, scene: &Scene) -> Ends {
    let fault = scene.expect_pfec(environment, Filter::NEVER, Some(Pfec::empty())).first;
    let undefined = End { how: How::Delivered(VECTOR_UD), ..fault.open(Word::ErrorCode) };
    Ends { first: undefined.with(Word::Cr2, CR2_AT_START), second: None }
}

/// How a scene with a shadow-stack access ends where there is no shadow stack.
fn without_shadow_stack(environment: &Environment, scene: &Scene, filter: Filter) -> Option<Ends> {
    let moved: fn(u64, u64) -> u64 = match scene.code {
        CALL_RAX => u64::wrapping_sub,
        RET => u64::wrapping_add,
        // INCSSP.
        _ => return Some(undefined(environment, scene)),
    };
    let rsp = moved(scene.rsp?, 8);
    let plain = Scene { fault: None, shadow: false, ..*scene };
    Some(plain.expect_pfec(environment, filter, None).map(|end| end.with(Word::Rsp, rsp)))
}

/// The scene on a host that applies protection keys in another way.
fn with_keys(scene: &Scene, keys_applied: KeysApplied) -> Scene {
    // Where the access is allowed, what it reads or writes is not foreseen.
    let open = scene.open | Word::Rax.bit() | Word::Memory.bit();
    let keyed = scene.pages.iter().find(|(_, kind)| kind.key != 0).map(|(place, _)| *place);
    // An access that the manual allows is to the page that has a key.
    let fault = scene.fault.or_else(|| {
        let (address, privilege) = match keyed? {
            // The descriptor of the selector in RAX.
            Place::Gdt => (Place::Gdt.linear() + (scene.register_at(Word::Rax as usize) & !7), Privilege::Supervisor),
            _ => (scene.register_at(Word::Rdi as usize), scene.cpl),
        };
        let access = if scene.watch.is_some() { Access::Write } else { Access::Read };
        Some(Fault { address, access, privilege, rip: None })
    });
    let with_keys = Scene { fault, keys_applied, open, ..*scene };
    if keys_applied != KeysApplied::PkruAlone || scene.needs != Some(Feature::Pku) {
        return with_keys;
    }
    // Key 0 is that of all other pages, the IDT's among them; without a handler's code segment nothing is delivered either.
    let in_delivery = match keyed {
        _ if scene.keys & KEY_0 != 0 => gate_address(VECTOR_PF, true),
        Some(Place::Gdt) => Place::Gdt.linear() + selectors(Privilege::Supervisor).0,
        _ => return with_keys,
    };
    let second = Fault { address: in_delivery, access: Access::Read, privilege: Privilege::Supervisor, rip: None };
    Scene { first: fault, fault: Some(second), unwanted: Unwanted::TripleFault, ..with_keys }
}

/// An exit of a fault that the filter does not want: all that is reported is right but that it is one, and that an
/// exception under delivery is replaced by the fault. Of two plays either may end so.
fn unfiltered(case: &Case, maxphyaddr: Maxphyaddr, want: &Ends, got: &Ends) -> Option<Ends> {
    let (environment, scene) = case.scene()?;
    let own = scene.pfec(environment, maxphyaddr);
    let pfec = if scene.first.is_some() { scene.first_pfec(environment, maxphyaddr) } else { own }?;
    // With EPT in it, the fault may be what L2 meets when L1 has dealt with an EPT violation.
    let exit = if scene.first.is_some() || scene.nested.is_some() {
        scene.expect(environment, Filter::ALWAYS, maxphyaddr)
    } else {
        scene.expect_pfec(environment, Filter::ALWAYS, own)
    };
    let filter = match (scene.answer, got.second) {
        (Answer::Again(interlude), None) => scene.first_filter(interlude, case.filter, own),
        (Answer::Again(interlude), Some(_)) => Scene::second_filter(interlude, case.filter),
        _ => case.filter,
    };
    if filter.exits(pfec) {
        // The play on the other VMCS, whose filter does not want the fault, came out wrong.
        let on_other = scene.answer == Answer::Again(Interlude::OtherVmcs) && got.second.is_none();
        return on_other.then_some(Ends { second: None, ..*want });
    }
    let exit = match exit.second {
        Some(second) if exit.first.how != How::Exit(EXIT_EXCEPTION) => second,
        _ => exit.first,
    };
    let exit = if is_exception(scene) { without_vectoring(scene, exit) } else { exit };
    // KVM 5.10 with ept=0 queues no other fault that exits, so that of nmi-bit12 it has this form alone.
    let seen = got.second.unwrap_or(got.first).word(Word::Info) & NMI_UNBLOCKED;
    let exit = if is_blocked(&exit) { exit.with(Word::Info, exit.word(Word::Info) | seen) } else { exit };
    let in_place_of = |end: &End| {
        let fields = [Word::Bitmap, Word::Mask, Word::Match];
        let fixed = fields.into_iter().filter(|word| end.fixed & word.bit() != 0);
        let exit = fixed.fold(exit, |exit, word| exit.with(word, end.word(word)));
        // Of an exit where another was to come no more is read than of that.
        if end.how == exit.how { End { fixed: exit.fixed & end.fixed, ..exit } } else { exit }
    };
    // L1 plays no second time where the first did not end as it must.
    Some(match (&want.second, got.second) {
        (Some(second), Some(_)) => Ends { first: want.first, second: Some(in_place_of(second)) },
        _ => Ends { first: in_place_of(&want.first), second: None },
    })
}

#[cfg(test)]
mod tests {
    use super::{CR2_AT_START, VECTOR_UD};
    use std::format;

    use crate::catalogue::case::Case;
    use crate::deviation::{Deviation, Deviations};
    use crate::manual::filter::Filter;
    use crate::scene::Scene;
    use crate::scene::end::{End, Ends, How, Word};
    use crate::walk::outcome::RFLAGS_RF;

    /// A case, its scene, and what must be seen.
    fn want(id: &str) -> (Case, &'static Scene, Ends) {
        let case = Case::from_id(id).unwrap();
        let (environment, scene) = case.scene().expect(id);
        (case, scene, scene.expect(environment, case.filter, 40))
    }

    fn with(ends: &Ends, words: &[(Word, u64)]) -> Ends {
        Ends { first: words.iter().fold(ends.first, |end, (word, value)| end.with(*word, *value)), ..*ends }
    }

    fn explains(deviation: Deviation, id: &str, words: &[(Word, u64)]) -> bool {
        let (case, _, want) = want(id);
        let known = Deviations::NONE.with(deviation);
        let got = with(&want, words);
        let found = known.explaining_scene(&case, 40, &want, &got);
        let rf_clear = with(&got, &[(Word::Rflags, got.first.word(Word::Rflags) & !RFLAGS_RF)]);
        let both = known.with(Deviation::Rf0).explaining_scene(&case, 40, &want, &rf_clear);
        assert!(both.is_none() || found == both, "{id}: together with rf0");
        assert_eq!(Deviations::NONE.explaining_scene(&case, 40, &want, &got), None);
        found == Some(deviation)
    }

    #[test]
    fn rep_flags_explains_status_flags_of_suspended_comparisons() {
        let explains = |id: &str, words: &[(Word, u64)]| explains(Deviation::RepFlags, id, words);
        let id = "strings.long:cmps-second-mid:1,0,0";
        assert!(explains(id, &[(Word::Rflags, RFLAGS_RF | 0x46)]));
        assert!(!explains(id, &[(Word::Rflags, RFLAGS_RF | 0x246)]));
        assert!(!explains(id, &[(Word::Rflags, RFLAGS_RF | 0x46), (Word::Rcx, 5)]));
        assert!(!explains("strings.long:movs-source-mid:1,0,0", &[(Word::Rflags, RFLAGS_RF | 0x46)]));
        assert!(!explains("strings.long:cmps-differ-before:1,0,0", &[(Word::Rcx, 5)]));
    }

    #[test]
    fn ins_batch_explains_registers_of_before() {
        let explains = |id: &str, words: &[(Word, u64)]| explains(Deviation::InsBatch, id, words);
        let id = "ports.long:ins-mid:1,0,0";
        let (_, scene, _) = want(id);
        let rdi = scene.register_at(Word::Rdi as usize);
        assert!(explains(id, &[(Word::Rcx, 4), (Word::Rdi, rdi)]));
        assert!(!explains(id, &[(Word::Rcx, 3), (Word::Rdi, rdi)]));
        assert!(!explains(id, &[(Word::Rcx, 4)]));
        assert!(!explains("ports.long:ins-down:1,0,0", &[(Word::Rcx, 4)]));
    }

    #[test]
    fn cross_write_explains_the_first_pages_part() {
        let explains = |id: &str, memory: u64| explains(Deviation::CrossWrite, id, &[(Word::Memory, memory)]);
        let id = "forced.long:write-cross:1,0,ffffffff";
        assert!(explains(id, 0x1111_1104_0506_0708));
        assert!(!explains(id, 0x1111_1104_0506_0709));
        assert!(!explains("forced.long:add-ro:1,0,0", 0x1111_1104_0506_0708));
    }

    #[test]
    fn apf_flag_explains_an_exit_in_place_of_another_exit_by_what_was_read() {
        let (case, scene, want) = want("event.long:pf-triple-df-intercepted:1,0,ffffffff");
        let (environment, _) = case.scene().unwrap();
        let exit = scene.expect(environment, Filter::ALWAYS, 40).first;
        let read = |end: End| End { fixed: want.first.fixed, ..end };
        let known = Deviations::NONE.with(Deviation::ApfFlag);
        let explained = |first| known.explaining_scene(&case, 40, &want, &Ends { first, ..want }).is_some();
        assert!(explained(read(exit)));
        assert!(!explained(read(exit.with(Word::ErrorCode, 6))));
        assert!(!explained(read(exit.with(Word::Rcx, 6))));
    }

    #[test]
    fn pkey_access_explains_what_keys_by_access_give() {
        let explains = |id: &str, words: &[(Word, u64)]| explains(Deviation::PkeyAccess, id, words);
        let id = "pkey.long:ad-read-super:1,0,0";
        assert!(explains(id, &[(Word::ErrorCode, 0x25)]));
        assert!(!explains(id, &[(Word::ErrorCode, 0x35)]));
        assert!(!explains(id, &[(Word::ErrorCode, 0x25), (Word::Rip, 0)]));
        assert!(!explains("pkey.long:ad-read:1,0,0", &[(Word::ErrorCode, 5)]));
        let (case, _, want) = want("pkey.long:super-ad-read:1,0,0");
        let (environment, scene) = case.scene().unwrap();
        let done = Scene { keys: 0, ..*scene }.expect(environment, case.filter, 40);
        let known = Deviations::NONE.with(Deviation::PkeyAccess);
        let explained = |got: &Ends| known.explaining_scene(&case, 40, &want, got) == Some(Deviation::PkeyAccess);
        assert!(explained(&with(&done, &[(Word::Rax, 7)])));
        assert!(!explained(&with(&done, &[(Word::Rcx, 7)])));
    }

    #[test]
    fn apf_flag_explains_an_exit_against_the_filter_of_either_play() {
        let known = Deviations::NONE.with(Deviation::ApfFlag);
        let (case, scene, want) = want("stale.long-default-controls:ro-match-bit24-clear:1,1,1");
        let (environment, _) = case.scene().unwrap();
        let exit = scene.expect(environment, Filter::ALWAYS, 40).second.unwrap();
        let filter = [Word::Bitmap, Word::Mask, Word::Match];
        let first = filter.into_iter().fold(exit, |exit, word| exit.with(word, want.first.word(word)));
        let explained = |got: &Ends| known.explaining_scene(&case, 40, &want, got) == Some(Deviation::ApfFlag);
        assert!(explained(&Ends { first, second: None }));
        assert!(!explained(&Ends { first: first.with(Word::ErrorCode, 1), second: None }));
    }

    #[test]
    fn rf_emulated_explains_rf_of_what_l0_emulates_alone_or_with_another() {
        let explained = |known: Deviations, id: &str, words: &[(Word, u64)]| {
            let (case, _, want) = want(id);
            let rflags = want.first.word(Word::Rflags) & !RFLAGS_RF;
            known.explaining_scene(&case, 40, &want, &with(&with(&want, words), &[(Word::Rflags, rflags)]))
        };
        let known = Deviations::NONE.with(Deviation::RfEmulated);
        assert_eq!(explained(known, "ports.long:ins-first:1,0,0", &[]), Some(Deviation::RfEmulated));
        assert_eq!(explained(known, "ports.long:ins-first:1,0,0", &[(Word::Cr2, 1)]), None);
        assert_eq!(explained(known, "access.long:user-mov-read-np:1,0,0", &[]), None, "reported by hardware");
        let (case, scene, _) = want("ports.long:ins-mid:1,0,0");
        let batch = [Word::Rcx, Word::Rdi].map(|word| (word, scene.register_at(word as usize)));
        let both = known.with(Deviation::InsBatch);
        assert_eq!(explained(both, &std::format!("{case}"), &batch), Some(Deviation::InsBatch));
    }

    #[test]
    fn apic_prefetch_explains_that_nothing_arrives_of_what_l2_sends_itself() {
        let known = Deviations::NONE.with(Deviation::ApicPrefetch);
        let silent = |id: &str, words: &[(Word, u64)]| {
            let (case, scene, want) = want(id);
            let (environment, _) = case.scene().unwrap();
            let as_if = Scene { event: None, pending: None, fault: None, first: None, at_end: &[], ..*scene };
            let got = with(&as_if.expect(environment, case.filter, 40), words);
            known.explaining_scene(&case, 40, &want, &Ends { second: None, ..got }) == Some(Deviation::ApicPrefetch)
        };
        assert!(silent("event.long-vpid:apic-super-nmi:1,0,0", &[]));
        assert!(silent("event.long-vpid:apic-extint-sent:1,0,0", &[]));
        assert!(!silent("event.long-vpid:apic-extint-sent:1,0,0", &[(Word::Rcx, 0)]));
        assert!(!silent("event.long-vpid:apic-extint:1,0,0", &[]), "L1 sends it");
    }

    #[test]
    fn ucet_lost_explains_what_happens_without_a_shadow_stack() {
        let explained = |id: &str, got: Ends| {
            let (case, _, want) = want(id);
            let known = Deviations::NONE.with(Deviation::UcetLost);
            known.explaining_scene(&case, 40, &want, &got) == Some(Deviation::UcetLost)
        };
        let as_if = |id: &str, words: &[(Word, u64)]| with(&want(id).2, words);
        for filter in ["1,0,0", "1,0,ffffffff"] {
            let call = |words| as_if(&format!("shadow.long:call-good:{filter}"), words);
            for name in ["call-np", "call-writable", "call-clean", "call-super", "call-rsvd"] {
                assert!(explained(&format!("shadow.long:{name}:{filter}"), call(&[])), "{name}");
            }
            assert!(!explained(&format!("shadow.long:call-np:{filter}"), call(&[(Word::Rsp, 0)])));
            let returned = as_if(&format!("shadow.long:ret-good:{filter}"), &[]);
            assert!(explained(&format!("shadow.long:ret-np:{filter}"), returned));
            assert!(!explained(&format!("shadow.long:call-np:{filter}"), returned));
            assert!(!explained(&format!("shadow.long:mov-write:{filter}"), call(&[])), "no shadow-stack access");
            let mut refused = as_if("shadow.long:incssp-np:1,0,ffffffff", &[(Word::Cr2, CR2_AT_START)]);
            refused.first = End { how: How::Delivered(VECTOR_UD), ..refused.first };
            assert!(explained(&format!("shadow.long:incssp-np:{filter}"), refused));
        }
    }

    #[test]
    fn pkru_alone_explains_faults_on_supervisor_pages_and_none_by_pkrs() {
        let known = Deviations::NONE.with(Deviation::PkruAlone);
        let explained = |id: &str, got: &Ends| {
            let (case, _, want) = want(id);
            assert!(!want.admits(got), "{id}: as the manual wants it");
            known.explaining_scene(&case, 40, &want, got) == Some(Deviation::PkruAlone)
        };
        let as_if = |id: &str, of: &str, words: &[(Word, u64)]| {
            let ((case, scene, _), (_, other, _)) = (want(id), want(of));
            let (environment, _) = case.scene().unwrap();
            let played = Scene { name: scene.name, ..*other };
            with(&played.expect(environment, case.filter, 40), words)
        };
        // A supervisor's read of its own page ends as one of a user's page.
        let own = |words| as_if("pkey.long:super-own:1,0,0", "pkey.long:super-ad-read:1,0,0", words);
        let rflags = [(Word::Rflags, RFLAGS_RF | 2)];
        assert!(explained("pkey.long:super-own:1,0,0", &own(&rflags)));
        assert!(!explained("pkey.long:super-own:1,0,0", &own(&[rflags[0], (Word::ErrorCode, 1)])));
        // IA32_PKRS refuses nothing.
        let done = |words| as_if("pkey.long:pks-ad-read:1,0,0", "pkey.long:pks-user:1,0,0", words);
        let words = [(Word::Rsp, crate::scene::stack_of(crate::manual::paging::Privilege::Supervisor))];
        assert!(explained("pkey.long:pks-ad-read:1,0,0", &done(&words)));
        assert!(!explained("pkey.long:pks-ad-read:1,0,0", &done(&[words[0], (Word::Rip, 0)])));
        assert!(!explained(
            "pkey.long:ad-read:1,0,0",
            &as_if("pkey.long:ad-read:1,0,0", "pkey.long:pks-user:1,0,0", &[])
        ));
    }
}

#[cfg(test)]
mod judged_again;
