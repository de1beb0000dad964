//! Records: what is kept of each job of a run, so that it is not run again, and so that the parts of
//! a run are joined as if one guest had run all.
//!
//! A record has the serial log and all that the log does not say of the run. It is judged anew
//! whenever it is read. It is written whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::catalogue::group::Group;
use spec::catalogue::options::{Options, Span};
use spec::log::{CRC32, Verdict};

use super::store;
use crate::files;
use crate::interrupt;
use crate::payload;
use crate::verdict::capture::{Capture, Limits};
use crate::verdict::exit_code::Stop;
use crate::verdict::findings::Findings;
use crate::verdict::join::joined;
use crate::verdict::judge::{Judgement, Source, counted};
use crate::verdict::known::Tables;
use crate::verdict::result::{Measured, Origin, RunResult};
use crate::vmm::{End, Unavailable};

/// The version of this form.
const FORM: u32 = 1;
/// How the names of records end.
const ENDING: &str = ".record.json";
/// No record is larger.
const MAX_FILE: u64 = 256 << 20;

/// Which job of which run a record is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The host's name on the command line.
    pub host: String,
    /// The names of all sets of the run, in order, with checksums of their files.
    pub sets: Vec<(String, u32)>,
    /// The image's command line for all groups.
    pub asked: String,
    /// All else that the results depend on.
    pub choice: String,
    /// The set's name.
    pub set: String,
    /// The places of the job's groups: the first, and the one after the last.
    pub groups: (usize, usize),
}

/// What is kept of a job.
#[derive(Serialize, Deserialize)]
struct Record {
    form: u32,
    /// The image that ran.
    image: String,
    identity: Identity,
    origin: Origin,
    /// How the guest ended; `None` if nothing was booted.
    end: Option<End>,
    /// Why the log is none that can be judged, or why nothing was booted.
    why: Option<String>,
    trouble: Vec<String>,
    measured: Measured,
    log: String,
}

/// A folder of records.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
    /// Whether a job that has a record is not run again.
    resume: bool,
}

impl Identity {
    /// The name of its record, which no other job has.
    fn file_name(&self) -> String {
        let digest = CRC32.checksum(format!("{self:?} {}", image()).as_bytes());
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.set.chars().map(word).take(100).collect();
        format!("{name}.{digest:08x}{ENDING}")
    }

    /// Whether both are jobs of the same run.
    fn is_with(&self, other: &Self) -> bool {
        let Self { sets, asked, choice, .. } = self;
        (sets, asked, choice) == (&other.sets, &other.asked, &other.choice)
    }
}

impl Shelf {
    /// A folder of records, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: PathBuf, resume: bool) -> Result<Self, Stop> {
        std::fs::create_dir_all(&folder).map_err(|error| Stop::file("make", &folder, &error))?;
        Ok(Self { folder, resume })
    }

    /// The result of a job, judged anew, if there is a record that can stand for it. One that
    /// crashed is run again: its machine may have been in trouble.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn kept(
        &self,
        identity: &Identity,
        tables: &Arc<Tables>,
        strict: bool,
    ) -> Result<Option<RunResult>, Stop> {
        let path = self.folder.join(identity.file_name());
        if !self.resume || !path.exists() {
            return Ok(None);
        }
        let record = read(&path)?;
        if record.identity != *identity {
            return Err(Stop::usage(format!("{}: the record is of another job", path.display())));
        }
        let result = record.judged(tables, strict);
        Ok((result.judgement.verdict != Verdict::Crash).then_some(result))
    }

    /// Keeps the result of a job. What was not available, or was interrupted, is to be run again.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn keep(&self, identity: &Identity, result: &RunResult) -> Result<(), Stop> {
        let is_crash = result.judgement.verdict == Verdict::Crash;
        if !result.is_available() || (is_crash && interrupt::pending()) {
            return Ok(());
        }
        let end = match &result.source {
            Source::Run(end) => Some(end.clone()),
            Source::File | Source::Skipped | Source::Unavailable => None,
        };
        let record = Record {
            form: FORM,
            image: image(),
            identity: identity.clone(),
            origin: result.origin.clone(),
            why: (is_crash || end.is_none()).then(|| result.judgement.sentence.clone()),
            end,
            trouble: result.trouble.clone(),
            measured: result.measured,
            log: String::from_utf8_lossy(result.raw.as_deref().unwrap_or_default()).into_owned(),
        };
        let text = serde_json::to_string(&record).unwrap_or_default();
        store::write(&self.folder.join(identity.file_name()), &text)
    }
}

