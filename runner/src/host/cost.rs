//! What groups cost, estimated before they run: instructions of Bochs for a case.
//!
//! Measured in the standard profile on Bochs 2.7, in the lab with KVM of Linux 6.1 and ept=1, and
//! on Bochs alone. Estimates share work out and are never judged.

use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::paging::Maxphyaddr;

/// What a case costs on a set of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// So many per cent of what it costs on KVM with ept=1.
    OfKvm(u64),
    /// What it costs on Bochs alone.
    Bochs,
}

/// The address width of Bochs.
const MAXPHYADDR: Maxphyaddr = 40;

/// Instructions for a case, on KVM and on Bochs alone, by the first part of the group's name.
const CASES: [(&str, u64, u64); 16] = [
    ("filter", 5_600, 71),
    ("host", 11_000, 300),
    ("action", 45_000, 0),
    ("access", 41_000, 6_400),
    ("modify", 41_000, 6_400),
    ("stack", 41_000, 6_400),
    ("strings", 42_000, 6_400),
    ("implicit", 71_000, 6_400),
    ("priority", 44_000, 6_400),
    ("intercept", 100_000, 6_400),
    ("boundary", 63_000, 6_400),
    ("operand", 104_000, 6_400),
    ("page", 39_000, 6_400),
    ("mode", 110_000, 6_400),
    ("history", 58_000, 6_400),
    ("tlb", 93_000, 6_400),
];

/// What a case of any other group costs: about the mean of the scenes.
const OTHER: (u64, u64) = (60_000, 6_400);

/// Instructions for a group, estimated.
pub fn of_group(group: Group, profile: Profile, price: Price) -> u64 {
    let name = group.to_string();
    let first = name.split('.').next().unwrap_or_default();
    let row = CASES.iter().find(|(of, ..)| *of == first);
    let (kvm, bochs) = row.map_or(OTHER, |(_, kvm, bochs)| (*kvm, *bochs));
    let cases = group.case_count(profile, MAXPHYADDR) as u64;
    match price {
        Price::OfKvm(percent) => cases * kvm * percent / 100,
        Price::Bochs => cases * bochs,
    }
}
