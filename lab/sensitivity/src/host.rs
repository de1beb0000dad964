//! The hosts that are made wrong.

use crate::lab::Lab;
use crate::stop::Stop;
use crate::tree::Tree;
use crate::tree::kvm::{self, Kvm};
use crate::tree::xen::Xen;

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// KVM of Linux 6.1.
    #[default]
    Kvm,
    /// KVM of the newest Linux, for what 6.1 has not.
    KvmOfSid,
    /// Xen.
    Xen,
}

impl Host {
    /// All of them, in the order of the document.
    pub const ALL: [Self; 3] = [Self::Kvm, Self::KvmOfSid, Self::Xen];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::KvmOfSid => "kvm-sid",
            Self::Xen => "xen",
        }
    }

    /// Its name in text.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::KvmOfSid => "KVM of sid",
            Self::Xen => "Xen",
        }
    }

    /// The sets of the lab that a change runs with unless its row names others.
    pub const fn usual_sets(self) -> &'static [&'static str] {
        match self {
            Self::Kvm | Self::KvmOfSid => &["ept=1"],
            Self::Xen => &[""],
        }
    }

    /// The option of maskmatch that names a set.
    pub const fn option_of_sets(self) -> &'static str {
        match self {
            Self::Kvm | Self::KvmOfSid => "--param",
            Self::Xen => "--xen-options",
        }
    }

    /// Finds its build tree, or makes it from Debian's packages.
    ///
    /// # Errors
    /// A tool or a package is missing.
    pub fn open(self, lab: &Lab) -> Result<Box<dyn Tree + Sync>, Stop> {
        Ok(match self {
            Self::Kvm => Box::new(Kvm::open(&kvm::BOOKWORM, lab)?),
            Self::KvmOfSid => Box::new(Kvm::open(&kvm::SID, lab)?),
            Self::Xen => Box::new(Xen::open(lab)?),
        })
    }
}
