//! Filters as people write them: in words, as fields, and as logs have them.

use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

/// The words for the bits of an error code, and the manual's word where it differs.
const WORDS: [(&str, &str, Pfec); 9] = [
    ("P", "P", Pfec::P),
    ("W", "W/R", Pfec::WR),
    ("U", "U/S", Pfec::US),
    ("RSVD", "RSVD", Pfec::RSVD),
    ("I", "I/D", Pfec::ID),
    ("PK", "PK", Pfec::PK),
    ("SS", "SS", Pfec::SS),
    ("HLAT", "HLAT", Pfec::HLAT),
    ("SGX", "SGX", Pfec::SGX),
];

/// Reads a filter in any form.
///
/// # Errors
/// What is wrong with it, and what is allowed there.
pub fn parse(text: &str) -> Result<Filter, String> {
    let text = text.trim();
    if text.is_empty() {
        Err(format!("a filter is missing. {FORMS}"))
    } else if text.contains('=') {
        fields(text)
    } else if text.starts_with(|first: char| first.is_ascii_digit()) {
        text.parse().map_err(|error| format!("{error}. {FORMS}"))
    } else {
        words(text)
    }
}

const FORMS: &str = "A filter can be written in words (P,!RSVD), as fields (eb=1 mask=0x9 match=0x1), and as in logs \
                     (1,9,1)";

fn words(text: &str) -> Result<Filter, String> {
    if let Some(inner) = text.strip_prefix("!(") {
        let inner =
            inner.strip_suffix(')').ok_or_else(|| format!("'{text}' lacks its ')' at the end"))?;
        let Filter { eb_pf, mask, matching } = direct(inner.trim())?;
        return Ok(Filter::new(!eb_pf, mask, matching));
    }
    direct(text)
}

fn direct(text: &str) -> Result<Filter, String> {
    match text.to_ascii_lowercase().as_str() {
        "all" => return Ok(Filter::ALWAYS),
        "none" => return Ok(Filter::NEVER),
        _ => {}
    }
    let (mut mask, mut matching) = (0, 0);
    for word in text.split(',').map(str::trim) {
        let (name, set) =
            word.strip_prefix('!').map_or((word, true), |name| (name.trim_start(), false));
        let bit = bit(name)?;
        let value = if set { bit } else { 0 };
        if mask & bit != 0 && matching & bit != value {
            return Err(format!(
                "{name} cannot be set and clear at once: faults with both are written as two filters, no fault as \
                 'none'"
            ));
        }
        mask |= bit;
        matching |= value;
    }
    Ok(Filter::new(true, mask, matching))
}

/// The bit of a word.
fn bit(name: &str) -> Result<u32, String> {
    let known = WORDS.iter().find(|(short, manual, _)| {
        // Capitals as in the log are not required.
        name.eq_ignore_ascii_case(short) || name.eq_ignore_ascii_case(manual)
    });
    let numbered = || {
        let number =
            name.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("bit")).and(name.get(3..))?;
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u32>().ok().filter(|&number| plain && number < 32).map(|number| 1 << number)
    };
    known.map(|(_, _, bit)| bit.bits()).or_else(numbered).ok_or_else(|| {
        let what = if name.is_empty() { "a word is missing".to_string() } else { format!("'{name}' is no bit") };
        let allowed = WORDS.map(|(short, _, _)| short).join(", ");
        format!("{what}: words are {allowed} and bit0 to bit31, each with ! before it for a clear bit, joined by commas; or all, or none")
    })
}

