//! The image's command line.

use core::fmt;

use crate::catalogue::case::Case;
use crate::catalogue::plan::Profile;
use crate::deviation::Deviations;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// Which groups run: a pattern as in [`crate::catalogue::glob`].
    pub filter: &'a str,
    /// How many filters each group tries.
    pub profile: Profile,
    /// One case instead of groups.
    pub case: Option<Case>,
    /// Deviations that are known of this host, and no failures.
    pub known: Deviations,
    /// Measure what faults cost in place of groups, see [`crate::log::cost`].
    pub bench: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { filter: "*", profile: Profile::default(), case: None, known: Deviations::NONE, bench: false }
    }
}

/// A part of the command line that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOption<'a> {
    /// The part as it stands there.
    pub option: &'a str,
    /// What it should have been.
    pub wanted: &'static str,
}

impl fmt::Display for BadOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot take the option '{}': {}", self.option, self.wanted)
    }
}

impl<'a> Options<'a> {
    /// Reads a command line: words between spaces, each `KEY=VALUE`, the last of a key counts.
    ///
    /// A first word without `=` is the image's own name, which some loaders put there.
    ///
    /// # Errors
    /// The first word that is no option.
    pub fn parse(command_line: &'a str) -> Result<Self, BadOption<'a>> {
        let mut options = Self::default();
        for (at, option) in command_line.split_ascii_whitespace().enumerate() {
            let bad = |wanted| Err(BadOption { option, wanted });
            let Some((key, value)) = option.split_once('=') else {
                if at == 0 {
                    continue;
                }
                return bad("options have the form key=value");
            };
            match key {
                "filter" => options.filter = value,
                "profile" => match Profile::from_name(value) {
                    Some(profile) => options.profile = profile,
                    None => return bad("profile is quick, standard or exhaustive"),
                },
                "case" => match Case::from_id(value) {
                    Some(case) => options.case = Some(case),
                    None => return bad("case is an id as `maskmatch list --cases` shows"),
                },
                "known" => match Deviations::from_names(value) {
                    Some(known) => options.known = known,
                    None => return bad("known is a list of known deviations joined by commas, or none"),
                },
                "bench" => match value {
                    "yes" => options.bench = true,
                    "no" => options.bench = false,
                    _ => return bad("bench is yes or no"),
                },
                _ => return bad("the options are filter=, profile=, case=, known= and bench="),
            }
        }
        Ok(options)
    }
}

impl fmt::Display for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter={} profile={} known={}", self.filter, self.profile.name(), self.known)?;
        if let Some(case) = &self.case {
            write!(f, " case={case}")?;
        }
        if self.bench { f.write_str(" bench=yes") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use crate::catalogue::case::Case;
    use crate::catalogue::plan::Profile;
    use crate::deviation::Deviations;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    #[test]
    fn what_is_written_is_read() {
        let options = Options {
            filter: "filter.basic.*",
            profile: Profile::Quick,
            case: Case::from_id("filter.high.long:user-read-np-pte:0,80000000,0"),
            known: Deviations::from_names("rf0").unwrap(),
            bench: true,
        };
        assert_eq!(Options::parse(&options.to_string()), Ok(options));
        assert_eq!(Options::parse(&Options::default().to_string()), Ok(Options::default()));
    }

    #[test]
    fn an_empty_line_and_the_images_name_are_fine() {
        assert_eq!(Options::parse(""), Ok(Options::default()));
        assert_eq!(Options::parse("/boot/maskmatch.elf"), Ok(Options::default()));
    }

    #[test]
    fn wrong_words_are_pointed_at() {
        for line in
            ["profile=fast", "x known=rf9", "case=filter.basic.long", "colour=blue", "bench=1", "x quiet", "profile"]
        {
            match Options::parse(line) {
                Err(bad) => assert!(line.contains(bad.option)),
                Ok(options) => assert_eq!((line, options), ("profile", Options::default())),
            }
        }
    }

    proptest! {
        #[test]
        fn no_command_line_panics(line: String) {
            let _ = Options::parse(&line);
        }
    }
}
