//! Which known deviations a host has.

use super::Deviation;

/// What a host is made of, as far as known deviations depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Bochs emulator: it makes the faults, whoever judges them.
    Bochs {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// Linux/KVM.
    Kvm {
        /// The parameter `ept` of kvm_intel as it is in force; without EPT, L0 shadows L2's page tables.
        ept: bool,
        /// The parameter `allow_smaller_maxphyaddr` as it is in force; with it, L0 corrects error codes.
        smaller_maxphyaddr: bool,
        /// Major number of the kernel's release.
        major: u32,
        /// Minor number of the kernel's release.
        minor: u32,
    },
    /// Any other.
    Other,
}

impl Deviation {
    /// Whether the deviation belongs to a host.
    #[must_use]
    pub fn belongs_to(self, host: Host) -> bool {
        match (self, host) {
            (Self::Rf0 | Self::NmiBlocked | Self::NmiKept, Host::Bochs { major, minor }) => (major, minor) < (2, 8),
            (Self::NxStale | Self::LegacyId, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) >= (6, 1),
            (Self::ApfFlag, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                (!ept || smaller_maxphyaddr) && (major, minor) == (5, 10)
            }
            (Self::ApfLate, Host::Kvm { major, minor, .. }) => (major, minor) >= (6, 1),
            (Self::ApfEmulated | Self::ApfStale, Host::Kvm { major, minor, .. }) => (major, minor) == (5, 10),
            (Self::TripleKill, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                (!ept || smaller_maxphyaddr) && (major, minor) < (5, 13)
            }
            (Self::DeliveryHang, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                (!ept || smaller_maxphyaddr) && (major, minor) < (6, 1)
            }
            (Self::IdtLost | Self::DoubleFirst, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                ept && smaller_maxphyaddr && (major, minor) < (6, 1)
            }
            (Self::PgdUnsynced, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) == (5, 10),
            (Self::ApicPrefetch | Self::PaeInvlpg, Host::Kvm { ept, .. }) => !ept,
            // Without EPT L0 takes all faults whatever the guest's MAXPHYADDR is.
            (Self::CpuidVmcs02 | Self::CpuidVmcs01, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                ept && smaller_maxphyaddr && (major, minor) < (7, 0)
            }
            (Self::EptMisconfigQual, Host::Kvm { ept, major, minor, .. }) => ept && (major, minor) < (6, 10),
            (Self::ShadowLost | Self::StepEarly, Host::Bochs { major, .. }) => major < 3,
            (Self::PkeyAccess, Host::Bochs { major, minor }) => (major, minor) < (3, 1),
            // Before 3.0 no Linux has shadow stacks on it, and on 3.1 the lab does not run.
            (Self::UcetLost, Host::Bochs { major, minor }) => (major, minor) == (3, 0),
            (Self::PkruAlone, Host::Bochs { major, minor }) => (major, minor) >= (3, 1),
            (Self::RepFlags | Self::EptAdRead | Self::EptFlagWrite, Host::Bochs { .. })
            | (
                Self::RfEmulated
                | Self::InsBatch
                | Self::CrossWrite
                | Self::NmiOpen
                | Self::IretReblocked
                | Self::Int1Db
                | Self::Int1Lost,
                Host::Kvm { .. },
            ) => true,
            (Self::NmiExiting, Host::Kvm { ept, .. }) => ept,
            (Self::RsvdHang | Self::RsvdUd, Host::Kvm { ept, smaller_maxphyaddr, .. }) => ept && smaller_maxphyaddr,
            // Without EPT faults that exit are not queued before 6.1.
            (Self::NmiBit12 | Self::IretUntold, Host::Kvm { ept, smaller_maxphyaddr, major, minor }) => {
                if ept {
                    smaller_maxphyaddr
                } else {
                    (major, minor) >= (6, 1)
                }
            }
            (Self::IretUnreported, Host::Kvm { ept, major, minor, .. }) => !ept && (major, minor) < (6, 1),
            _ => false,
        }
    }
}
