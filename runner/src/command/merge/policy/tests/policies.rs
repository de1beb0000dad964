//! What each policy makes of two parties' filters, and the cases that show its mistakes.

use super::{filters, pfec};
use crate::command::merge::policy::judgement::Missed;
use crate::command::merge::policy::{Judgement, Parties, Party, Policy, codes};
use spec::catalogue::case::Case;
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;
use std::string::ToString;
use std::vec::Vec;

/// Present and not reserved: L0 presents a smaller MAXPHYADDR.
const SMALLER_MAXPHYADDR: Filter = Filter::new(true, 0x09, 0x01);
/// What vmcs02 has at first.
const FRESH: Filter = Filter::new(false, 0, 0);

fn vmcs02(policy: Policy, l0: &[Filter], l1: Filter) -> Filter {
    policy.vmcs02(Parties { l0, l1 }, FRESH)
}

fn judged(policy: Policy, l0: &[Filter], l1: Filter) -> Judgement {
    Judgement::of(vmcs02(policy, l0, l1), Parties { l0, l1 })
}

#[test]
fn without_a_need_of_l0_each_policy_but_two_takes_l1s_filter() {
    for l1 in filters(5) {
        for policy in [Policy::Kvm, Policy::VirtualBox, Policy::DraftRepaired, Policy::Xen] {
            assert_eq!(vmcs02(policy, &[], l1), l1);
            assert_eq!(vmcs02(policy, &[Filter::NEVER, Filter::new(false, 0, 0)], l1), l1);
        }
        assert!(judged(Policy::Exact, &[], l1).is_exact());
        assert_eq!(vmcs02(Policy::Cleared, &[], l1), Filter::new(l1.eb_pf, 0, 0));
    }
}

#[test]
fn virtualbox_makes_what_kvm_makes() {
    let pairs =
        filters(3).into_iter().flat_map(|l0| filters(3).into_iter().map(move |l1| ([l0], l1)));
    for (l0, l1) in pairs {
        assert_eq!(vmcs02(Policy::VirtualBox, &l0, l1), vmcs02(Policy::Kvm, &l0, l1));
    }
}

#[test]
fn the_draft_leaves_mask_and_match_alone_where_both_have_eb_clear() {
    let l1 = Filter::new(false, 1, 1);
    let stale = Filter::new(true, 0x1f, 0x07);
    let left = Policy::Draft.vmcs02(Parties { l0: &[], l1 }, stale);
    assert_eq!(left, Filter::new(false, 0x1f, 0x07));
    // A fresh vmcs02 lets every fault through.
    let missed = judged(Policy::Draft, &[], l1).missed;
    assert_eq!(missed, Some(Missed { pfec: pfec(0), party: Party::L1 }));
}

#[test]
fn the_drafts_slip_takes_different_pairs_for_equal() {
    // MASK = MATCH on L0's side; L1 has the same MASK and another MATCH.
    let (l0, l1) = ([Filter::new(true, 0x11, 0x11)], Filter::new(true, 0x11, 0x10));
    assert_eq!(vmcs02(Policy::Draft, &l0, l1), l0[0]);
    let judgement = judged(Policy::Draft, &l0, l1);
    assert_eq!(judgement.missed, Some(Missed { pfec: Pfec::ID, party: Party::L1 }));
    assert_eq!(vmcs02(Policy::DraftRepaired, &l0, l1), Filter::ALWAYS);
    // And it never takes equal pairs for equal unless MASK = MATCH.
    let parties = [SMALLER_MAXPHYADDR];
    assert_eq!(vmcs02(Policy::Draft, &parties, SMALLER_MAXPHYADDR), Filter::ALWAYS);
    assert_eq!(vmcs02(Policy::DraftRepaired, &parties, SMALLER_MAXPHYADDR), SMALLER_MAXPHYADDR);
}

#[test]
fn the_draft_takes_eb_clear_for_no_need() {
    let (l0, l1) = ([SMALLER_MAXPHYADDR], Filter::new(false, 1, 1));
    assert_eq!(vmcs02(Policy::Draft, &l0, l1), SMALLER_MAXPHYADDR);
    assert_eq!(vmcs02(Policy::DraftRepaired, &l0, l1), Filter::ALWAYS);
    // A filter that asks for nothing needs nothing.
    assert_eq!(vmcs02(Policy::DraftRepaired, &l0, Filter::NEVER), SMALLER_MAXPHYADDR);
    let judgement = judged(Policy::Draft, &l0, l1);
    let case = judgement.case(Parties { l0: &l0, l1 }).unwrap();
    assert_eq!(case.to_string(), "filter.basic.long:super-read-np-pml4e:0,1,1");
}

#[test]
fn needs_that_are_no_single_pair_are_everything_to_the_draft() {
    for l0 in
        [&[SMALLER_MAXPHYADDR, Filter::new(true, 0x11, 0x11)][..], &[Filter::new(false, 3, 3)]]
    {
        for policy in [Policy::Draft, Policy::DraftRepaired] {
            assert_eq!(vmcs02(policy, l0, Filter::NEVER), Filter::ALWAYS);
        }
    }
}

#[test]
fn a_copied_inverse_filter_is_turned_round() {
    let (l0, l1) = ([SMALLER_MAXPHYADDR], Filter::new(false, 1, 1));
    assert_eq!(vmcs02(Policy::Xen, &l0, l1), Filter::new(true, 1, 1));
    assert!(!judged(Policy::Xen, &l0, l1).is_sound());
}

