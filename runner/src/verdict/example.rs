//! Says which of the cases that a log has in full is an example of which difference.
//!
//! A log writes how a case must end, and how it did, in words as `spec::walk::outcome` and
//! `spec::scene::end` have them: `exit,reason=0,ec=2,...+then,done`.

use spec::scene::end::{Word, words_of};
use spec::tally::Difference;
use spec::tally::difference::Part;

/// Whether a case that must end in `want` and ended in `got` differs in the words of this
/// difference, and nowhere else.
pub fn is_of(difference: &Difference, want: &str, got: &str) -> bool {
    let (wanted, seen) = (ends(want), ends(got));
    let parts = [Some(&difference.first), difference.second.as_ref()];
    parts.into_iter().enumerate().all(|(at, part)| match part {
        Some(part) => is_of_part(part, wanted.get(at).copied(), seen.get(at).copied()),
        // A second end is not compared where the first one was wrong.
        None => true,
    })
}

fn is_of_part(part: &Part, want: Option<&str>, got: Option<&str>) -> bool {
    if part.want.to_string() != ending(want) || part.got.to_string() != ending(got) {
        return false;
    }
    // Where a fault went to the other party, its words have other names.
    part.want != part.got
        || words_of(part.words).map(|word: Word| word.to_string()).eq(differing(want, got))
}

/// The value that a word has at the first or second end of a case.
pub fn value(text: &str, second: bool, word: &str) -> Option<u64> {
    let end = ends(text).into_iter().nth(usize::from(second))?;
    u64::from_str_radix(field(end, word)?, 16).ok()
}

/// The ends of a case: one, or two.
fn ends(text: &str) -> Vec<&str> {
    text.split("+then,").collect()
}

/// Where a case ended, as in a difference.
fn ending(end: Option<&str>) -> String {
    let mut parts = Vec::new();
    let mut done = false;
    for part in end.into_iter().flat_map(|end| end.split('+')) {
        let (count, part) = part.split_once('*').unwrap_or(("1", part));
        let number =
            |name| field(part, name).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let repeated = if count == "1" { "" } else { "repeated-" };
        match part.split(',').next() {
            Some("exit") => parts.push(format!("{repeated}exit{}", number("reason").unwrap_or(0))),
            Some("delivered") => {
                parts.push(format!("{repeated}delivered{}", number("vector").unwrap_or(14)));
            }
            Some("done" | "silent" | "executed") => done = true,
            Some("without-effect") => done = false,
            // A case that came to no end has no ending.
            other => parts.push(other.unwrap_or_default().to_string()),
        }
    }
    parts.extend(done.then(|| "done".to_string()));
    if parts.is_empty() { "nothing".into() } else { parts.join("+") }
}

fn field<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    part.split(',')
        .filter_map(|word| word.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// The words whose values differ, in their order.
fn differing(want: Option<&str>, got: Option<&str>) -> impl Iterator<Item = String> {
    let (want, got) = (want.unwrap_or_default().to_string(), got.unwrap_or_default().to_string());
    let names = words_of(u64::MAX).map(|word: Word| word.to_string());
    names.filter(move |name| {
        field(&want, name).is_some_and(|value| field(&got, name) != Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::is_of;
    use spec::catalogue::case::Case;
    use spec::manual::filter::Filter;
    use spec::scene::end::{End, Ends, How, Word};
    use spec::tally::Difference;
    use spec::walk::outcome::{Delivery, Exit, Observed, Outcome};

    const EXIT: Exit = Exit {
        info: 0x8000_0b0e,
        error_code: 6,
        qualification: 16,
        rip: 4,
        rflags: 0x1_0002,
        idt_vectoring: 0,
        cr2: 7,
    };
    const DELIVERY: Delivery = Delivery { error_code: 6, cr2: 16, rip: 4, cs: 8, rflags: 0x1_0002 };

    /// All of these differ in ways of their own.
    fn of_walks() -> Vec<(Difference, String, String)> {
        let (exit, delivery) = (
            Observed::exactly(Outcome::Exit(EXIT)),
            Observed::exactly(Outcome::Delivered(DELIVERY)),
        );
        let silent = Observed::exactly(Outcome::Silent);
        let pairs = [
            (exit, Observed::exactly(Outcome::Exit(Exit { rflags: 2, ..EXIT }))),
            (exit, Observed::exactly(Outcome::Exit(Exit { rflags: 2, cr2: 0, ..EXIT }))),
            (exit, delivery),
            (delivery, exit),
            (exit, Observed { exits: 2, ..exit }),
            (exit, Observed { executed: true, ..exit }),
            (exit, Observed { deliveries: 1, delivery: Some(DELIVERY), ..exit }),
            (exit, silent),
            (silent, Observed { executed: false, ..silent }),
            (delivery, Observed::exactly(Outcome::Delivered(Delivery { cs: 0, ..DELIVERY }))),
        ];
        let difference = |(want, got): (Observed, Observed)| {
            (Difference::of_observed(&want, &got).unwrap(), want.to_string(), got.to_string())
        };
        pairs.map(difference).into()
    }

    fn of_scenes() -> Vec<(Difference, String, String)> {
        let case = Case::from_id("event.long:int-idt-np:1,0,0").unwrap();
        let Case::Scene(case) = case else { panic!("a scene") };
        let want = case.scene().expect(case.group.environment, Filter::ALWAYS, 40);
        let second = want.second.unwrap();
        let pairs = [
            Ends { first: want.first.with(Word::Rip, 0), ..want },
            Ends { first: want.first.with(Word::Rip, 0).with(Word::IdtInfo, 0), ..want },
            Ends { second: Some(second.with(Word::Rip, 0)), ..want },
            Ends { second: None, ..want },
            Ends { first: End { how: How::Exit(48), ..want.first }, second: None },
            Ends { first: End { how: How::Delivered(6), ..want.first }, second: None },
            Ends { first: second, second: None },
        ];
        let difference = |got: Ends| {
            (Difference::of_ends(&want, &got).unwrap(), want.to_string(), got.to_string())
        };
        pairs.map(difference).into()
    }

    #[test]
    fn each_case_is_an_example_of_its_own_difference_and_no_other() {
        for all in [of_walks(), of_scenes()] {
            for (at, (difference, ..)) in all.iter().enumerate() {
                for (of, (_, want, got)) in all.iter().enumerate() {
                    assert_eq!(
                        is_of(difference, want, got),
                        at == of,
                        "{difference}: {want} {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_came_to_no_end_is_an_example_of_nothing() {
        for (difference, want, _) in of_walks().into_iter().chain(of_scenes()) {
            assert!(!is_of(&difference, &want, "unexpected-exit,reason=34,rip=0"), "{difference}");
        }
    }
}
