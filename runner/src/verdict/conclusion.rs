//! One conclusion for a run: what seems to be wrong with the host, if anything is.
//!
//! What is known is taken out first. Where faults go to the wrong party, the suspects of all groups
//! are intersected, and the large groups decide. If no suspect is left, or something else is wrong,
//! the conclusion is the kind of difference that most failing cases have.

use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

use crate::verdict::account::{Account, Accounts, Way};
use crate::verdict::difference::differences;
use crate::verdict::example;
use crate::verdict::findings::{Differing, Findings, Group};
use crate::verdict::kind::{Kind, OWN};
use crate::verdict::known::element::Component;
use crate::verdict::suspects::{Hypothesis, Plan, Suspect, Walks};

/// With more names than these nothing is concluded: the groups are too small to tell.
const MOST_NAMES: usize = 2;
/// As many walks must have stopped, and others not, before a filter is blamed for it.
const ENOUGH_WALKS: usize = 4;
/// Error codes with which L0's page tables fault where an entry is not made yet.
const NOT_PRESENT: [u32; 6] = [0x0, 0x2, 0x4, 0x6, 0x10, 0x14];
/// The groups that try nothing but filters.
const FILTERS: &str = "filter.";
/// The acts in which L0 emulates the instruction, and makes its faults.
const EMULATED: [&str; 4] = ["device.", "forced.", "guarded.", "ports."];
/// What is wrong if only such faults go to the wrong party.
const SOFTWARE: &str = "L0 judges the page faults that it makes itself by another filter than L1's: \
                        some that L1 wants go to L2, and some that it does not want go to L1";
/// The groups in which L2 never faults.
const SILENT: &str = "host.";

/// What stands before L1's own accesses.
const OWN_ACCESS: &str = "own-";
/// In place of an access: L2 does not get through its start.
const START: &str = "start";

/// What seems to be wrong with the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Names of hypotheses, one of which explains the run. Empty if `sentence` is of a kind of
    /// difference.
    pub causes: Vec<&'static str>,
    /// What is wrong, in words.
    pub sentence: String,
    /// How many failing groups it explains, or has a part in.
    pub groups: usize,
    /// How many groups fail.
    pub failing: usize,
    /// The groups that it explains, by their index.
    explained: Vec<usize>,
}

/// What a group says about filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decisions {
    /// Each fault went to the right party.
    Right,
    /// Some did not.
    Wrong,
    /// Some did not, as is known of the host. What else may be wrong does not show.
    Known,
}

impl Conclusion {
    /// What a run shows.
    pub fn of(findings: &Findings, accounts: &Accounts) -> Option<Self> {
        let groups = || findings.groups.iter().zip(&accounts.groups);
        let failing = groups().filter(|(_, account)| account.failed > 0).count();
        if failing == 0 {
            return None;
        }
        by_filter(findings, accounts, failing)
            .or_else(|| by_stops(findings, failing))
            .or_else(|| by_emulation(findings, accounts, failing))
            .or_else(|| by_kind(findings, accounts, failing))
    }

    /// The causes that explain a group.
    pub fn causes_of(&self, group: usize) -> &[&'static str] {
        if self.explained.contains(&group) { &self.causes } else { &[] }
    }

    fn by(hypotheses: &[Hypothesis], explained: Vec<usize>, failing: usize) -> Self {
        let what = |hypothesis: &Hypothesis| {
            format!("the host {} ({})", hypothesis.meaning(), hypothesis.name())
        };
        Self {
            causes: hypotheses.iter().map(|hypothesis| hypothesis.name()).collect(),
            sentence: hypotheses.iter().map(what).collect::<Vec<_>>().join(", or "),
            groups: explained.len(),
            failing,
            explained,
        }
    }
}

