//! The changes: each makes a host wrong in one place.

use std::collections::BTreeSet;
use std::iter;

use serde::{Deserialize, Serialize};

use crate::host::Host;

/// The tables of KVM, by kind.
const TABLES: [(&str, &str); 15] = [
    ("merge", include_str!("../changes/merge.toml")),
    ("reflection", include_str!("../changes/reflection.toml")),
    ("exit-state", include_str!("../changes/exit-state.toml")),
    ("injection", include_str!("../changes/injection.toml")),
    ("emulation", include_str!("../changes/emulation.toml")),
    ("shadow-paging", include_str!("../changes/shadow-paging.toml")),
    ("restore", include_str!("../changes/restore.toml")),
    ("entry", include_str!("../changes/entry.toml")),
    ("intercept", include_str!("../changes/intercept.toml")),
    ("real-mode", include_str!("../changes/real-mode.toml")),
    ("operand", include_str!("../changes/operand.toml")),
    ("boundary", include_str!("../changes/boundary.toml")),
    ("enlightened", include_str!("../changes/enlightened.toml")),
    ("while-l2-lives", include_str!("../changes/while-l2-lives.toml")),
    ("parameters", include_str!("../changes/parameters.toml")),
];
/// The table of sid's KVM.
const TABLES_OF_SID: [(&str, &str); 1] = [("modes", include_str!("../changes/modes.toml"))];
/// The tables of Xen.
const TABLES_OF_XEN: [(&str, &str); 3] = [
    ("xen-merge", include_str!("../changes/xen-merge.toml")),
    ("xen-exits", include_str!("../changes/xen-exits.toml")),
    ("xen-entries", include_str!("../changes/xen-entries.toml")),
];

/// One change.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The host that it makes wrong.
    #[serde(skip)]
    pub host: Host,
    /// Its kind: the name of its table.
    #[serde(default)]
    pub kind: String,
    /// The file, below `arch/x86/kvm` of Linux, or `xen/arch/x86` of Xen.
    pub file: String,
    /// The function in it.
    pub within: String,
    /// The anchor: text that the function has exactly once.
    pub find: String,
    /// What stands in its place.
    pub put: String,
    /// What goes wrong.
    pub why: String,
    /// Patterns of the groups that should notice it.
    pub groups: Vec<String>,
    /// Parameter sets under which it can show, or options of Xen.
    #[serde(default)]
    pub sets: Vec<String>,
    /// Debian's suite whose Bochs it runs on, with the named groups alone in both profiles; else
    /// Bochs 2.7.
    #[serde(default)]
    pub bochs: Option<String>,
    /// Whether CI runs it.
    #[serde(default)]
    pub small: bool,
    /// Why nothing notices it.
    #[serde(skip_serializing)]
    pub survives: Option<String>,
}

#[derive(Deserialize)]
struct Table {
    change: Vec<Change>,
}

/// A host's tables.
const fn tables(host: Host) -> &'static [(&'static str, &'static str)] {
    match host {
        Host::Kvm => &TABLES,
        Host::KvmOfSid => &TABLES_OF_SID,
        Host::Xen => &TABLES_OF_XEN,
    }
}

/// All changes, by host and kind.
pub fn all() -> Vec<Change> {
    let of_kind = |host: Host, kind: &str, text: &str| {
        let table: Table = toml::from_str(text).expect("a test parses the tables");
        let kind = kind.to_string();
        table.change.into_iter().map(move |mut change| {
            if change.sets.is_empty() {
                change.sets = host.usual_sets().iter().map(ToString::to_string).collect();
            }
            Change { host, kind: kind.clone(), ..change }
        })
    };
    let of_host =
        |host| tables(host).iter().flat_map(move |(kind, text)| of_kind(host, kind, text));
    Host::ALL.into_iter().flat_map(of_host).collect()
}

/// The kinds of a host's changes, in order.
pub fn kinds(host: Host) -> impl Iterator<Item = &'static str> {
    tables(host).iter().map(|(kind, _)| *kind)
}

impl Change {
    /// No change at all of a host, for each Bochs that its changes run on: under all sets of the
    /// lab, or those of the changes on that Bochs.
    pub fn nones(host: Host, changes: &[&Self]) -> Vec<Self> {
        let suites: BTreeSet<&str> =
            changes.iter().filter_map(|change| change.bochs.as_deref()).collect();
        let on = |suite: &str| {
            let there = || changes.iter().filter(|change| change.bochs.as_deref() == Some(suite));
            let all_of = |of: fn(&Self) -> &Vec<String>| {
                there().flat_map(|change| of(change)).cloned().collect::<BTreeSet<_>>()
            };
            Self {
                name: format!("unchanged-{suite}"),
                groups: all_of(|change| &change.groups).into_iter().collect(),
                sets: all_of(|change| &change.sets).into_iter().collect(),
                bochs: Some(suite.into()),
                ..Self::none(host)
            }
        };
        iter::once(Self::none(host)).chain(suites.into_iter().map(on)).collect()
    }

