//! Kinds of difference in words: which field is wrong how, or where a case ended in place of where.

use spec::catalogue::glob;
use spec::scene::end::Word;
use spec::tally::ending::Ending;

use crate::verdict::difference::{bit_names, exit_reason, field_name};
use crate::verdict::known::element::Component;

/// Endings in place of others, as globs, in words. The first row that matches counts.
const ENDINGS: [(&str, &str, &str); 14] = [
    ("exit0", "delivered14", "a page fault that L1 wants is delivered to L2"),
    ("delivered14", "exit0", "a page fault that L1 does not want exits to L1"),
    ("*", "repeated-*", "an event comes more than once"),
    ("*", "*+*", "more comes of an instruction than one end"),
    ("done", "nothing", "an instruction completes without its effect"),
    ("*", "nothing", "what must come last does not come"),
    ("nothing", "*", "something comes after the end"),
    ("done", "exit0", "L1 gets an exception that nothing in L2 causes"),
    ("done", "delivered*", "L2 gets an exception that nothing in it causes"),
    ("done", "exit*", "L1 gets a VM exit that nothing in L2 causes"),
    ("exit0", "done", "L2 runs on after a fault that L1 wants"),
    ("exit48", "done", "L2 runs on after an EPT violation"),
    ("exit*", "done", "L2 runs on where it must have a VM exit"),
    ("delivered*", "done", "L2 runs on after a fault that it must get"),
];

/// Bits that say by themselves what is missing, or is too much. Where they differ, the rest of the
/// field goes with them.
const TELLING: [(Word, u64, &str, &str); 4] = [
    (
        Word::IdtInfo,
        1 << 31,
        "IDT-vectoring is not reported",
        "IDT-vectoring is reported where there is none",
    ),
    (
        Word::Info,
        1 << 31,
        "interruption information is not reported",
        "interruption information is reported where there is none",
    ),
    (
        Word::Info,
        1 << 12,
        "NMI unblocking is not reported",
        "NMI unblocking is reported where there is none",
    ),
    (
        Word::Interruptibility,
        1 << 3,
        "blocking by NMI is lost",
        "NMIs are blocked that must not be",
    ),
];

/// More ends than these are called others.
const ENDS_SHOWN: usize = 2;
/// In place of an ending: a page fault of L1's own.
pub const OWN: &str = "own";

/// One thing that is wrong in cases. Those that are wrong in the same way have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They end where they must not.
    Ending(String),
    /// A field is wrong there: in these bits, or as a whole if there are none.
    Field(Word, u64),
}

impl Kind {
    /// What one component of a difference is.
    pub fn of(component: &Component) -> Self {
        let Component { want, got, word, bits, .. } = component;
        let Some(word) = *word else {
            let is_row = |(wanted, seen, _): &&(&str, &str, &str)| {
                glob::matches(wanted, want) && glob::matches(seen, got)
            };
            let row = ENDINGS.iter().find(is_row).map(|(.., text)| (*text).to_string());
            return Self::Ending(
                row.unwrap_or_else(|| format!("{} in place of {}", end(got), end(want))),
            );
        };
        if let Some((_, bit, ..)) = telling(word, *bits) {
            return Self::Field(word, *bit);
        }
        Self::Field(word, if bit_names(word.name(), *bits).is_some() { *bits } else { 0 })
    }

    /// It in words. `ends` are the endings at which it is wrong; `values` are what must be and what
    /// was in one case.
    pub fn sentence(&self, ends: &[String], values: Option<(u64, u64)>) -> String {
        let (word, bits) = match self {
            Self::Ending(text) => return text.clone(),
            Self::Field(word, bits) => (*word, *bits),
        };
        let mut at = ends.iter().take(ENDS_SHOWN).map(|ending| end(ending)).collect::<Vec<_>>();
        at.extend((ends.len() > ENDS_SHOWN).then(|| "others".to_string()));
        let at = at.join(" and ");
        let (is_lost, is_extra) = values.map_or((false, false), |(want, got)| {
            (want & bits == bits && got & bits == 0, want & bits == 0 && got & bits == bits)
        });
        if let Some((.., lost, extra)) = telling(word, bits).filter(|_| is_lost || is_extra) {
            return format!("{} ({at})", if is_lost { lost } else { extra });
        }
        let field = field_name(word.name());
        let names = bit_names(word.name(), bits).unwrap_or_default();
        let (what, is) = match names.as_slice() {
            [] => (field, "is"),
            [one] => (format!("{one} of {field}"), "is"),
            several => (format!("{} of {field}", several.join(", ")), "are"),
        };
        match values {
            _ if is_lost && bits != 0 => format!("{what} {is} 0 and must be 1 ({at})"),
            _ if is_extra && bits != 0 => format!("{what} {is} 1 and must be 0 ({at})"),
            Some((want, got)) => {
                format!("{what} {is} wrong, as {got:#x} in place of {want:#x} ({at})")
            }
            None => format!("{what} {is} wrong ({at})"),
        }
    }
}

