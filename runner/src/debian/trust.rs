//! What the machine's own configuration of apt says of a place in an archive, besides where it is:
//! by whose keys it is trusted, above all. For another suite of the same place the same holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Where apt's entries are.
const FILE: &str = "/etc/apt/sources.list";
const FOLDER: &str = "/etc/apt/sources.list.d";
/// Fields that say where a place is, and what of it is wanted. They are said anew.
const PLACE: [&str; 9] = [
    "types",
    "uris",
    "suites",
    "components",
    "architectures",
    "arch",
    "enabled",
    "languages",
    "lang",
];

/// The fields that hold for a suite at an address, in the form of a `.sources` file.
pub fn fields(uri: &str, suite: &str) -> String {
    let listed = fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = listed.chain([FILE.into()]).collect();
    let of_file =
        |file: &PathBuf| of_text(&fs::read_to_string(file).ok()?, is_of_stanzas(file), uri, suite);
    files.iter().find_map(of_file).unwrap_or_default()
}

fn is_of_stanzas(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "sources")
}

/// The fields in a file's text, if it has an entry for the place.
fn of_text(text: &str, is_of_stanzas: bool, uri: &str, suite: &str) -> Option<String> {
    if is_of_stanzas {
        text.split("\n\n").find_map(|s| stanza(s, uri, suite))
    } else {
        text.lines().find_map(|l| line(l, uri, suite))
    }
}

/// Whether one of the words is this address, with or without a slash at its end.
fn has_uri(words: &str, uri: &str) -> bool {
    words.split_whitespace().any(|word| word.trim_end_matches('/') == uri.trim_end_matches('/'))
}

/// Of an entry in several lines, each `Field: value` or a value's next line.
fn stanza(text: &str, uri: &str, suite: &str) -> Option<String> {
    let (mut has_place, mut has_suite, mut is_kept, mut kept) =
        (false, false, false, String::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with([' ', '\t']) {
            let (name, value) = line.split_once(':')?;
            let name = name.to_ascii_lowercase();
            has_place |= name == "uris" && has_uri(value, uri);
            has_suite |= name == "suites" && value.split_whitespace().any(|word| word == suite);
            is_kept = !PLACE.contains(&name.as_str());
        }
        if is_kept {
            kept.extend([line, "\n"]);
        }
    }
    (has_place && has_suite).then_some(kept)
}

/// Of an entry in one line: `deb [name=value ...] URI SUITE COMPONENT ...`.
fn line(text: &str, uri: &str, suite: &str) -> Option<String> {
    let rest = text.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    if !has_uri(words.next()?, uri) || words.next()? != suite {
        return None;
    }
    let options = options.split_whitespace().filter_map(|option| option.split_once('='));
    let kept = options.filter(|(name, _)| !PLACE.contains(name));
    let fields: Vec<String> =
        kept.map(|(name, value)| format!("{name}: {}\n", value.replace(',', " "))).collect();
    Some(fields.concat())
}

#[cfg(test)]
mod tests {
    use super::of_text;

    const URI: &str = "http://deb.test/debian/";

    #[test]
    fn only_the_entry_of_the_place_itself_counts() {
        let stanzas = "Types: deb\n# a mirror\nURIs: http://deb.test/debian\nSuites: bookworm bookworm-updates\n\
             Components: main\nSigned-By: /k.gpg\n\n\
             Types: deb\nURIs: http://deb.test/debian\nSuites: other\nSigned-By:\n -----BEGIN\n .\n =x\nTrusted: no\n\n\
             Types: deb\nURIs: http://third.test/\nSuites: bookworm\nSigned-By: /third.gpg\n";
        let found = |suite: &str| of_text(stanzas, true, URI, suite);
        assert_eq!(found("bookworm-updates"), Some("Signed-By: /k.gpg\n".into()));
        assert_eq!(found("other"), Some("Signed-By:\n -----BEGIN\n .\n =x\nTrusted: no\n".into()));
        assert_eq!(found("sid"), None);

        let lines = "# deb [signed-by=/no.gpg] http://deb.test/debian bookworm main\n\
             deb [arch=amd64 signed-by=/third.gpg] http://third.test/ bookworm main\n\
             deb [arch=amd64 signed-by=/a.gpg,/b.gpg trusted=no] http://deb.test/debian bookworm main\n\
             deb http://deb.test/debian plain main\n";
        let found = |suite: &str| of_text(lines, false, URI, suite);
        assert_eq!(found("bookworm"), Some("signed-by: /a.gpg /b.gpg\ntrusted: no\n".into()));
        assert_eq!(found("plain"), Some(String::new()));
        assert_eq!(found("sid"), None);
    }
}
