//! All filters of L1 against what L0 really needs, merged by each policy.

use std::time::Instant;

use crate::command::merge::policy::{Judgement, Parties, Policy, codes, exact};
use spec::manual::filter::Filter;

/// A need of L0 that real hosts have.
pub struct Need {
    /// What the host does.
    pub name: &'static str,
    /// Its filters in words, as `--l0` takes them.
    pub words: &'static [&'static str],
    /// Its filters.
    pub filters: &'static [Filter],
}

const PRESENT_NOT_RESERVED: Filter = Filter::new(true, 0x09, 0x01);
const PRESENT_FETCH: Filter = Filter::new(true, 0x11, 0x11);

/// The needs, from none to every fault.
pub const NEEDS: [Need; 5] = [
    Need { name: "nothing", words: &[], filters: &[] },
    Need { name: "a smaller MAXPHYADDR", words: &["P,!RSVD"], filters: &[PRESENT_NOT_RESERVED] },
    Need { name: "introspection of fetches", words: &["P,I"], filters: &[PRESENT_FETCH] },
    Need {
        name: "both of these",
        words: &["P,!RSVD", "P,I"],
        filters: &[PRESENT_NOT_RESERVED, PRESENT_FETCH],
    },
    Need { name: "shadow paging", words: &["all"], filters: &[Filter::ALWAYS] },
];

/// What vmcs02 has before the merge: what a new one has.
pub const FRESH: Filter = Filter::new(false, 0, 0);

/// What a policy costs over many pairs of parties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The policy.
    pub policy: Policy,
    /// Pairs for which its filter misses a needed fault.
    pub unsound: u64,
    /// Pairs for which its filter is exact.
    pub exact: u64,
    /// Pairs for which its filter is sound and has less excess than KVM's.
    pub cheaper: u64,
    /// Error codes that exit needlessly, of all 2^32, for all pairs together.
    excess: u64,
    /// The most of them for one pair.
    most: u64,
    /// Needless faults among the possible basic codes, for all pairs together.
    needless: u64,
    /// The most of them for one pair.
    pub most_needless: u32,
    /// How many pairs there are.
    pub pairs: u64,
}

impl Cost {
    const fn new(policy: Policy) -> Self {
        let (unsound, exact, cheaper, excess, most) = (0, 0, 0, 0, 0);
        Self {
            policy,
            unsound,
            exact,
            cheaper,
            excess,
            most,
            needless: 0,
            most_needless: 0,
            pairs: 0,
        }
    }

    fn add(&mut self, parties: Parties<'_>, kvm: u64, possible: u32) {
        let judgement = Judgement::of(self.policy.vmcs02(parties, FRESH), parties);
        let wanted = parties.filters().fold(0, |set, filter| set | filter.basic_exits());
        let needless = (judgement.vmcs02.basic_exits() & !wanted & possible).count_ones();
        self.pairs += 1;
        self.unsound += u64::from(!judgement.is_sound());
        self.exact += u64::from(judgement.is_exact());
        self.cheaper += u64::from(judgement.is_sound() && judgement.excess < kvm);
        self.excess += judgement.excess;
        self.most = self.most.max(judgement.excess);
        self.needless += u64::from(needless);
        self.most_needless = self.most_needless.max(needless);
    }

    /// The mean excess as a part of all error codes.
    pub fn mean_excess(&self) -> f64 {
        ratio(self.excess, self.pairs) / ALL_CODES
    }

    /// The largest excess as a part of all error codes.
    pub fn most_excess(&self) -> f64 {
        ratio(self.most, 1) / ALL_CODES
    }

    /// How many of the possible basic codes exit needlessly, on average.
    pub fn mean_needless(&self) -> f64 {
        ratio(self.needless, self.pairs)
    }
}

const ALL_CODES: f64 = 4_294_967_296.0;

#[expect(clippy::cast_precision_loss, reason = "printed with four digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The costs of each policy over pairs.
pub type Costs = [Cost; Policy::ALL.len()];

/// One need of L0 against all filters of L1 over this many bits.
pub fn costs(l0: &[Filter], width: u32) -> Costs {
    over(filters(width).into_iter().map(|l1| (l0.to_vec(), l1)))
}

/// Any filter of L0 against any of L1 over this many bits.
pub fn all_pairs(width: u32) -> Costs {
    let all = filters(width);
    over(all.iter().flat_map(|&l0| all.iter().map(move |&l1| (vec![l0], l1))))
}

fn over(pairs: impl Iterator<Item = (Vec<Filter>, Filter)>) -> Costs {
    let possible = codes::basic().fold(0, |set, pfec| set | 1 << pfec.bits());
    let mut costs = Policy::ALL.map(Cost::new);
    for (l0, l1) in pairs {
        let parties = Parties { l0: &l0, l1 };
        let kvm = Judgement::of(Policy::Kvm.vmcs02(parties, FRESH), parties).excess;
        for cost in &mut costs {
            cost.add(parties, kvm, possible);
        }
    }
    costs
}

/// Every filter over the low bits once. All with MATCH outside MASK do the same, so there is one
/// for each EB.PF.
pub fn filters(width: u32) -> Vec<Filter> {
    let within =
        (0..1u32 << width).flat_map(|mask| (0..=mask).map(move |matching| (mask, matching)));
    within
        .filter(|(mask, matching)| matching & !mask == 0)
        .chain([(0, u32::MAX)])
        .flat_map(|(mask, matching)| [false, true].map(|eb| Filter::new(eb, mask, matching)))
        .collect()
}

/// How long one exact merge takes here, in nanoseconds: the mean over all pairs over five bits.
pub fn nanoseconds_of_a_merge() -> u128 {
    let all = filters(5);
    let start = Instant::now();
    let mut bits = 0;
    for &l0 in &all {
        for &l1 in &all {
            bits ^= exact(Parties { l0: &[l0], l1 }).mask;
        }
    }
    let elapsed = start.elapsed().as_nanos();
    std::hint::black_box(bits);
    elapsed / (all.len() * all.len()) as u128
}

#[cfg(test)]
mod tests {
    use super::{NEEDS, all_pairs, costs, filters};
    use crate::command::merge::policy::Policy;
    use crate::command::merge::wording::parse;
    use spec::manual::filter::Filter;

    #[test]
    fn words_say_what_the_filters_are() {
        for need in NEEDS {
            let read: Vec<Filter> = need.words.iter().map(|words| parse(words).unwrap()).collect();
            assert_eq!(read, need.filters);
        }
    }

    #[test]
    fn every_filter_is_there_once() {
        for width in 0..=7 {
            let all = filters(width);
            let unique: std::collections::HashSet<Filter> = all.iter().copied().collect();
            assert_eq!((all.len(), unique.len()), (2 * (3usize.pow(width) + 1), all.len()));
        }
    }

    #[test]
    fn the_exact_policy_is_sound_and_the_cheapest() {
        for costs in NEEDS.map(|need| costs(need.filters, 5)).into_iter().chain([all_pairs(3)]) {
            let of = |policy| costs.iter().find(|costs| costs.policy == policy).unwrap();
            let [kvm, repaired, exact] =
                [Policy::Kvm, Policy::DraftRepaired, Policy::Exact].map(of);
            assert_eq!((kvm.unsound, repaired.unsound, exact.unsound), (0, 0, 0));
            assert!(
                exact.mean_excess() <= repaired.mean_excess()
                    && repaired.mean_excess() <= kvm.mean_excess()
            );
            assert!(exact.exact >= repaired.exact && exact.most_excess() <= kvm.most_excess());
        }
    }
}