/// Which hypotheses explain the groups in which faults went to the wrong party, and are not refuted
/// by those in which they did not.
fn by_filter(findings: &Findings, accounts: &Accounts, failing: usize) -> Option<Conclusion> {
    let mut plans: Vec<(usize, Plan, Decisions)> = Plan::of_run(findings)
        .into_iter()
        .map(|(at, plan)| (at, plan, decisions(&findings.groups[at], &accounts.groups[at])))
        .filter(|(.., decisions)| *decisions != Decisions::Known)
        .collect();
    let size = |plan: &Plan| plan.filters.len() as u64 * plan.accesses;
    plans.sort_by_key(|(_, plan, _)| size(plan));
    let wrong = || plans.iter().filter(|(.., decisions)| *decisions == Decisions::Wrong);
    let (_, largest, _) = wrong().next_back()?;
    let explains = |suspect: &Suspect, plan: &Plan| suspect.plays(plan) == plan.shown;
    let mut left = Suspect::all();
    for (_, plan, _) in &plans {
        left.retain(|suspect| explains(suspect, plan));
    }
    if left.is_empty() {
        // Something else is wrong too, and shows in small groups.
        left = Suspect::all();
        left.retain(|suspect| !suspect.hypothesis.is_by_l0() && explains(suspect, largest));
        for (_, plan, _) in plans.iter().rev() {
            let fewer: Vec<Suspect> =
                left.iter().copied().filter(|suspect| explains(suspect, plan)).collect();
            left = if fewer.is_empty() { left } else { fewer };
        }
    }
    // L0's filter is fitted to what was seen, so it is blamed only if nothing simpler explains it.
    if left.iter().any(|suspect| !suspect.hypothesis.is_by_l0()) {
        left.retain(|suspect| !suspect.hypothesis.is_by_l0());
    }
    let suspect = *left.first()?;
    let mut names: Vec<Hypothesis> = left.iter().map(|suspect| suspect.hypothesis).collect();
    names.dedup();
    if names.len() > MOST_NAMES {
        return None;
    }
    if names == [Hypothesis::InverseIgnored] && meets_l0s(findings, accounts) {
        names = vec![Hypothesis::L0NeedWithoutEb];
    }
    let explained = wrong().filter(|(_, plan, _)| explains(&suspect, plan)).map(|(at, ..)| *at);
    Some(Conclusion::by(&names, explained.collect(), failing))
}

fn decisions(group: &Group, account: &Account) -> Decisions {
    let elsewhere = group.differing.iter().zip(&account.ways).filter(|(differing, _)| {
        differing.difference.is_none_or(|difference| difference.ends_elsewhere())
    });
    elsewhere.fold(Decisions::Right, |so_far, (_, way)| match so_far {
        Decisions::Known => so_far,
        _ if way.is_failure() => Decisions::Wrong,
        _ => Decisions::Known,
    })
}

/// Whether L2 gets faults of L0's: in a group in which it has none of its own, or so that it stops.
fn meets_l0s(findings: &Findings, accounts: &Accounts) -> bool {
    findings.groups.iter().zip(&accounts.groups).any(|(group, account)| {
        group.name.starts_with(SILENT) && account.ways.iter().any(Way::is_failure)
            || !group.incomplete.is_empty()
    })
}

/// Whether the filter by which L2 runs explains under which of L1's it stops: where L0 makes L2's
/// page tables, it must get their faults.
fn by_stops(findings: &Findings, failing: usize) -> Option<Conclusion> {
    let mut walks = Walks::of_run(findings);
    walks.retain(|walks| findings.groups[walks.group].name.starts_with(FILTERS));
    let stopped: usize = walks.iter().map(|walks| walks.stopped.len()).sum();
    if stopped < ENOUGH_WALKS {
        return None;
    }
    let explains = |hypothesis: &Hypothesis| {
        // L2 may stop where one of these faults does not reach L0, and cannot where all do.
        let may_stop = |filter: &Filter| {
            let filter = match hypothesis {
                Hypothesis::L0NeedWithoutEb => Filter::new(filter.eb_pf, 0, 0),
                _ => *filter,
            };
            NOT_PRESENT.map(Pfec::from_bits_retain).iter().any(|code| !filter.exits(*code))
        };
        let safe = |walks: &Walks| walks.filters.iter().filter(|filter| !may_stop(filter)).count();
        walks.iter().map(safe).sum::<usize>() >= ENOUGH_WALKS
            && walks
                .iter()
                .all(|walks| walks.stopped.iter().all(may_stop) && safe(walks) <= walks.ended)
    };
    let mut hypotheses = vec![Hypothesis::L0NeedMissing, Hypothesis::L0NeedWithoutEb];
    hypotheses.retain(explains);
    let explained = walks.iter().filter(|walks| !walks.stopped.is_empty());
    let explained = explained.map(|walks| walks.group).collect();
    (!hypotheses.is_empty()).then(|| Conclusion::by(&hypotheses, explained, failing))
}