fn telling(word: Word, bits: u64) -> Option<&'static (Word, u64, &'static str, &'static str)> {
    TELLING.iter().find(|(of, bit, ..)| *of == word && bits & bit != 0)
}

/// Where a case ended, in words.
fn end(ending: &str) -> String {
    if ending == OWN {
        return "a page fault of L1's own".into();
    }
    let Ok(parsed) = ending.parse::<Ending>() else { return ending.into() };
    match parsed {
        _ if parsed == Ending::DONE => "the end of an instruction".into(),
        _ if parsed == Ending::NOTHING => "nothing".into(),
        _ if parsed == Ending::exit(0) => "a VM exit by an exception".into(),
        _ if parsed == Ending::exit(parsed.reason) => {
            format!("a VM exit for reason {}{}", parsed.reason, exit_reason(parsed.reason.into()))
        }
        _ if parsed == Ending::delivered(14) => "a page fault in L2".into(),
        _ if parsed == Ending::delivered(parsed.vector) => {
            format!("vector {} in L2", parsed.vector)
        }
        _ => ending.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;
    use crate::verdict::known::element::components;

    /// The kinds of a difference in words, where the values of each field are these.
    fn kinds(difference: &str, values: Option<(u64, u64)>) -> Vec<String> {
        let components = components(&difference.parse().unwrap());
        let words = |component| {
            let ends = [crate::verdict::known::element::Component::clone(component).got];
            Kind::of(component).sentence(&ends, values)
        };
        components.iter().map(words).collect()
    }

    #[test]
    fn a_field_is_named_with_the_bits_that_are_wrong() {
        let exit = "a VM exit by an exception";
        for (difference, values, words) in [
            (
                "exit0:ec^8",
                Some((11, 3)),
                format!("RSVD of error code is 0 and must be 1 ({exit})"),
            ),
            (
                "exit0:ec^9",
                Some((4, 13)),
                format!("P, RSVD of error code are 1 and must be 0 ({exit})"),
            ),
            ("exit0:rflags^10000", None, format!("RF of RFLAGS is wrong ({exit})")),
            (
                "exit0:idt^80000306",
                Some((0x8000_0306, 0)),
                format!("IDT-vectoring is not reported ({exit})"),
            ),
            (
                "exit0:idt^80000306",
                Some((0, 0x8000_0306)),
                format!("IDT-vectoring is reported where there is none ({exit})"),
            ),
            (
                "exit0:info^1000",
                Some((0x1b0e, 0xb0e)),
                format!("NMI unblocking is not reported ({exit})"),
            ),
            (
                "delivered14:cr2^1000",
                Some((0x2000, 0x3000)),
                "CR2 is wrong, as 0x3000 in place of 0x2000 (a page fault in L2)".into(),
            ),
            (
                "exit48:qual^28",
                None,
                "exit qualification is wrong (a VM exit for reason 48 (EPT violation))".into(),
            ),
        ] {
            assert_eq!(kinds(difference, values), [words]);
        }
    }

    #[test]
    fn an_ending_in_place_of_another_is_said_in_words() {
        for (difference, words) in [
            ("exit0>delivered14", "a page fault that L1 wants is delivered to L2"),
            ("delivered14>exit0", "a page fault that L1 does not want exits to L1"),
            ("exit0>done", "L2 runs on after a fault that L1 wants"),
            ("exit48>done", "L2 runs on after an EPT violation"),
            ("done>nothing", "an instruction completes without its effect"),
            ("exit0>repeated-exit0", "an event comes more than once"),
            ("exit0>exit0+done", "more comes of an instruction than one end"),
            ("done>exit0", "L1 gets an exception that nothing in L2 causes"),
            (
                "exit0>exit52",
                "a VM exit for reason 52 (VMX-preemption timer: L2 did not go on) in place of a VM exit by an exception",
            ),
            ("exit0>delivered8", "vector 8 in L2 in place of a VM exit by an exception"),
        ] {
            assert_eq!(kinds(difference, None), [words]);
        }
        let both = kinds("exit0:rip^1/done>exit0", None);
        assert_eq!(both[0], "L1 gets an exception that nothing in L2 causes");
    }
}
