//! Patterns over groups and cases, as options of the image and tables of known deviations have
//! them.

use super::case::Case;
use super::glob;
use super::name::Name;
use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;

/// A pattern: each part is a glob, as in [`super::glob`].
///
/// `GROUP` stands for all cases of the groups that match, `GROUP:PROBE` for those whose access or
/// scene matches too, and `GROUP:PROBE:FILTER` for those whose filter also does.
/// `GROUP:PROBE:!CODE` is for the filters that let a page fault with this error code through to L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    group: &'a str,
    probe: Option<&'a str>,
    filter: Option<&'a str>,
}

impl<'a> Pattern<'a> {
    /// Takes a text apart.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let mut parts = text.splitn(3, ':');
        Self { group: parts.next().unwrap_or_default(), probe: parts.next(), filter: parts.next() }
    }

    /// The glob over accesses and scenes. Without one, the pattern is for whole groups.
    #[must_use]
    pub const fn probe(self) -> Option<&'a str> {
        self.probe
    }

    /// Whether it is for some filters only.
    #[must_use]
    pub const fn names_filter(self) -> bool {
        self.filter.is_some()
    }

    /// Whether it matches a group, or cases of it.
    #[must_use]
    pub fn matches_group(self, group: &str) -> bool {
        glob::matches(self.group, group)
    }

    /// Whether it matches an access or scene of a group, whatever the filter.
    #[must_use]
    pub fn matches(self, group: &str, probe: &str) -> bool {
        self.matches_group(group) && self.probe.is_none_or(|part| glob::matches(part, probe))
    }

    /// Whether it matches a filter.
    #[must_use]
    pub fn matches_filter(self, filter: Filter) -> bool {
        self.filter.is_none_or(|part| {
            match part.strip_prefix('!').map(|code| u32::from_str_radix(code, 16)) {
                Some(Ok(code)) => !filter.exits(Pfec::from_bits_retain(code)),
                Some(Err(_)) => false,
                None => glob::matches(part, Name::of(&filter).as_str()),
            }
        })
    }

    /// Whether it matches a case.
    #[must_use]
    pub fn matches_case(self, case: &Case) -> bool {
        let (group, probe) = (Name::of(&case.group()), Name::of(case.access()));
        self.matches(group.as_str(), probe.as_str()) && self.matches_filter(case.filter())
    }

    /// Whether an exclusion with this pattern leaves out a case of these names. Only scenes are
    /// played one by one. In other groups all filters are walked with the same accesses, so a
    /// pattern with a filter leaves nothing out.
    pub(super) fn excludes(self, group: &str, probe: &str, scenes_filter: Option<Filter>) -> bool {
        let of_filter = || scenes_filter.is_some_and(|filter| self.matches_filter(filter));
        self.matches(group, probe) && (self.filter.is_none() || of_filter())
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use crate::catalogue::case::Case;

    #[test]
    fn each_part_is_matched_by_itself() {
        for (pattern, id, matched) in [
            ("event.*", "event.long:int:1,0,0", true),
            ("event.*:int-*", "event.long:int-idt-np:1,0,0", true),
            ("event.*:int-*", "event.long:nmi:1,0,0", false),
            ("inject.*:*", "event.long:nmi:1,0,0", false),
            ("event.*:int-*:1,0,f*", "event.long:int-idt-np:1,0,ffffffff", true),
            ("event.*:int-*:1,0,f*", "event.long:int-idt-np:1,0,0", false),
            ("filter.*:user-*:1,0,*", "filter.basic.long:user-read-user:1,0,0", true),
            ("event.*:int-*:!2", "event.long:int-stack-np:1,0,ffffffff", true),
            ("event.*:int-*:!2", "event.long:int-stack-np:1,0,0", false),
            ("event.*:int-*:!2", "event.long:int-stack-np:1,2,2", false),
            ("event.*:int-*:!2", "event.long:int-stack-np:1,2,0", true),
            ("event.*:int-*:!", "event.long:int-stack-np:1,2,0", false),
        ] {
            assert_eq!(
                Pattern::of(pattern).matches_case(&Case::from_id(id).unwrap()),
                matched,
                "{pattern} {id}"
            );
        }
    }
}
