//! The prices of faults as a table: one line for each filter of L1.

use std::fmt::Write;

use spec::log::Cost;
use spec::log::cost::FAULTS;
use spec::manual::filter::Filter;

use super::tenths;
use crate::command::merge::in_words;
use crate::output;
use crate::verdict::findings::Price;
use crate::verdict::judge::thousands;

/// What faults of several kinds cost together, [`FAULTS`] of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    kinds: u64,
    tsc: u64,
    /// `None` once a price has no count.
    l0_exits: Option<u64>,
    /// Kinds of faults that L0 did not see.
    unseen: u64,
}

impl Sum {
    fn new() -> Self {
        Self { l0_exits: Some(0), ..Self::default() }
    }

    /// Adds what a walk cost beyond the empty one.
    fn add(&mut self, walk: &Cost, empty: &Cost) {
        self.kinds += 1;
        self.tsc += walk.tsc.saturating_sub(empty.tsc);
        let more =
            walk.l0_exits.zip(empty.l0_exits).map(|(walk, empty)| walk.saturating_sub(empty));
        // An interrupt of L0 now and then is not a fault.
        self.unseen += u64::from(more.is_some_and(|more| more < FAULTS as u64 / 2));
        self.l0_exits = self.l0_exits.zip(more).map(|(sum, more)| sum + more);
    }

    fn and(self, other: Self) -> Self {
        Self {
            kinds: self.kinds + other.kinds,
            tsc: self.tsc + other.tsc,
            l0_exits: self.l0_exits.zip(other.l0_exits).map(|(one, two)| one + two),
            unseen: self.unseen + other.unseen,
        }
    }

    /// Ticks and VM exits of one fault: the mean of the kinds, or of one fault of each.
    fn cells(self, by: u64) -> [String; 2] {
        if self.kinds == 0 {
            return ["-".into(), "-".into()];
        }
        let l0 = self.l0_exits.map_or_else(|| "?".into(), |exits| tenths(exits, by));
        [thousands(self.tsc / by), l0]
    }
}

/// The table, and the bare round trip below.
pub fn table(prices: &[Price]) -> String {
    let header = [
        "L1's filter",
        "wants",
        "exit",
        "each",
        "L0",
        "delivered",
        "each",
        "L0",
        "unseen",
        "all",
        "L0",
    ];
    let rows = prices.iter().filter(|price| price.stimulus.is_none()).map(|price| {
        let (exits, delivered) = sums(prices, price);
        let per = |sum: Sum| sum.cells(sum.kinds * FAULTS as u64);
        let wants = price.filter.parse::<Filter>().map_or_else(|_| String::new(), in_words);
        let all = exits.and(delivered);
        let unseen = all.l0_exits.map_or_else(|| "?".into(), |_| all.unseen.to_string());
        let mut row = vec![price.filter.clone(), wants, exits.kinds.to_string()];
        row.extend(per(exits));
        row.push(delivered.kinds.to_string());
        row.extend(per(delivered));
        row.push(unseen);
        row.extend(all.cells(FAULTS as u64));
        row
    });
    let mut text = output::table(header.map(String::from).into(), rows, 2);
    let empty = prices.iter().filter(|price| price.stimulus.is_none()).map(|price| price.cost);
    if let Some(trip) = empty.min_by_key(|cost| cost.tsc) {
        let _ = write!(text, "a bare VMRESUME and VMCALL: {}", thousands(trip.tsc));
        // One exit comes from reading the counter.
        let _ = trip.l0_exits.map(|exits| write!(text, ", L0: {}", exits.saturating_sub(1)));
        text.push('\n');
    }
    text
}

/// What faults that exit to L1 cost under the filter of an empty walk, and faults that L2 gets.
fn sums(prices: &[Price], empty: &Price) -> (Sum, Sum) {
    let (mut exits, mut delivered) = (Sum::new(), Sum::new());
    for price in
        prices.iter().filter(|price| price.stimulus.is_some() && price.filter == empty.filter)
    {
        let sum = if price.cost.exits > 0 { &mut exits } else { &mut delivered };
        sum.add(&price.cost, &empty.cost);
    }
    (exits, delivered)
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, table};
    use crate::verdict::findings::Price;
    use spec::log::Cost;

    const FAULTS_OF_A_WALK: u64 = FAULTS as u64;

    fn price(stimulus: Option<&str>, exits: u64, tsc: u64, l0_exits: Option<u64>) -> Price {
        let delivered = if stimulus.is_some() { FAULTS_OF_A_WALK - exits } else { 0 };
        let cost = Cost { exits, delivered, tsc, l0_exits };
        Price { filter: "1,1,0".into(), stimulus: stimulus.map(Into::into), cost }
    }

    fn walks(l0: impl Fn(u64) -> Option<u64>) -> String {
        table(&[
            price(None, 0, 1_000, l0(3)),
            price(
                Some("a"),
                FAULTS_OF_A_WALK,
                1_000 + 5_000 * FAULTS_OF_A_WALK,
                l0(3 + 2 * FAULTS_OF_A_WALK),
            ),
            price(Some("b"), 0, 1_000 + 20 * FAULTS_OF_A_WALK, l0(3)),
            price(Some("c"), 0, 1_000 + 40 * FAULTS_OF_A_WALK, l0(3 + FAULTS_OF_A_WALK)),
        ])
    }

    fn words(text: &str) -> Vec<&str> {
        text.lines().nth(1).unwrap().split_whitespace().collect()
    }

    #[test]
    fn faults_are_told_by_where_they_went() {
        let text = walks(Some);
        let row = ["1,1,0", "!P", "1", "5,000", "2.0", "2", "30", "0.5", "1", "5,060", "3.0"];
        assert_eq!(words(&text), row);
        assert!(text.contains("a bare VMRESUME and VMCALL: 1,000, L0: 2"), "{text}");
    }

    #[test]
    fn a_vmm_that_does_not_count_leaves_gaps() {
        let text = walks(|_| None);
        assert_eq!(
            words(&text),
            ["1,1,0", "!P", "1", "5,000", "?", "2", "30", "?", "?", "5,060", "?"]
        );
        assert!(text.contains("VMCALL: 1,000\n"), "{text}");
    }
}
