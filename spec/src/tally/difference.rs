//! What differs between what a case must show and what it showed.

use core::fmt;
use core::iter;
use core::str::FromStr;

use super::displays_as;
use super::ending::Ending;
use crate::scene::end::{EVERY_REGISTER, End, Ends, How, Word, Words, words_of};
use crate::walk::outcome::{Delivery, Exit, INTERRUPTION_INFO_PF, Observed};

/// One end of a case: where it was to come and where it came, and the words that differ there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it must end.
    pub want: Ending,
    /// Where it ended.
    pub got: Ending,
    /// The words that differ. Where a page fault went to the other party, its words are compared
    /// with those that it must have there.
    pub words: Words,
}

impl Part {
    /// Whether the end is as it must be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.want == self.got && self.words == 0
    }
}

/// How many differing words of a case keep the bits that differ. Of more, every bit counts as one
/// that may.
pub const MAX_BITS: usize = 8;

/// What differs in a case: its first end, and its second if it has one. A second end is compared
/// only where the first one came where it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first end.
    pub first: Part,
    /// The second end, if something is wrong with it.
    pub second: Option<Part>,
    /// The bits that differ in each differing word: those of the first end, then those of the
    /// second, each in the order of the words.
    bits: [u64; MAX_BITS],
}

/// Words that a fault has whichever party gets it.
const EITHER_WAY: Words = EVERY_REGISTER
    | Word::ErrorCode.bit()
    | Word::Rip.bit()
    | Word::Rsp.bit()
    | Word::Rflags.bit()
    | Word::Memory.bit()
    | Word::Leaf.bit()
    | Word::Dirty.bit();

impl Difference {
    /// What differs between the ends of a scene, or `None` if nothing does.
    #[must_use]
    pub fn of_ends(want: &Ends, got: &Ends) -> Option<Self> {
        let mut bits = Bits::default();
        let first = bits.part(&want.first, &got.first);
        let second = match (&want.second, &got.second) {
            _ if first.want != first.got => None,
            (Some(want), Some(got)) => Some(bits.part(want, got)),
            (Some(want), None) => {
                Some(Part { want: want.how.into(), got: Ending::NOTHING, words: 0 })
            }
            (None, Some(got)) => {
                Some(Part { want: Ending::NOTHING, got: got.how.into(), words: 0 })
            }
            (None, None) => None,
        };
        bits.difference(first, second.filter(|second| !second.is_right()))
    }

    /// What differs between the outcomes of an access, or `None` if nothing does.
    #[must_use]
    pub fn of_observed(want: &Observed, got: &Observed) -> Option<Self> {
        let mut bits = Bits::default();
        let (wanted, seen) = (Ending::from(want), Ending::from(got));
        let words = match (want.exit, want.delivery, got.exit, got.delivery) {
            _ if !seen.is_single() => 0,
            (Some(want), _, Some(got), _) => bits.exits(&want, &got),
            (_, Some(want), _, Some(got)) => bits.deliveries(&want, &got),
            (Some(want), _, _, Some(got)) => bits.compare([
                (Word::Cr2, want.qualification, got.cr2),
                (Word::ErrorCode, want.error_code, got.error_code),
                (Word::Rip, want.rip, got.rip),
                (Word::Rflags, want.rflags, got.rflags),
            ]),
            (_, Some(want), Some(got), _) => bits.compare([
                (Word::Info, INTERRUPTION_INFO_PF, got.info),
                (Word::ErrorCode, want.error_code, got.error_code),
                (Word::Qualification, want.cr2, got.qualification),
                (Word::Rip, want.rip, got.rip),
                (Word::Rflags, want.rflags, got.rflags),
            ]),
            _ => 0,
        };
        bits.difference(Part { want: wanted, got: seen, words }, None)
    }

