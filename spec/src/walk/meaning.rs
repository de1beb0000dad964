//! What filters mean: which of the page faults that there are they make exit.
//!
//! EB.PF, MASK and MATCH over the five basic bits spell 2,048 filters, and all but a few hundred of
//! them mean the same as another: MATCH outside MASK is always or never in 1,562 of them, and no
//! error code has RSVD without P, or W/R with I/D.

use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;

/// How many filters there are over [`Pfec::BASIC`].
pub(crate) const SPELLINGS: usize = 2 * 32 * 32;
/// How many of them mean different things.
pub(crate) const MEANINGS: usize = 206;

/// The filter at `index` of those over [`Pfec::BASIC`].
pub(crate) const fn spelling(index: usize) -> Filter {
    Filter::new(index & 1 == 1, (index >> 1 & 31) as u32, (index >> 6) as u32)
}

/// The filter that stands in a setting for the meaning of a number. Settings that follow each other
/// have other spellings, where there are several.
pub(crate) fn meaning(setting: usize, number: usize) -> Filter {
    spelling(CHOSEN[setting % TURNS][number].into())
}

/// How many choices of spellings there are.
const TURNS: usize = 2;

/// By turn the indices of the spellings that stand for the meanings.
static CHOSEN: [[u16; MEANINGS]; TURNS] = {
    let (of, mut chosen, mut turn) = (meanings(), [[0; MEANINGS]; TURNS], 0);
    while turn < TURNS {
        chosen[turn] = choose(&of, turn);
        turn += 1;
    }
    chosen
};

/// The number of each spelling's meaning.
const fn meanings() -> [usize; SPELLINGS] {
    let (mut numbers, mut sets, mut count, mut index) = ([0; SPELLINGS], [0; MEANINGS], 0, 0);
    while index < SPELLINGS {
        let set = spelling(index).basic_exits() & Pfec::POSSIBLE;
        let mut number = 0;
        while number < count && sets[number] != set {
            number += 1;
        }
        if number == count {
            sets[count] = set;
            count += 1;
        }
        numbers[index] = number;
        index += 1;
    }
    assert!(count == MEANINGS);
    numbers
}

/// A spelling of each meaning: of several, each turn has the next.
const fn choose(of: &[usize; SPELLINGS], turn: usize) -> [u16; MEANINGS] {
    /// Odd, so that it leads to each spelling, and near the golden section of [`SPELLINGS`]: those
    /// that follow each other differ in each field.
    const STEP: usize = 1265;
    let (mut all, mut at) = ([0; MEANINGS], 0);
    while at < SPELLINGS {
        all[of[at]] += 1;
        at += 1;
    }
    let (mut chosen, mut seen, mut count, mut at) = ([0; MEANINGS], [0; MEANINGS], 0, 0);
    while at < SPELLINGS {
        let index = at * STEP % SPELLINGS;
        let meaning = of[index];
        if seen[meaning] == turn % all[meaning] {
            chosen[count] = index as u16;
            count += 1;
        }
        seen[meaning] += 1;
        at += 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{MEANINGS, SPELLINGS, meaning, spelling};
    use crate::manual::filter::Filter;
    use crate::manual::pfec::Pfec;
    use crate::walk::setting::SETTINGS;
    use std::collections::{HashMap, HashSet};
    use std::vec::Vec;

    /// The error codes that there are and that a filter makes exit.
    fn exits(filter: Filter) -> Vec<u32> {
        let codes = (0..32).filter(|code| Pfec::POSSIBLE >> code & 1 == 1);
        codes.filter(|&code| filter.exits(Pfec::from_bits_retain(code))).collect()
    }

    #[test]
    fn each_setting_has_a_spelling_of_each_meaning() {
        let all: HashSet<_> = (0..SPELLINGS).map(|index| exits(spelling(index))).collect();
        assert_eq!(all.len(), MEANINGS);
        for setting in 0..SETTINGS.len() {
            let chosen = (0..MEANINGS).map(|number| exits(meaning(setting, number)));
            assert_eq!(chosen.collect::<HashSet<_>>(), all, "{setting}");
        }
    }

    #[test]
    fn settings_spell_a_meaning_differently() {
        let mut spellings: HashMap<Vec<u32>, usize> = HashMap::new();
        for index in 0..SPELLINGS {
            *spellings.entry(exits(spelling(index))).or_default() += 1;
        }
        let mut chosen: HashMap<Vec<u32>, HashSet<Filter>> = HashMap::new();
        for (setting, number) in (0..SETTINGS.len())
            .flat_map(|setting| (0..MEANINGS).map(move |number| (setting, number)))
        {
            let filter = meaning(setting, number);
            chosen.entry(exits(filter)).or_default().insert(filter);
        }
        let several = spellings.iter().filter(|(_, count)| **count > 1);
        for (meaning, count) in several {
            assert!(chosen[meaning].len() > 1, "{meaning:?} has {count}");
        }
    }
}
