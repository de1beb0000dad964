//! The lines of the log, as the reader parses them.

use super::{Cost, Counts, OTHERS, VERSION_LINE, Verdict};
use crate::manual::filter::Filter;
use crate::tally::Difference;

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The version line.
    Version,
    /// The line that names maskmatch: its version, and words for [`words`].
    Maskmatch {
        /// maskmatch's own version.
        version: &'a str,
        /// The grammar's version.
        format: u32,
        /// KEY=VALUE words about CPU, host and options.
        facts: &'a str,
    },
    /// How many groups follow.
    Plan(u64),
    /// Nothing can run, and why.
    SkipAll(&'a str),
    /// The heartbeat.
    Progress {
        /// The group that runs.
        group: &'a str,
        /// Filters done.
        done: u64,
        /// Filters to do.
        of: u64,
    },
    /// A failing case.
    Fail {
        /// The case's id.
        id: &'a str,
        /// What must happen.
        want: &'a str,
        /// What happened.
        got: &'a str,
    },
    /// Cases that differ in the same way.
    Differs {
        /// The group.
        group: &'a str,
        /// What differs, or `None` if there were more ways than can be told apart.
        difference: Option<Difference>,
        /// How many cases.
        cases: u64,
        /// The filter of the first case.
        filter: Option<Filter>,
        /// The accesses or scenes, joined by commas, with the first case's first.
        probes: &'a str,
    },
    /// Cases that came to no end.
    Incomplete {
        /// The group.
        group: &'a str,
        /// Why.
        word: &'a str,
        /// How many cases.
        cases: u64,
    },
    /// What a walk of `bench` cost.
    Cost {
        /// L1's filter.
        filter: &'a str,
        /// The access that raised the faults, or `None` if there was none.
        stimulus: Option<&'a str>,
        /// The cost.
        cost: Cost,
    },
    /// A remark.
    Note(&'a str),
    /// A step of a single case.
    Trace(&'a str),
    /// What a group did.
    Counts {
        /// Its name.
        group: &'a str,
        /// What it did.
        counts: Counts,
    },
    /// A group's result.
    Group {
        /// Its place in the plan, from 1.
        number: u64,
        /// Its name.
        group: &'a str,
        /// Whether every case was as the manual says.
        ok: bool,
    },
    /// A group that cannot run here.
    Skip {
        /// Its place in the plan, from 1.
        number: u64,
        /// Its name.
        group: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// maskmatch is wrong.
    Error(&'a str),
    /// The end record.
    End(Summary),
}

/// What the end record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// Groups without a failure.
    pub passed: u64,
    /// Groups with one.
    pub failed: u64,
    /// Groups that could not run.
    pub skipped: u64,
    /// Errors of maskmatch.
    pub errors: u64,
    /// Cases tried.
    pub cases: u64,
    /// CRC-32 of all bytes before the end record.
    pub crc32: u32,
}

impl Summary {
    /// The verdict by the manual alone.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.errors > 0 {
            Verdict::Error
        } else if self.failed > 0 {
            Verdict::Fail
        } else if self.passed == 0 {
            Verdict::Skip
        } else {
            Verdict::Pass
        }
    }
}

/// The KEY=VALUE words of a line.
pub fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_ascii_whitespace().filter_map(|word| word.split_once('='))
}

/// The value of the next word, which must have this key.
fn value<'a>(words: &mut dyn Iterator<Item = &'a str>, key: &str) -> Option<&'a str> {
    words.next()?.strip_prefix(key)?.strip_prefix('=')
}

fn number(words: &mut dyn Iterator<Item = &str>, key: &str) -> Option<u64> {
    decimal(value(words, key)?)
}

/// Only digits: a sign, or a leading zero, would be a second way to write the same.
fn decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Eight hexadecimal digits.
fn hex32(words: &mut dyn Iterator<Item = &str>, key: &str) -> Option<u32> {
    let text = value(words, key)?;
    let canonical = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u32::from_str_radix(text, 16).ok() } else { None }
}

