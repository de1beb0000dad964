//! What may differ: the elements of a row's `differs`.
//!
//! | element | what it covers |
//! |---|---|
//! | `exit0:rflags^10000` | these bits of RFLAGS, in cases that end in `exit0` |
//! | `exit0:rip` | any bits of RIP there |
//! | `exit0>delivered14` | that ending in place of this one |
//! | `exit0>delivered14:ec^8` | the same, and these bits of the error code with it |
//! | `anything` | any ending and any word |
//!
//! Endings and words are those of the log. An ending may be a glob: `*`, `delivered*`.

use std::fmt;
use std::str::FromStr;

use spec::catalogue::glob;
use spec::scene::end::Word;
use spec::tally::Difference;
use spec::tally::difference::Part;
use spec::tally::ending::Ending;

/// One thing that differs in a case: where it ended, or bits of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Whether it is of the second end.
    pub second: bool,
    /// Where the case must end.
    pub want: String,
    /// Where it ended.
    pub got: String,
    /// The word, or `None` if the ending differs.
    pub word: Option<Word>,
    /// The bits that differ and are not covered yet. An ending counts as one bit.
    pub bits: u64,
}

/// Everything that differs in a difference, one by one.
pub fn components(difference: &Difference) -> Vec<Component> {
    let component = |part: &Part, word, bits| Component {
        second: !std::ptr::eq(part, &raw const difference.first),
        want: part.want.to_string(),
        got: part.got.to_string(),
        word,
        bits,
    };
    let parts = std::iter::once(&difference.first).chain(&difference.second);
    let endings = parts.filter(|part| part.want != part.got).map(|part| component(part, None, 1));
    let words = difference.bits().map(|(part, word, bits)| component(part, Some(word), bits));
    endings.chain(words).collect()
}

/// A difference as the log writes it, with those words only that are among the components.
pub fn shown(difference: &Difference, left: &[Component]) -> String {
    let parts = std::iter::once(&difference.first).chain(&difference.second);
    let texts = parts.enumerate().map(|(at, part)| {
        let ends = if part.want == part.got {
            part.got.to_string()
        } else {
            format!("{}>{}", part.want, part.got)
        };
        let words = left.iter().filter(|left| left.second == (at == 1) && left.bits != 0);
        let words: Vec<String> =
            words.filter_map(|left| Some(format!("{}^{:x}", left.word?, left.bits))).collect();
        if words.is_empty() { ends } else { format!("{ends}:{}", words.join(",")) }
    });
    texts.collect::<Vec<_>>().join("/")
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// Any ending, any word.
    Anything,
    /// Bits of a word at an ending.
    At {
        /// The ending.
        ending: Pattern,
        /// The word and its bits.
        word: Bits,
    },
    /// An ending in place of another, and bits of a word that may differ with it.
    Instead {
        /// Where the case must end.
        want: Pattern,
        /// Where it ended.
        got: Pattern,
        /// The word and its bits.
        word: Option<Bits>,
    },
}

/// Bits of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    word: Word,
    bits: u64,
}

/// A glob over endings, as the log writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Element {
    /// Which of a component's bits it covers.
    pub fn covers(&self, component: &Component) -> u64 {
        let Component { want: wanted, got: seen, word: differing, bits, .. } = component;
        let of = |word: &Bits| if *differing == Some(word.word) { word.bits & bits } else { 0 };
        match self {
            Self::Anything => *bits,
            Self::At { ending, word } if ending.matches(seen) => of(word),
            Self::Instead { want, got, word }
                if wanted != seen && want.matches(wanted) && got.matches(seen) =>
            {
                if differing.is_none() { *bits } else { word.as_ref().map_or(0, of) }
            }
            Self::At { .. } | Self::Instead { .. } => 0,
        }
    }
}

impl Pattern {
    fn matches(&self, ending: &str) -> bool {
        glob::matches(&self.0, ending)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let exits = (0..=u16::from(u8::MAX)).map(Ending::exit);
        let deliveries = (0..=u8::MAX).map(Ending::delivered);
        let mut simple = exits.chain(deliveries).chain([Ending::DONE, Ending::NOTHING]);
        let exists = text.parse::<Ending>().is_ok()
            || simple.any(|ending| glob::matches(text, &ending.to_string()));
        if exists {
            Ok(Self(text.into()))
        } else {
            Err(format!("'{text}' is not an ending such as exit0, delivered14, done or nothing"))
        }
    }
}

impl FromStr for Bits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bits) =
            text.split_once('^').map_or((text, None), |(name, bits)| (name, Some(bits)));
        let word = Word::from_name(name).ok_or_else(|| format!("no word is called '{name}'"))?;
        let hex = |bits| u64::from_str_radix(bits, 16).ok().filter(|bits| *bits != 0);
        let bits = bits
            .map_or(Some(u64::MAX), hex)
            .ok_or_else(|| format!("'{text}' names no bits such as rflags^10000"))?;
        Ok(Self { word, bits })
    }
}

