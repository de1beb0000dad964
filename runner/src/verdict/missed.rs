//! Known deviations that a run must have shown and has not: the host may have been mended.

use spec::catalogue::case::{Case, Probe};
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::deviation::{Deviation, Deviations};
use spec::manual::paging::Maxphyaddr;

use crate::verdict::findings::Findings;

/// What a run was asked to play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    /// How much of each group.
    pub profile: Profile,
    /// One case in place of groups.
    pub case: Option<Case>,
    /// Deviations of the emulated processor below the host, which are told in place of the host's where both explain a
    /// case. Whether they show is up to the host, too.
    pub processor: Deviations,
}

/// Those of `expected` that no group showed although a case was played that must show them.
pub fn missed(findings: &Findings, played: Played, expected: Deviations) -> Vec<Deviation> {
    let Some(maxphyaddr) = maxphyaddr(findings) else { return Vec::new() };
    let shown = |deviation: Deviation| {
        findings.groups.iter().flat_map(|group| &group.known).any(|known| known.name == deviation.name())
    };
    let must_show = |deviation: Deviation| {
        findings.groups.iter().any(|found| {
            let (Some(counts), Some(group)) = (found.counts(), Group::from_name(&found.name)) else { return false };
            // Where no fault came at all, none came wrong; L0's own wish is about accesses that must not fault.
            let ran = counts.exits + counts.delivered > 0 || matches!(group, Group::Host(_)) && counts.cases > 0;
            if !ran || !deviation.shows_in(group) {
                return false;
            }
            let known = expected.union(played.processor);
            let must = |case: &Case| known.must_show(deviation, case, maxphyaddr);
            if let Some(case) = &played.case {
                return must(case);
            }
            let complete = counts.cases >= group.case_count(played.profile, maxphyaddr) as u64;
            // What the host lacks something for was left out, and the log counts the rest.
            let mut cases = group.cases(played.profile, maxphyaddr);
            cases.any(|case| (complete || needs_nothing(&case.probe)) && must(&case))
        })
    };
    expected.iter().filter(|deviation| !shown(*deviation) && must_show(*deviation)).collect()
}

/// Whether any host can play it.
fn needs_nothing(probe: &Probe) -> bool {
    match probe {
        Probe::Scene(scene) => scene.needs.is_none() && scene.pins == 0,
        Probe::Stimulus(_) | Probe::Own(_) | Probe::Event | Probe::Host(_) | Probe::Smp(_) => true,
    }
}