#[test]
fn three_policies_are_always_sound_and_the_exact_one_never_costs_more() {
    let all = filters(4);
    for &first in &all {
        let l0 = [first];
        for &l1 in &all {
            let least = judged(Policy::Exact, &l0, l1);
            assert!(least.is_sound());
            for policy in [Policy::Kvm, Policy::DraftRepaired] {
                let judgement = judged(policy, &l0, l1);
                assert!(
                    judgement.is_sound() && judgement.excess >= least.excess,
                    "{policy:?} {l0:?} {l1}"
                );
            }
        }
    }
}

#[test]
fn what_the_exact_merge_makes_of_common_filters() {
    let l0 = [SMALLER_MAXPHYADDR];
    let is = |l1, eb, mask, matching| {
        assert_eq!(vmcs02(Policy::Exact, &l0, l1), Filter::new(eb, mask, matching), "{l1}");
    };
    // L1 wants not-present faults, in either form: only present reserved ones are left.
    is(Filter::new(false, 1, 1), false, 0x09, 0x09);
    is(Filter::new(true, 1, 0), false, 0x09, 0x09);
    // L1 wants present faults, reserved ones, writes.
    is(Filter::new(true, 1, 1), true, 0x01, 0x01);
    is(Filter::new(true, 8, 8), false, 0x09, 0x00);
    is(Filter::new(true, 2, 2), false, 0x03, 0x00);
    is(Filter::NEVER, true, 0x09, 0x01);
    is(Filter::ALWAYS, true, 0, 0);
}

/// Every unsound filter has a case, if accesses of L2 show what it misses.
#[test]
fn cases_show_what_is_missed() {
    let needs: [&[Filter]; 4] =
        [&[], &[SMALLER_MAXPHYADDR], &[Filter::ALWAYS], &[Filter::new(true, 0x11, 0x11)]];
    let l1_filters = filters(5).into_iter().step_by(3);
    for (l0, l1) in l1_filters.flat_map(|l1| needs.map(|l0| (l0, l1))) {
        let parties = Parties { l0, l1 };
        for policy in Policy::ALL {
            let judgement = judged(policy, l0, l1);
            let missed = |pfec: &Pfec| l1.exits(*pfec) && !judgement.vmcs02.exits(*pfec);
            let smallest = codes::basic().find(missed);
            let Some(case) = judgement.case(parties) else {
                assert_eq!(smallest, None, "{policy:?} {parties:?}");
                continue;
            };
            assert!(!judgement.is_sound());
            assert_eq!(case.filter(), l1);
            assert_eq!(Case::from_id(&case.to_string()), Some(case));
            if let (Some(smallest), Some(shown)) = (smallest, case.pfec(40)) {
                // L1's own, and none with a smaller code; or one that L0 misses.
                assert!(shown == smallest || !missed(&shown), "{case}");
            }
        }
    }
}

#[test]
fn cases_show_what_l0_misses() {
    let shown = |l0: &[Filter], vmcs02: Filter, l1: Filter| {
        let parties = Parties { l0, l1 };
        Judgement::of(vmcs02, parties).case(parties)
    };
    // The processor takes the high address bit for valid: L0 would have to add RSVD to the code.
    let case = shown(&[SMALLER_MAXPHYADDR], Filter::NEVER, Filter::NEVER).unwrap();
    assert!(matches!(case, Case::Walk(_)));
    assert!(case.pfec(40).unwrap().contains(Pfec::P | Pfec::RSVD), "{case}");
    // Shadow page tables: pages are filled on the first access.
    let case = shown(&[Filter::ALWAYS], Filter::new(true, 1, 1), Filter::NEVER).unwrap();
    assert_eq!(case.to_string(), "host.touch:super-read-first:1,0,ffffffff");
    let case = shown(&[Filter::new(true, 0x02, 0x02)], Filter::new(true, 1, 0), Filter::NEVER);
    assert_eq!(case.unwrap().to_string(), "host.dirty:super-write-first:1,0,ffffffff");
    // Nothing that a case could show: introspection, only PK, or sound.
    assert_eq!(shown(&[Filter::new(true, 0x11, 0x11)], Filter::NEVER, Filter::NEVER), None);
    assert_eq!(shown(&[Filter::new(true, 0x20, 0x20)], Filter::NEVER, Filter::NEVER), None);
    assert_eq!(shown(&[SMALLER_MAXPHYADDR], Filter::ALWAYS, Filter::NEVER), None);
}

#[test]
fn l1s_high_bits_are_at_home_in_the_high_family() {
    let l1 = Filter::new(false, 0x20, 0x20);
    let parties = Parties { l0: &[], l1 };
    let case = Judgement::of(Filter::NEVER, parties).case(parties).unwrap();
    assert!(case.to_string().starts_with("filter.high.long:"), "{case}");
}

#[test]
fn policies_have_names_of_their_own() {
    let names: std::collections::HashSet<_> = Policy::ALL.map(Policy::name).into_iter().collect();
    assert_eq!(names.len(), Policy::ALL.len());
    let judgements: Vec<&str> = [
        Judgement::of(Filter::ALWAYS, Parties { l0: &[], l1: Filter::ALWAYS }),
        Judgement::of(Filter::ALWAYS, Parties { l0: &[], l1: Filter::NEVER }),
        Judgement::of(Filter::NEVER, Parties { l0: &[], l1: Filter::ALWAYS }),
    ]
    .iter()
    .map(Judgement::verdict)
    .collect();
    assert_eq!(judgements, ["exact", "sound", "unsound"]);
}
