//! Accounts for what a log says differs: what is a failure, and what is a known deviation of whom.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::catalogue::options::Options;

use crate::verdict::example;
use crate::verdict::findings::{Differing, Failure, Fate, Findings, Group};
use crate::verdict::known::cases::Cases;
use crate::verdict::known::element::{self, Component};
use crate::verdict::known::{Judged, Known, Party, Ran, Row, Seen, Tables};
use crate::verdict::subject::Subject;

/// The tables, and the subject that they are applied to.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// The tables.
    pub tables: Arc<Tables>,
    /// What is under test.
    pub subject: Subject,
}

/// What is known of one group's cases that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Cases that differ in ways that are not known, or came to no end.
    pub failed: u64,
    /// Cases with known deviations of what is tested.
    pub known: u64,
    /// Cases with known deviations of the processor below the host.
    pub below: u64,
    /// Each way to differ.
    pub ways: Vec<Way>,
}

/// One way in which cases of a group differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Way {
    /// What differs, as the log writes it.
    pub difference: String,
    /// How many cases.
    pub cases: u64,
    /// The same without what is known of it in the accesses or scenes in which it is a failure.
    pub failure: Option<String>,
    /// The known deviations that it is attributed to. There are none if it is a failure.
    pub known: Vec<String>,
    /// The accesses or scenes in which cases differ so.
    pub probes: Vec<String>,
    /// Those of them in which it is not known.
    pub unknown: Vec<String>,
    /// The id of a case that shows it.
    pub id: Option<String>,
    /// The case that the log has in full.
    pub example: Option<Failure>,
    /// What is not known, one by one.
    #[serde(skip)]
    pub left: Vec<Component>,
}

impl Way {
    /// Whether it is a failure.
    pub fn is_failure(&self) -> bool {
        self.known.is_empty()
    }
}

/// How a group came out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum GroupVerdict {
    /// As the manual says.
    Pass,
    /// As the manual says, except for known deviations.
    Known,
    /// It could not run.
    Skip,
    /// It is wrong.
    Fail,
    /// It came to no end.
    Unfinished,
}

impl fmt::Display for GroupVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How often a known deviation was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Its name.
    pub name: String,
    /// Whose fault it is.
    pub of: Party,
    /// What is wrong, and what the manual wants.
    pub reason: String,
    /// Cases in each group, by the group's index.
    pub cases: Vec<(usize, u64)>,
    /// The first case that the log has in full.
    pub example: Option<Failure>,
}

impl Total {
    /// Cases over all groups.
    pub fn all(&self) -> u64 {
        self.cases.iter().map(|(_, cases)| cases).sum()
    }
}

/// What is known of all groups.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The account of each group, in the order of the findings.
    pub groups: Vec<Account>,
    /// The known deviations that were seen.
    pub totals: Vec<Total>,
    /// Known deviations that had to show and did not.
    pub passes: Vec<String>,
    /// Notes on what the rows ask of the image.
    pub asked: Vec<String>,
    /// Whose faults `--strict` makes failures.
    pub tested: Option<Party>,
}

impl Knowledge {
    /// What is known of one group's cases that differ.
    pub fn account(&self, group: &Group) -> Account {
        Account::of(group, &self.tables.of(&self.subject)).0
    }

    /// What is known of all groups.
    pub fn accounts(&self, findings: &Findings) -> Accounts {
        let known = self.tables.of(&self.subject);
        let mut accounts = Accounts { tested: Some(known.tested()), ..Accounts::default() };
        for (at, group) in findings.groups.iter().enumerate() {
            let (account, judged) = Account::of(group, &known);
            for (way, judged) in
                account.ways.iter().zip(&judged).filter(|(way, _)| !way.is_failure())
            {
                judged.rows.iter().for_each(|row| accounts.count(row, known.party(row), at, way));
            }
            accounts.groups.push(account);
        }
        if findings.sound().is_ok() {
            accounts.passes = unexpected_passes(&known, findings);
        }
        let went_wrong = accounts.failed() > 0 || findings.sound().is_err();
        accounts.asked = known.rows().flat_map(|row| asked(row, findings, went_wrong)).collect();
        accounts
    }
}

