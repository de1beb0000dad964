//! Which groups run in which domain.
//!
//! All groups run in one domain, since what one leaves behind may show in another. If the domain
//! dies, another goes on with the group after the one that it died in. When isolated, each group has
//! a domain of its own.

use core::fmt::Write;

use arrayvec::ArrayString;
use spec::catalogue::group::Group;
use spec::catalogue::options::{MAX_COMMAND_LINE, Options};

/// The image's command line.
pub type Line = ArrayString<MAX_COMMAND_LINE>;

/// What the domains run.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The command line for all groups.
    pub line: &'a str,
    /// Whether each group has a domain of its own.
    pub isolate: bool,
}

/// What one domain runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its command line.
    pub line: Line,
    /// How many groups.
    pub groups: usize,
}

impl Plan<'_> {
    /// What the domain runs that begins with a group of this number, or `None` if there is no such
    /// group.
    #[must_use]
    pub fn part(&self, from: usize) -> Option<Part> {
        let whole = |groups| Line::from(self.line).ok().map(|line| Part { line, groups });
        let Ok(options) = Options::parse(self.line) else {
            // The image says what is wrong with it.
            return if from == 0 { whole(1) } else { None };
        };
        let left = || Group::selected(options).skip(from);
        let is_single = options.case.is_some() || options.bench;
        match (from, is_single || !self.isolate) {
            // Of no group, too, the image says why.
            (0, _) if is_single || left().next().is_none() => whole(1),
            (0, true) => whole(left().count()),
            _ if is_single => None,
            _ => self.named(left()),
        }
    }

    /// A part of which each group is named, as far as the command line takes them.
    fn named(&self, groups: impl Iterator<Item = Group>) -> Option<Part> {
        let mut part = Part { line: Line::new(), groups: 0 };
        for word in self.line.split_ascii_whitespace().filter(|word| !word.starts_with("filter=")) {
            write!(part.line, "{word} ").ok()?;
        }
        for group in groups.take(if self.isolate { 1 } else { usize::MAX }) {
            let length = part.line.len();
            if write!(part.line, "filter={group} ").is_err() {
                part.line.truncate(length);
                break;
            }
            part.groups += 1;
        }
        (part.groups > 0).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn parts(line: &str, isolate: bool, from: usize) -> Vec<(String, usize)> {
        let plan = Plan { line, isolate };
        let (mut at, mut parts) = (from, Vec::new());
        while let Some(part) = plan.part(at) {
            at += part.groups;
            parts.push((part.line.to_string(), part.groups));
        }
        parts
    }

    #[test]
    fn one_domain_has_all_groups_and_another_those_after_a_death() {
        let line = "profile=quick filter=host.* exclude=host.apic on=xen";
        assert_eq!(parts(line, false, 0), [(line.into(), 3)]);
        let rest = "profile=quick exclude=host.apic on=xen filter=host.device ";
        assert_eq!(parts(line, false, 2), [(rest.into(), 1)]);
        assert_eq!(parts(line, false, 3), []);
    }

    #[test]
    fn one_domain_says_that_there_is_no_group() {
        for isolate in [false, true] {
            let plan = Plan { line: "filter=host.dirty exclude=host.*", isolate };
            assert_eq!(plan.part(0).unwrap().line.as_str(), plan.line);
            assert!(plan.part(1).is_none());
        }
    }

    #[test]
    fn isolated_groups_have_a_domain_each() {
        let apart = parts("profile=quick filter=smp.*", true, 0);
        assert_eq!(apart.iter().map(|(_, groups)| groups).sum::<usize>(), 2);
        assert!(apart.iter().all(|(line, groups)| *groups == 1 && line.starts_with("profile=quick filter=smp.")));
    }

    #[test]
    fn what_a_command_line_cannot_hold_is_left_to_the_next() {
        let all = parts("profile=standard", false, 1);
        assert!(
            all.len() > 1 && all.iter().all(|(line, groups)| line.len() <= 2048 && *groups > 0)
        );
    }

    #[test]
    fn one_case_is_one_domain_and_so_is_what_the_image_refuses() {
        for line in ["case=filter.basic.long:user-read-user:1,0,0", "bench=yes", "profile=fast"] {
            assert_eq!(parts(line, true, 0), [(line.into(), 1)]);
        }
    }
}
