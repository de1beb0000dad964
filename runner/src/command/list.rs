//! `list`: groups, stimuli and case ids, without booting anything.

use std::io::{self, Write};

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::manual::pfec::Pfec;

use crate::cli::ListArgs;
use crate::command::catalogue;
use crate::output::{self, print};
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::judge::{counted, thousands};

/// Prints what was asked for.
///
/// # Errors
/// No group is selected, or standard output cannot be written.
pub fn list(arguments: &ListArgs) -> Result<Exit, Stop> {
    if arguments.catalogue {
        output::text(&catalogue::text())?;
        return Ok(Exit::Pass);
    }
    let groups: Vec<Group> = Group::selected(&arguments.filter, arguments.profile).collect();
    if groups.is_empty() {
        let filter = &arguments.filter;
        return Err(Stop::usage(format!("no group matches '{filter}': `maskmatch list` shows them all")));
    }
    let (profile, maxphyaddr) = (arguments.profile, arguments.processor.maxphyaddr);
    print(|out| {
        if arguments.cases {
            cases(out, &groups, profile, maxphyaddr)
        } else if arguments.stimuli {
            stimuli(out, &groups, maxphyaddr)
        } else {
            overview(out, &groups, profile, maxphyaddr)
        }
    })?;
    Ok(Exit::Pass)
}

/// Every case's id, one a line, in the order in which L1 tries them.
fn cases(out: &mut dyn Write, groups: &[Group], profile: Profile, maxphyaddr: Maxphyaddr) -> io::Result<()> {
    for &group in groups {
        for case in group.cases(profile, maxphyaddr) {
            writeln!(out, "{case}")?;
        }
    }
    Ok(())
}

/// The accesses of each setting or wish, with the error code that must arise.
fn stimuli(out: &mut dyn Write, groups: &[Group], maxphyaddr: Maxphyaddr) -> io::Result<()> {
    let mut seen: Vec<String> = Vec::new();
    for &group in groups {
        let (name, what) = match group {
            // The same scene may raise another error code in another environment.
            Group::Scene { environment, .. } => (group.to_string(), environment.what),
            _ => (around(group).0.into(), around(group).1),
        };
        if seen.contains(&name) {
            continue;
        }
        seen.push(name.clone());
        writeln!(out, "# {name}: {what}")?;
        for probe in group.probes(maxphyaddr) {
            let access = probe.to_string();
            // The filter does not decide which fault arises.
            match (Case { group, probe, filter: Filter::NEVER }).pfec(maxphyaddr) {
                Some(pfec) => writeln!(out, "{name:25} {access:32} {:#04x} {}", pfec.bits(), bits(pfec))?,
                None => writeln!(out, "{name:25} {access:32} silent")?,
            }
        }
    }
    Ok(())
}

/// What stays the same around a group's accesses: its name, and what it is.
pub fn around(group: Group) -> (&'static str, &'static str) {
    match group {
        Group::Filter { setting, .. } => (setting.name, setting.what),
        Group::Host(wish) => (wish.name(), wish.what()),
        Group::Scene { act, .. } => (act.name(), act.what()),
        Group::Action(action) => (action.name, action.what),
        Group::Smp(smp) => (smp.name(), smp.what()),
    }
}

/// The names of an error code's bits, as the manual has them.
pub fn bits(pfec: Pfec) -> String {
    let names = [
        (Pfec::P, "P"),
        (Pfec::WR, "W/R"),
        (Pfec::US, "U/S"),
        (Pfec::RSVD, "RSVD"),
        (Pfec::ID, "I/D"),
        (Pfec::PK, "PK"),
        (Pfec::SS, "SS"),
        (Pfec::HLAT, "HLAT"),
        (Pfec::SGX, "SGX"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| pfec.contains(*bit)).map(|&(_, name)| name).collect();
    if set.is_empty() { "no bit".into() } else { set.join(" ") }
}

fn overview(out: &mut dyn Write, groups: &[Group], profile: Profile, maxphyaddr: Maxphyaddr) -> io::Result<()> {
    writeln!(out, "{:32} {:>8} {:>8} {:>11}  around them", "group", "filters", "accesses", "cases")?;
    let mut total = 0;
    for group in groups {
        let (filters, accesses) = (group.filter_count(profile), group.probes_in(profile, maxphyaddr).count());
        let cases = group.case_count(profile, maxphyaddr) as u64;
        total += cases;
        let (name, (_, what)) = (group.to_string(), around(*group));
        writeln!(out, "{name:32} {:>8} {accesses:>8} {:>11}  {what}", thousands(filters as u64), thousands(cases))?;
    }
    let groups = counted(groups.len() as u64, "group");
    writeln!(out, "{groups}, {} in profile {}", counted(total, "case"), profile.name())
}

#[cfg(test)]
mod tests {
    use super::{bits, cases, overview, stimuli};
    use spec::catalogue::case::Case;
    use spec::catalogue::group::Group;
    use spec::catalogue::plan::Profile;
    use spec::manual::pfec::Pfec;
    use std::collections::HashSet;

    #[test]
    fn every_listed_case_can_be_replayed_and_none_is_listed_twice() {
        let groups: Vec<Group> = Group::all().collect();
        let mut text = Vec::new();
        cases(&mut text, &groups, Profile::Quick, 40).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut seen = HashSet::new();
        for (at, line) in text.lines().enumerate() {
            assert!(seen.insert(line), "{line}");
            assert!(at % 31 != 0 || Case::from_id(line).is_some(), "{line}");
        }
        let mut overall = Vec::new();
        overview(&mut overall, &groups, Profile::Quick, 40).unwrap();
        let overall = String::from_utf8(overall).unwrap();
        let last = overall.lines().last().unwrap();
        assert!(last.contains(&crate::verdict::judge::thousands(seen.len() as u64)), "{last}");
    }

    #[test]
    fn a_setting_is_listed_once_though_two_families_have_it() {
        let groups: Vec<Group> = Group::all().collect();
        let mut text = Vec::new();
        stimuli(&mut text, &groups, 40).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: HashSet<&str> = text.lines().collect();
        assert_eq!(lines.len(), text.lines().count());
        assert!(text.contains(" silent"));
        assert!(text.contains("0x06 W/R U/S"));
    }

    #[test]
    fn bits_have_the_manuals_names() {
        assert_eq!(bits(Pfec::P | Pfec::ID), "P I/D");
        assert_eq!(bits(Pfec::empty()), "no bit");
    }
}
