//! What is known of each change: a file for each in the results folder.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::host::Host;
use crate::lab::{Lab, Outcome, Profile, Seen};
use crate::stop::Stop;
use crate::tree::{Tree, cache_folder};

/// The results folder.
pub struct Store {
    folder: PathBuf,
    /// The host's package.
    package: String,
    /// A digest of the image and of the known deviations.
    digest: u32,
}

/// What is known of a change: the outcome of each profile that ran.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Record {
    /// What the outcomes rest on: the package and the change.
    key: u32,
    /// The digest of the image and of the known deviations that they rest on too.
    pub digest: u32,
    /// The quick profile.
    pub quick: Option<Outcome>,
    /// The standard profile of `groups`.
    pub standard: Option<Outcome>,
    /// The groups concerned.
    groups: Vec<String>,
}

impl Record {
    /// What noticed it first.
    pub fn noticed(&self) -> Option<(Profile, &Seen)> {
        let quick = self.quick.as_ref().and_then(Outcome::seen).map(|seen| (Profile::Quick, seen));
        let standard =
            || self.standard.as_ref().and_then(Outcome::seen).map(|seen| (Profile::Standard, seen));
        quick.or_else(standard)
    }

    /// Where the outcome of a profile is.
    pub fn of(&mut self, profile: Profile) -> &mut Option<Outcome> {
        match profile {
            Profile::Quick => &mut self.quick,
            Profile::Standard => &mut self.standard,
        }
    }
}

impl Store {
    /// Opens the results of a host as this tree has it, with this image and table of known deviations.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(host: Host, tree: &dyn Tree, lab: &Lab) -> Result<Self, Stop> {
        let folder = cache_folder()?.join("sensitivity/results").join(host.name());
        fs::create_dir_all(&folder).map_err(|error| Stop::file(&folder, error))?;
        Ok(Self { folder, package: tree.package().into(), digest: lab.digest })
    }

    /// A file of a change.
    pub fn path(&self, change: &Change, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.{suffix}", change.name))
    }

    /// What is known of a change as it is now, with this image and these known deviations.
    pub fn load(&self, change: &Change) -> Record {
        let digest = self.digest;
        let kept = self.kept(change);
        if kept.digest == digest { kept } else { Record { digest, ..self.nothing(change) } }
    }

    fn nothing(&self, change: &Change) -> Record {
        let groups = change.groups.clone();
        Record { key: self.key(change), groups, ..Record::default() }
    }

    /// What is known of a change as it is now, whatever image it was run with.
    pub fn kept(&self, change: &Change) -> Record {
        let key = self.key(change);
        let text = fs::read(self.path(change, "json")).unwrap_or_default();
        let known = serde_json::from_slice(&text).ok().filter(|record: &Record| record.key == key);
        let mut record = known.unwrap_or_else(|| self.nothing(change));
        if record.groups != change.groups {
            record.standard = None;
            record.groups.clone_from(&change.groups);
        }
        record
    }

    /// Keeps what is known of a change.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, change: &Change, record: &Record) -> Result<(), Stop> {
        let path = self.path(change, "json");
        let text =
            serde_json::to_string_pretty(record).map_err(|error| Stop::file(&path, error))?;
        fs::write(&path, text + "\n").map_err(|error| Stop::file(&path, error))
    }

    /// A digest of all that an outcome of the quick profile rests on.
    fn key(&self, change: &Change) -> u32 {
        let Change { file, within, find, put, sets, .. } = change;
        crc32fast::hash(format!("{:?}", (&self.package, file, within, find, put, sets)).as_bytes())
    }
}
