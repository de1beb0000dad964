//! Deviations that judge a fault by another error code or filter.

use crate::catalogue::case::Case;
use crate::deviation::{Deviation, Deviations};
use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;
use crate::scene::end::{End, Ends, How, Word};
use crate::scene::expect::NMI_UNBLOCKED;

fn case(id: &str) -> Case {
    Case::from_id(id).unwrap()
}

/// What must be seen, or what would have to be with another filter and error code.
fn ends(case: &Case, filter: Filter, code: Option<u32>) -> Ends {
    let (environment, scene) = case.scene().unwrap();
    scene.expect_pfec(environment, filter, code.map(Pfec::from_bits_retain))
}

fn explaining(known: Deviations, id: &str, got: &Ends) -> Option<Deviation> {
    let case = case(id);
    let (environment, scene) = case.scene().unwrap();
    known.explaining_scene(&case, 40, &scene.expect(environment, case.filter, 40), got)
}

const fn only(deviation: Deviation) -> Deviations {
    Deviations::NONE.with(deviation)
}

#[test]
fn legacy_id_explains_a_fetch_with_i_d_and_the_filter_s_judgement_of_it() {
    let got = |id: &str, code| ends(&case(id), case(id).filter, Some(code));
    let known = only(Deviation::LegacyId);
    let np = "page.legacy-off:user-fetch-np-pde:1,0,0";
    assert_eq!(explaining(known, np, &got(np, 0x14)), Some(Deviation::LegacyId));
    let mut rf_clear = got(np, 0x14);
    rf_clear.first = rf_clear.first.with_rf_clear();
    assert_eq!(explaining(known, np, &rf_clear), None);
    assert_eq!(explaining(known.with(Deviation::Rf0), np, &rf_clear), Some(Deviation::LegacyId));
    assert_eq!(explaining(known, np, &got(np, 0x15)), None);
    assert_eq!(explaining(Deviations::NONE, np, &got(np, 0x14)), None);
    // The filter wants I/D alone: an exit in place of a delivery.
    let id = "page.legacy-off:user-fetch-np-pde:1,10,10";
    assert_eq!(explaining(known, id, &got(id, 0x14)), Some(Deviation::LegacyId));
    for id in ["page.legacy-off:user-read-np-pde:1,0,0", "page.pae-off:user-fetch-np-pde:1,0,0"] {
        assert_eq!(explaining(known, id, &got(id, 0x14)), None, "{id}");
    }
}

#[test]
fn apf_flag_explains_an_exit_in_place_of_a_delivery() {
    let id = "page.legacy:user-read-np-pde:1,0,ffffffff";
    let got = |filter, code| ends(&case(id), filter, Some(code));
    let known = only(Deviation::ApfFlag);
    assert_eq!(explaining(known, id, &got(Filter::ALWAYS, 4)), Some(Deviation::ApfFlag));
    assert_eq!(explaining(known, id, &got(Filter::ALWAYS, 5)), None);
    assert_eq!(explaining(Deviations::NONE, id, &got(Filter::ALWAYS, 4)), None);
    // A delivery in place of an exit is not it.
    let id = "page.legacy:user-read-np-pde:1,0,0";
    assert_eq!(explaining(known, id, &got(Filter::NEVER, 4)), None);
}

#[test]
fn apf_flag_explains_either_of_two_plays_and_the_first_of_two_faults() {
    let known = only(Deviation::ApfFlag);
    let of = |id: &str, filter| {
        let case = case(id);
        let (environment, scene) = case.scene().unwrap();
        scene.expect(environment, filter, 40)
    };
    let id = "stale.long:np-own-faults:1,0,ffffffff";
    let (want, exit) = (of(id, Filter::NEVER), of(id, Filter::ALWAYS).first.with(Word::Match, u32::MAX.into()));
    for (got, explained) in [
        (Ends { first: exit, second: None }, true),
        (Ends { second: Some(exit), ..want }, true),
        (Ends { second: Some(exit.with(Word::Match, 0)), ..want }, false),
        (Ends { first: exit.with(Word::Rip, 0), second: None }, false),
    ] {
        assert_eq!(explaining(known, id, &got).is_some(), explained, "{got}");
    }
    let id = "ept.long-ept:fetch-nx-pte-pt:1,0,ffffffff";
    let (want, always) = (of(id, Filter::NEVER), of(id, Filter::ALWAYS));
    assert_eq!(explaining(known, id, &Ends { second: always.second, ..want }), Some(Deviation::ApfFlag));
    assert_eq!(explaining(known, id, &Ends { second: None, ..want }), None);
    // The first play is under another filter, which wants the fault.
    let id = "stale.long:rsvd-bitmap-alone:0,0,0";
    let want = of(id, case(id).filter);
    let second = want.second.unwrap();
    let exit = [Word::Bitmap, Word::Mask, Word::Match]
        .into_iter()
        .fold(want.first, |exit, word| exit.with(word, second.word(word)));
    assert_eq!(explaining(known, id, &Ends { second: Some(exit), ..want }), Some(Deviation::ApfFlag));
    // The play on another VMCS, whose filter does not want the fault, exits: L1 plays no second time.
    for (id, explained) in [("stale.long:np-other-vmcs:1,0,0", true), ("stale.long:np-own-faults:1,0,0", false)] {
        let got = Ends { second: None, ..of(id, case(id).filter) };
        assert_eq!(explaining(known, id, &got).is_some(), explained, "{id}");
    }
    // With NMIs blocked the exit may say that an IRET unblocked them.
    for (id, explained) in [
        ("state.long:nmi-blocked:1,10,10", true),
        ("state.long:nmi-blocked:1,0,0", false),
        ("state.long:sti:1,10,10", false),
    ] {
        let exit = of(id, Filter::ALWAYS).first;
        let Filter { mask, matching, .. } = case(id).filter;
        let exit = exit.with(Word::Mask, mask.into()).with(Word::Match, matching.into());
        let told = exit.with(Word::Info, exit.word(Word::Info) | NMI_UNBLOCKED);
        assert_eq!(explaining(known, id, &Ends { first: told, second: None }).is_some(), explained, "{id}");
    }
    // What the filter wants is reported in full.
    let id = "event.long:int3-idt-np:1,0,0";
    let want = of(id, Filter::ALWAYS);
    let got = Ends { first: want.first.with(Word::IdtInfo, 0), second: None };
    assert_eq!(explaining(known, id, &got), None);
    let id = "event.long:pf-idt-np:1,0,ffffffff";
    let first = of(id, Filter::ALWAYS).first;
    assert_eq!(explaining(known, id, &Ends { first, second: None }), Some(Deviation::ApfFlag));
}

