//! Text from elsewhere, made harmless: control characters and those that change the direction of
//! text are shown and not obeyed.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal or a reader obeys a character in place of showing it.
fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || ends_line
}

/// Text for a terminal: such characters as `\u{1b}`. Line feeds stay.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| write!(out, "\\u{{{:x}}}", u32::from(c)))
}

/// A JSON text, in which they stand only in strings.
pub fn in_json(text: &str) -> Cow<'_, str> {
    // All of them are in the basic plane.
    escaped(text, |c, out| write!(out, "\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, write: impl Fn(char, &mut String) -> std::fmt::Result) -> Cow<'_, str> {
    let is_escaped = |c: char| c != '\n' && is_obeyed(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            // Writing to a string does not fail.
            let _ = write(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{for_terminal, in_json};

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let text = "a\u{1b}[2J\r\t\u{9b}\u{202e}b\u{7f}\u{2028}\n\u{e9} \u{6f22}";
        let shown = "a\\u{1b}[2J\\u{d}\\u{9}\\u{9b}\\u{202e}b\\u{7f}\\u{2028}\n\u{e9} \u{6f22}";
        assert_eq!(for_terminal(text), shown);
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{7f}\"\\";
        let json = serde_json::to_string(text).unwrap();
        let escaped = in_json(&json);
        assert!(escaped.is_ascii() && !escaped.contains('\u{7f}'), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
