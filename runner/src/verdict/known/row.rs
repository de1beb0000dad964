//! One row: a known deviation.
//!
//! | key | what it holds |
//! |---|---|
//! | `name` | a word of its own |
//! | `hosts` | which products have it, each as in `kvm >=6.1 ept=0`: see [`super::hosts`] |
//! | `reason` | what is wrong and where, in one sentence |
//! | `section` | where the manual says what it requires: keys of docs/sections.md, one or a list |
//! | `requires` | what is required instead, in a few words |
//! | `source` | the function, and the commit if it is known |
//! | `since`, `fixed` | versions or commits |
//! | `seen` | where it was seen, and where not |
//! | `changed` | what a host or a processor with a changed source showed |
//! | `inferred` | what follows from these and was not shown |
//! | `run` | a command that shows it |
//! | `note` | what else a reader needs |
//! | `cases` | globs over cases: see [`super::cases`] |
//! | `differs` | what may differ in them: see [`super::element`] |
//! | `also` | more pairs of `cases` and `differs` |
//! | `shows` | cases that must show it: `{ cases = [...], when = "faults" }` |
//! | `exclude` | cases that such a host cannot survive, for the image's option of that name |
//! | `option` | another option for the image |
//!
//! `name`, `hosts` and `reason` are needed, and one of `cases`, `exclude` and `option`.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::catalogue::options::Options;
use spec::manual::section::Section;

use super::cases::Cases;
use super::element::Element;
use super::hosts::{Fit, Hosts};
use crate::verdict::subject::{Product, Subject};

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The processor's, where that is emulated.
    Processor,
    /// The host's.
    Host,
}

impl Party {
    /// How well this party's part of a subject fits one of these.
    pub fn fit(self, hosts: &[Hosts], subject: &Subject) -> Fit {
        let product = match self {
            Self::Processor => subject.processor.as_ref(),
            Self::Host => subject.host.as_ref().or(subject.processor.as_ref()),
        };
        let fit =
            |product: &Product| hosts.iter().map(|hosts| hosts.fit_in(product, subject)).max();
        product.and_then(fit).unwrap_or(Fit::No)
    }
}

/// A known deviation.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its word in reports.
    pub name: String,
    /// Whose fault it is.
    pub of: Party,
    /// Which products have it.
    pub hosts: Vec<Hosts>,
    /// What its other keys say.
    pub text: Text,
    /// What may differ, and where.
    pub clauses: Vec<Clause>,
    /// Where it must show.
    pub shows: Option<Shows>,
    /// Cases that such a host cannot survive.
    pub exclude: Vec<Cases>,
    /// An option for the image.
    pub option: Option<String>,
}

/// The keys of a row that people read.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// What is wrong and where, in one sentence.
    pub reason: String,
    /// Where the manual says what it requires.
    pub sections: Vec<Section>,
    /// What is required instead.
    pub requires: Option<String>,
    /// Where it is in the sources.
    pub source: Option<String>,
    /// The first version that has it.
    pub since: Option<String>,
    /// The first version without it.
    pub fixed: Option<String>,
    /// Where it was seen, and where not.
    pub seen: Option<String>,
    /// What a host or a processor with a changed source showed.
    pub changed: Option<String>,
    /// What follows from these and was not shown.
    pub inferred: Option<String>,
    /// A command that shows it.
    pub run: Option<String>,
    /// What else a reader needs.
    pub note: Option<String>,
}