fn fields(text: &str) -> Result<Filter, String> {
    let (mut eb, mut mask, mut matching) = (None, None, None);
    for field in text.split([' ', '\t', ',']).filter(|field| !field.is_empty()) {
        let (key, value) = field.split_once('=').ok_or_else(|| {
            format!("'{field}' is no field: write eb=, mask= and match=, without spaces around '='")
        })?;
        let place = match key.to_ascii_lowercase().as_str() {
            "eb" | "eb.pf" => &mut eb,
            "mask" => &mut mask,
            "match" => &mut matching,
            _ => {
                return Err(format!(
                    "'{key}' is no field of a filter: fields are eb, mask and match"
                ));
            }
        };
        if place.replace(number(value).ok_or_else(|| wrong_number(key, value))?).is_some() {
            return Err(format!("{key}= is there twice"));
        }
    }
    let missing = |key: &str| format!("{key}= is missing: a filter has eb, mask and match");
    let eb_pf = match eb.ok_or_else(|| missing("eb"))? {
        0 => false,
        1 => true,
        other => {
            return Err(format!(
                "eb={other} cannot be: it is the one bit for #PF in the exception bitmap, 0 or 1"
            ));
        }
    };
    Ok(Filter::new(
        eb_pf,
        mask.ok_or_else(|| missing("mask"))?,
        matching.ok_or_else(|| missing("match"))?,
    ))
}