impl Record {
    /// Judges it.
    fn judged(self, tables: &Arc<Tables>, strict: bool) -> RunResult {
        let Self { origin, measured, why, .. } = self;
        let origin = Origin { tables: Arc::clone(tables), ..origin };
        let Some(end) = self.end else {
            return RunResult::skipped(why.unwrap_or_default(), strict, origin);
        };
        let mut capture = Capture::new(Limits::FILE);
        capture.bytes(self.log.as_bytes(), &mut |_, _: &Findings| {});
        let one = |read| {
            let source = Source::Run(end.clone());
            RunResult::new(read, source, strict, origin.clone(), measured)
        };
        let boots = capture.finish();
        let mut result = if origin.asked.is_none() && boots.len() > 1 {
            // Guests that ran a part each.
            joined(boots.into_iter().map(one).collect(), None)
                .unwrap_or_else(|| RunResult::skipped(String::new(), strict, origin))
        } else {
            RunResult::of_boots(boots, one)
        };
        if let Some(sentence) = why {
            result.judgement = Judgement { verdict: Verdict::Crash, sentence };
        }
        (result.raw, result.measured) = (Some(self.log.into_bytes()), measured);
        result.in_trouble(self.trouble)
    }
}

/// The results of all jobs of a run that have a record in one of the folders or below.
///
/// # Errors
/// One cannot be read, they are of different runs or overlap, or there is none. What is missing is a
/// result that says so.
pub fn gather(
    folders: &[PathBuf],
    tables: &Arc<Tables>,
    strict: bool,
) -> Result<Vec<RunResult>, Stop> {
    let mut paths = Vec::new();
    for folder in folders {
        store::find(folder, ENDING, &mut paths)
            .map_err(|error| Stop::file("read", folder, &error))?;
    }
    let mut records = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    records.sort_by_key(|record| record.identity.groups);
    // Each host has a run of its own.
    let mut runs: Vec<Identity> = Vec::new();
    for Record { identity: one, .. } in &records {
        match runs.iter().find(|run| run.host == one.host) {
            Some(run) if !run.is_with(one) => {
                return Err(Stop::usage(format!(
                    "the records are of different runs, '{}' and '{}': give each run a folder of its own",
                    run.asked, one.asked
                )));
            }
            Some(_) => {}
            None => runs.push(one.clone()),
        }
    }
    let mut results = Vec::new();
    for (run, (set, _)) in runs.iter().flat_map(|run| run.sets.iter().map(move |set| (run, set))) {
        let is_own = |Record { identity, .. }: &mut Record| {
            (&identity.host, &identity.set) == (&run.host, set)
        };
        let own: Vec<Record> = records.extract_if(.., is_own).collect();
        if let Some(missing) = missing(set, &own, run)? {
            let mend = "run what is missing into the same folder, and gather again";
            results.push(RunResult::unavailable(&Unavailable::new(missing, mend), strict));
            continue;
        }
        let parts = own.into_iter().map(|record| record.judged(tables, strict)).collect();
        results.extend(joined(parts, Some(&run.asked)));
    }
    if results.is_empty() {
        return Err(Stop::usage(format!(
            "{} has no records: `maskmatch lab --results DIR` writes them",
            folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    Ok(results)
}

/// Which groups of a set have no record, in a sentence. The records are in order.
///
/// # Errors
/// A group has two.
fn missing(set: &str, records: &[Record], run: &Identity) -> Result<Option<String>, Stop> {
    let options = Options::parse(&run.asked).unwrap_or_default();
    let names = |from, until| -> Vec<String> {
        let options = Options { groups: Span { from, until }, ..options };
        Group::selected(options).map(|group| group.to_string()).collect()
    };
    let mut next = 0;
    let mut missing = Vec::new();
    for (from, until) in
        records.iter().map(|record| record.identity.groups).chain([(Group::PLACES, Group::PLACES)])
    {
        if let Some(twice) = names(from, next).first() {
            return Err(Stop::usage(format!(
                "two records have group {twice} of {set}: cut a run in parts in one way, or give each way a folder of its own"
            )));
        }
        missing.extend(names(next, from));
        next = until;
    }
    let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(None) };
    let more = if missing.len() > 1 { format!(" to {last}") } else { String::new() };
    Ok(Some(format!(
        "no record has {} of {set}: {first}{more}",
        counted(missing.len() as u64, "group")
    )))
}

fn read(path: &Path) -> Result<Record, Stop> {
    let wrong = |why: String| Stop::usage(format!("{}: {why}", path.display()));
    let bytes = files::read(path, MAX_FILE).map_err(|error| Stop::file("read", path, &error))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("the record is cut off or damaged: {error}")))?;
    if (value["form"].as_u64(), value["image"].as_str()) != (Some(FORM.into()), Some(&image())) {
        return Err(wrong("the record is of another build of maskmatch: run it again".into()));
    }
    serde_json::from_value(value).map_err(|error| wrong(format!("the record is damaged: {error}")))
}

/// Which image this maskmatch carries.
fn image() -> String {
    format!("{} {:08x}", env!("CARGO_PKG_VERSION"), CRC32.checksum(payload::L1_ELF))
}

#[cfg(test)]
mod tests {
    use super::{Identity, Shelf, gather};
    use crate::verdict::known::Tables;
    use crate::verdict::result::{Origin, RunResult};
    use spec::catalogue::group::Group;
    use std::sync::Arc;

    fn identity(set: &str, from: usize, until: usize) -> Identity {
        Identity {
            host: "lab".into(),
            sets: [("a".into(), 1), ("b".into(), 2)].into(),
            asked: "profile=quick filter=filter.basic.*".into(),
            choice: String::new(),
            set: set.into(),
            groups: (from, until),
        }
    }

    /// What is gathered of jobs with such identities: a sentence for each set, or what is wrong.
    fn gathered(jobs: &[Identity]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path().join("new"), true).unwrap();
        let tables = Arc::new(Tables::none());
        for job in jobs {
            assert!(shelf.kept(job, &tables, false).unwrap().is_none());
            let result = RunResult::skipped(job.set.clone(), false, Origin::default());
            shelf.keep(job, &result).unwrap();
            let kept = shelf.kept(job, &tables, false).unwrap().unwrap();
            assert_eq!(kept.judgement, result.judgement);
        }
        let results = gather(&[folder.path().into()], &tables, false).map_err(|stop| stop.why)?;
        Ok(results.into_iter().map(|result| result.judgement.sentence).collect())
    }

    #[test]
    fn the_results_are_in_the_order_of_the_run_and_what_is_missing_is_said() {
        let whole = |set| identity(set, 0, Group::PLACES);
        let all = gathered(&[whole("b"), whole("a")]).unwrap();
        assert!(all[0].starts_with('a') && all[1].starts_with('b'), "{all:?}");
        let basic: Vec<usize> = Group::all()
            .filter(|group| group.matches("filter.basic.*"))
            .filter_map(Group::place)
            .collect();
        let parts = [(basic[2], basic[4]), (0, basic[1])];
        let some = gathered(&parts.map(|(from, until)| identity("a", from, until))).unwrap();
        assert!(
            some[0].contains(&format!("no record has {} groups of a", basic.len() - 3)),
            "{some:?}"
        );
        let none = format!("no record has {} groups of b: filter.basic.", basic.len());
        assert!(some[1].starts_with(&none), "{some:?}");
    }

    #[test]
    fn records_that_do_not_belong_together_are_refused() {
        let all = Group::PLACES;
        let overlap = [(0, all - 1), (0, all)].map(|(from, until)| identity("a", from, until));
        assert!(gathered(&overlap).unwrap_err().contains("two records have group filter.basic."));
        let one = identity("a", 0, Group::PLACES);
        let other = Identity { set: "b".into(), ..one.clone() };
        for other in [
            Identity { asked: "profile=standard".into(), ..other.clone() },
            Identity { choice: "memory=512".into(), ..other.clone() },
            Identity { sets: [("a".into(), 1), ("b".into(), 3)].into(), ..other },
        ] {
            let why = gathered(&[one.clone(), other]).unwrap_err();
            assert!(why.contains("different runs"), "{why}");
        }
        assert!(gathered(&[]).unwrap_err().contains("has no records"));
    }

    #[test]
    fn files_that_are_no_records_of_this_build_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path().into(), true).unwrap();
        let (job, tables) = (identity("a", 0, Group::PLACES), Arc::new(Tables::none()));
        let path = folder.path().join(job.file_name());
        shelf.keep(&job, &RunResult::skipped("no VMX".into(), false, Origin::default())).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        for (text, why) in [
            (&whole[..whole.len() / 2], "cut off"),
            (&whole.replace("\"image\":\"", "\"image\":\"9"), "another build"),
            (&whole.replace("\"form\":1", "\"form\":2"), "another build"),
            (&whole.replace("\"trouble\"", "\"troubles\""), "damaged"),
            (&whole.replace("\"choice\":\"", "\"choice\":\"x"), "another job"),
        ] {
            std::fs::write(&path, text).unwrap();
            let stop = shelf.kept(&job, &tables, false).err().unwrap();
            assert!(stop.why.contains(why), "{why}: {}", stop.why);
        }
    }
}
