//! Matching names against a pattern: `*` stands for any run of characters, `?` for one.
//!
//! It is written here because the image needs it without allocation, and the runner must agree with
//! it.

/// Whether the whole of `name` matches `pattern`.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where to go on, one character further, if what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(&c) if c == b'?' || c == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    at = after_star;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("*", "filter.basic.long", true),
            ("filter.*", "filter.basic.long", true),
            ("*.long", "filter.basic.long", true),
            ("*.long", "filter.basic.long-ac", false),
            ("f*b*long", "filter.basic.long", true),
            ("filter.?asic.long", "filter.basic.long", true),
            ("filter.basic", "filter.basic.long", false),
            ("", "x", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_star_takes_anything(head in "[a-z]{0,5}", middle in "[a-z]{0,9}", tail in "[a-z]{0,5}") {
            let pattern = format!("{head}*{tail}");
            let name = format!("{head}{middle}{tail}");
            prop_assert!(matches(&pattern, &name));
        }

        #[test]
        fn a_plain_pattern_is_equality(a in "[ab.]{0,4}", b in "[ab.]{0,4}") {
            prop_assert_eq!(matches(&a, &b), a == b);
        }
    }
}
