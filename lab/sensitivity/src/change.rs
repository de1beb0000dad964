//! The changes: each makes KVM wrong in one place.

use serde::{Deserialize, Serialize};

/// The tables, by kind.
const TABLES: [(&str, &str); 7] = [
    ("merge", include_str!("../changes/merge.toml")),
    ("reflection", include_str!("../changes/reflection.toml")),
    ("exit-state", include_str!("../changes/exit-state.toml")),
    ("injection", include_str!("../changes/injection.toml")),
    ("emulation", include_str!("../changes/emulation.toml")),
    ("shadow-paging", include_str!("../changes/shadow-paging.toml")),
    ("restore", include_str!("../changes/restore.toml")),
];

/// The lab's parameter sets that a change runs with unless its row names others.
const SETS: [&str; 1] = ["ept=1"];

/// One change.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its kind: the name of its table.
    #[serde(default)]
    pub kind: String,
    /// The file, below `arch/x86/kvm`.
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
    /// Parameter sets under which it can show.
    #[serde(default = "usual_sets")]
    pub sets: Vec<String>,
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

fn usual_sets() -> Vec<String> {
    SETS.map(String::from).into()
}

/// All changes, by kind.
pub fn all() -> Vec<Change> {
    let of_kind = |(kind, text): (&str, &str)| {
        let table: Table = toml::from_str(text).expect("a test parses the tables");
        let kind = kind.to_string();
        table.change.into_iter().map(move |change| Change { kind: kind.clone(), ..change })
    };
    TABLES.into_iter().flat_map(of_kind).collect()
}

/// The kinds, in order.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().map(|(kind, _)| kind)
}

impl Change {
    /// No change at all: under all parameter sets of the lab.
    pub fn none() -> Self {
        let text = "name = 'unchanged'\nfile = ''\nwithin = ''\nfind = ''\nput = ''\nwhy = ''\ngroups = []\nsets = []";
        toml::from_str(text).expect("every key is there")
    }

    /// Whether a word of the command line names it.
    pub fn is(&self, word: &str) -> bool {
        self.name == word || self.kind == word
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

/// Where the definition of a function begins and ends, as the kernel's style has it.
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

    #[test]
    fn every_kind_has_changes_and_each_row_is_whole() {
        let changes = all();
        assert!(changes.len() >= 60);
        for kind in kinds() {
            assert!(changes.iter().filter(|change| change.kind == kind).count() >= 5, "{kind}");
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
            assert!(kinds().all(|kind| kind != change.name));
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
            ..Change::none()
        };
        assert_eq!(change("f", "x = 1").apply(text).unwrap(), text.replacen("x = 1", "z", 1));
        assert!(change("g", "y(1)").apply(text).unwrap_err().contains("2 times"));
        assert!(change("g", "none").apply(text).unwrap_err().contains("0 times"));
        assert!(change("h", "x").apply(text).unwrap_err().contains("no function"));
    }
}