impl Account {
    fn of<'a>(group: &Group, known: &Known<'a>) -> (Self, Vec<Judged<'a>>) {
        let mut account = Self::default();
        let mut all = Vec::new();
        for differing in &group.differing {
            let Differing { difference, cases, filter, probes } = differing;
            let judged = known.judge(&group.name, difference.as_ref(), probes);
            let of = match (judged.is_known(), judged.of()) {
                (false, _) => &mut account.failed,
                (true, of) if of == known.tested() => &mut account.known,
                (true, _) => &mut account.below,
            };
            *of += cases;
            let names = |rows: &[&Row]| rows.iter().map(|row| row.name.clone()).collect();
            let probe = judged
                .unknown
                .first()
                .map_or_else(|| probes.split(',').next(), |name| Some(name.as_str()));
            account.ways.push(Way {
                id: filter
                    .zip(probe)
                    .map(|(filter, probe)| format!("{}:{probe}:{filter}", group.name)),
                difference: difference
                    .map_or_else(|| spec::log::OTHERS.into(), |difference| difference.to_string()),
                failure: difference
                    .filter(|_| !judged.is_known())
                    .map(|difference| element::shown(&difference, &judged.left)),
                left: judged.left.clone(),
                cases: *cases,
                known: if judged.is_known() { names(&judged.rows) } else { Vec::new() },
                probes: probes
                    .split(',')
                    .filter(|probe| !probe.is_empty())
                    .map(String::from)
                    .collect(),
                unknown: judged.unknown.clone(),
                example: group
                    .failures
                    .iter()
                    .find(|failure| is_example(failure, differing, &judged))
                    .cloned(),
            });
            all.push(judged);
        }
        account.failed += group.incomplete.iter().map(|incomplete| incomplete.cases).sum::<u64>();
        (account, all)
    }

    /// The cases that the log has in full and that are no example of a known deviation.
    pub fn failures<'a>(&self, group: &'a Group) -> Vec<&'a Failure> {
        let known =
            self.ways.iter().filter(|way| !way.is_failure()).filter_map(|way| way.example.as_ref());
        let known: Vec<&Failure> = known.collect();
        group.failures.iter().filter(|failure| !known.contains(failure)).collect()
    }
}

impl Accounts {
    /// Adds cases of a known deviation.
    fn count(&mut self, row: &Row, of: Party, group: usize, way: &Way) {
        let at = self.totals.iter().position(|total| total.name == row.name).unwrap_or_else(|| {
            let required = row.text.required().map(|required| format!(" Required: {required}"));
            let reason = std::iter::once(row.text.reason.clone()).chain(required).collect();
            let (name, cases) = (row.name.clone(), Vec::new());
            self.totals.push(Total { name, of, reason, cases, example: None });
            self.totals.len() - 1
        });
        let total = &mut self.totals[at];
        match total.cases.last_mut() {
            Some((of, cases)) if *of == group => *cases += way.cases,
            _ => total.cases.push((group, way.cases)),
        }
        if total.example.is_none() {
            total.example.clone_from(&way.example);
        }
    }

    /// Cases that failed.
    pub fn failed(&self) -> u64 {
        self.groups.iter().map(|account| account.failed).sum()
    }

    /// Cases with known deviations of what is tested.
    pub fn known(&self) -> u64 {
        self.groups.iter().map(|account| account.known).sum()
    }

    /// Cases with known deviations of the processor below.
    pub fn below(&self) -> u64 {
        self.groups.iter().map(|account| account.below).sum()
    }

    /// Whether something is a failure only because of `--strict`.
    pub fn is_strict_failure(&self) -> bool {
        self.known() > 0 || !self.passes.is_empty()
    }

    /// The known deviations of what is tested, or of the processor below.
    pub fn totals_of(&self, tested: bool) -> impl Iterator<Item = &Total> {
        self.totals.iter().filter(move |total| (Some(total.of) == self.tested) == tested)
    }

    /// The word in reports for the group at an index.
    pub fn verdict(&self, at: usize, group: &Group, strict: bool) -> GroupVerdict {
        match (&group.fate, self.groups.get(at)) {
            (Fate::Unfinished, _) => GroupVerdict::Unfinished,
            (Fate::Skipped(_), _) => GroupVerdict::Skip,
            (Fate::Ran(_), Some(account)) if account.failed > 0 || strict && account.known > 0 => {
                GroupVerdict::Fail
            }
            (Fate::Ran(_), Some(account)) if account.known + account.below > 0 => {
                GroupVerdict::Known
            }
            (Fate::Ran(_), _) => GroupVerdict::Pass,
        }
    }
}

/// Whether a case in full is one of those that differ in this way. For a failure it must be one in
/// which the difference is not known.
fn is_example(failure: &Failure, differing: &Differing, judged: &Judged<'_>) -> bool {
    let Some(probe) = failure.id.split(':').nth(1) else { return false };
    let concerned = if judged.is_known() {
        differing.probes.split(',').any(|name| name == probe)
    } else {
        judged.unknown.iter().any(|name| name == probe)
    };
    let of = |difference| example::is_of(difference, &failure.want, &failure.got);
    concerned && differing.difference.as_ref().is_some_and(of)
}