#[test]
fn apf_emulated_explains_faults_of_the_emulator_alone_together_with_what_else_is_wrong_of_them() {
    let known = only(Deviation::ApfEmulated);
    let exit = |id: &str, code| ends(&case(id), Filter::ALWAYS, Some(code));
    for (id, explained) in [
        ("device.long:device-read-np:1,0,ffffffff", true),
        ("ports.long:ins-np:1,0,ffffffff", true),
        ("forced.long:read-np:1,0,ffffffff", true),
        ("access.long:user-mov-read-np:1,0,ffffffff", false),
    ] {
        let code = case(id).pfec(40).unwrap().bits();
        assert_eq!(explaining(known, id, &exit(id, code)).is_some(), explained, "{id}");
    }
    let id = "ports.long:ins-mid:1,0,ffffffff";
    let (_, scene) = case(id).scene().unwrap();
    let mut got = exit(id, 6);
    for word in [Word::Rcx, Word::Rdi] {
        got.first = got.first.with(word, scene.register_at(word as usize));
    }
    assert_eq!(explaining(known, id, &got), None);
    let both = known.with(Deviation::InsBatch);
    assert_eq!(explaining(both, id, &got), Some(Deviation::ApfEmulated));
    got.first = got.first.with_rf_clear();
    assert_eq!(explaining(both, id, &got), None);
    assert_eq!(explaining(both.with(Deviation::Rf0), id, &got), Some(Deviation::ApfEmulated));
    got.first = got.first.with(Word::Rcx, 3);
    assert_eq!(explaining(both.with(Deviation::Rf0), id, &got), None);
}

#[test]
fn double_first_explains_a_double_fault_of_two_of_which_the_second_was_wanted() {
    let known = only(Deviation::DoubleFirst);
    for (id, explained) in [
        ("event.long:pf-idt-np:1,4,0", true),
        // The first is wanted, too, and reflected by L1.
        ("event.long:pf-idt-np:1,0,0", false),
        ("event.long:int3-idt-np:1,0,0", false),
    ] {
        let case = case(id);
        let (environment, scene) = case.scene().unwrap();
        let want = scene.expect(environment, case.filter, 40);
        let unwanted = scene.expect(environment, Filter::NEVER, 40).first;
        let got = Ends { first: unwanted, second: None };
        assert_eq!(explaining(known, id, &got).is_some(), explained, "{id}");
        assert_eq!(explaining(Deviations::NONE, id, &got), None, "{id}");
        let reflected = Ends { second: Some(unwanted), ..want };
        assert_eq!(explaining(known, id, &reflected).is_some(), id == "event.long:pf-idt-np:1,0,0", "{id}");
    }
}

#[test]
fn idt_lost_explains_a_trap_that_does_not_come_again() {
    let known = only(Deviation::IdtLost);
    let got = |id: &str| {
        let case = case(id);
        let (environment, scene) = case.scene().unwrap();
        let want = scene.expect(environment, case.filter, 40);
        let behind = scene.rip + scene.code.len() as u64;
        let done = want.second.map(|_| End::new(How::Done).with(Word::Rip, behind));
        Ends { first: want.first.with(Word::IdtInfo, 0).with(Word::Rip, behind), second: done }
    };
    for (id, explained) in [
        ("event.long:step-idt-np:1,0,0", true),
        ("event.long:int1-idt-np:1,0,0", true),
        ("inject.long:ud-idt-np:1,0,0", true),
        ("event.long:int3-idt-np:1,0,0", false),
    ] {
        assert_eq!(explaining(known, id, &got(id)).is_some(), explained, "{id}");
    }
}

#[test]
fn pgd_unsynced_explains_an_access_that_completes_again_where_only_the_entry_invalidates() {
    let known = only(Deviation::PgdUnsynced);
    for (id, explained) in
        [("tlb.long:entry-np:1,0,0", true), ("tlb.long:entry-ro:1,0,ffffffff", true), ("tlb.long:cr3-np:1,0,0", false)]
    {
        let (environment, scene) = case(id).scene().unwrap();
        let done = scene.expect_pfec(environment, case(id).filter, None);
        assert_eq!(explaining(known, id, &done).is_some(), explained, "{id}");
        let Some(second) = done.second else { continue };
        let other = Ends { second: Some(second.with(Word::Rip, 0)), ..done };
        assert_eq!(explaining(known, id, &other), None, "{id}");
    }
}