/// Reads hexadecimal with 0x, else decimal, without signs.
fn number(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

fn wrong_number(key: &str, value: &str) -> String {
    let hex = value.bytes().all(|byte| byte.is_ascii_hexdigit())
        && number(&format!("0x{value}")).is_some();
    let hint = if hex && !value.is_empty() {
        format!("; hexadecimal is 0x{value}")
    } else {
        String::new()
    };
    format!("{key}={value}: the value is no number of up to 32 bits, decimal or with 0x{hint}")
}

/// A filter in words that [`parse`] reads: the faults that it makes exit.
pub fn in_words(filter: Filter) -> String {
    let Filter { eb_pf, mask, matching } = filter;
    if matching & !mask != 0 || mask == 0 {
        return if eb_pf == (matching & !mask == 0) { "all".into() } else { "none".into() };
    }
    if !eb_pf && mask.is_power_of_two() {
        return list(mask, mask & !matching);
    }
    let list = list(mask, matching);
    if eb_pf { list } else { format!("!({list})") }
}

fn list(mask: u32, matching: u32) -> String {
    let word = |number: u32| {
        let bit = 1 << number;
        let name = WORDS
            .iter()
            .find(|(_, _, known)| known.bits() == bit)
            .map(|&(short, _, _)| short.to_string());
        let not = if matching & bit == 0 { "!" } else { "" };
        format!("{not}{}", name.unwrap_or_else(|| format!("bit{number}")))
    };
    (0..32).filter(|number| mask >> number & 1 == 1).map(word).collect::<Vec<_>>().join(",")
}

/// A filter's fields as [`parse`] reads them.
pub fn in_fields(filter: Filter) -> String {
    format!("eb={} mask={:#x} match={:#x}", u8::from(filter.eb_pf), filter.mask, filter.matching)
}

/// A fault in words: `a user write to a present page`.
pub fn fault(pfec: Pfec) -> String {
    let who = if pfec.contains(Pfec::US) { "user" } else { "supervisor" };
    let what = match (pfec.contains(Pfec::WR), pfec.contains(Pfec::ID)) {
        (true, _) => "write",
        (false, true) => "fetch",
        (false, false) => "read",
    };
    let why = match (pfec.contains(Pfec::P), pfec.contains(Pfec::RSVD)) {
        (false, _) => "not present",
        (true, false) => "no right",
        (true, true) => "reserved bit",
    };
    let more = [
        (Pfec::PK, "protection key"),
        (Pfec::SS, "shadow stack"),
        (Pfec::HLAT, "HLAT"),
        (Pfec::SGX, "SGX"),
    ];
    let more =
        more.iter().filter(|(bit, _)| pfec.contains(*bit)).map(|(_, name)| format!(", {name}"));
    format!("{who} {what}, {why}{}", more.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{fault, in_fields, in_words, parse};
    use proptest::prelude::*;
    use spec::manual::filter::Filter;
    use spec::manual::pfec::Pfec;

    #[test]
    fn every_form_is_read() {
        for (text, filter) in [
            ("P,!RSVD", Filter::new(true, 9, 1)),
            (" p , ! rsvd ", Filter::new(true, 9, 1)),
            ("W/R,U/S,I/D", Filter::new(true, 0x16, 0x16)),
            ("!P", Filter::new(true, 1, 0)),
            ("!(P,I)", Filter::new(false, 0x11, 0x11)),
            ("PK,SS,HLAT,SGX", Filter::new(true, 0x80e0, 0x80e0)),
            ("bit31,!bit0", Filter::new(true, 0x8000_0001, 0x8000_0000)),
            ("P,P", Filter::new(true, 1, 1)),
            ("all", Filter::ALWAYS),
            ("None", Filter::NEVER),
            ("!(all)", Filter::new(false, 0, 0)),
            ("eb=0 mask=0x1 match=0x1", Filter::new(false, 1, 1)),
            ("EB.PF=1,MASK=31,MATCH=0X1F", Filter::new(true, 31, 31)),
            ("match=4294967295 mask=0 eb=1", Filter::NEVER),
            ("1,1f,3", Filter::new(true, 0x1f, 3)),
        ] {
            assert_eq!(parse(text), Ok(filter), "{text}");
        }
    }

    #[test]
    fn errors_point_at_what_is_wrong() {
        for (text, said) in [
            ("", "missing"),
            ("P,X", "'X' is no bit: words are P, W, U, RSVD"),
            ("P,,U", "a word is missing"),
            ("!", "a word is missing"),
            ("P,!P", "P cannot be set and clear"),
            ("bit32", "'bit32'"),
            ("bit+1", "'bit+1'"),
            ("bité", "'bité'"),
            ("!(P", "lacks its ')'"),
            ("eb=1 mask=1f match=0", "0x1f"),
            ("eb=1 mask=zz match=0", "mask=zz"),
            ("eb=1 mask=+1 match=0", "mask=+1"),
            ("eb=2 mask=0 match=0", "eb=2"),
            ("eb=1 mask=0", "match= is missing"),
            ("eb=1 mask=0 mask=1 match=0", "mask= is there twice"),
            ("eb=1 mask=0x100000000 match=0", "32 bits"),
            ("eb=1 mask= match=0", "mask="),
            ("eb=1 msk=0 match=0", "'msk' is no field"),
            ("eb=1 mask = 0 match=0", "'mask' is no field:"),
            ("1,1f", "EB,MASK,MATCH"),
            ("1,0x1f,0", "two hexadecimal numbers"),
            ("!(!(P))", "'(P)' is no bit"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn faults_are_told_in_words() {
        assert_eq!(fault(Pfec::empty()), "supervisor read, not present");
        assert_eq!(fault(Pfec::P | Pfec::US | Pfec::WR), "user write, no right");
        assert_eq!(fault(Pfec::P | Pfec::RSVD | Pfec::ID), "supervisor fetch, reserved bit");
        assert_eq!(fault(Pfec::P | Pfec::PK), "supervisor read, no right, protection key");
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, near in "[!(]{0,2}[PUWbit=0-9,x )]{0,12}") {
            let _ = (parse(&text), parse(&near));
        }

        #[test]
        fn words_and_fields_round_trip(eb: bool, mask: u32, matching: u32, code: u32) {
            for matching in [matching, matching & mask] {
                let filter = Filter::new(eb, mask, matching);
                prop_assert_eq!(parse(&in_fields(filter)), Ok(filter));
                let again = parse(&in_words(filter)).unwrap();
                for code in [code, matching & mask, matching & mask | code & !mask].map(Pfec::from_bits_retain) {
                    prop_assert_eq!(again.exits(code), filter.exits(code));
                }
            }
        }
    }
}