/// Whether only faults that L0 makes go to the wrong party, some to L1 and some to L2.
fn by_emulation(findings: &Findings, accounts: &Accounts, failing: usize) -> Option<Conclusion> {
    let (mut to_l1, mut to_l2, mut explained) = (false, false, Vec::new());
    let is_filter = |group: &Group| group.name.starts_with(FILTERS) && group.counts().is_some();
    for (at, (group, account)) in findings.groups.iter().zip(&accounts.groups).enumerate() {
        let left = account.ways.iter().filter(|way| way.is_failure()).flat_map(|way| &way.left);
        let (mut l1_gets, mut l2_gets) = (false, false);
        for Component { want, got, .. } in left.filter(|component| component.word.is_none()) {
            l1_gets |= want == "delivered14" && got.starts_with("exit");
            l2_gets |= want == "exit0" && got == "delivered14";
        }
        if l1_gets || l2_gets {
            if !EMULATED.iter().any(|act| group.name.starts_with(act)) {
                return None;
            }
            explained.push(at);
        }
        (to_l1, to_l2) = (to_l1 || l1_gets, to_l2 || l2_gets);
    }
    (to_l1 && to_l2 && findings.groups.iter().any(is_filter)).then(|| Conclusion {
        causes: Vec::new(),
        sentence: SOFTWARE.into(),
        groups: explained.len(),
        failing,
        explained,
    })
}

/// One kind of difference, and where it was seen.
struct Tallied {
    kind: Kind,
    cases: u64,
    groups: Vec<usize>,
    ends: Vec<String>,
    values: Option<(u64, u64)>,
}

/// The kind of difference that most failing cases have.
fn by_kind(findings: &Findings, accounts: &Accounts, failing: usize) -> Option<Conclusion> {
    let mut kinds: Vec<Tallied> = Vec::new();
    for (at, (group, account)) in findings.groups.iter().zip(&accounts.groups).enumerate() {
        let ways = group.differing.iter().zip(&account.ways).filter(|(_, way)| way.is_failure());
        for (differing, way) in ways {
            take_way(&mut kinds, at, differing, way);
        }
        for incomplete in &group.incomplete {
            let example = group
                .failures
                .iter()
                .find(|failure| failure.got.split(',').next() == Some(incomplete.word.as_str()));
            let lines = example.map(|failure| differences(&failure.want, &failure.got));
            let sentence = lines.and_then(|mut lines| lines.pop());
            let kind = Kind::Ending(sentence.unwrap_or_else(|| incomplete.word.clone()));
            // Where L2 does not even start, all else is of no account.
            let is_start =
                example.is_some_and(|failure| failure.id.split(':').nth(1) == Some(START));
            let cases = if is_start { u64::from(u32::MAX) } else { incomplete.cases };
            take(&mut kinds, kind, at, cases);
        }
    }
    // The first of those with the most cases.
    let most =
        kinds.into_iter().reduce(|most, kind| if kind.cases > most.cases { kind } else { most })?;
    Some(Conclusion {
        causes: Vec::new(),
        sentence: most.kind.sentence(&most.ends, most.values),
        groups: most.groups.len(),
        failing,
        explained: most.groups,
    })
}

/// Takes in cases of one way to differ.
fn take_way(kinds: &mut Vec<Tallied>, group: usize, differing: &Differing, way: &Way) {
    let left = way.left.iter().filter(|component| component.bits != 0);
    // Where the end is another one, it says more than the words there.
    for component in left.filter(|component| is_end_of_own(component)) {
        let tallied = take(kinds, Kind::of(component), group, differing.cases);
        let is_own = differing.probes.starts_with(OWN_ACCESS);
        let end = if is_own { OWN } else { component.got.as_str() };
        if !tallied.ends.iter().any(|other| other == end) {
            tallied.ends.push(end.to_string());
        }
        let Some((word, failure)) = component.word.zip(way.example.as_ref()) else { continue };
        let value = |text| example::value(text, component.second, word.name());
        tallied.values = tallied.values.or_else(|| value(&failure.want).zip(value(&failure.got)));
    }
}

fn is_end_of_own(component: &Component) -> bool {
    component.word.is_none() || component.want == component.got
}

fn take(kinds: &mut Vec<Tallied>, kind: Kind, group: usize, cases: u64) -> &mut Tallied {
    let at = kinds.iter().position(|other| other.kind == kind).unwrap_or(kinds.len());
    if at == kinds.len() {
        kinds.push(Tallied { kind, cases: 0, groups: Vec::new(), ends: Vec::new(), values: None });
    }
    let tallied = &mut kinds[at];
    tallied.cases += cases;
    if tallied.groups.last() != Some(&group) {
        tallied.groups.push(group);
    }
    tallied
}

#[cfg(test)]
mod tests {
    use super::Conclusion;
    use crate::verdict::account::{Accounts, Knowledge};
    use crate::verdict::findings::Findings;
    use crate::verdict::known::Tables;
    use crate::verdict::subject::Subject;
    use spec::log::{Counts, Writer};
    use spec::manual::filter::Filter;
    use spec::tally::Tally;
    use std::sync::Arc;

