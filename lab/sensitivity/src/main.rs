//! Who tests the tests: builds KVM and Xen wrong on purpose, runs maskmatch's lab on them, and
//! writes down what noticed it.
//!
//! Each wrong host is one small change of Debian's KVM (of 6.1, or of sid) or Xen 4.17, a row of
//! `changes/*.toml`. All is kept in `~/.cache/maskmatch/sensitivity`: sources, build tree and
//! results. What was run is not run again unless the change, the image or the known deviations
//! changed.

mod change;
mod document;
mod host;
mod lab;
mod stop;
mod store;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;

use clap::Parser;

use crate::change::Change;
use crate::host::Host;
use crate::lab::{Lab, Outcome, Profile};
use crate::stop::Stop;
use crate::store::{Record, Store};
use crate::tree::{Build, Tree};

/// Runs maskmatch on builds of KVM and Xen that are wrong on purpose, and says which of them it notices.
///
/// Each change runs in the quick profile; those that it misses run in the standard profile of the
/// groups concerned. A run of all changes of a host writes its part of docs/sensitivity.md.
///
/// Exit codes: 0, all is as the changes say; 1, a change passed that should be noticed, is noticed
/// though it is said to survive, or no longer applies; 2, the command line is wrong; 3, a tool, a
/// package or the lab is missing.
#[derive(Parser)]
#[command(name = "sensitivity", version, verbatim_doc_comment)]
struct Options {
    /// Only this change, this kind of changes, or those of this host; may be repeated.
    #[arg(long, value_name = "NAME|KIND|kvm|kvm-sid|xen")]
    only: Vec<String>,
    /// `quick` leaves out the standard profile; `standard` runs it for all changes.
    #[arg(long)]
    profile: Option<Profile>,
    /// Only the six changes for CI, in the quick profile.
    #[arg(long, conflicts_with_all = ["only", "profile"])]
    small: bool,
    /// List the changes, and build nothing.
    #[arg(long)]
    list: bool,
    /// Write docs/sensitivity.md from what was kept, of whatever image, and run nothing.
    #[arg(long, conflicts_with_all = ["only", "profile", "small", "list"])]
    document: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(stop) => {
            eprintln!("sensitivity: {}", stop.why);
            ExitCode::from(stop.code)
        }
    }
}

/// Does what the command line asks for; whether all is as the changes say.
fn run(options: &Options) -> Result<bool, Stop> {
    let changes = change::all();
    let chosen = choose(options, &changes)?;
    if options.list {
        for change in chosen {
            println!("{:16} {:32} {}", change.kind, change.name, change.why);
        }
        return Ok(true);
    }
    let lab = Lab::open()?;
    let mut as_told = true;
    for host in Host::ALL {
        let of_host = |change: &&Change| change.host == host;
        let chosen: Vec<&Change> = chosen.iter().copied().filter(of_host).collect();
        if chosen.is_empty() {
            continue;
        }
        let tree = host.open(&lab)?;
        let all: Vec<&Change> = changes.iter().filter(of_host).collect();
        let on = On { host, tree: &*tree, store: Store::open(host, &*tree, &lab)?, lab: &lab };
        if !options.document {
            on.unchanged_passes(&chosen)?;
            as_told &= on.examine_all(&chosen, options)?;
        }
        if chosen.len() == all.len() {
            document::write(host, &all, &on.store, tree.package())?;
        }
    }
    Ok(as_told)
}

/// The changes that the command line names.
fn choose<'a>(options: &Options, changes: &'a [Change]) -> Result<Vec<&'a Change>, Stop> {
    let known = |word: &String| changes.iter().any(|change| change.is(word));
    if let Some(odd) = options.only.iter().find(|word| !known(word)) {
        return Err(Stop::usage(format!(
            "no change, kind or host is named '{odd}': --list shows them all"
        )));
    }
    let named = |change: &&Change| {
        options.only.is_empty() || options.only.iter().any(|word| change.is(word))
    };
    Ok(changes.iter().filter(|change| change.small || !options.small).filter(named).collect())
}

