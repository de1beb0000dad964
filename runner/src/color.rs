//! Colours of a report: the words of verdicts, where they stand for one.

use std::io::{IsTerminal, stdout};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use crate::verdict::names;

/// Whether the report is coloured. `NO_COLOR` and a terminal that takes no escapes count only where
/// nothing was chosen.
pub fn is_on(choice: ColorChoice) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            stdout().is_terminal()
                && set("NO_COLOR").is_none()
                && set("TERM").is_some_and(|term| term != "dumb")
        }
    }
}

/// A report with colours.
pub fn painted(report: &str) -> String {
    report.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    // A row of a table, whose cells are verdicts and numbers.
    let is_row = words.first().is_some_and(|first| names::is_group(first) || *first == "all");
    match words[..] {
        ["UNEXPECTED", "PASS:", ..] => paint(line, "UNEXPECTED PASS", AnsiColor::Magenta),
        ["FAIL", ..] => paint(line, "FAIL", AnsiColor::Red),
        ["error:", ..] => paint(line, "error", AnsiColor::Red),
        ["known", "deviation", ..] => paint(line, "known deviation", AnsiColor::Yellow),
        ["maskmatch:", verdict, ..] if verdict.ends_with(':') => {
            let word = verdict.trim_end_matches(':');
            color(word).map_or_else(|| line.into(), |color| paint(line, word, color))
        }
        _ if is_row => {
            let cells = line.split_inclusive(' ');
            cells
                .map(|cell| match color(cell.trim()) {
                    Some(color) => paint(cell, cell.trim(), color),
                    None => cell.into(),
                })
                .collect()
        }
        _ => line.into(),
    }
}

fn color(verdict: &str) -> Option<AnsiColor> {
    Some(match verdict {
        "pass" => AnsiColor::Green,
        "known" => AnsiColor::Yellow,
        "skip" => AnsiColor::Cyan,
        "fail" | "crash" | "error" | "unfinished" => AnsiColor::Red,
        _ => return None,
    })
}

/// The text with its first such part in a colour.
fn paint(text: &str, part: &str, color: AnsiColor) -> String {
    let style: Style = color.on_default().bold();
    text.replacen(part, &format!("{style}{part}{style:#}"), 1)
}

#[cfg(test)]
mod tests {
    use super::painted;
    use anstream::adapter::strip_str;

    #[test]
    fn verdicts_are_coloured_and_nothing_else_changes() {
        let report = " group              verdict  cases\n filter.basic.long  known    672\n\nFAIL filter.each.long: 3 of 9 cases\n\
                      - error code: want 0x6, got 0x7\nknown deviation rf0 in 3 cases: x\nmaskmatch: fail: 1 of 2 groups failed\n";
        let painted = painted(report);
        assert_eq!(strip_str(&painted).to_string(), report);
        assert!(painted.contains("\x1b[33mknown\x1b[0m    672"), "{painted:?}");
        assert!(painted.contains("\x1b[31mFAIL\x1b[0m filter"), "{painted:?}");
        assert!(painted.contains("maskmatch: \x1b[1m\x1b[31mfail\x1b[0m: 1"), "{painted:?}");
        assert!(painted.contains("- error code: want"), "{painted:?}");
    }
}
