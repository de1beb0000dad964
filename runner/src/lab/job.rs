//! What the runner outside asks of the lab's init: one JSON file in the initramfs.

use serde::{Deserialize, Serialize};

use super::params::ParamSet;
use super::virtualbox;
use crate::verdict::known::Asks;
use crate::verdict::subject::Product;

/// Where init finds its job.
pub const PATH: &str = "/job.json";

/// One boot's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Judge the kernel's KVM.
    Kvm(KvmJob),
    /// Judge VirtualBox.
    VirtualBox(virtualbox::job::Job),
}

/// What is to be done with KVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvmJob {
    /// Modules that stay loaded, paths inside the initramfs, dependencies first.
    pub modules: Vec<String>,
    /// `kvm_intel` itself, loaded and unloaded for each set; `None`: it is part of the kernel.
    pub kvm_intel: Option<String>,
    /// The parameters that these modules have, see [`super::modules::parameters`].
    pub known_params: Vec<String>,
    /// Parameters of every set, see [`super::params::always`].
    pub always: Vec<(String, String)>,
    /// The sets, in order.
    pub sets: Vec<ParamSet>,
    /// What is booted under each set.
    pub guest: Guest,
}

/// How the test image is booted, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The image's command line, without what known deviations ask for.
    pub cmdline: String,
    /// What known deviations of any host ask for.
    pub asks: Vec<Asks>,
    /// The guest's RAM.
    pub memory_mib: u32,
    /// The processor that the lab runs on.
    pub processor: Product,
    /// The path of the QEMU that is to run the image, if not the built-in VMM.
    pub qemu: Option<String>,
}
