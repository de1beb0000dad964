//! What the outside tells the lab's init: one JSON file in the initramfs.

use serde::{Deserialize, Serialize};

use super::params::ParamSet;

/// Where init finds its job.
pub const PATH: &str = "/job.json";

/// One boot's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Modules that stay loaded, paths inside the initramfs, dependencies first.
    pub modules: Vec<String>,
    /// `kvm_intel` itself, loaded and unloaded for each set.
    pub kvm_intel: String,
    /// The parameters that this `kvm_intel` has.
    pub known_params: Vec<String>,
    /// Parameters of every set, see [`super::params::always`].
    pub always: Vec<(String, String)>,
    /// The sets, in order.
    pub sets: Vec<ParamSet>,
    /// For whoever runs a set: passed on unread.
    pub args: Vec<String>,
}
