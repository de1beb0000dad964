//! What a host in the lab is known for: KVM of a release with its parameters, on the processor that Bochs emulates.

use spec::deviation::{Deviations, Host};

/// All known deviations. `effective` are the parameters of kvm_intel in force.
#[must_use]
pub fn deviations(bochs: (u32, u32), release: &str, effective: &[(String, String)]) -> Deviations {
    of_processor(bochs).union(of_kvm(release, effective))
}

/// Those of the processor that Bochs of a version emulates.
#[must_use]
pub fn of_processor((major, minor): (u32, u32)) -> Deviations {
    Deviations::of(Host::Bochs { major, minor })
}

/// Those of the host under test.
#[must_use]
pub fn of_kvm(release: &str, effective: &[(String, String)]) -> Deviations {
    Deviations::of(kvm(release, |name| effective.iter().any(|(known, value)| known == name && value == "Y")))
}

/// KVM of a release such as `6.1.0-56-cloud-amd64`; `is_on` tells of a parameter of kvm_intel whether it is in force.
pub fn kvm(release: &str, is_on: impl Fn(&str) -> bool) -> Host {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => {
            let (ept, smaller_maxphyaddr) = (is_on("ept"), is_on("allow_smaller_maxphyaddr"));
            Host::Kvm { ept, smaller_maxphyaddr, major, minor }
        }
        _ => Host::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{deviations, kvm};
    use spec::deviation::{Deviation, Host};

    #[test]
    fn releases_are_read() {
        let host = |ept, major, minor| Host::Kvm { ept, smaller_maxphyaddr: false, major, minor };
        assert_eq!(kvm("6.1.0-56-cloud-amd64", |name| name == "ept"), host(true, 6, 1));
        assert_eq!(kvm("7.2.13+deb14-cloud-amd64", |_| false), host(false, 7, 2));
        assert_eq!(kvm("strange", |_| true), Host::Other);
    }

    #[test]
    fn both_the_emulator_and_kvm_count() {
        let force = |ept: &str| vec![("ept".to_string(), ept.to_string())];
        let shadowing = deviations((2, 7), "6.1.0", &force("N"));
        assert!(shadowing.contains(Deviation::Rf0) && shadowing.contains(Deviation::NxStale));
        let with_ept = deviations((3, 0), "6.1.0", &force("Y"));
        assert!(!with_ept.contains(Deviation::Rf0) && !with_ept.contains(Deviation::NxStale));
    }
}