/// The width of physical addresses that the log's first line has.
fn maxphyaddr(findings: &Findings) -> Option<Maxphyaddr> {
    let (_, bits) = findings.facts.iter().find(|(key, _)| key == "maxphyaddr")?;
    bits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Played, missed};
    use crate::verdict::findings::{Fate, Findings, Group, Known};
    use spec::catalogue::case::Case;
    use spec::catalogue::plan::Profile;
    use spec::deviation::{Deviation, Deviations, Host};
    use spec::log::Counts;

    fn processor() -> Deviations {
        Deviations::of(Host::Bochs { major: 2, minor: 7 })
    }

    fn kvm() -> Deviations {
        Deviations::of(Host::Kvm { ept: false, smaller_maxphyaddr: false, major: 6, minor: 1 })
    }

    fn host() -> Deviations {
        kvm().union(processor())
    }

    /// A log in which a group ran and showed these.
    fn findings(group: &str, cases: u64, shown: &[Deviation]) -> Findings {
        let counts = Counts { cases, failed: 0, known: 0, exits: 9, delivered: 9, tsc: 1, digest: 1 };
        let known = |deviation: &Deviation| Known { name: deviation.name().into(), cases: 1, reason: String::new() };
        Findings {
            facts: vec![("maxphyaddr".into(), "40".into())],
            groups: vec![Group {
                name: group.into(),
                fate: Fate::Ran(counts),
                known: shown.iter().map(known).collect(),
                ..Group::default()
            }],
            ..Findings::default()
        }
    }

    fn of_case(id: &str, shown: &[Deviation]) -> Vec<Deviation> {
        let case = Case::from_id(id).unwrap();
        let played = Played { profile: Profile::Quick, case: Some(case), ..Played::default() };
        missed(&findings(&case.group.to_string(), 1, shown), played, host())
    }

    #[test]
    fn only_what_the_case_must_show_is_missed() {
        let fetch = "page.legacy-off:user-fetch-np-pde:1,0,0";
        // What comes with another is told as that one.
        assert_eq!(of_case(fetch, &[]), [Deviation::LegacyId]);
        assert_eq!(of_case("page.legacy-off:user-read-np-pde:1,0,0", &[]), [Deviation::Rf0]);
        assert_eq!(of_case(fetch, &[Deviation::Rf0, Deviation::LegacyId]), []);
        assert_eq!(of_case("page.legacy-off:user-read-np-pde:1,0,0", &[Deviation::Rf0]), []);
        assert_eq!(of_case("page.legacy-off:user-fetch-np-pde:1,0,1", &[]), [Deviation::LegacyId]);
        assert_eq!(of_case("page.legacy-off:user-read-np-pde:1,0,1", &[]), []);
    }

    #[test]
    fn what_is_the_processor_s_is_the_host_s_to_show() {
        let case = Case::from_id("page.legacy-off:user-fetch-np-pde:1,0,0").unwrap();
        let played = Played { profile: Profile::Quick, case: Some(case), processor: processor() };
        assert_eq!(missed(&findings("page.legacy-off", 1, &[]), played, kvm()), [Deviation::LegacyId]);
    }

    #[test]
    fn what_a_profile_does_not_play_is_not_missed() {
        for (name, deviation) in [
            ("page.legacy-off", Deviation::LegacyId),
            ("ept.long-ept-ad", Deviation::EptAdRead),
            ("state.long-vpid", Deviation::NmiBit12),
            ("state.long", Deviation::NmiBit12),
        ] {
            let group = spec::catalogue::group::Group::from_name(name).unwrap();
            for profile in Profile::ALL {
                let mut plays = false;
                let mut cases = 0;
                for probe in group.probes_in(profile, 40) {
                    for filter in group.filters(profile).take(64) {
                        cases += 1;
                        plays |= host().must_show(deviation, &Case { group, probe, filter }, 40);
                    }
                }
                let found = missed(&findings(name, cases, &[]), Played { profile, ..Played::default() }, host());
                assert_eq!(found.contains(&deviation), plays, "{name} {profile:?}");
                // All of them show in all that there is.
                assert!(plays || profile == Profile::Quick, "{name} {profile:?}");
            }
        }
    }

    #[test]
    fn accesses_that_must_not_fault_count_too() {
        let of = |name, shown: &[Deviation]| {
            let mut findings = findings(name, 24, shown);
            let Fate::Ran(counts) = &mut findings.groups[0].fate else { panic!("it ran") };
            (counts.exits, counts.delivered) = (0, 0);
            missed(&findings, Played::default(), host())
        };
        assert_eq!(of("host.apic", &[]), [Deviation::ApicPrefetch]);
        assert_eq!(of("host.apic", &[Deviation::ApicPrefetch]), []);
        assert_eq!(of("host.dirty", &[]), []);
        assert_eq!(of("filter.each.long", &[]), [], "nothing faulted");
    }

    #[test]
    fn what_may_have_been_left_out_is_not_missed() {
        let of = |cases| {
            let played = Played { profile: Profile::Standard, ..Played::default() };
            missed(&findings("forced.long", cases, &[Deviation::Rf0]), played, host())
        };
        assert_eq!(of(1), []);
        assert_eq!(of(100_000), [Deviation::CrossWrite]);
    }

    #[test]
    fn without_its_groups_and_their_facts_nothing_is_missed() {
        let skipped = Findings {
            groups: vec![Group { name: "access.long".into(), fate: Fate::Skipped("why".into()), ..Group::default() }],
            ..findings("access.long", 1, &[])
        };
        let unknown = Findings { facts: Vec::new(), ..findings("access.long", 1, &[]) };
        for (found, wanted) in [(skipped, 0), (unknown, 0), (findings("access.long", 1, &[]), 1)] {
            assert_eq!(missed(&found, Played::default(), host()).len(), wanted);
        }
    }
}