impl Text {
    /// What is required instead, and where the manual says so.
    pub fn required(&self) -> Option<String> {
        let requires = self.requires.iter().map(|requires| format!("{requires}."));
        let sections = self.sections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let parts: Vec<String> =
            requires.chain((!sections.is_empty()).then_some(sections)).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// What may differ in which cases.
#[derive(Clone, Debug)]
pub struct Clause {
    /// The cases.
    pub cases: Vec<Cases>,
    /// What may differ.
    pub differs: Vec<Element>,
}

/// Cases that must show a row.
#[derive(Clone, Debug)]
pub struct Shows {
    /// The cases.
    pub cases: Vec<Cases>,
    /// Which of them.
    pub when: When,
}

/// Which cases must show a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// Those that raise a page fault.
    Faults,
    /// Those that raise one that L1's filter makes exit.
    Exits,
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    hosts: Vec<String>,
    reason: String,
    #[serde(default)]
    section: OneOrMany,
    requires: Option<String>,
    source: Option<String>,
    since: Option<String>,
    fixed: Option<String>,
    seen: Option<String>,
    changed: Option<String>,
    inferred: Option<String>,
    run: Option<String>,
    note: Option<String>,
    #[serde(default)]
    cases: Vec<String>,
    #[serde(default)]
    differs: Vec<String>,
    #[serde(default)]
    also: Vec<WrittenClause>,
    shows: Option<WrittenShows>,
    #[serde(default)]
    exclude: Vec<String>,
    option: Option<String>,
}

/// A text, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClause {
    cases: Vec<String>,
    differs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenShows {
    cases: Vec<String>,
    #[serde(default)]
    when: When,
}

impl Row {
    /// Reads a row of a table whose rows are this party's.
    ///
    /// # Errors
    /// What is wrong with it, which key included.
    pub fn read(row: toml::Table, of: Party) -> Result<Self, String> {
        let written: Written =
            row.try_into().map_err(|error: toml::de::Error| error.message().to_string())?;
        let Written {
            name, hosts, reason, section, requires, source, since, fixed, run, note, ..
        } = written;
        let Written {
            seen, changed, inferred, cases, differs, also, shows, exclude, option, ..
        } = written;
        let sections =
            section.as_slice().iter().map(|key| self::section(key)).collect::<Result<_, _>>()?;
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err("key name: it must be a word of a-z, 0-9 and -".into());
        }
        let first =
            (!cases.is_empty() || !differs.is_empty()).then_some(WrittenClause { cases, differs });
        let clauses = first
            .map(|clause| clause.read(""))
            .into_iter()
            .chain(also.into_iter().map(|clause| clause.read("also.")));
        let shows = shows.map(|WrittenShows { cases, when }| {
            Ok::<_, String>(Shows { cases: list("shows.cases", &cases)?, when })
        });
        let row = Self {
            name,
            of,
            hosts: list("hosts", &hosts)?,
            text: Text {
                reason,
                sections,
                requires,
                source,
                since,
                fixed,
                seen,
                changed,
                inferred,
                run,
                note,
            },
            clauses: clauses.collect::<Result<_, String>>()?,
            shows: shows.transpose()?,
            exclude: exclude
                .iter()
                .map(|text| one("exclude", text))
                .collect::<Result<_, String>>()?,
            option,
        };
        row.check()?;
        Ok(row)
    }

    /// Refuses a row that can be read and says nothing.
    fn check(&self) -> Result<(), String> {
        if self.text.reason.is_empty() {
            return Err("key reason: it says nothing".into());
        }
        if self.clauses.is_empty() && self.exclude.is_empty() && self.option.is_none() {
            return Err("it has no cases, and asks for nothing".into());
        }
        if let Some(option) =
            self.option.as_ref().filter(|option| Options::parse(&format!("x {option}")).is_err())
        {
            return Err(format!("key option: the image has no option '{option}'"));
        }
        match self
            .clauses
            .iter()
            .flat_map(|clause| &clause.cases)
            .find(|cases| cases.pattern().names_filter())
        {
            Some(cases) => Err(format!(
                "key cases: '{cases}' names a filter; a difference is known or not whatever the filter"
            )),
            None => Ok(()),
        }
    }

    /// Its globs over cases.
    pub fn globs(&self) -> impl Iterator<Item = &Cases> {
        let clauses = self.clauses.iter().flat_map(|clause| &clause.cases);
        clauses.chain(self.shows.iter().flat_map(|shows| &shows.cases)).chain(&self.exclude)
    }

    /// Whether a subject has it.
    ///
    /// The host's rows are about what is tested: where there is no host, that is the processor.
    pub fn fit(&self, subject: &Subject) -> Fit {
        self.of.fit(&self.hosts, subject)
    }

    /// What it asks of the image.
    pub fn options(&self) -> impl Iterator<Item = String> {
        let exclude = self.exclude.iter().map(|cases| format!("exclude={cases}"));
        exclude.chain(self.option.clone())
    }

    /// What may differ in a case.
    pub fn elements(&self, group: &str, probe: &str) -> impl Iterator<Item = &Element> {
        let applies = move |clause: &&Clause| {
            clause.cases.iter().any(|cases| cases.pattern().matches(group, probe))
        };
        self.clauses.iter().filter(applies).flat_map(|clause| &clause.differs)
    }
}

impl WrittenClause {
    fn read(self, at: &str) -> Result<Clause, String> {
        Ok(Clause {
            cases: list(&format!("{at}cases"), &self.cases)?,
            differs: list(&format!("{at}differs"), &self.differs)?,
        })
    }
}

/// The manual's section with a key.
fn section(key: &str) -> Result<Section, String> {
    Section::with_key(key).ok_or_else(|| {
        format!("key section: there is no section '{key}'; docs/sections.md and 'maskmatch list --sections' have all")
    })
}

/// A key's texts, of which there must be at least one.
fn list<T: FromStr<Err = String>>(key: &str, texts: &[String]) -> Result<Vec<T>, String> {
    if texts.is_empty() {
        return Err(format!("key {key}: it is missing or empty"));
    }
    texts.iter().map(|text| one(key, text)).collect()
}

fn one<T: FromStr<Err = String>>(key: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("key {key}: {why}"))
}
