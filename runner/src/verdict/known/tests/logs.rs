//! Each row by whole logs: what a log says differs is a failure outside of the row's globs, and a
//! pass within.

use std::sync::Arc;

use spec::log::{Counts, Verdict, Writer};
use spec::manual::filter::Filter;
use spec::tally::Tally;

use super::super::hosts::Fit;
use super::super::{Row, Tables};
use super::rows::{examples, subjects};
use super::{catalogue, subject};
use crate::verdict::account::Knowledge;
use crate::verdict::findings::Findings;
use crate::verdict::judge::{Source, judge};
use crate::verdict::subject::{Family, Subject};

/// The verdict on a log of one group, of which some cases differ so in an access or scene.
fn verdict(tables: &Tables, on: &Subject, group: &str, difference: &str, probe: &str) -> Verdict {
    const DIFFERING: u64 = 3;
    let mut text = String::new();
    let mut log =
        Writer::begin(&mut text, "0.1.0", &"boot=pvh maxphyaddr=40 options=profile=standard");
    log.plan(1);
    let mut room = [None; 1];
    let mut tally = Tally::new(&mut room);
    tally.add(probe, 0, Filter::ALWAYS, &difference.parse().expect(difference), DIFFERING);
    log.fail(&format_args!("{group}:{probe}:1,0,0"), &"exit", &"exit");
    log.differs(&group, &mut tally);
    log.result(
        1,
        &group,
        &Counts { cases: 9, differing: DIFFERING, exits: 9, ..Counts::default() },
    );
    log.end();
    let findings = Findings::of_text(&text);
    assert_eq!(findings.reader.verdict(), Verdict::Fail, "by the manual alone");
    let knowledge = Knowledge { tables: Arc::new(tables.clone()), subject: on.clone() };
    let accounts = knowledge.accounts(&findings);
    judge(&findings, &accounts, None, &Source::File, false).verdict
}

fn names_it(row: &Row, group: &str, probe: &str) -> bool {
    row.clauses
        .iter()
        .flat_map(|clause| &clause.cases)
        .any(|cases| cases.pattern().matches(group, probe))
}

#[test]
fn a_row_makes_a_pass_of_a_log_within_its_globs_and_on_its_hosts_only() {
    let (tables, all) = (Tables::built_in(), catalogue());
    for row in tables.rows() {
        let alone = Tables::only(row.clone());
        let (hosts, others): (Vec<_>, Vec<_>) =
            subjects().into_iter().partition(|subject| row.fit(subject) == Fit::Yes);
        for clause in &row.clauses {
            let within = |(group, probe): &&(String, String)| {
                clause.cases.iter().any(|at| at.pattern().matches(group, probe))
            };
            let (group, probe) = all.iter().find(within).expect("its globs match cases");
            // Of each kind of group one, if the row does not name it: what is known of one must not
            // leak to another.
            let mut outside: Vec<&(String, String)> = Vec::new();
            for case in all.iter().filter(|(group, probe)| !names_it(row, group, probe)) {
                let act =
                    |(group, _): &(String, String)| group.split('.').next().map(str::to_string);
                if !outside.iter().any(|other| act(other) == act(case)) {
                    outside.push(case);
                }
            }
            for element in &clause.differs {
                let (difference, _) = examples(element);
                let at = format!("{}: {difference} in {group}:{probe}", row.name);
                assert_eq!(
                    verdict(&alone, &hosts[0], group, &difference, probe),
                    Verdict::Pass,
                    "{at}"
                );
                assert_eq!(
                    verdict(&tables, &hosts[0], group, &difference, probe),
                    Verdict::Pass,
                    "{at}"
                );
                for other in &others {
                    assert_eq!(
                        verdict(&alone, other, group, &difference, probe),
                        Verdict::Fail,
                        "{at} on {other:?}"
                    );
                }
                assert_eq!(
                    verdict(&Tables::none(), &hosts[0], group, &difference, probe),
                    Verdict::Fail,
                    "{at}"
                );
                for (group, probe) in &outside {
                    let verdict = verdict(&alone, &hosts[0], group, &difference, probe);
                    assert_eq!(
                        verdict,
                        Verdict::Fail,
                        "{}: {difference} in {group}:{probe}",
                        row.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_torn_write_across_pages_that_nothing_emulates_fails_on_every_kvm() {
    let tables = Tables::built_in();
    let is_kvm =
        |subject: &&Subject| subject.host.as_ref().is_some_and(|host| host.family == Family::Kvm);
    for on in subjects().iter().filter(is_kvm).chain([&subject("kvm")]) {
        let of = |group, probe| verdict(&tables, on, group, "exit0:memory^ffffff0000000000", probe);
        assert_eq!(of("access.long", "user-write-cross-second"), Verdict::Fail, "{on:?}");
        assert_eq!(of("forced.long", "write-cross"), Verdict::Pass, "{on:?}");
    }
}