/// The word for the element that covers everything.
const ANYTHING: &str = "anything";

impl FromStr for Element {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == ANYTHING {
            return Ok(Self::Anything);
        }
        let (ends, word) =
            text.split_once(':').map_or((text, None), |(ends, word)| (ends, Some(word)));
        let word = word.map(Bits::from_str).transpose()?;
        match (ends.split_once('>'), word) {
            (Some((want, got)), _) if want == got && want.parse::<Ending>().is_ok() => {
                Err(format!("'{text}' has an ending in place of itself"))
            }
            (Some((want, got)), word) => {
                Ok(Self::Instead { want: want.parse()?, got: got.parse()?, word })
            }
            (None, Some(word)) => Ok(Self::At { ending: ends.parse()?, word }),
            (None, None) => Err(format!(
                "'{text}' is not a difference such as exit0:rflags^10000 or exit0>done"
            )),
        }
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.word)?;
        if self.bits == u64::MAX { Ok(()) } else { write!(f, "^{:x}", self.bits) }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str(ANYTHING),
            Self::At { ending, word } => write!(f, "{}:{word}", ending.0),
            Self::Instead { want, got, word } => {
                write!(f, "{}>{}", want.0, got.0)?;
                word.iter().try_for_each(|word| write!(f, ":{word}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, components};

    /// Whether elements cover a difference together.
    fn cover(elements: &[&str], difference: &str) -> bool {
        let elements: Vec<Element> = elements.iter().map(|text| text.parse().unwrap()).collect();
        components(&difference.parse().unwrap()).into_iter().all(|mut component| {
            for element in &elements {
                component.bits &= !element.covers(&component);
            }
            component.bits == 0
        })
    }

    #[test]
    fn a_word_is_covered_at_its_ending_and_in_its_bits() {
        for (elements, difference, covered) in [
            (&["exit0:rflags^10000"][..], "exit0:rflags^10000", true),
            (&["exit0:rflags^10000"], "exit0:rflags^10040", false),
            (&["exit0:rflags^10000", "exit0:rflags^8d5"], "exit0:rflags^10040", true),
            (&["exit0:rflags^10000"], "delivered14:rflags^10000", false),
            (&["exit0:rip"], "exit0:rip^ffff", true),
            (&["exit0:rip"], "exit0:rip^1,rflags^10000", false),
            (&["*:rip"], "delivered14:rip^1", true),
            (&["exit*:rip"], "exit48:rip^1", true),
            (&["exit0:rip", "done:rax"], "exit0:rip^1/done:rax^7", true),
            (&["exit0:rip"], "exit0:rip^1/done:rip^1", false),
        ] {
            assert_eq!(cover(elements, difference), covered, "{elements:?} {difference}");
        }
    }

    #[test]
    fn an_ending_in_place_of_another_is_covered_and_its_words_are_not() {
        for (elements, difference, covered) in [
            (&["exit0>delivered14"][..], "exit0>delivered14", true),
            (&["exit0>delivered14"], "delivered14>exit0", false),
            (&["exit0>delivered14"], "exit0>delivered14:ec^8", false),
            (&["exit0>delivered14:ec^8"], "exit0>delivered14:ec^8", true),
            (&["exit0>delivered14:ec^8"], "exit0>delivered14", true),
            (&["exit0>delivered14:ec^8"], "delivered14:ec^8", false),
            (&["exit0>delivered14", "delivered14:ec^8"], "exit0>delivered14:ec^8", true),
            (&["*>done"], "exit0/delivered1>done", true),
            (&["delivered*>done"], "exit0>done", false),
            (&["*>done"], "exit0/done:rip^1", false),
            (&["anything"], "exit0>delivered14:ec^8,rip^1", true),
        ] {
            assert_eq!(cover(elements, difference), covered, "{elements:?} {difference}");
        }
    }

    #[test]
    fn elements_print_as_they_parse() {
        for text in [
            "anything",
            "exit0:rflags^10000",
            "*:rip",
            "exit0>delivered14",
            "delivered*>done",
            "exit0>delivered14:ec^8",
        ] {
            assert_eq!(text.parse::<Element>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn words_and_endings_must_exist() {
        for (text, part) in [
            ("exit0:flags", "'flags'"),
            ("exit0:rip^", "'rip^'"),
            ("exit0:rip^0", "'rip^0'"),
            ("exit0:rip^xyz", "'rip^xyz'"),
            ("exit:rip", "'exit'"),
            ("delivered256>done", "'delivered256'"),
            ("deliv*ed>done", "'deliv*ed'"),
            ("exit0>gone", "'gone'"),
            ("exit0", "'exit0'"),
            ("exit0>exit0", "itself"),
            ("", "''"),
        ] {
            let error = text.parse::<Element>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