/// The names of the rows that had to show and did not.
fn unexpected_passes(known: &Known<'_>, findings: &Findings) -> Vec<String> {
    let Some(maxphyaddr) = findings.fact("maxphyaddr").and_then(|bits| bits.parse().ok()) else {
        return Vec::new();
    };
    let ran = findings
        .groups
        .iter()
        .filter_map(|group| Some(Ran { group: &group.name, counts: group.counts()? }));
    let seen = findings.groups.iter().flat_map(|group| {
        group.differing.iter().map(|differing| Seen {
            group: &group.name,
            difference: differing.difference.as_ref(),
            probes: &differing.probes,
        })
    });
    let (ran, seen): (Vec<_>, Vec<_>) = (ran.collect(), seen.collect());
    let line = findings.image_options();
    let options = Options::parse_loaded(&line).unwrap_or_default();
    known
        .unexpected_passes(options, maxphyaddr, &ran, &seen)
        .iter()
        .map(|row| row.name.clone())
        .collect()
}

/// What a row asks of the image, so far as that is about groups of the run: what it was given, and,
/// where something went wrong, what it was not.
fn asked(row: &Row, findings: &Findings, went_wrong: bool) -> Vec<String> {
    let line = findings.image_options();
    let was_given = |option: &str| line.split(' ').any(|word| word == option);
    let of_run = |cases: &&Cases| {
        findings.groups.iter().any(|group| cases.pattern().matches_group(&group.name))
    };
    let cases = row.exclude.iter().filter(of_run).map(ToString::to_string);
    let (left_out, tried): (Vec<_>, Vec<_>) =
        cases.partition(|cases| was_given(&format!("exclude={cases}")));
    let option = row.option.as_deref().filter(|_| !findings.groups.is_empty());
    let (given, missing) =
        (option.filter(|option| was_given(option)), option.filter(|option| !was_given(option)));
    let list = |cases: Vec<String>| (!cases.is_empty()).then(|| cases.join(" "));
    let mut notes = Vec::new();
    notes.extend(
        list(left_out)
            .map(|cases| format!("left out, since the host would not survive it: {cases}")),
    );
    notes.extend(given.map(|option| format!("the image ran with {option}")));
    if went_wrong {
        notes
            .extend(list(tried).map(|cases| {
                format!("such a host may not survive what was not left out: {cases}")
            }));
        notes.extend(
            missing.map(|option| {
                format!("on such a host the image needs {option}, and ran without it")
            }),
        );
    }
    notes.into_iter().map(|note| format!("{}: {note}", row.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::asked;
    use crate::verdict::findings::Findings;
    use crate::verdict::known::Tables;
    use spec::log::{Counts, Writer};

    /// What a row's notes are for a run of one group with these options.
    fn notes(name: &str, group: &str, options: &str, went_wrong: bool) -> Vec<String> {
        let mut text = String::new();
        let mut log =
            Writer::begin(&mut text, "0.1.0", &format_args!("boot=pvh options={options}"));
        log.plan(1);
        log.result(1, &group, &Counts { cases: 9, ..Counts::default() });
        let findings = Findings::of_text(&text);
        asked(Tables::built_in().row(name).unwrap(), &findings, went_wrong)
    }

    #[test]
    fn what_was_left_out_is_noted_for_the_groups_of_the_run() {
        let options = "profile=quick+exclude=tlb.pae*:invlpg-*+exclude=tlb.pae*:*-not-loaded";
        let note = "pae-invlpg: left out, since the host would not survive it: \
                    tlb.pae*:invlpg-* tlb.pae*:*-not-loaded";
        for went_wrong in [false, true] {
            assert_eq!(notes("pae-invlpg", "tlb.pae", options, went_wrong), [note]);
            assert_eq!(notes("pae-invlpg", "tlb.long", options, went_wrong), Vec::<String>::new());
        }
    }

    #[test]
    fn an_option_that_the_image_ran_with_is_noted() {
        let of = |options| notes("pgd-unsynced", "host.apic", options, false);
        assert_eq!(
            of("profile=quick+invvpid=yes"),
            ["pgd-unsynced: the image ran with invvpid=yes"]
        );
        assert_eq!(of("profile=quick+invvpid=no"), Vec::<String>::new());
    }

    #[test]
    fn what_the_image_was_not_given_is_noted_where_something_went_wrong() {
        assert_eq!(notes("rsvd-hang", "event.long", "", false), Vec::<String>::new());
        let note =
            "rsvd-hang: such a host may not survive what was not left out: event.*:int-idt-rsvd";
        assert_eq!(notes("rsvd-hang", "event.long", "", true), [note]);
        let note = "pgd-unsynced: on such a host the image needs invvpid=yes, and ran without it";
        assert_eq!(notes("pgd-unsynced", "host.apic", "", true), [note]);
    }
}
