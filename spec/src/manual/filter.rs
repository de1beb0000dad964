//! The rule: which page faults a filter turns into VM exits.
//!
//! SDM vol. 3C, "Exception Bitmap", and "Other Causes of VM Exits" (under "Exceptions").
//! [`Filter::exits`] is the only place in maskmatch that states the rule.

use core::fmt;
use core::str::FromStr;

use crate::manual::pfec::Pfec;

/// The bit of the exception bitmap that stands for #PF: its vector, 14.
pub const EXCEPTION_BITMAP_PF: u32 = 1 << 14;

/// The page faults that one party asks for, as the three VMCS fields say it.
///
/// Written and parsed as `EB,MASK,MATCH`: EB.PF as one digit, then two hexadecimal numbers without
/// prefix, as in `1,1f,03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Bit 14 of the exception bitmap.
    pub eb_pf: bool,
    /// Page-fault error-code mask (field 4006H), all 32 bits.
    pub mask: u32,
    /// Page-fault error-code match (field 4008H), all 32 bits.
    pub matching: u32,
}

impl Filter {
    /// Every page fault exits. SDM "Exception Bitmap" names this way to say so.
    pub const ALWAYS: Self = Self::new(true, 0, 0);
    /// No page fault exits. SDM "Exception Bitmap" names this way to say so.
    pub const NEVER: Self = Self::new(true, 0, u32::MAX);

    /// A filter from its three fields.
    #[must_use]
    pub const fn new(eb_pf: bool, mask: u32, matching: u32) -> Self {
        Self { eb_pf, mask, matching }
    }

    /// Whether a #PF with this error code causes a VM exit.
    ///
    /// The processor compares `PFEC & MASK` with MATCH. If they are equal, EB.PF = 1 exits. If they
    /// differ, EB.PF decides inversely: 0 exits.
    #[must_use]
    #[inline]
    pub const fn exits(self, pfec: Pfec) -> bool {
        ((pfec.bits() & self.mask) == self.matching) == self.eb_pf
    }

    /// The filter with the same EB.PF and with a MASK and MATCH that decide the other way about
    /// faults with this code: MASK = 0 with MATCH = 0 is met by each code, with MATCH = 1 by none.
    #[must_use]
    pub const fn inverse_for(self, pfec: Pfec) -> Self {
        let met = self.exits(pfec) == self.eb_pf;
        Self::new(self.eb_pf, 0, met as u32)
    }

    /// The set of [`Pfec::BASIC`] codes that exit: bit `n` stands for error code `n`.
    ///
    /// This is [`Filter::exits`] for 32 codes at once. A test compares the two.
    #[must_use]
    #[inline]
    pub const fn basic_exits(self) -> u32 {
        /// The codes that are equal in bits 2:0 of MASK and MATCH, and in bits 4:3.
        const LOW: [u32; 64] = equal_codes::<64>(3, 0);
        const HIGH: [u32; 16] = equal_codes::<16>(2, 3);
        let (mask, matching) = (self.mask as usize, self.matching as usize);
        let low = LOW[(mask & 7) << 3 | matching & 7];
        let high = HIGH[(mask >> 3 & 3) << 2 | matching >> 3 & 3];
        let equal = if self.matching & !Pfec::BASIC.bits() == 0 { low & high } else { 0 };
        if self.eb_pf { equal } else { !equal }
    }
}

/// The basic codes that are equal, for each MASK and MATCH of so many bits from bit `first` on.
const fn equal_codes<const N: usize>(bits: u32, first: u32) -> [u32; N] {
    let (mut sets, mut at) = ([0; N], 0);
    while at < N as u32 {
        let filter = Filter::new(true, at >> bits << first, (at & ((1 << bits) - 1)) << first);
        let mut code = 0;
        while code < 32 {
            sets[at as usize] |= (filter.exits(Pfec::from_bits_retain(code)) as u32) << code;
            code += 1;
        }
        at += 1;
    }
    sets
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{:x},{:x}", u8::from(self.eb_pf), self.mask, self.matching)
    }
}

/// Text that is not a filter in the form `EB,MASK,MATCH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseFilterError;

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a filter is EB,MASK,MATCH: 0 or 1, then two hexadecimal numbers of up to 32 bits, as in 1,1f,3")
    }
}

impl core::error::Error for ParseFilterError {}

impl FromStr for Filter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',');
        let mut part = || parts.next().ok_or(ParseFilterError);
        let eb_pf = match part()? {
            "0" => false,
            "1" => true,
            _ => return Err(ParseFilterError),
        };
        let mask = parse_hex(part()?)?;
        let matching = parse_hex(part()?)?;
        if parts.next().is_some() {
            return Err(ParseFilterError);
        }
        Ok(Self { eb_pf, mask, matching })
    }
}

