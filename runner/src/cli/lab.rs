//! Options of the lab.

use std::path::PathBuf;

use clap::Args;

use super::value::one_of;
use crate::lab::params::ParamSet;
use crate::request::LabVmm;

/// Options of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of the lab")]
pub struct LabArgs {
    /// Debian's Linux, or for Xen Debian's Xen, of a suite (bullseye, bookworm, trixie, sid) or of a
    /// version (6.1, 4.17); may be repeated. By default that of this machine's suite.
    #[arg(long, value_name = "SUITE|VERSION")]
    pub kernel: Vec<String>,
    /// A kernel of your own, with --modules.
    #[arg(long, value_name = "BZIMAGE", requires = "modules", conflicts_with = "kernel")]
    pub kernel_image: Option<PathBuf>,
    /// The folder with the modules of --kernel-image, or a kernel's build tree, which has its
    /// bzImage too. KVM may be part of the kernel (CONFIG_KVM_INTEL=y).
    #[arg(long, value_name = "DIR", conflicts_with = "kernel")]
    pub modules: Option<PathBuf>,
    /// A kvm-intel.ko to load in place of the kernel's.
    #[arg(long, value_name = "FILE.ko")]
    pub kvm_intel: Option<PathBuf>,
    /// Parameters of kvm_intel, as in `ept=0` or `ept=1,vpid=0`, or of kvm, as in `kvm.tdp_mmu=0`;
    /// `guest_maxphyaddr=36` is the guest's. May be repeated: each is a run of its own. By default
    /// ept=1, ept=0, allow_smaller_maxphyaddr=1 and enable_shadow_vmcs=0.
    #[arg(long = "param", value_name = "NAME=VALUE,...")]
    pub params: Vec<ParamSet>,
    /// What boots the test image on the lab's KVM.
    #[arg(long, value_parser = one_of(&LAB_VMMS), default_value = "kvm")]
    pub vmm: LabVmm,
}

/// What boots the test image on the lab's KVM.
const LAB_VMMS: [(&str, &str, LabVmm); 2] = [
    ("kvm", "The built-in VMM", LabVmm::Kvm),
    (
        "qemu",
        "This machine's QEMU, copied into the lab. It is slower and lacks the channel that some groups need; `action.migrate*` need it",
        LabVmm::Qemu,
    ),
];
