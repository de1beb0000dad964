//! `list`: groups, stimuli and case ids, without booting anything.

mod catalogue;
mod sections;

use std::io::{self, Write};

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::manual::pfec::Pfec;

use crate::cli::ListArgs;
use crate::output::{self, print};
use crate::request::{selected, selection};
use crate::results::document;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::judge::{counted, thousands};
use crate::verdict::known::{self, Tables, evidence};

/// Prints what was asked for.
///
/// # Errors
/// No group is selected, or standard output cannot be written.
pub fn list(arguments: &ListArgs) -> Result<Exit, Stop> {
    let tables = Tables::built_in;
    let document = match arguments {
        ListArgs { catalogue: true, .. } => Some(catalogue::text()),
        ListArgs { known: true, .. } => Some(known::document::text(&tables())),
        ListArgs { evidence: true, .. } => Some(evidence::text(&tables())),
        ListArgs { sections: true, .. } => Some(sections::text(&tables())),
        ListArgs { schema: true, .. } => Some(document::schema()),
        _ => None,
    };
    if let Some(text) = document {
        output::text(&text)?;
        return Ok(Exit::Pass);
    }
    let line = selection(&arguments.filter, &arguments.exclude, arguments.profile);
    let (options, groups) = selected(&line)?;
    let listed = Listed { groups, options, maxphyaddr: arguments.processor.maxphyaddr };
    print(|out| {
        if arguments.cases {
            cases(out, &listed)
        } else if arguments.stimuli {
            stimuli(out, &listed)
        } else {
            overview(out, &listed)
        }
    })?;
    Ok(Exit::Pass)
}

/// What is listed.
struct Listed<'a> {
    groups: Vec<Group>,
    options: Options<'a>,
    maxphyaddr: Maxphyaddr,
}

impl Listed<'_> {
    /// The accesses or scenes of a group, each as a case whose filter means nothing.
    fn accesses(&self, group: Group, profile: Profile) -> impl Iterator<Item = Case> {
        let exclude = self.options.exclude.of_group(&group.to_string());
        let is_left_out =
            move |case: &Case| exclude.is_some_and(|exclude| exclude.excludes_access(case));
        group
            .cases_with(Filter::NEVER, profile, self.maxphyaddr)
            .filter(move |case| !is_left_out(case))
    }
}

/// Every case's id, one a line, in the order in which L1 tries them.
fn cases(out: &mut dyn Write, listed: &Listed<'_>) -> io::Result<()> {
    let mut all =
        listed.groups.iter().flat_map(|group| listed.options.cases(*group, listed.maxphyaddr));
    all.try_for_each(|case| writeln!(out, "{case}"))
}

/// The accesses of each setting or wish, with the error code that must arise.
fn stimuli(out: &mut dyn Write, listed: &Listed<'_>) -> io::Result<()> {
    let mut seen: Vec<String> = Vec::new();
    for &group in &listed.groups {
        let (name, what) = match group {
            // The same scene may raise another error code in another environment.
            Group::Scene(scenes) => (group.to_string(), scenes.environment.what()),
            _ => (around(group).0.into(), around(group).1),
        };
        if seen.contains(&name) {
            continue;
        }
        seen.push(name.clone());
        writeln!(out, "# {name}: {what}")?;
        for case in listed.accesses(group, Profile::Exhaustive) {
            let access = case.access().to_string();
            match case.pfec(listed.maxphyaddr) {
                Some(pfec) => {
                    writeln!(out, "{name:25} {access:32} {:#04x} {}", pfec.bits(), bits(pfec))?;
                }
                None => writeln!(out, "{name:25} {access:32} silent")?,
            }
        }
    }
    Ok(())
}

/// What stays the same around a group's accesses: a name and a description.
pub fn around(group: Group) -> (&'static str, &'static str) {
    match group {
        Group::Walk(walks) => (walks.setting.name, walks.setting.what()),
        Group::Host(need) => (need.name(), need.what()),
        Group::Action(action) => (action.name, action.what()),
        Group::Scene(scenes) => (scenes.act.name(), scenes.act.what()),
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
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| pfec.contains(*bit)).map(|&(_, name)| name).collect();
    if set.is_empty() { "no bit".into() } else { set.join(" ") }
}

fn overview(out: &mut dyn Write, listed: &Listed<'_>) -> io::Result<()> {
    let Listed { groups, options: Options { profile, .. }, maxphyaddr } = listed;
    writeln!(
        out,
        "{:32} {:>8} {:>8} {:>11}  around them",
        "group", "filters", "accesses", "cases"
    )?;
    let mut total = 0;
    for group in groups {
        let filters = group.filters(*profile).len() as u64;
        let accesses = listed.accesses(*group, *profile).count();
        let cases = listed.options.case_count(*group, *maxphyaddr) as u64;
        total += cases;
        let (name, (_, what)) = (group.to_string(), around(*group));
        writeln!(
            out,
            "{name:32} {:>8} {accesses:>8} {:>11}  {what}",
            thousands(filters),
            thousands(cases)
        )?;
    }
    let groups = counted(groups.len() as u64, "group");
    writeln!(out, "{groups}, {} in profile {}", counted(total, "case"), profile.name())
}

#[cfg(test)]
mod tests {
    use super::{Listed, bits, cases, overview, stimuli};
    use spec::catalogue::case::Case;
    use spec::catalogue::group::Group;
    use spec::catalogue::options::Options;
    use spec::catalogue::plan::Profile;
    use spec::manual::pfec::Pfec;
    use std::collections::HashSet;

    fn everything() -> Listed<'static> {
        let options = Options { profile: Profile::Quick, ..Options::default() };
        Listed { groups: Group::all().collect(), options, maxphyaddr: 40 }
    }

    #[test]
    fn every_listed_case_can_be_replayed_and_none_is_listed_twice() {
        let mut text = Vec::new();
        cases(&mut text, &everything()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut seen = HashSet::new();
        for (at, line) in text.lines().enumerate() {
            assert!(seen.insert(line), "{line}");
            assert!(at % 31 != 0 || Case::from_id(line).is_some(), "{line}");
        }
        let mut overall = Vec::new();
        overview(&mut overall, &everything()).unwrap();
        let overall = String::from_utf8(overall).unwrap();
        let last = overall.lines().last().unwrap();
        assert!(last.contains(&crate::verdict::judge::thousands(seen.len() as u64)), "{last}");
    }

    #[test]
    fn a_setting_is_listed_once_though_two_families_have_it() {
        let mut text = Vec::new();
        stimuli(&mut text, &everything()).unwrap();
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
