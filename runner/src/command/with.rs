//! `with`: a command line that is written down in maskmatch.toml.
//!
//! ```toml
//! [nightly]
//! command = "lab"
//! kernel = ["bookworm", "sid"]
//! param = ["ept=1", "ept=0"]
//! profile = "standard"
//! strict = true
//! ```
//!
//! `maskmatch with nightly --filter 'filter.*'` is `maskmatch lab --kernel=bookworm ... --filter
//! 'filter.*'`. The file is the nearest one, in this folder or in one above.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::cli::{Cli, WithArgs};
use crate::files;
use crate::output;
use crate::verdict::exit_code::Stop;

/// The file's name.
const FILE: &str = "maskmatch.toml";
/// No such file is larger.
const MAX_FILE: u64 = 1 << 20;
/// The key that names the command; `run` if there is none.
const COMMAND: &str = "command";

/// What the command line of a name asks for, or nothing more: without a name the names are shown.
///
/// # Errors
/// There is no file or no such name, or the file is wrong.
pub fn with(arguments: &WithArgs) -> Result<Option<Cli>, Stop> {
    let start =
        std::env::current_dir().map_err(|error| Stop::file("read", Path::new("."), &error))?;
    let path = find(&start).ok_or_else(|| {
        Stop::usage(format!(
            "there is no {FILE} here or in a folder above: write one, as `maskmatch with --help` shows"
        ))
    })?;
    let text = files::read(&path, MAX_FILE)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other))
        .map_err(|error| Stop::file("read", &path, &error))?;
    let wrong = |why: String| Stop::usage(format!("{}: {why}", path.display()));
    let all: Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Some(name) = &arguments.name else {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        output::text(&(names.join("\n") + "\n"))?;
        return Ok(None);
    };
    let names = || all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let options = match all.get(name) {
        Some(Value::Table(options)) => options,
        Some(_) => return Err(wrong(format!("{name} is not a table: write [{name}]"))),
        None => return Err(wrong(format!("it has no [{name}]; it has {}", names()))),
    };
    let mut line = words(options).map_err(|why| wrong(format!("[{name}]: {why}")))?;
    line.extend(arguments.more.iter().cloned());
    parse(line)
        .map(Some)
        .map_err(|error| wrong(format!("[{name}]: {}", error.to_string().trim_end())))
}

/// The nearest file, in a folder or in one above it.
fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file())
}

/// The command and its options as words of a command line.
fn words(options: &Table) -> Result<Vec<String>, String> {
    let command = match options.get(COMMAND) {
        None => "run",
        Some(Value::String(command)) => command,
        Some(_) => return Err(format!("{COMMAND} is one word, as in \"lab\"")),
    };
    let mut words = vec!["maskmatch".to_string(), command.into()];
    for (key, value) in options.iter().filter(|(key, _)| *key != COMMAND) {
        match value {
            Value::Boolean(false) => {}
            Value::Boolean(true) => words.push(format!("--{key}")),
            Value::Array(values) => {
                for value in values {
                    words.push(format!("--{key}={}", plain(key, value)?));
                }
            }
            value => words.push(format!("--{key}={}", plain(key, value)?)),
        }
    }
    Ok(words)
}

fn plain(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err(format!("{key} is a text, a number, true, or a list of texts and numbers")),
    }
}

/// Of an option that takes one value the last counts, so that what is typed replaces what is
/// written down.
fn parse(line: Vec<String>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().args_override_self(true).try_get_matches_from(line)?;
    Cli::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::{FILE, find, parse, words};
    use crate::cli::Command;

    fn of(text: &str) -> Result<Vec<String>, String> {
        words(&toml::from_str(text).unwrap())
    }

    #[test]
    fn keys_are_options_and_lists_repeat_them() {
        let line = of(
            "command = 'lab'\nparam = ['ept=1', 'ept=0']\nstrict = true\nverbose = false\nlimit = 9.5\nmemory = 8",
        )
        .unwrap()
        .join(" ");
        assert_eq!(
            line,
            "maskmatch lab --limit=9.5 --memory=8 --param=ept=1 --param=ept=0 --strict"
        );
        assert_eq!(of("").unwrap(), ["maskmatch", "run"]);
        for wrong in ["command = 1", "param = [[1]]", "limit = {}"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_typed_replaces_one_value_and_adds_to_several() {
        let mut line = of("command = 'lab'\nparam = ['ept=1']\nlimit = 9").unwrap();
        line.extend(["--limit", "5", "--param", "ept=0"].map(String::from));
        let Some(Command::Lab(args)) = parse(line).unwrap().command else { panic!("the lab") };
        assert_eq!(args.run.on.limit.unwrap().as_secs(), 5);
        assert_eq!(args.run.on.lab.params.len(), 2);
        assert!(parse(of("frobnicate = true").unwrap()).is_err());
    }

    #[test]
    fn the_nearest_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(folder.path().join(FILE), "").unwrap();
        assert_eq!(find(&below), Some(folder.path().join(FILE)));
        std::fs::write(below.join(FILE), "").unwrap();
        assert_eq!(find(&below), Some(below.join(FILE)));
    }
}