    /// The bits that differ in the words of the first and of the second end.
    pub fn bits(&self) -> impl Iterator<Item = (&Part, Word, u64)> {
        let words = |part| words_of(part_words(part)).filter_map(move |word| Some((part?, word)));
        let all = words(Some(&self.first)).chain(words(self.second.as_ref()));
        let known = self.word_count() <= MAX_BITS;
        all.enumerate().map(move |(at, (part, word))| {
            (
                part,
                word,
                if known { self.bits.get(at).copied().unwrap_or(u64::MAX) } else { u64::MAX },
            )
        })
    }

    /// Whether a fault, or the lack of one, went another way than it must.
    #[must_use]
    pub fn ends_elsewhere(&self) -> bool {
        iter::once(&self.first).chain(&self.second).any(|part| part.want != part.got)
    }

    /// How many words differ.
    fn word_count(&self) -> usize {
        (part_words(Some(&self.first)).count_ones() + part_words(self.second.as_ref()).count_ones())
            as usize
    }

    /// Whether both differ in the same words at the same ends; the bits may be others.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.first == other.first && self.second == other.second
    }

    /// Takes in the differing bits of another one that [is like](Self::is_like) this one.
    pub fn widen(&mut self, other: &Self) {
        self.bits.iter_mut().zip(other.bits).for_each(|(mine, its)| *mine |= its);
    }
}

fn part_words(part: Option<&Part>) -> Words {
    part.map_or(0, |part| part.words)
}

/// The differing bits, gathered word by word.
#[derive(Default)]
struct Bits {
    bits: [u64; MAX_BITS],
    len: usize,
}

impl Bits {
    fn difference(self, first: Part, second: Option<Part>) -> Option<Difference> {
        let right = first.is_right() && second.is_none_or(|second| second.is_right());
        (!right).then_some(Difference { first, second, bits: self.bits })
    }

    fn part(&mut self, want: &End, got: &End) -> Part {
        Part { want: want.how.into(), got: got.how.into(), words: self.words(want, got) }
    }

    fn words(&mut self, want: &End, got: &End) -> Words {
        if want.how == got.how {
            let words = want.differing(got);
            words_of(words).for_each(|word| self.push(want.word(word) ^ got.word(word)));
            return words;
        }
        let pairs = match (want.how, got.how) {
            (How::Exit(0), How::Delivered(14)) if want.word(Word::Info) == INTERRUPTION_INFO_PF => {
                [Some((Word::Cr2, want.word(Word::Qualification), Word::Qualification)), None]
            }
            (How::Delivered(14), How::Exit(0)) => [
                Some((Word::Info, INTERRUPTION_INFO_PF, Word::ErrorCode)),
                Some((Word::Qualification, want.word(Word::Cr2), Word::Cr2)),
            ],
            _ => return 0,
        };
        let mut differing = want.differing(got) & EITHER_WAY;
        let fixed =
            pairs.into_iter().flatten().filter(|(.., source)| want.fixed & source.bit() != 0);
        let moved: [Option<(Word, u64)>; 2] = {
            let mut moved = [None; 2];
            moved
                .iter_mut()
                .zip(fixed)
                .for_each(|(slot, (word, value, _))| *slot = Some((word, value)));
            moved
        };
        for (word, value) in moved.into_iter().flatten() {
            differing |= if value == got.word(word) { 0 } else { word.bit() };
        }
        for word in words_of(differing) {
            let value = moved.into_iter().flatten().find(|(known, _)| *known == word);
            self.push(value.map_or(want.word(word), |(_, value)| value) ^ got.word(word));
        }
        differing
    }

    fn exits(&mut self, want: &Exit, got: &Exit) -> Words {
        self.compare([
            (Word::Cr2, want.cr2, got.cr2),
            (Word::Info, want.info, got.info),
            (Word::ErrorCode, want.error_code, got.error_code),
            (Word::Qualification, want.qualification, got.qualification),
            (Word::IdtInfo, want.idt_vectoring, got.idt_vectoring),
            (Word::Rip, want.rip, got.rip),
            (Word::Rflags, want.rflags, got.rflags),
        ])
    }

