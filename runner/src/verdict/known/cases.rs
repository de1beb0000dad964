//! Globs over cases: `GROUP:PROBE`, or `GROUP:PROBE:FILTER` where the filter matters.

use std::fmt;
use std::str::FromStr;

use spec::catalogue::group::Group;
use spec::catalogue::pattern::Pattern;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;

/// The narrowest address width has every access.
const EVERY_ACCESS: Maxphyaddr = 36;

/// A glob over cases: a pattern with a part for the access or scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cases(String);

impl Cases {
    /// What it matches.
    pub fn pattern(&self) -> Pattern<'_> {
        Pattern::of(&self.0)
    }

    /// Whether any existing case matches it.
    pub fn exist(&self) -> bool {
        let pattern = self.pattern();
        let of_filters = |group: Group| {
            let mut filters = group.filters(Profile::Exhaustive);
            !pattern.names_filter() || filters.any(|filter| pattern.matches_filter(filter))
        };
        self.groups().any(of_filters)
    }

    /// The groups with an access or scene that it matches.
    fn groups(&self) -> impl Iterator<Item = Group> {
        let pattern = self.pattern();
        Group::all().filter(move |group| {
            let name = group.to_string();
            let mut cases = group.cases_with(Filter::NEVER, Profile::Exhaustive, EVERY_ACCESS);
            pattern.matches_group(&name)
                && cases.any(|case| pattern.matches(&name, &case.access().to_string()))
        })
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
            Group::Walk(_) => self.pattern().names_filter(),
            Group::Host(_) | Group::Action(_) | Group::Smp(_) => true,
        };
        match self.groups().find(refuses) {
            None => Ok(()),
            Some(group @ Group::Walk(_)) => Err(format!(
                "'{self}' is for some filters only, but {group} tries each filter on all of its accesses"
            )),
            Some(group) => Err(format!(
                "'{self}' is for some cases of {group}, which can be left out only as a whole"
            )),
        }
    }
}

impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cases {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Pattern::of(text).probe().is_none() || text.contains(char::is_whitespace) {
            return Err(format!("'{text}' is not a glob over cases such as access.*:user-*"));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::Cases;

    fn cases(text: &str) -> Cases {
        text.parse().unwrap()
    }

    #[test]
    fn a_glob_that_matches_no_case_is_found() {
        for text in [
            "event.*:int-*",
            "*:*",
            "action.cpuid-narrow-restored:super-*:1,8,8",
            "tlb.*:entry-*:!6",
        ] {
            assert!(cases(text).exist(), "{text}");
            assert_eq!(cases(text).to_string(), text);
        }
        for text in [
            "event.long:no-such-scene",
            "evnet.*:*",
            "event.*:int:1,0,7",
            "event.*:int:!",
            "host.*:nmi",
        ] {
            assert!(!cases(text).exist(), "{text}");
        }
    }

    #[test]
    fn only_scenes_and_accesses_of_walks_can_be_left_out_one_by_one() {
        for text in [
            "event.*:int-*",
            "tlb.*:entry-*:!6",
            "filter.basic.*:user-read-*",
            "*:int-idt-np:1,0,*",
        ] {
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
