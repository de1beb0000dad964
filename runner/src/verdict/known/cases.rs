//! Globs over cases: `GROUP:PROBE`, or `GROUP:PROBE:FILTER` where the filter matters.

use std::fmt;
use std::str::FromStr;

use spec::catalogue::case::Case;
use spec::catalogue::glob;
use spec::catalogue::group::Group;
use spec::catalogue::options::match_filter;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;

/// The narrowest address width has every access.
const EVERY_ACCESS: Maxphyaddr = 36;

/// A glob over cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cases {
    group: String,
    probe: String,
    filter: Option<String>,
}

impl Cases {
    /// Whether it matches cases of a group.
    pub fn matches_group(&self, group: &str) -> bool {
        glob::matches(&self.group, group)
    }

    /// Whether it matches an access or scene of a group, whatever the filter.
    pub fn matches(&self, group: &str, probe: &str) -> bool {
        self.matches_group(group) && glob::matches(&self.probe, probe)
    }

    /// Whether it matches a filter.
    pub fn matches_filter(&self, filter: &str) -> bool {
        self.filter.as_ref().is_none_or(|part| match_filter(part, filter))
    }

    /// Whether it matches a case.
    pub fn match_case(&self, case: &Case) -> bool {
        self.matches(&case.group().to_string(), &case.access().to_string())
            && self.matches_filter(&case.filter().to_string())
    }

    /// Whether it has a part for the filter.
    pub fn names_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether any existing case matches it.
    pub fn exist(&self) -> bool {
        let filters = |group: Group| {
            let mut filters = group.filters(Profile::Exhaustive);
            self.filter.is_none() || filters.any(|filter| self.matches_filter(&filter.to_string()))
        };
        self.groups().any(filters)
    }

    /// The groups with an access or scene that it matches.
    fn groups(&self) -> impl Iterator<Item = Group> {
        let has_probe = |group: &Group| {
            let mut cases = group.cases_with(Filter::NEVER, Profile::Exhaustive, EVERY_ACCESS);
            cases.any(|case| glob::matches(&self.probe, &case.access().to_string()))
        };
        Group::all().filter(|group| group.matches(&self.group)).filter(has_probe)
    }

    /// Whether the image leaves out all of these if it is asked to. It plays scenes one by one. In
    /// `filter.*` it can leave out an access, not one of the filters that all accesses are walked
    /// with; in `host.*`, `action.*` and `smp.*` only whole groups.
    ///
    /// # Errors
    /// Why not, or that there are none.
    pub fn can_be_excluded(&self) -> Result<(), String> {
        if !self.exist() {
            return Err(format!("'{self}' matches no case that there is"));
        }
        let refuses = |group: &Group| match group {
            Group::Scene(_) => false,
            Group::Walk(_) => self.names_filter(),
            Group::Host(_) | Group::Action(_) | Group::Smp(_) => true,
        };
        match self.groups().find(refuses) {
            None => Ok(()),
            Some(group @ Group::Walk(_)) => {
                Err(format!("'{self}' is for some filters only, but {group} tries each filter on all of its accesses"))
            }
            Some(group) => Err(format!("'{self}' is for some cases of {group}, which can be left out only as a whole")),
        }
    }
}

impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.group, self.probe)?;
        self.filter.iter().try_for_each(|filter| write!(f, ":{filter}"))
    }
}

impl FromStr for Cases {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':').map(str::to_string);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(probe), filter) if !text.contains(char::is_whitespace) => {
                Ok(Self { group, probe, filter })
            }
            _ => Err(format!("'{text}' is not a glob over cases such as access.*:user-*")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cases;

    fn cases(text: &str) -> Cases {
        text.parse().unwrap()
    }

    #[test]
    fn each_part_is_matched_by_itself() {
        let all = cases("event.*:int-*");
        assert!(all.matches("event.long", "int-idt-np") && all.matches_filter("1,0,0"));
        assert!(!all.matches("inject.long", "int-idt-np") && !all.matches("event.long", "nmi"));
        let one = cases("event.*:int-*:1,0,*");
        assert!(one.matches_filter("1,0,ffffffff") && !one.matches_filter("0,0,0"));
        let let_through = cases("event.*:int-*:!2");
        assert!(let_through.matches_filter("1,0,ffffffff") && !let_through.matches_filter("1,2,2"));
    }

    #[test]
    fn a_glob_that_matches_no_case_is_found() {
        for text in ["event.*:int-*", "*:*", "action.cpuid-narrow-restored:super-*:1,8,8", "tlb.*:entry-*:!6"] {
            assert!(cases(text).exist(), "{text}");
            assert_eq!(cases(text).to_string(), text);
        }
        for text in ["event.long:no-such-scene", "evnet.*:*", "event.*:int:1,0,7", "event.*:int:!", "host.*:nmi"] {
            assert!(!cases(text).exist(), "{text}");
        }
    }

    #[test]
    fn only_scenes_and_accesses_of_walks_can_be_left_out_one_by_one() {
        for text in ["event.*:int-*", "tlb.*:entry-*:!6", "filter.basic.*:user-read-*", "*:int-idt-np:1,0,*"] {
            assert_eq!(cases(text).can_be_excluded(), Ok(()), "{text}");
        }
        for (text, why) in [
            ("filter.basic.*:user-read-user:1,0,0", "each filter on all"),
            ("host.apic:*", "host.apic, which"),
            ("action.nmi:event", "action.nmi, which"),
            ("smp.*:*", "smp.filters, which"),
            ("*:user-read-again", "host.touch, which"),
            ("event.long:no-such-scene", "no case"),
        ] {
            let error = cases(text).can_be_excluded().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn without_a_colon_it_is_no_glob_over_cases() {
        for text in ["", "event.*", "event.*: int"] {
            assert!(text.parse::<Cases>().unwrap_err().contains("access.*:user-*"), "{text}");
        }
    }
}
