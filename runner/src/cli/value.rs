//! Values of options.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use spec::catalogue::case::Case;
use spec::catalogue::plan::Profile;

/// Takes one of a table's words, each with its help.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    table: &[(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> + use<T> {
    let table = table.to_vec();
    let words = table.iter().map(|(word, help, _)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(words).try_map(move |chosen| {
        let found = table.iter().find(|(word, ..)| *word == chosen);
        found.map(|(_, _, value)| *value).ok_or("no such word")
    })
}

/// A profile's name.
pub(super) fn profile(text: &str) -> Result<Profile, String> {
    Profile::from_name(text).ok_or_else(|| "a profile is quick, standard or exhaustive".to_string())
}

/// A pattern, which is a word of the image's command line.
pub(super) fn glob(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("a pattern is one word".into());
    }
    Ok(text.into())
}

/// A case's id.
pub(super) fn case(text: &str) -> Result<Case, String> {
    Case::from_id(text).ok_or_else(|| {
        "no case has this id; an id is GROUP:STIMULUS:EB,MASK,MATCH, and `maskmatch list --cases` shows them"
            .to_string()
    })
}

/// A time limit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a limit is a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| "a limit is a number of seconds, not below 0".to_string())
}
