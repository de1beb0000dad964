//! Compares the best filter and the judgement with all filters over few bits, and with sampled
//! codes over 32.

mod policies;

use super::{Judgement, Parties, Policy, exact};
use proptest::prelude::*;
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;
use std::collections::HashMap;
use std::vec::Vec;

/// The codes of up to seven bits that a filter makes exit: bit `n` stands for code `n`.
fn set(filter: Filter, width: u32) -> u128 {
    (0..1u32 << width).filter(|&code| filter.exits(pfec(code))).fold(0, |set, code| set | 1 << code)
}

fn pfec(code: u32) -> Pfec {
    Pfec::from_bits_retain(code)
}

/// Every way to compare the low bits: all MATCH within MASK, and one MATCH outside it for all the
/// others.
fn filters(width: u32) -> Vec<Filter> {
    let mut all = std::vec![Filter::new(false, 0, 1), Filter::NEVER];
    for mask in 0..1 << width {
        for matching in (0..=mask).filter(|matching| matching & !mask == 0) {
            all.extend([false, true].map(|eb| Filter::new(eb, mask, matching)));
        }
    }
    assert_eq!(all.len(), 2 * (3usize.pow(width) + 1));
    all
}

/// Finds the size of the smallest set of a filter that contains a union, by trying all filters.
struct BruteForce {
    by_size: Vec<u128>,
    found: HashMap<u128, u32>,
}

impl BruteForce {
    fn new(width: u32) -> Self {
        let mut by_size: Vec<u128> =
            filters(width).into_iter().map(|filter| set(filter, width)).collect();
        by_size.sort_by_key(|set| set.count_ones());
        by_size.dedup();
        Self { by_size, found: HashMap::new() }
    }

    fn least(&mut self, union: u128) -> u32 {
        let by_size = &self.by_size;
        *self.found.entry(union).or_insert_with(|| {
            // Smaller ones cannot contain it.
            let from = by_size.partition_point(|set| set.count_ones() < union.count_ones());
            by_size[from..].iter().find(|&set| union & !set == 0).unwrap().count_ones()
        })
    }
}

/// Asserts that the best filter over 32 bits is as good as the best over these few.
fn check_exact(parties: Parties<'_>, union: u128, width: u32, brute: &mut BruteForce) {
    let filter = exact(parties);
    let found = set(filter, width);
    assert_eq!(union & !found, 0, "{parties:?} -> {filter} is unsound");
    assert_eq!(found.count_ones(), brute.least(union), "{parties:?} -> {filter} is not the best");
    // No bit beyond the low ones is compared, except to compare nothing.
    assert!(filter.mask >> width == 0, "{filter}");
}

/// Asserts that the judgement of a filter agrees with counting.
fn check_judgement(vmcs02: Filter, parties: Parties<'_>, union: u128, width: u32) {
    let judgement = Judgement::of(vmcs02, parties);
    let exits = set(vmcs02, width);
    let scale = 32 - width;
    assert_eq!(
        judgement.excess,
        u64::from((exits & !union).count_ones()) << scale,
        "{vmcs02} for {parties:?}"
    );
    let missed = union & !exits;
    let smallest = (missed != 0).then(|| pfec(missed.trailing_zeros()));
    assert_eq!(judgement.missed.map(|missed| missed.pfec), smallest, "{vmcs02} for {parties:?}");
    assert_eq!(judgement.is_exact(), exits == union);
    assert_eq!(parties.count(), u64::from(union.count_ones()) << scale);
}

#[test]
fn best_and_judged_right_for_all_pairs_over_four_bits() {
    for width in 0..=4 {
        let mut brute = BruteForce::new(width);
        let all: Vec<(Filter, u128)> =
            filters(width).into_iter().map(|filter| (filter, set(filter, width))).collect();
        let low = (1 << width) - 1;
        let before = Filter::new(true, 0b101 & low, 0b100 & low);
        for &(l0, l0_set) in &all {
            for &(l1, l1_set) in &all {
                let (l0, union) = ([l0], l0_set | l1_set);
                let parties = Parties { l0: &l0, l1 };
                check_exact(parties, union, width, &mut brute);
                for policy in Policy::ALL {
                    check_judgement(policy.vmcs02(parties, before), parties, union, width);
                }
            }
        }
    }
}

