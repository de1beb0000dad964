//! What a host is to the rest of the runner.

use spec::catalogue::plan::Profile;

use super::cost::Price;
use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;

/// A host under test, found and ready.
pub trait Host: Sync {
    /// What it has: most hosts have one set. A host with versions and parameter sets has one for
    /// each of these with each of those.
    fn sets(&self) -> Vec<Set>;

    /// Boots the image on sets of these numbers, and judges each, whatever came of it. They can
    /// share a boot. There is a result for each set, with a
    /// [`column`](crate::verdict::result::Origin::column) if the host has several; fewer if the run
    /// was interrupted.
    fn run(&self, request: &Request, sets: &[usize]) -> Vec<RunResult>;

    /// The checksums of the files that make up its sets, for records: what has the same name may be
    /// another build. All files are read for it.
    fn checksums(&self) -> Vec<u32> {
        vec![0; self.sets().len()]
    }
}

/// What a result is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, the same in every run on the same version.
    pub name: String,
    /// Sets with the same number can share a boot.
    pub boot: usize,
    /// What a case costs there.
    pub price: Price,
}

/// A kind of host: a row of [`super::TABLE`].
#[derive(Debug)]
pub struct Kind {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is called in the middle of a sentence.
    pub title: &'static str,
    /// What `--help` says of it.
    pub help: &'static str,
    /// The options that it has in addition to those of all hosts.
    pub takes: &'static [Takes],
    /// How much it tries if nothing is asked for.
    pub profile: Profile,
    /// Finds one on this machine. What is missing is installed first, where that is permitted.
    pub find: fn(&Request) -> Result<Box<dyn Host>, Unavailable>,
    /// Says what this machine has of it, and installs nothing.
    pub look: fn() -> Result<String, Unavailable>,
}

/// Options that not every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `--accel`.
    Accel,
    /// `--bochs` and `--cpu`.
    Bochs,
    /// `--kernel`.
    Kernel,
    /// `--param` and its like.
    Lab,
    /// `--refresh`.
    Refresh,
    /// `--vbox-options`.
    VirtualBox,
    /// `--xen-image`, `--xen-options` and `--isolate`.
    Xen,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
