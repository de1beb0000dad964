use spec::channel::Step;
use spec::walk::layout::MAX_SLOTS;

use super::*;
use crate::fake::begin;

#[test]
fn a_walk_is_complete_at_its_vmcall_without_an_exception_or_a_refusal() {
    const REFUSED: u64 = Status::Refused { step: Step::SeeWrite, errno: 0 }.word() as u64;
    let _turn = begin();
    for (reason, info, unexpected, status, want) in [
        (REASON_VMCALL, 0, 0, 0, ""),
        (REASON_VMCALL, 0, 0x106, 0, "unexpected-vector,vector=6"),
        (REASON_VMCALL, 0, 0x100, REFUSED, "unexpected-vector,vector=0"),
        (2, 0, 0x106, REFUSED, "unexpected-exit,reason=2,qual=77"),
        (0, 0x8000_0b0e, 0, 0, "unexpected-exit,reason=0,qual=77,info=80000b0e,ec=4"),
    ] {
        vmwrite(Field::ExitReason, reason);
        vmwrite(Field::ExitQualification, 0x77);
        vmwrite(Field::ExitInterruptionInfo, info);
        vmwrite(Field::ExitInterruptionErrorCode, 4);
        // SAFETY: `begin` gave the static to the test.
        unsafe {
            ((*shared()).control.unexpected, (*shared()).control.status) = (unexpected, status);
        };
        let broken = how_it_ended().map(|broken| std::format!("{broken}"));
        assert_eq!(broken.unwrap_or_default(), want);
    }
    // SAFETY: as above.
    unsafe { ((*shared()).control.unexpected, (*shared()).control.status) = (0, REFUSED) };
    vmwrite(Field::ExitReason, REASON_VMCALL);
    assert!(matches!(how_it_ended(), Some(Broken::Refused(_))));
}

#[test]
fn a_slot_is_where_l2_has_it_in_either_mapping() {
    for (privilege, base) in
        [(Privilege::Supervisor, SHARED_SUPERVISOR), (Privilege::User, SHARED_USER)]
    {
        for at in [0, 1, MAX_SLOTS - 1] {
            let offset = slots().wrapping_add(at) as u64 - shared() as u64;
            assert_eq!(slot_address(at, privilege), base + offset);
        }
    }
}

#[test]
fn the_exit_of_an_event_is_none_of_the_walk_s() {
    let exit =
        |at| ExitRecord { slot: slot_address(at, Privilege::Supervisor), ..ExitRecord::EMPTY };
    let slots_after = |exits: &[ExitRecord]| -> std::vec::Vec<u64> {
        let walked = Walked { number: 1, cr2: CR2_AT_START, exits }.after_event(0x55);
        assert_eq!((walked.number, walked.cr2), (1, 0x55));
        walked.exits.iter().map(|record| record.slot).collect()
    };
    let (event, one, two) = (exit(EVENT_SLOT), exit(0), exit(1));
    assert_eq!(slots_after(&[event, one, two]), [one.slot, two.slot]);
    assert_eq!(slots_after(&[one, two]), [one.slot, two.slot]);
    assert_eq!(slots_after(&[event, event]), [event.slot], "a second one is too many");
    assert_eq!(slots_after(&[one, event]), [one.slot, event.slot], "and so is a late one");
    assert_eq!(slots_after(&[]), []);
}