#[test]
fn best_for_all_triples_over_three_bits() {
    let mut brute = BruteForce::new(3);
    let all: Vec<(Filter, u128)> =
        filters(3).into_iter().map(|filter| (filter, set(filter, 3))).collect();
    for &(first, first_set) in &all {
        for &(second, second_set) in &all {
            for &(l1, l1_set) in &all {
                let (l0, union) = ([first, second], first_set | second_set | l1_set);
                check_exact(Parties { l0: &l0, l1 }, union, 3, &mut brute);
            }
        }
    }
}

/// All of L1's filters over seven bits, against one of L0's from each class: every other of L0's is
/// one of these with bits renamed and inverted, which renames and inverts L1's as well.
#[test]
fn best_for_all_pairs_over_seven_bits_up_to_symmetry() {
    let classes =
        (0..=7).flat_map(|bits| [false, true].map(|eb| Filter::new(eb, (1 << bits) - 1, 0)));
    pairs_over_seven_bits(classes.chain([Filter::new(false, 0, 1), Filter::NEVER]));
}

/// All pairs, without the argument by symmetry:
/// `cargo test --release -p runner -- --ignored seven_bits`.
#[test]
#[ignore = "19 million pairs: seconds in release builds, minutes in others"]
fn best_for_all_pairs_over_seven_bits() {
    pairs_over_seven_bits(filters(7).into_iter());
}

fn pairs_over_seven_bits(l0: impl Iterator<Item = Filter>) {
    let mut brute = BruteForce::new(7);
    let all: Vec<(Filter, u128)> =
        filters(7).into_iter().map(|filter| (filter, set(filter, 7))).collect();
    for l0 in l0 {
        let (l0, l0_set) = ([l0], set(l0, 7));
        for &(l1, l1_set) in &all {
            check_exact(Parties { l0: &l0, l1 }, l0_set | l1_set, 7, &mut brute);
        }
    }
}

/// The search looks only where there is something to find, or this would not end within a lifetime.
#[test]
fn eight_filters_without_a_bit_in_common_are_merged_at_once() {
    let parts: Vec<Filter> =
        (0..8).map(|part| Filter::new(true, 0xf << (4 * part), 0x9 << (4 * part))).collect();
    let (l1, l0) = parts.split_last().unwrap();
    // The lowest bit of each, inverted.
    assert_eq!(exact(Parties { l0, l1: *l1 }), Filter::new(false, 0x1111_1111, 0));
}

/// Puts the low bits of `code` to other places.
fn spread(code: u32, places: &[u32]) -> u32 {
    places.iter().enumerate().fold(0, |bits, (from, to)| bits | (code >> from & 1) << to)
}

/// Renames the low bits, and inverts those in `inverted`.
fn renamed(filter: Filter, places: &[u32], inverted: u32) -> Filter {
    if filter.matching & !filter.mask != 0 {
        return filter;
    }
    let mask = spread(filter.mask, places);
    Filter::new(filter.eb_pf, mask, spread(filter.matching, places) ^ inverted & mask)
}

/// Filters as parties have them: few bits or many, which agree with each other more often than by
/// chance.
fn any_filter() -> impl Strategy<Value = Filter> {
    let mask = prop_oneof![
        3 => prop::collection::vec(0..32u32, 0..4).prop_map(|bits| bits.iter().fold(0, |mask, bit| mask | 1 << bit)),
        2 => any::<u32>().prop_map(|mask| mask & 0x1f),
        1 => any::<u32>(),
    ];
    (
        any::<bool>(),
        mask,
        prop_oneof![Just(0), Just(u32::MAX), Just(0x9), any::<u32>()],
        any::<bool>(),
    )
        .prop_map(|(eb, mask, matching, outside)| {
            let within = matching & mask;
            Filter::new(
                eb,
                mask,
                if outside && matching.trailing_zeros() >= 8 { matching } else { within },
            )
        })
}

fn any_l0() -> impl Strategy<Value = Vec<Filter>> {
    prop::collection::vec(any_filter(), 0..4)
}