/// Only hexadecimal digits: `from_str_radix` would take a sign.
pub(crate) fn parse_hex(text: &str) -> Result<u32, ParseFilterError> {
    if text.starts_with('+') {
        return Err(ParseFilterError);
    }
    u32::from_str_radix(text, 16).map_err(|_| ParseFilterError)
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::manual::pfec::Pfec;
    use proptest::prelude::*;
    use std::string::ToString;

    fn pfec(bits: u32) -> Pfec {
        Pfec::from_bits_retain(bits)
    }

    #[test]
    fn the_manuals_two_examples() {
        for bits in (0..=0xffff).chain([u32::MAX]) {
            assert!(Filter::ALWAYS.exits(pfec(bits)));
            assert!(!Filter::NEVER.exits(pfec(bits)));
        }
    }

    #[test]
    fn an_inverse_filter_differs_in_mask_and_match_only() {
        for (eb_pf, code) in [(false, 4), (false, 7), (true, 4), (true, 7)] {
            for filter in
                [Filter::new(eb_pf, 4, 4), Filter::new(eb_pf, 7, 7), Filter::new(eb_pf, 0, 0)]
            {
                let inverse = filter.inverse_for(pfec(code));
                assert_eq!(
                    (inverse.eb_pf, inverse.exits(pfec(code))),
                    (eb_pf, !filter.exits(pfec(code)))
                );
            }
        }
    }

    #[test]
    fn with_eb_clear_the_filter_is_inverse_and_not_idle() {
        // MATCH outside MASK never equals, so EB.PF = 0 makes every fault exit.
        assert!(Filter::new(false, 0, 1).exits(pfec(0)));
        assert!(Filter::new(false, 0, 1).exits(pfec(0x1f)));
        assert!(!Filter::new(false, 0, 0).exits(pfec(0x1f)));
        // Not-present faults exit, present ones do not.
        assert!(Filter::new(false, 1, 1).exits(pfec(0)));
        assert!(!Filter::new(false, 1, 1).exits(pfec(1)));
    }

    #[test]
    fn mask_and_match_are_not_interchangeable() {
        assert!(Filter::new(true, 0b1, 0b0).exits(pfec(0b10)));
        assert!(!Filter::new(true, 0b0, 0b1).exits(pfec(0b10)));
    }

    #[test]
    fn every_basic_filter_is_a_subcube_or_its_complement() {
        for mask in 0..32u32 {
            for matching in 0..32u32 {
                let set = Filter::new(true, mask, matching).basic_exits();
                let size = if matching & !mask == 0 { 1 << (5 - mask.count_ones()) } else { 0 };
                assert_eq!(set.count_ones(), size);
                assert_eq!(Filter::new(false, mask, matching).basic_exits(), !set);
            }
        }
    }

    fn set_by_the_rule(filter: Filter) -> u32 {
        (0..32).filter(|&code| filter.exits(pfec(code))).fold(0, |set, code| set | 1 << code)
    }

    #[test]
    fn sets_of_codes_follow_the_rule() {
        for mask in 0..32 {
            for matching in 0..32 {
                for eb in [false, true] {
                    let filter = Filter::new(eb, mask, matching);
                    assert_eq!(filter.basic_exits(), set_by_the_rule(filter));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn sets_of_codes_follow_the_rule_with_all_32_bits(eb: bool, mask: u32, matching: u32) {
            for matching in [matching, matching & mask, matching & mask & 0x1f] {
                let filter = Filter::new(eb, mask, matching);
                prop_assert_eq!(filter.basic_exits(), set_by_the_rule(filter));
            }
        }

        #[test]
        fn eb_inverts(mask: u32, matching: u32, code: u32) {
            let with = Filter::new(true, mask, matching).exits(pfec(code));
            let without = Filter::new(false, mask, matching).exits(pfec(code));
            prop_assert_ne!(with, without);
        }

        #[test]
        fn bits_outside_mask_do_not_count(mask: u32, matching: u32, code: u32, noise: u32) {
            let filter = Filter::new(true, mask, matching);
            prop_assert_eq!(filter.exits(pfec(code)), filter.exits(pfec(code ^ (noise & !mask))));
        }

        #[test]
        fn match_outside_mask_never_equals(mask: u32, matching: u32, code: u32) {
            prop_assume!(matching & !mask != 0);
            prop_assert!(!Filter::new(true, mask, matching).exits(pfec(code)));
        }

        #[test]
        fn text_round_trips(eb: bool, mask: u32, matching: u32) {
            let filter = Filter::new(eb, mask, matching);
            prop_assert_eq!(filter.to_string().parse::<Filter>(), Ok(filter));
        }

        #[test]
        fn no_text_panics(text: std::string::String) {
            let _ = text.parse::<Filter>();
        }
    }

    #[test]
    fn wrong_text_is_refused() {
        for text in
            ["", "1", "1,2", "2,0,0", "1,0,0,0", "1,0x1,0", "1,+1,0", "1,100000000,0", "1,,0"]
        {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
