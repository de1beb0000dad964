//! The build trees: Debian's sources of a host and what builds them, unpacked in the cache folder.

pub mod kvm;
pub mod xen;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use crate::change::{self, Change};
use crate::host::Host;
use crate::stop::Stop;

/// The last file that is put into a tree: with it, the tree is whole.
const WHOLE: &str = "whole";
/// How much of a failed program's words is passed on.
const COMPLAINT_LINES: usize = 6;

/// A tree that can be built.
pub trait Tree {
    /// Debian's package of the host, with its version.
    fn package(&self) -> &str;

    /// Builds the host with a change, into one of two places. What an earlier build put there is
    /// gone then.
    ///
    /// # Errors
    /// A file cannot be read or written, or `make` cannot be started.
    fn build(&self, change: &Change, place: usize) -> Result<Build, Stop>;
}

/// What came of a build.
pub enum Build {
    /// The options by which maskmatch runs what was built.
    Done(Vec<OsString>),
    /// Why there is nothing.
    Failed(String),
}

/// Sources: as Debian has them, and a copy to change and build.
struct Sources {
    right: PathBuf,
    work: PathBuf,
}

impl Sources {
    /// Puts a change into the copy, and takes an earlier one back. The inner `Err`: it does not
    /// apply.
    fn put(&self, host: Host, change: &Change) -> Result<Result<(), String>, Stop> {
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| Stop::file(path, error));
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(|error| Stop::file(path, error))
        };
        // A file that is right keeps its time, and is not built anew.
        let of_host = change::all().into_iter().filter(|change| change.host == host);
        for file in of_host.map(|change| change.file).filter(|file| *file != change.file) {
            let right = read(&self.right.join(&file))?;
            if read(&self.work.join(&file))? != right {
                write(&self.work.join(&file), &right)?;
            }
        }
        if change.file.is_empty() {
            return Ok(Ok(()));
        }
        match change.apply(&read(&self.right.join(&change.file))?) {
            Ok(text) => write(&self.work.join(&change.file), &text).map(Ok),
            Err(why) => Ok(Err(format!("the change no longer applies: {why}"))),
        }
    }
}

/// `make` in a folder, with as many jobs as there are processors.
fn make(folder: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(folder);
    make.arg(format!("-j{}", available_parallelism().map_or(1, usize::from)));
    make
}

/// The folder of one of the two places below a tree's folder.
fn made(folder: &Path, place: usize) -> Result<PathBuf, Stop> {
    let folder = folder.join(format!("built.{place}"));
    fs::create_dir_all(&folder).map_err(|error| Stop::file(&folder, error))?;
    Ok(folder)
}

/// maskmatch's cache folder.
///
/// # Errors
/// The environment does not say where it is.
pub fn cache_folder() -> Result<PathBuf, Stop> {
    let absolute =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("maskmatch"))
        .ok_or_else(|| Stop::missing("neither XDG_CACHE_HOME nor HOME is set: set one of them"))
}

/// Whether the programs are there that build a host: each with the package that has it.
fn check_tools(host: Host, tools: &[(&'static str, &'static str)]) -> Result<(), Stop> {
    let folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let is_there = |tool: &str| folders.iter().any(|folder| folder.join(tool).is_file());
    let missing: Vec<_> = tools.iter().filter(|(tool, _)| !is_there(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = |of: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(|missing| of(missing)).collect::<Vec<_>>().join(" ")
    };
    let (tools, packages) = (list(|(tool, _)| tool), list(|(_, package)| package));
    Err(Stop::missing(format!(
        "{} cannot be built without {tools}; to fix it: apt-get install {packages}",
        host.title()
    )))
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<(), Stop> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(|error| Stop::missing(format!("{name} cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> =
        said.lines().filter(|line| line.contains("rror") || line.starts_with("E:")).collect();
    let errors = errors[..errors.len().min(COMPLAINT_LINES)].join(" | ");
    Err(Stop::missing(format!("{name} failed ({}): {errors}", output.status)))
}
