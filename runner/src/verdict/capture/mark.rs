//! Finds a log in a capture by its words.

use spec::log::{VERSION_LINE, words};

use super::frame::LONGEST;
use crate::verdict::names;

/// How the end record begins.
const END: &str = "# end passed=";

/// What stands after the version line, if a line holds one. Anything may stand before it: firmware
/// does not always end its own line.
pub fn after_version(line: &str) -> Option<&str> {
    line.rfind(VERSION_LINE).map(|at| &line[at + VERSION_LINE.len()..])
}

/// Whether a line holds an end record, be it whole or damaged.
pub fn is_end(line: &str) -> bool {
    line.contains(END)
}

/// Whether a line after a version line shows that this is the log of another program: it gives a
/// plan at once, or names a part of it.
pub fn is_foreign(line: &str) -> bool {
    let is_plan = |rest: &str| {
        rest.strip_prefix("1..").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    line.contains("# Subtest: ") || holds(line, &is_plan)
}

/// Whether a line outside of every log is one that only maskmatch writes, whatever is around it.
/// Then a log lacks its beginning.
pub fn is_stray(line: &str) -> bool {
    is_end(line)
        || holds(line, &|rest| is_comment(rest).or_else(|| is_result(rest)).unwrap_or(false))
}

/// Whether this holds of what a line has after any prefix, so far as that is looked at.
fn holds(line: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    let begins = |(_, c): &(usize, char)| matches!(c, '#' | 'o' | 'n' | '1');
    line.char_indices().filter(begins).any(|(at, _)| {
        let rest = &line[at..];
        wanted(&rest[..rest.floor_char_boundary(LONGEST)])
    })
}

/// Whether a comment is maskmatch's.
fn is_comment(text: &str) -> Option<bool> {
    let (word, rest) = text.strip_prefix("# ")?.split_once(' ')?;
    let has = |key: &str| words(rest).any(|(word, _)| word == key);
    Some(match word {
        "maskmatch" => has("log"),
        "cost" => has("exits") && has("tsc"),
        "fail" => rest.strip_prefix("id=").is_some_and(begins_with_group),
        "progress" | "differs" | "incomplete" | "counts" => begins_with_group(rest),
        _ => false,
    })
}

/// Whether a result is that of one of maskmatch's groups.
fn is_result(text: &str) -> Option<bool> {
    let (number, group) =
        text.strip_prefix("not ").unwrap_or(text).strip_prefix("ok ")?.split_once(' ')?;
    Some(number.bytes().all(|byte| byte.is_ascii_digit()) && begins_with_group(group))
}

/// Whether a text begins with the name of a group.
fn begins_with_group(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !".-".contains(c));
    names::is_group(&text[..end.unwrap_or(text.len())])
}
