//! Results for tests: a host that passes but for a known deviation, one that fails, one that crashed.

use std::sync::Arc;

use spec::log::{Counts, Writer};
use spec::manual::filter::Filter;
use spec::tally::Tally;

use super::document::{HostResult, Results};
use super::of_run::document;
use crate::verdict::findings::Findings;
use crate::verdict::judge::Source;
use crate::verdict::known::Tables;
use crate::verdict::result::{Column, Measured, Origin, RunResult};
use crate::verdict::subject::Subject;
use crate::vmm::End;

/// The failing group.
pub const GROUP: &str = "filter.basic.long";
/// What is wrong in it.
pub const DECISION: &str = "exit0>delivered14";
/// The failing case.
pub const ID: &str = "filter.basic.long:user-write-np-pte:1,1f,6";

/// What goes into a log.
pub type Body = fn(&mut Writer<&mut String>);

/// Two groups that ran, one skip.
pub fn passes(log: &mut Writer<&mut String>) {
    log.plan(3);
    log.result(1, &GROUP, &Counts { cases: 672, ..Counts::default() });
    log.skip(2, &"filter.basic.long-ac", &"no \"SMAP\" # here");
    known(log);
    log.end();
}

fn known(log: &mut Writer<&mut String>) {
    let group = "filter.high.long";
    let id = "filter.high.long:user-write-np-pte:1,1f,6";
    log.fail(&id, &"exit,ec=6,rflags=10cd7", &"exit,ec=6,rflags=cd7");
    differs(log, group, &[("exit0:rflags^10000", "user-write-np-pte", 7)]);
    log.result(3, &group, &Counts { cases: 90, differing: 7, ..Counts::default() });
}

/// A group in which faults go to the wrong party.
pub fn fails(log: &mut Writer<&mut String>) {
    log.plan(3);
    log.fail(&ID, &"exit,ec=6", &"delivered,ec=6,cr2=1000");
    differs(log, GROUP, &[(DECISION, "user-write-np-pte", 30), (DECISION, "user-read-np-pte", 4)]);
    log.result(1, &GROUP, &Counts { cases: 672, differing: 34, ..Counts::default() });
    log.skip(2, &"filter.basic.long-ac", &"no \"SMAP\" # here");
    known(log);
    log.end();
}

/// A log that is cut.
pub fn crashes(log: &mut Writer<&mut String>) {
    log.plan(3);
    log.result(1, &GROUP, &Counts { cases: 672, ..Counts::default() });
    log.fail(&"filter.high.long:user-read-user:1,0,0", &"silent", &"silent+without-effect");
}

fn differs(log: &mut Writer<&mut String>, group: &str, all: &[(&str, &'static str, u64)]) {
    let mut room = [None; 8];
    let mut tally = Tally::new(&mut room);
    for (difference, probe, cases) in all {
        let filter = Filter::new(true, 0x1f, 6);
        tally.add(*probe, 0, filter, &difference.parse().unwrap(), *cases);
    }
    log.differs(&group, &mut tally);
}

/// A host with a set, as its log says it came out.
pub fn host(release: &str, set: &str, body: Body) -> RunResult {
    let mut text = String::new();
    let facts = "boot=pvh maxphyaddr=40 options=profile=quick";
    // Of another version: this one's plan has more groups.
    let mut log = Writer::begin(&mut text, "0.0.9", &facts);
    body(&mut log);
    let column = Column {
        l0: "lab".into(),
        host: "KVM of Linux".into(),
        release: format!("{release}.0-57-cloud-amd64"),
        set: set.into(),
        in_force: String::new(),
    };
    let origin = Origin {
        l0: format!("KVM of Linux {release} with {set} in Bochs 2.7"),
        subject: Subject::of(["bochs 2.7", &format!("kvm {release} {set}")]).unwrap(),
        options: format!(" --l0 lab --kernel {release} --param '{set}'"),
        tables: Arc::new(Tables::built_in()),
        column: Some(column),
        ..Origin::default()
    };
    let measured = Measured { instructions: Some(9), seconds: Some(1.5) };
    let source = Source::Run(End::PoweredOff);
    RunResult::new((Findings::of_text(&text), None), source, false, origin, measured)
}

/// One result of each kind.
pub fn results() -> Results {
    let mut results = document(&[
        host("6.1", "ept=1", passes),
        host("6.1", "ept=0", fails),
        host("7.2", "ept=1", crashes),
    ]);
    suspect(&mut results.results[1]);
    results
}

/// Has the failing group explained: its few cases would not be enough for that.
pub fn suspect(result: &mut HostResult) {
    result.groups[0].suspects = vec!["eb-always-clear".into()];
}
