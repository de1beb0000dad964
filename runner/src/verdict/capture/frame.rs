//! What a capture has around each line of a log: a time stamp, a host's name, a quote's mark.
//!
//! Nobody knows all of these by name. But the second line of a log begins with the same words in
//! every log, so what stands before them is the prefix. A prefix of the same kind, with other
//! digits and letters, is then taken off every line. The log's checksum shows whether that was
//! right.

use spec::log::{Line, VERSION_LINE};

/// The beginning of a log's second line.
pub const HEADER: &str = "# maskmatch ";
/// No prefix is longer.
pub const LONGEST: usize = 256;
/// How the lines of a log begin.
const WORDS: [&str; 5] = ["# ", "ok ", "not ok ", "1..", VERSION_LINE];

/// What is around each line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// An example of the prefix.
    pub prefix: String,
    shape: String,
    suffix: String,
}

impl Frame {
    /// The frame of a log by its second line. `suffix` is what stands after the version line.
    pub fn of(header: &str, suffix: &str) -> Option<Self> {
        let prefix = &header[..header.find(HEADER)?];
        let mut shape = Shape::default();
        prefix.chars().for_each(|c| shape.add(c));
        let suffix = if suffix.trim().is_empty() { "" } else { suffix };
        (prefix.len() <= LONGEST).then(|| Self {
            prefix: prefix.into(),
            shape: shape.text,
            suffix: suffix.into(),
        })
    }

    /// Whether lines have no prefix, or only blanks.
    pub fn is_bare(&self) -> bool {
        self.prefix.trim().is_empty()
    }

    /// A line without its frame, or `None` if it has another.
    pub fn content<'a>(&self, line: &'a str) -> Option<&'a str> {
        let line = line.strip_suffix(self.suffix.as_str())?;
        if self.is_bare() {
            return Some(line.trim_start_matches([' ', '\t']));
        }
        let mut shape = Shape::default();
        let mut first = None;
        for (at, c) in line.char_indices().take_while(|(at, _)| *at <= LONGEST) {
            let rest = &line[at..];
            if shape.text == self.shape && WORDS.iter().any(|word| rest.starts_with(word)) {
                if Line::parse(rest.trim_end()).is_some() {
                    return Some(rest);
                }
                first = first.or(Some(rest));
            }
            shape.add(c);
        }
        first
    }
}

/// The kind of a prefix: its marks, with `w` for words and numbers between them.
#[derive(Default)]
struct Shape {
    text: String,
}

impl Shape {
    fn add(&mut self, c: char) {
        if c.is_alphanumeric() {
            if !self.text.ends_with('w') {
                self.text.push('w');
            }
        } else if !c.is_whitespace() && !c.is_control() && !".:,-+_/".contains(c) {
            self.text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn prefixes_of_one_kind_are_taken_off_whatever_their_digits_are() {
        for (first, other) in [
            ("[    0.000000] ", "[12345.678901] "),
            ("2026-11-29T22:35:28 ", "2026-11-29T22:35:28.123456 "),
            ("Nov  9 host qemu[12]: ", "Dec 31 host qemu[12]: "),
            ("(d1) ", "(d1) "),
            ("[    0.1][    T1] ", "[    0.1][   C12] "),
            ("> ", "> "),
            ("", ""),
            ("  ", ""),
        ] {
            let frame = Frame::of(&format!("{first}# maskmatch 0.1.0 log=2 boot=pvh"), "").unwrap();
            let line = format!("{other}# note 1..2 # note x");
            assert_eq!(frame.content(&line), Some("# note 1..2 # note x"), "{first}");
        }
    }

    #[test]
    fn another_prefix_is_not_taken_off() {
        let frame = Frame::of("[ 1.0] # maskmatch 0.1.0 log=2 boot=pvh", "").unwrap();
        for line in [
            "ok 1 filter.basic.long",
            "clocksource: tsc ok 1 filter.basic.long",
            "[ 1.0] clocksource",
        ] {
            assert_eq!(frame.content(line), None, "{line}");
        }
    }

    #[test]
    fn what_follows_every_line_is_taken_off_too() {
        let frame = Frame::of("- {\"msg\": \"# maskmatch 0.1.0 log=2 boot=pvh\"}", "\"}").unwrap();
        assert_eq!(frame.content("- {\"msg\": \"1..2\"}"), Some("1..2"));
        assert_eq!(frame.content("- {\"msg\": \"1..2\""), None);
    }
}