    fn deliveries(&mut self, want: &Delivery, got: &Delivery) -> Words {
        self.compare([
            (Word::Cr2, want.cr2, got.cr2),
            (Word::ErrorCode, want.error_code, got.error_code),
            (Word::Rip, want.rip, got.rip),
            (Word::Rflags, want.rflags, got.rflags),
            (Word::Cs, want.cs, got.cs),
        ])
    }

    /// The words of which what must be differs from what was. They come in the order of their
    /// numbers.
    fn compare<const N: usize>(&mut self, words: [(Word, u64, u64); N]) -> Words {
        words.into_iter().filter(|(_, want, got)| want != got).fold(0, |set, (word, want, got)| {
            self.push(want ^ got);
            set | word.bit()
        })
    }

    fn push(&mut self, bits: u64) {
        if let Some(slot) = self.bits.get_mut(self.len) {
            *slot = bits;
        }
        self.len += 1;
    }
}

/// The text between where a case must end and where it ended.
const INSTEAD: char = '>';
/// The text between the first and the second end.
const THEN: char = '/';

/// `exit0:rflags^10000`, `exit0>delivered14:ec^8`, `exit0/done:rip^4,memory^ff`: ends, then the
/// differing words with the bits that differ.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in iter::once(&self.first).chain(&self.second).enumerate() {
            if at > 0 {
                write!(f, "{THEN}")?;
            }
            if part.want != part.got {
                write!(f, "{}{INSTEAD}", part.want)?;
            }
            write!(f, "{}", part.got)?;
            let mut joint = ':';
            for (_, word, bits) in self.bits().filter(|(of, ..)| core::ptr::eq(*of, part)) {
                write!(f, "{joint}{word}^{bits:x}")?;
                joint = ',';
            }
        }
        Ok(())
    }
}

/// Text that is no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDifference;

impl FromStr for Difference {
    type Err = NoDifference;

    fn from_str(text: &str) -> Result<Self, NoDifference> {
        let mut bits = Bits::default();
        let mut parts = text.split(THEN).map(|part| parse_part(part, &mut bits));
        let first = parts.next().ok_or(NoDifference)??;
        let second = parts.next().transpose()?;
        if parts.next().is_some() {
            return Err(NoDifference);
        }
        let difference = bits.difference(first, second).ok_or(NoDifference)?;
        // One way to write each.
        if displays_as(&difference, text) { Ok(difference) } else { Err(NoDifference) }
    }
}

