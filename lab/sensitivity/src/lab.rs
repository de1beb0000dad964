//! Runs maskmatch's lab on a built host, and reads what it reports.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::stop::Stop;
use crate::store::Store;

/// The groups of the run that only fetches a host.
const SMALLEST: &str = "host.touch";
/// What stands before the group that was cut off.
const LAST_SEEN: &str = "last seen in group ";

/// How much of maskmatch a change runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Quick, all groups.
    Quick,
    /// Standard, the groups that should notice the change.
    Standard,
}

impl Profile {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
        }
    }

    /// Seconds that a boot may take: a wrong host hangs in more ways than the lab itself ends.
    const fn limit(self) -> &'static str {
        match self {
            Self::Quick => "400",
            Self::Standard => "3600",
        }
    }
}

/// The maskmatch that is asked.
pub struct Lab {
    program: PathBuf,
    /// A digest of the image and of the known deviations: what a verdict rests on.
    pub digest: u32,
}

/// What came of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Outcome {
    /// Nothing noticed the change.
    Passed,
    /// Something did.
    Noticed(Seen),
}

impl Outcome {
    /// What noticed it.
    pub fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Passed => None,
            Self::Noticed(seen) => Some(seen),
        }
    }
}

/// What noticed a change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Seen {
    /// The parameter set.
    pub set: String,
    /// The verdict of that set.
    pub verdict: String,
    /// The first group that is not right.
    pub group: Option<String>,
    /// How many groups are not right.
    pub groups: usize,
    /// What the report concludes; else what its kernel complained of; else what ended the run; else
    /// nothing.
    pub cause: String,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.as_deref().unwrap_or("no group");
        write!(f, "{}, first {group} of {}, {}", self.verdict, self.groups, self.set)?;
        if self.cause.is_empty() { Ok(()) } else { write!(f, ": {}", self.cause) }
    }
}

#[derive(Deserialize)]
struct Report {
    results: Vec<SetResult>,
}

#[derive(Deserialize)]
struct SetResult {
    params: Option<String>,
    verdict: String,
    sentence: String,
    conclusion: Option<Conclusion>,
    kernel_trouble: Vec<String>,
    groups: Vec<GroupResult>,
}

#[derive(Deserialize)]
struct Conclusion {
    causes: Vec<String>,
    sentence: String,
}

#[derive(Deserialize)]
struct GroupResult {
    name: String,
    verdict: String,
}

impl Lab {
    /// Builds maskmatch, which lies beside this program.
    ///
    /// # Errors
    /// It cannot be built or run.
    pub fn open() -> Result<Self, Stop> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "-q", "-p", "runner", "--manifest-path", manifest]);
        if !build.status().is_ok_and(|status| status.success()) {
            return Err(Stop::missing(
                "maskmatch cannot be built: `cargo build --release -p runner` says why",
            ));
        }
        let own = std::env::current_exe().map_err(|error| Stop::missing(error.to_string()))?;
        let mut lab = Self { program: own.with_file_name("maskmatch"), digest: 0 };
        let image = own.with_file_name(format!("image.{}", std::process::id()));
        lab.ask(lab.command().arg("image").arg("--elf").arg(&image))?;
        let bytes = fs::read(&image).map_err(|error| Stop::file(&image, error))?;
        fs::remove_file(&image).map_err(|error| Stop::file(&image, error))?;
        let mut digest = crc32fast::Hasher::new();
        digest.update(&bytes);
        digest.update(&lab.ask(lab.command().args(["list", "--known"]))?);
        lab.digest = digest.finalize();
        Ok(lab)
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// What maskmatch prints if it succeeds.
    fn ask(&self, command: &mut Command) -> Result<Vec<u8>, Stop> {
        let output = command.output().map_err(|error| Stop::file(&self.program, error))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Stop::missing(last_words(&output.stderr)))
        }
    }

    /// Has the lab fetch a kernel and its package index anew.
    ///
    /// # Errors
    /// The archive cannot be reached, or Bochs is missing.
    pub fn refresh_kernel(&self, kernel: &str) -> Result<(), Stop> {
        println!("asking Debian's archive for the newest kernel {kernel}");
        self.refresh(&["--kernel", kernel, "--param", "ept=1"])
    }

    /// Has the lab fetch a Xen and its package index anew.
    ///
    /// # Errors
    /// The archive cannot be reached, or Bochs is missing.
    pub fn refresh_xen(&self, version: &str) -> Result<(), Stop> {
        println!("asking Debian's archive for the newest Xen {version}");
        self.refresh(&["--host", "xen", "--kernel", version, "--xen-options", ""])
    }

    fn refresh(&self, which: &[&str]) -> Result<(), Stop> {
        let mut command = self.command();
        command.arg("lab").args(which).args(["--refresh", "--filter", SMALLEST]);
        self.ask(&mut command).map(drop)
    }

    /// Runs what a change was built to, by `built`'s options. The report is kept in the results
    /// folder.
    ///
    /// # Errors
    /// The lab could not run at all.
    pub fn run(
        &self,
        change: &Change,
        profile: Profile,
        built: &[OsString],
        store: &Store,
    ) -> Result<Outcome, Stop> {
        let json = store.path(change, &format!("{}.report.json", profile.name()));
        // A report of an earlier run must not be taken for this one's.
        let _ = fs::remove_file(&json);
        let mut command = self.command();
        command.args(["lab", "--profile", profile.name(), "--limit", profile.limit()]);
        command.args(change.sets.iter().flat_map(|set| [change.host.option_of_sets(), set]));
        if let Some(suite) = &change.bochs {
            command.args(["--bochs", suite]);
        }
        if profile == Profile::Standard || change.bochs.is_some() {
            command.args(change.groups.iter().flat_map(|group| ["--filter", group]));
        }
        command.args(built).arg("--json").arg(&json);
        let output = command.output().map_err(|error| Stop::file(&self.program, error))?;
        let text = store.path(change, &format!("{}.txt", profile.name()));
        fs::write(&text, &output.stdout).map_err(|error| Stop::file(&text, error))?;
        match output.status.code() {
            Some(0) => Ok(Outcome::Passed),
            // Fail, crash, and an error, which a wrong host can cause too.
            Some(1 | 4 | 5) => {
                let text = fs::read_to_string(&json).map_err(|error| Stop::file(&json, error))?;
                let report: Report =
                    serde_json::from_str(&text).map_err(|error| Stop::file(&json, error))?;
                report
                    .first()
                    .map(Outcome::Noticed)
                    .ok_or_else(|| Stop::missing(last_words(&output.stderr)))
            }
            _ => Err(Stop::missing(last_words(&output.stderr))),
        }
    }
}

