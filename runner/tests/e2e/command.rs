//! Calling `maskmatch`.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// What a call gave.
#[derive(Debug)]
pub struct Called {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Called {
    /// The last line of standard output: the verdict.
    pub fn verdict(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }

    /// Fails unless the exit code is this one, and shows everything.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// The built program.
pub fn maskmatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskmatch"));
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Called {
    let output = command.output().expect("the program starts");
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8 comes out, whatever came in");
    let code = output.status.code().expect("an exit code, not a signal");
    Called { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Calls the program with these arguments.
pub fn call<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Called {
    finish(maskmatch().args(arguments))
}

/// Calls the program with the words of a line.
pub fn line(words: &str) -> Called {
    call(words.split_ascii_whitespace())
}

/// The options of `unshare` that give a program a network of its own, if the system lets one have
/// it: Bochs' display has a server, whose port must be in no other's way.
pub fn own_network() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["--net"], &["--user", "--net"]];
    let works = |way: &&&[&str]| {
        Command::new("unshare").args(**way).arg("true").status().is_ok_and(|s| s.success())
    };
    WAYS.iter().find(works).copied()
}

/// How many processes work in a folder below this one.
pub fn works_below(folder: &str) -> usize {
    programs_below(folder).len()
}

/// The ids of the processes that work in a folder below this one.
pub fn programs_below(folder: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    processes
        .filter(|process| {
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}
