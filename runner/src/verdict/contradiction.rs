//! What a log says that cannot all be so, although its checksum fits.
//!
//! The checksum shows that no byte was lost, not that the bytes make sense. A log that no image
//! writes is damaged, whatever it says of the host.

use std::collections::HashSet;

use spec::log::Line;

use crate::verdict::names;

/// Looks for contradictions, line by line.
#[derive(Clone, Debug, Default)]
pub struct Contradictions {
    /// Whether the log is from this version of maskmatch, whose names are known.
    is_own: bool,
    /// The group whose result is due, since it has lines that only a result may follow.
    due: Option<String>,
    results: HashSet<String>,
    /// What maskmatch could not go on with, after which no result is due.
    has_error: bool,
    first: Option<String>,
}

impl Contradictions {
    /// What the first one is, if there is any.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Adds one.
    pub fn add(&mut self, why: String) {
        self.first.get_or_insert(why);
    }

    /// Takes the next line of the log.
    pub fn line(&mut self, line: &Line<'_>) {
        if self.first.is_some() {
            return;
        }
        match *line {
            Line::Maskmatch { version, .. } => self.is_own = version == env!("CARGO_PKG_VERSION"),
            Line::Progress { group, .. } => self.named(group),
            Line::Differs { group, probes, .. } => {
                self.of(group);
                // Cases of more kinds than can be told apart have no names.
                probes
                    .split(',')
                    .filter(|probe| !probe.is_empty())
                    .for_each(|probe| self.probe(group, probe));
            }
            Line::Incomplete { group, .. } | Line::Counts { group, .. } => self.of(group),
            Line::Fail { id, .. } => {
                let mut parts = id.split(':');
                let (group, probe) =
                    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                self.of(group);
                self.probe(group, probe);
            }
            Line::Group { group, .. } => {
                self.of(group);
                self.result(group);
            }
            Line::Skip { group, .. } => {
                if let Some(due) = &self.due {
                    self.add(format!("group {group} was skipped, but cases of {due} were tried"));
                }
                self.named(group);
                self.result(group);
            }
            Line::Error(_) => self.has_error = true,
            Line::End(_) => {
                if let Some(due) = self.due.as_ref().filter(|_| !self.has_error) {
                    self.add(format!("group {due} has no result"));
                }
            }
            Line::Version
            | Line::Plan(_)
            | Line::SkipAll(_)
            | Line::Cost { .. }
            | Line::Note(_)
            | Line::Trace(_) => {}
        }
        if let Line::Counts { group, counts } = line
            && counts.cases == 0
        {
            self.add(format!("group {group} ran without any case"));
        }
    }

    /// A line of a group that only its result may follow.
    fn of(&mut self, group: &str) {
        match &self.due {
            Some(due) if due != group => {
                self.add(format!("a line of group {group} is among those of {due}"));
            }
            Some(_) => {}
            None => {
                self.named(group);
                self.due = Some(group.to_string());
            }
        }
    }

    fn named(&mut self, group: &str) {
        if self.is_own && !names::is_group(group) {
            self.add(format!("group '{group}' is unknown"));
        }
    }

    fn probe(&mut self, group: &str, probe: &str) {
        if self.is_own && self.first.is_none() && !names::is_probe(group, probe) {
            self.add(format!("group {group} has no case '{probe}'"));
        }
    }

    fn result(&mut self, group: &str) {
        self.due = None;
        if !self.results.insert(group.to_string()) {
            self.add(format!("group {group} has two results"));
        } else if self.results.len() > names::group_count() {
            self.add("it has more groups than there are".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Contradictions;
    use spec::log::Line;

    /// The first contradiction of lines of a log.
    fn first(lines: &[&str]) -> Option<String> {
        let mut contradictions = Contradictions::default();
        let header = format!("# maskmatch {} log=2 boot=pvh", env!("CARGO_PKG_VERSION"));
        for line in [header.as_str()].iter().chain(lines) {
            contradictions.line(&Line::parse(line).expect(line));
        }
        contradictions.first().map(str::to_string)
    }

    const COUNTS: &str =
        "# counts host.apic cases=9 differing=0 exits=0 delivered=0 tsc=9 digest=00000000";
    const END: &str = "# end passed=1 failed=0 skipped=0 errors=0 cases=9 crc32=00000000";

    #[test]
    fn what_the_image_writes_is_none() {
        let fail = "# fail id=host.apic:user-read-first:1,0,0 want=silent got=nothing";
        let differs = "# differs host.apic done>nothing cases=1 first=1,0,0 in=user-read-first";
        assert_eq!(
            first(&["1..1", "# progress host.apic 0/9", COUNTS, "ok 1 host.apic", END]),
            None
        );
        assert_eq!(first(&["1..1", fail, differs, COUNTS, "not ok 1 host.apic", END]), None);
        assert_eq!(first(&["1..1", "ok 1 host.apic # SKIP no memory", END]), None);
        assert_eq!(first(&["1..1", fail, "# error vector=13", END]), None);
        assert_eq!(first(&["1..1", "# fail id=bench:walk:1,0,0 want=a got=b"]), None);
    }

    #[test]
    fn each_kind_is_found() {
        let fail = "# fail id=host.apic:user-read-first:1,0,0 want=silent got=nothing";
        for (lines, why) in [
            (&["# progress host.apicc 0/9"][..], "'host.apicc' is unknown"),
            (&["ok 1 nonsense"], "'nonsense' is unknown"),
            (&["# fail id=host.apic:x:1,0,0 want=a got=b"], "no case 'x'"),
            (&[fail, "ok 1 filter.basic.long"], "filter.basic.long is among those of host.apic"),
            (&[fail, "ok 1 host.apic # SKIP no"], "was skipped"),
            (&[fail, END], "has no result"),
            (&[COUNTS, "ok 1 host.apic", "ok 2 host.apic # SKIP no"], "two results"),
            (
                &[
                    "# counts host.apic cases=0 differing=0 exits=0 delivered=0 tsc=0 digest=00000000",
                ],
                "without any case",
            ),
        ] {
            let found = first(lines).unwrap_or_default();
            assert!(found.contains(why), "{why}: {found}");
        }
    }
}