/// Codes that distinguish filters: those that a filter compares with, and those that differ from
/// them in a bit or two.
fn telling_codes(filters: &[Filter], noise: u32) -> Vec<u32> {
    let mut codes = std::vec![0, u32::MAX, noise];
    for filter in filters {
        for base in
            [filter.matching & filter.mask, filter.matching & filter.mask | noise & !filter.mask]
        {
            codes.push(base);
            codes.extend((0..32).map(|bit| base ^ 1 << bit));
            codes.extend((0..31).map(|bit| base ^ 3 << bit));
        }
    }
    codes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Five bits anywhere among the 32, inverted or not, and several filters of L0.
    #[test]
    fn best_wherever_the_bits_are(
        picks in prop::collection::vec(0..488usize, 1..5),
        places in Just((0..32).collect::<Vec<u32>>()).prop_shuffle(),
        inverted: u32,
    ) {
        let (all, places) = (filters(5), &places[..5]);
        let union = picks.iter().fold(0, |union, &pick| union | set(all[pick], 5));
        let parties: Vec<Filter> = picks.iter().map(|&pick| renamed(all[pick], places, inverted)).collect();
        let (l1, l0) = parties.split_last().unwrap();
        let parties = Parties { l0, l1: *l1 };
        let judgement = Judgement::of(exact(parties), parties);
        prop_assert!(judgement.is_sound());
        let least = BruteForce::new(5).least(union);
        prop_assert_eq!(judgement.excess, u64::from(least - union.count_ones()) << 27);
        prop_assert_eq!(parties.count(), u64::from(union.count_ones()) << 27);
    }

    #[test]
    fn sound_over_32_bits(l0 in any_l0(), l1 in any_filter(), noise: u32) {
        let parties = Parties { l0: &l0, l1 };
        let filter = exact(parties);
        prop_assert!(Judgement::of(filter, parties).is_sound(), "{parties:?} -> {filter}");
        let known: Vec<Filter> = parties.filters().chain([filter]).collect();
        for code in telling_codes(&known, noise).into_iter().map(pfec) {
            prop_assert!(filter.exits(code) || !parties.want(code), "{parties:?} -> {filter} misses {code:?}");
        }
    }

    #[test]
    fn nothing_is_better_over_32_bits(
        l0 in any_l0(),
        l1 in any_filter(),
        rivals in prop::collection::vec(any_filter(), 8),
    ) {
        let parties = Parties { l0: &l0, l1 };
        let best = exact(parties);
        let excess = Judgement::of(best, parties).excess;
        // Strangers, and the best with one bit more, less or inverted.
        let near = (0..32).map(|n| 1 << n).flat_map(|bit| {
            [(bit, 0), (bit, bit), (0, bit)].map(|(mask, matching)| {
                Filter::new(best.eb_pf, best.mask ^ mask, best.matching ^ matching)
            })
        });
        for rival in rivals.into_iter().chain(near).chain(parties.filters()) {
            let rival = Judgement::of(rival, parties);
            prop_assert!(!rival.is_sound() || rival.excess >= excess, "{parties:?}: {best} < {}", rival.vmcs02);
        }
    }

    #[test]
    fn judged_as_samples_show(l0 in any_l0(), l1 in any_filter(), vmcs02 in any_filter(), noise: u32) {
        let parties = Parties { l0: &l0, l1 };
        let judgement = Judgement::of(vmcs02, parties);
        if let Some(missed) = judgement.missed {
            prop_assert!(parties.want(missed.pfec) && !vmcs02.exits(missed.pfec));
        }
        let known: Vec<Filter> = parties.filters().chain([vmcs02]).collect();
        for code in telling_codes(&known, noise).into_iter().map(pfec) {
            match (parties.want(code), vmcs02.exits(code)) {
                (true, false) => prop_assert!(judgement.missed.is_some_and(|missed| missed.pfec <= code)),
                (false, true) => prop_assert!(judgement.excess > 0),
                _ => {}
            }
        }
        if judgement.is_sound() {
            let alone = Parties { l0: &[], l1: vmcs02 };
            prop_assert_eq!(judgement.excess, alone.count() - parties.count());
        }
    }
}