    const WANT: &str = "exit,info=80000b0e,ec=b,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";
    const PROBE: &str = "user-write-np-pte";

    /// A group, its differences with their numbers of cases, and a case in full.
    type Differing<'a> = (&'static str, &'a [(&'a str, u64)], &'a str);

    /// What is concluded of groups that differ so, on Bochs 2.7, whose VM exits save RF = 0.
    fn concluded(groups: &[Differing<'_>]) -> (Option<Conclusion>, Accounts) {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh maxphyaddr=40");
        log.plan(groups.len());
        for (number, (group, differences, got)) in (1..).zip(groups) {
            let mut room = [None; 4];
            let mut tally = Tally::new(&mut room);
            for (difference, cases) in *differences {
                tally.add(PROBE, 0, Filter::ALWAYS, &difference.parse().unwrap(), *cases);
            }
            if !got.is_empty() {
                log.fail(&format_args!("{group}:{PROBE}:1,0,0"), &WANT, got);
            }
            log.differs(group, &mut tally);
            let differing = differences.iter().map(|(_, cases)| cases).sum();
            log.result(number, group, &Counts { cases: 99, differing, ..Counts::default() });
        }
        log.end();
        let findings = Findings::of_text(&text);
        let subject = Subject::processor("bochs 2.7".parse().unwrap());
        let knowledge = Knowledge { tables: Arc::new(Tables::built_in()), subject };
        let accounts = knowledge.accounts(&findings);
        (Conclusion::of(&findings, &accounts), accounts)
    }

    #[test]
    fn what_is_known_is_taken_out_before_a_conclusion() {
        let rf = ("exit0:rflags^10000", 90);
        let got = WANT.replace("ec=b", "ec=3").replace("rflags=1", "rflags=");
        let (none, _) = concluded(&[("filter.basic.long", &[rf], "")]);
        assert_eq!(none, None);
        let (conclusion, accounts) = concluded(&[
            ("filter.basic.long", &[rf, ("exit0:ec^8,rflags^10000", 3)], &got),
            ("filter.high.long", &[("delivered14:ec^8", 2)], ""),
            ("filter.each.long", &[("exit0:qual^1000", 4)], ""),
        ]);
        let conclusion = conclusion.unwrap();
        assert_eq!(
            conclusion.sentence,
            "RSVD of error code is 0 and must be 1 (a VM exit by an exception and a page fault in L2)"
        );
        assert_eq!((conclusion.groups, conclusion.failing), (2, 3));
        assert_eq!(conclusion.causes, [""; 0]);
        let ways = &accounts.groups[0].ways;
        assert_eq!(ways[0].failure, None);
        assert_eq!(ways[1].failure.as_deref(), Some("exit0:ec^8"));
    }

    #[test]
    fn another_filter_for_faults_that_l0_makes_is_told_from_one_for_all() {
        let both: &[(&str, u64)] = &[("delivered14>exit30", 2), ("exit0>delivered14", 1)];
        let (filters, ports) = (("filter.basic.long", &[][..], ""), ("ports.long", both, ""));
        let is_named =
            |groups: &[Differing<'_>]| concluded(groups).0.unwrap().sentence == super::SOFTWARE;
        assert!(is_named(&[filters, ports]));
        assert!(!is_named(&[ports]));
        assert!(!is_named(&[filters, ports, ("stale.long", both, "")]));
        assert!(!is_named(&[filters, ("ports.long", &both[..1], "")]));
    }

    #[test]
    fn walks_without_an_end_are_a_kind_too() {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh maxphyaddr=40");
        log.plan(1);
        let fault = "unexpected-exit,reason=0,qual=a100,info=80000b0e,ec=4";
        log.fail(&"filter.each.long:start:1,0,0", &"complete-start", &fault);
        let mut tally = Tally::<&str>::new(&mut []);
        tally.add_incomplete("unexpected-exit", 1);
        log.differs(&"filter.each.long", &mut tally);
        log.result(1, &"filter.each.long", &Counts { cases: 1, differing: 1, ..Counts::default() });
        log.end();
        let findings = Findings::of_text(&text);
        let conclusion = Conclusion::of(&findings, &Knowledge::default().accounts(&findings));
        assert_eq!(
            conclusion.unwrap().sentence,
            "L2 had a VM exit that nothing in it causes: reason 0 (exception or NMI), a page fault \
             with error code 0x4 at 0xa100"
        );
    }
}