    /// No change at all of a host: under all sets of the lab.
    pub fn none(host: Host) -> Self {
        let text = "name = 'unchanged'\nfile = ''\nwithin = ''\nfind = ''\nput = ''\nwhy = ''\ngroups = []\nsets = []";
        Self { host, ..toml::from_str(text).expect("every key is there") }
    }

    /// Whether nothing that a guest can see in the lab is wrong, by the reason that it survives.
    pub fn is_hidden(&self) -> bool {
        let kinds = ["Equivalent: ", "Not observable here: "];
        let reason = self.survives.as_deref().unwrap_or_default();
        kinds.into_iter().any(|kind| reason.starts_with(kind))
    }

    /// Whether a word of the command line names it.
    pub fn is(&self, word: &str) -> bool {
        [self.name.as_str(), &self.kind, self.host.name()].contains(&word)
    }

    /// The file's text with the change.
    ///
    /// # Errors
    /// A clause that says why the change does not apply.
    pub fn apply(&self, text: &str) -> Result<String, String> {
        let (begin, end) = function(text, &self.within)
            .ok_or_else(|| format!("{} has no function {}", self.file, self.within))?;
        let found: Vec<usize> =
            text[begin..end].match_indices(&self.find).map(|(at, _)| begin + at).collect();
        let [at] = found[..] else {
            return Err(format!(
                "{} of {} has the anchor {} times",
                self.within,
                self.file,
                found.len()
            ));
        };
        Ok([&text[..at], &self.put, &text[at + self.find.len()..]].concat())
    }
}

/// Where the definition of a function begins and ends, as the styles of Linux and Xen have it.
fn function(text: &str, name: &str) -> Option<(usize, usize)> {
    let call = format!("{name}(");
    text.match_indices(&call).find_map(|(at, _)| {
        let begin = text[..at].rfind('\n').map_or(0, |line| line + 1);
        let rest = &text[begin..];
        let is_word = text[..at].ends_with([' ', '*', '\n']) || at == 0;
        if !is_word || rest.starts_with([' ', '\t', '#', '*', '/']) {
            return None;
        }
        let body = rest.find("\n{")?;
        if rest.find(';').is_some_and(|declared| declared < body) {
            return None;
        }
        Some((begin, begin + body + rest[body..].find("\n}")?))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use spec::catalogue::group::Group;
    use spec::catalogue::options::Options;

    use super::{Change, all, function, kinds};
    use crate::host::Host;

    /// Kinds that many fixes of hosts were about.
    const WIDE: [&str; 7] =
        ["merge", "reflection", "exit-state", "injection", "emulation", "shadow-paging", "restore"];

    #[test]
    fn every_kind_has_changes_and_each_row_is_whole() {
        let changes = all();
        for (host, least) in Host::ALL.into_iter().zip([60, 3, 15]) {
            assert!(changes.iter().filter(|change| change.host == host).count() >= least);
        }
        for kind in Host::ALL.into_iter().flat_map(kinds) {
            let least = if WIDE.contains(&kind) { 5 } else { 3 };
            assert!(changes.iter().filter(|change| change.kind == kind).count() >= least, "{kind}");
        }
        let names: HashSet<&str> = changes.iter().map(|change| change.name.as_str()).collect();
        assert_eq!(names.len(), changes.len());
        assert_eq!(changes.iter().filter(|change| change.small).count(), 6);
        for change in &changes {
            assert!(
                change.find != change.put && change.why.ends_with('.') && !change.sets.is_empty(),
                "{change:?}"
            );
            assert!(
                change.survives.as_ref().is_none_or(|reason| reason.ends_with('.')),
                "{}",
                change.name
            );
            let mut words = Host::ALL.into_iter().flat_map(kinds).chain(Host::ALL.map(Host::name));
            assert!(words.all(|word| word != change.name));
        }
    }

    #[test]
    fn the_groups_that_should_notice_exist() {
        for change in all() {
            assert!(!change.groups.is_empty(), "{}", change.name);
            for pattern in &change.groups {
                let line = format!("profile=standard filter={pattern}");
                let count = Group::selected(Options::parse(&line).unwrap()).count();
                assert!(count > 0, "{}: {pattern}", change.name);
            }
        }
    }

    #[test]
    fn an_anchor_matches_once_and_in_its_function_only() {
        let text = "int f(void);\nint f(void)\n{\n\tx = 1;\n}\n\nint g(void)\n{\n\tf();\n\tx = 1;\n\ty(1);\n\ty(1);\n}\n";
        assert_eq!(function(text, "f").map(|(begin, _)| begin), Some(13));
        let change = |within: &str, find: &str| Change {
            within: within.into(),
            find: find.into(),
            put: "z".into(),
            ..Change::none(Host::Kvm)
        };
        assert_eq!(change("f", "x = 1").apply(text).unwrap(), text.replacen("x = 1", "z", 1));
        assert!(change("g", "y(1)").apply(text).unwrap_err().contains("2 times"));
        assert!(change("g", "none").apply(text).unwrap_err().contains("0 times"));
        assert!(change("h", "x").apply(text).unwrap_err().contains("no function"));
    }
}