/// A host, and what runs on it.
struct On<'a> {
    host: Host,
    tree: &'a (dyn Tree + Sync),
    store: Store,
    lab: &'a Lab,
}

impl On<'_> {
    /// A rebuild without a change must pass on each Bochs that the changes need, or nothing follows
    /// from a build that fails.
    fn unchanged_passes(&self, changes: &[&Change]) -> Result<(), Stop> {
        let Self { host, tree, store, lab } = self;
        let title = host.title();
        for unchanged in Change::nones(*host, changes) {
            let mut record = store.load(&unchanged);
            if record.quick.is_none() {
                println!("building {title} of {} without a change", tree.package());
                match tree.build(&unchanged, 0)? {
                    Build::Done(built) => {
                        record.quick = Some(lab.run(&unchanged, Profile::Quick, &built, store)?);
                    }
                    Build::Failed(why) => {
                        return Err(Stop::missing(format!("{title} cannot be built: {why}")));
                    }
                }
                store.keep(&unchanged, &record)?;
            }
            if let Some(Outcome::Noticed(seen)) = record.quick {
                return Err(Stop::failed(format!(
                    "{title} rebuilt without a change does not pass: {seen}"
                )));
            }
        }
        Ok(())
    }

    /// Builds each change while the lab runs the one before. Returns whether all is as the changes
    /// say.
    fn examine_all(&self, changes: &[&Change], options: &Options) -> Result<bool, Stop> {
        thread::scope(|scope| {
            // A build is handed over when the run before has ended, so that two places are enough.
            let (hand_over, builds) = sync_channel(0);
            scope.spawn(move || {
                for (at, change) in changes.iter().enumerate() {
                    let is_needed = missing(&self.store.load(change), options).is_some();
                    let built = is_needed.then(|| self.tree.build(change, at % 2)).transpose();
                    if hand_over.send(built).is_err() {
                        return;
                    }
                }
            });
            let mut as_told = true;
            for (at, (change, built)) in changes.iter().zip(builds).enumerate() {
                let verdict = match built? {
                    Some(Build::Failed(why)) => Err(why),
                    Some(Build::Done(built)) => judge(change, &self.run(change, &built, options)?),
                    None => judge(change, &self.store.load(change)),
                };
                let (Ok(text) | Err(text)) = &verdict;
                println!(
                    "[{}/{}] {} ({}): {text}",
                    at + 1,
                    changes.len(),
                    change.name,
                    change.kind
                );
                as_told &= verdict.is_ok();
            }
            Ok(as_told)
        })
    }

    /// Runs what is not known yet of a change.
    fn run(&self, change: &Change, built: &[OsString], options: &Options) -> Result<Record, Stop> {
        let mut record = self.store.load(change);
        while let Some(profile) = missing(&record, options) {
            *record.of(profile) = Some(self.lab.run(change, profile, built, &self.store)?);
            self.store.keep(change, &record)?;
        }
        Ok(record)
    }
}

/// The profile that is to run next for a change, of which `record` is known.
fn missing(record: &Record, options: &Options) -> Option<Profile> {
    let standard = match options.profile {
        Some(Profile::Standard) => true,
        Some(Profile::Quick) => false,
        None => !options.small && record.noticed().is_none(),
    };
    if record.quick.is_none() {
        Some(Profile::Quick)
    } else {
        (standard && record.standard.is_none()).then_some(Profile::Standard)
    }
}

/// What came of a change, in a sentence; `Err` if that is not what its row says.
fn judge(change: &Change, record: &Record) -> Result<String, String> {
    match (record.noticed(), &change.survives) {
        (Some((profile, seen)), None) => Ok(format!("noticed by {}: {seen}", profile.name())),
        (Some((profile, seen)), Some(_)) => {
            Err(format!("said to survive, but noticed by {}: {seen}", profile.name()))
        }
        (None, Some(reason)) => Ok(format!("survives: {reason}")),
        (None, None) => Err("NOT NOTICED".into()),
    }
}