impl<'a> Line<'a> {
    /// Reads one line, without its line feed.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        if line == VERSION_LINE {
            return Some(Self::Version);
        }
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ')?;
            return Self::comment(word, rest);
        }
        if let Some(plan) = line.strip_prefix("1..") {
            return match plan.split_once(" # SKIP ") {
                Some(("0", reason)) => Some(Self::SkipAll(reason)),
                Some(_) => None,
                None => Some(Self::Plan(decimal(plan)?)),
            };
        }
        let (ok, result) = match line.strip_prefix("ok ") {
            Some(result) => (true, result),
            None => (false, line.strip_prefix("not ok ")?),
        };
        let (place, group) = result.split_once(' ')?;
        let number = decimal(place)?;
        match group.split_once(" # SKIP ") {
            Some((group, reason)) if ok => Some(Self::Skip { number, group, reason }),
            None if !group.contains(' ') => Some(Self::Group { number, group, ok }),
            _ => None,
        }
    }

    fn comment(word: &str, rest: &'a str) -> Option<Self> {
        let mut words = rest.split(' ');
        let line = match word {
            "maskmatch" => {
                let (version, rest) = rest.split_once(" log=")?;
                let (format, facts) = rest.split_once(' ')?;
                return Some(Self::Maskmatch {
                    version,
                    format: decimal(format)?.try_into().ok()?,
                    facts,
                });
            }
            "progress" => {
                let group = words.next()?;
                let (done, of) = words.next()?.split_once('/')?;
                Self::Progress { group, done: decimal(done)?, of: decimal(of)? }
            }
            "fail" => Self::Fail {
                id: value(&mut words, "id")?,
                want: value(&mut words, "want")?,
                got: value(&mut words, "got")?,
            },
            "differs" => {
                let (group, difference) = (words.next()?, words.next()?);
                let cases = number(&mut words, "cases")?;
                if difference == OTHERS {
                    Self::Differs { group, difference: None, cases, filter: None, probes: "" }
                } else {
                    let difference = Some(difference.parse().ok()?);
                    let filter = Some(value(&mut words, "first")?.parse().ok()?);
                    Self::Differs {
                        group,
                        difference,
                        cases,
                        filter,
                        probes: value(&mut words, "in")?,
                    }
                }
            }
            "incomplete" => {
                let (group, word) = (words.next()?, words.next()?);
                Self::Incomplete { group, word, cases: number(&mut words, "cases")? }
            }
            "counts" => Self::Counts {
                group: words.next()?,
                counts: Counts {
                    cases: number(&mut words, "cases")?,
                    differing: number(&mut words, "differing")?,
                    exits: number(&mut words, "exits")?,
                    delivered: number(&mut words, "delivered")?,
                    tsc: number(&mut words, "tsc")?,
                    digest: hex32(&mut words, "digest")?,
                },
            },
            "cost" => Self::Cost {
                filter: words.next()?,
                stimulus: Some(words.next()?).filter(|&stimulus| stimulus != "-"),
                cost: Cost {
                    exits: number(&mut words, "exits")?,
                    delivered: number(&mut words, "delivered")?,
                    tsc: number(&mut words, "tsc")?,
                    l0_exits: match value(&mut words, "l0")? {
                        "-" => None,
                        exits => Some(decimal(exits)?),
                    },
                },
            },
            "note" => return Some(Self::Note(rest)),
            "trace" => return Some(Self::Trace(rest)),
            "error" => return Some(Self::Error(rest)),
            "end" => Self::End(Summary {
                passed: number(&mut words, "passed")?,
                failed: number(&mut words, "failed")?,
                skipped: number(&mut words, "skipped")?,
                errors: number(&mut words, "errors")?,
                cases: number(&mut words, "cases")?,
                crc32: hex32(&mut words, "crc32")?,
            }),
            _ => return None,
        };
        if words.next().is_some() { None } else { Some(line) }
    }
}