fn parse_part(text: &str, bits: &mut Bits) -> Result<Part, NoDifference> {
    let (ends, words) =
        text.split_once(':').map_or((text, None), |(ends, words)| (ends, Some(words)));
    let ending = |text: &str| text.parse::<Ending>().map_err(|_| NoDifference);
    let (want, got) = match ends.split_once(INSTEAD) {
        Some((want, got)) => (ending(want)?, ending(got)?),
        None => (ending(ends)?, ending(ends)?),
    };
    let mut part = Part { want, got, words: 0 };
    for word in words.into_iter().flat_map(|words| words.split(',')) {
        let (name, differing) = word.split_once('^').ok_or(NoDifference)?;
        part.words |= Word::from_name(name).ok_or(NoDifference)?.bit();
        bits.push(u64::from_str_radix(differing, 16).map_err(|_| NoDifference)?);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::Difference;
    use crate::scene::end::{End, Ends, How, Word};
    use crate::walk::outcome::{Delivery, Exit, INTERRUPTION_INFO_PF, Observed, Outcome};
    use std::string::ToString;

    const EXIT: Exit = Exit {
        info: INTERRUPTION_INFO_PF,
        error_code: 6,
        qualification: 0x1000,
        rip: 0x40,
        rflags: 0x1_0cd7,
        idt_vectoring: 0,
        cr2: 0xc2,
    };
    const DELIVERY: Delivery =
        Delivery { error_code: 6, cr2: 0x1000, rip: 0x40, cs: 8, rflags: 0x1_0cd7 };

    fn observed(want: Outcome, got: Observed) -> Option<std::string::String> {
        Difference::of_observed(&Observed::exactly(want), &got)
            .map(|difference| difference.to_string())
    }

    #[test]
    fn each_field_of_a_walk_that_differs_is_named_with_its_bits() {
        let exit = |got| observed(Outcome::Exit(EXIT), Observed::exactly(Outcome::Exit(got)));
        assert_eq!(exit(EXIT), None);
        for (got, text) in [
            (Exit { info: EXIT.info | 0x1000, ..EXIT }, "exit0:info^1000"),
            (Exit { error_code: 14, ..EXIT }, "exit0:ec^8"),
            (Exit { qualification: 0, ..EXIT }, "exit0:qual^1000"),
            (Exit { idt_vectoring: 1, ..EXIT }, "exit0:idt^1"),
            (Exit { rip: 0x41, rflags: 0xcd7, ..EXIT }, "exit0:rip^1,rflags^10000"),
            (Exit { cr2: 0x1000, ..EXIT }, "exit0:cr2^10c2"),
        ] {
            assert_eq!(exit(got).as_deref(), Some(text));
        }
        let delivered = |got| {
            observed(Outcome::Delivered(DELIVERY), Observed::exactly(Outcome::Delivered(got)))
        };
        assert_eq!(
            delivered(Delivery { cs: 0x23, ..DELIVERY }).as_deref(),
            Some("delivered14:cs^2b")
        );
    }

    #[test]
    fn a_fault_that_went_to_the_other_party_is_compared_with_what_it_must_be_there() {
        let to_l2 = |got| observed(Outcome::Exit(EXIT), Observed::exactly(Outcome::Delivered(got)));
        assert_eq!(to_l2(DELIVERY).as_deref(), Some("exit0>delivered14"));
        assert_eq!(
            to_l2(Delivery { error_code: 14, ..DELIVERY }).as_deref(),
            Some("exit0>delivered14:ec^8")
        );
        assert_eq!(
            to_l2(Delivery { cr2: 0xc2, ..DELIVERY }).as_deref(),
            Some("exit0>delivered14:cr2^10c2")
        );
        let to_l1 =
            |got| observed(Outcome::Delivered(DELIVERY), Observed::exactly(Outcome::Exit(got)));
        assert_eq!(to_l1(EXIT).as_deref(), Some("delivered14>exit0"));
        assert_eq!(
            to_l1(Exit { info: EXIT.info | 0x1000, ..EXIT }).as_deref(),
            Some("delivered14>exit0:info^1000")
        );
        assert_eq!(
            to_l1(Exit { qualification: 1, ..EXIT }).as_deref(),
            Some("delivered14>exit0:qual^1001")
        );
    }

    #[test]
    fn what_came_twice_or_beside_something_else_is_no_single_end() {
        let exit = Observed::exactly(Outcome::Exit(EXIT));
        let seen = |got| observed(Outcome::Exit(EXIT), got).unwrap();
        assert_eq!(seen(Observed { exits: 2, ..exit }), "exit0>repeated-exit0");
        assert_eq!(seen(Observed { executed: true, ..exit }), "exit0>exit0+done");
        assert_eq!(
            seen(Observed { deliveries: 1, delivery: Some(DELIVERY), ..exit }),
            "exit0>exit0+delivered14"
        );
        let nothing = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
        assert_eq!(observed(Outcome::Silent, nothing).as_deref(), Some("done>nothing"));
    }

    fn ends() -> Ends {
        let fault =
            End::new(How::Exit(0)).with(Word::Info, INTERRUPTION_INFO_PF).with(Word::Rip, 0x40);
        let fault = fault
            .with(Word::Qualification, 0x1000)
            .with(Word::ErrorCode, 6)
            .with(Word::Rflags, 0x1_0002);
        Ends { first: fault, second: Some(End::new(How::Done).with(Word::Rip, 0x44)) }
    }

    #[test]
    fn both_ends_of_a_scene_count_and_the_second_only_after_a_right_place() {
        let want = ends();
        assert_eq!(Difference::of_ends(&want, &want), None);
        let text = |got: &Ends| Difference::of_ends(&want, got).unwrap().to_string();
        let rf_clear = want.first.with(Word::Rflags, 2);
        assert_eq!(text(&Ends { first: rf_clear, ..want }), "exit0:rflags^10000");
        let late = Some(End::new(How::Done).with(Word::Rip, 0x45));
        assert_eq!(text(&Ends { second: late, ..want }), "exit0/done:rip^1");
        assert_eq!(text(&Ends { second: None, ..want }), "exit0/done>nothing");
        let elsewhere = End::new(How::Delivered(6)).with(Word::Rip, 0);
        assert_eq!(text(&Ends { first: elsewhere, second: None }), "exit0>delivered6");
        let one = Ends { second: None, ..want };
        assert_eq!(Difference::of_ends(&one, &want).unwrap().to_string(), "exit0/nothing>done");
    }

    #[test]
    fn open_words_do_not_differ_where_a_fault_went_to_the_other_party() {
        let want = ends();
        let delivered =
            End::new(How::Delivered(14)).with(Word::Cr2, 0x1000).with(Word::ErrorCode, 6);
        let got = Ends {
            first: delivered.with(Word::Rip, 0x40).with(Word::Rflags, 2).with(Word::Rax, 7),
            second: None,
        };
        assert_eq!(
            Difference::of_ends(&want, &got).unwrap().to_string(),
            "exit0>delivered14:rflags^10000"
        );
        let open = Ends { first: want.first.open(Word::Qualification), ..want };
        let other = Ends { first: got.first.with(Word::Cr2, 1), ..got };
        assert_eq!(
            Difference::of_ends(&open, &other).unwrap().to_string(),
            "exit0>delivered14:rflags^10000"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "exit0:rflags^10000",
            "exit0>delivered14:ec^8",
            "exit0:info^1000/exit0:rip^1,rflags^10000",
            "exit0/done>nothing",
            "repeated-exit0>done",
        ] {
            assert_eq!(text.parse::<Difference>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "exit0",
            "exit0:",
            "exit0:rip",
            "exit0:rip^",
            "exit0:rip^01",
            "exit0:rflags^1,rip^1",
            "exit0:rip^1,rip^1",
            "exit0:nonsense^1",
            "exit0>exit0",
            "exit0:rip^1/done/done",
            "exit0:rip^1 ",
        ] {
            assert!(text.parse::<Difference>().is_err(), "{text}");
        }
    }

    #[test]
    fn of_many_words_every_bit_may_differ() {
        let want = (0..9).fold(End::new(How::Done), |end, at| end.with(Word::ALL[at], 0));
        let got = (0..9).fold(want, |end, at| end.with(Word::ALL[at], 1));
        let both = |end| Ends { first: end, second: None };
        let difference = Difference::of_ends(&both(want), &both(got)).unwrap();
        assert!(
            difference.bits().all(|(.., bits)| bits == u64::MAX) && difference.bits().count() == 9
        );
    }

    #[test]
    fn bits_of_cases_that_are_alike_add_up() {
        let mut one: Difference = "exit0:rip^1,rflags^10000".parse().unwrap();
        let other: Difference = "exit0:rip^4,rflags^10000".parse().unwrap();
        assert!(one.is_like(&other) && !one.is_like(&"exit0:rip^1".parse().unwrap()));
        one.widen(&other);
        assert_eq!(one.to_string(), "exit0:rip^5,rflags^10000");
    }
}