impl Report {
    /// What is wrong in the first set that is not right.
    fn first(self) -> Option<Seen> {
        let wrong = self
            .results
            .into_iter()
            .find(|set| !matches!(set.verdict.as_str(), "pass" | "skip"))?;
        let is_wrong =
            |group: &&GroupResult| matches!(group.verdict.as_str(), "fail" | "unfinished");
        let groups: Vec<&GroupResult> = wrong.groups.iter().filter(is_wrong).collect();
        let concluded =
            wrong.conclusion.map(
                |Conclusion { causes, sentence }| {
                    if causes.is_empty() { sentence } else { causes.join(" or ") }
                },
            );
        let cause = concluded.or(wrong.kernel_trouble.first().cloned());
        let ended = if wrong.verdict == "fail" { String::new() } else { wrong.sentence.clone() };
        // A group that was cut off has no result.
        let cut_off = || wrong.sentence.split_once(LAST_SEEN)?.1.split_whitespace().next();
        Some(Seen {
            set: wrong.params.unwrap_or_default(),
            verdict: wrong.verdict,
            group: groups
                .first()
                .map(|group| group.name.as_str())
                .or_else(cut_off)
                .map(String::from),
            groups: groups.len(),
            cause: cause.unwrap_or(ended),
        })
    }
}

/// The last line that a program said.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last =
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("maskmatch said nothing");
    last.trim_start_matches("maskmatch: ").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Report, last_words};

    #[test]
    fn the_first_wrong_group_and_the_conclusion_count() {
        let text = r#"{ "results": [
            { "params": "ept=1", "verdict": "pass", "sentence": "", "conclusion": null, "kernel_trouble": [], "groups": [] },
            { "params": "ept=0", "verdict": "fail", "sentence": "x",
                "conclusion": { "causes": ["all-exit"], "sentence": "gives all" },
                "kernel_trouble": ["WARNING"], "groups": [
                { "name": "a", "verdict": "known" },
                { "name": "b", "verdict": "fail" },
                { "name": "c", "verdict": "fail" } ] } ] }"#;
        let seen = serde_json::from_str::<Report>(text).unwrap().first().unwrap();
        assert_eq!(
            (seen.set.as_str(), seen.group.as_deref(), seen.groups),
            ("ept=0", Some("b"), 2)
        );
        assert_eq!(seen.to_string(), "fail, first b of 2, ept=0: all-exit");
        let cause =
            |text: &str| serde_json::from_str::<Report>(text).unwrap().first().unwrap().cause;
        assert_eq!(cause(&text.replace(r#"["all-exit"]"#, "[]")), "gives all");
        let none = text.replace(r#"{ "causes": ["all-exit"], "sentence": "gives all" }"#, "null");
        assert_eq!(cause(&none), "WARNING");
        let crash = r#"{ "results": [ { "params": "ept=0", "verdict": "crash", "kernel_trouble": [], "groups": [],
            "sentence": "silent; last seen in group event.long at 0 of 37" } ] }"#;
        let crash = serde_json::from_str::<Report>(crash).unwrap().first().unwrap();
        assert_eq!(crash.group.as_deref(), Some("event.long"));
        assert!(
            serde_json::from_str::<Report>(&text.replace("\"fail\", \"sen", "\"pass\", \"sen"))
                .unwrap()
                .first()
                .is_none()
        );
    }

    #[test]
    fn the_last_words_are_a_sentence() {
        assert_eq!(last_words(b"x\nmaskmatch: there is no Bochs\n\n"), "there is no Bochs");
    }
}
