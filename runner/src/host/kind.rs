//! What a host is to the rest of the runner.

use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;

/// A host under test, found and ready.
pub trait Host {
    /// Boots the image, and judges each boot, whatever came of it. Most hosts give one result. A
    /// host with versions and parameter sets gives one for each, with a
    /// [`column`](crate::verdict::result::Origin::column).
    fn run(&self, request: &Request) -> Vec<RunResult>;
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
