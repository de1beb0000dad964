//! The results as JSON: everything that the text report has, and every failing case of the log.
//!
//! ```json
//! { "version": "0.1.0", "l0": "Bochs 2.7",
//!   "processor": { "family": "bochs", "version": [2, 7], "parameters": {} }, "host": null,
//!   "verdict": "pass", "exit_code": 0, "sentence": "12 groups, ...",
//!   "conclusion": { "causes": [ "swapped-mask-match" ], "sentence": "the host ...", "groups": 9,
//!     "failing": 9 },
//!   "log_sound": true, "why_not": null, "boots": [], "facts": { "boot": "pvh" },
//!   "groups": [ { "name": "filter.basic.long", "verdict": "known", "cases": 1, "differing": 1,
//!     "failed": 0, "known": 1, "known_of_processor": 0, "exits": 1, "delivered": 0, "tsc": 99,
//!     "digest": "0123abcd", "skip_reason": null, "suspects": [],
//!     "failures": [ { "id": "...", "want": "...", "got": "..." } ],
//!     "known_deviations": [ { "name": "rf0", "of": "processor", "cases": 1, "reason": "..." } ],
//!     "differences": [
//!       { "difference": "exit0:rflags^10000", "failure": null, "cases": 1, "known": [ "rf0" ],
//!         "unknown": [], "id": "..." } ],
//!     "incomplete": [ { "word": "unexpected-exit", "cases": 1 } ] } ],
//!   "unexpected_passes": [],
//!   "prices": [ { "filter": "1,9,1", "stimulus": "user-read-np-pte", "exits": 0,
//!     "delivered": 32, "tsc": 99, "l0_exits": 1 } ],
//!   "errors": [], "notes": [], "end": "stopped", "instructions": 123, "seconds": 1.5 }
//! ```
//!
//! `boots` has verdict and sentence of each boot in a capture of several; all else is of the first
//! with the worst verdict. `verdict` is pass, fail, skip, error or crash; a group's is pass, known (as the manual says,
//! except for known deviations), fail, skip or unfinished. Its counts are null unless it ran.
//! `differing` counts the cases that are not as the manual says. `failed` counts those of them that
//! are not known, `known` those with known deviations of what is tested, and `known_of_processor`
//! those of the emulated processor below it. A difference's `unknown` are the accesses or scenes in
//! which it is a failure, and `failure` is what is left of it without what is known. `conclusion`
//! says what seems to be wrong with the host: `causes` has names of docs/log.md, or is empty;
//! it has a part in `groups` of the `failing` groups. A group's `suspects` are those of the causes
//! that explain it. `unexpected_passes` are known deviations that had to show and did not.
//! `prices` are what `bench` measured of whole walks, or of a bare round trip where there is no
//! stimulus. `l0_exits` is null where the VMM does not count. `end` is how the guest ended:
//! powered-off, crashed, timed-out, or stopped (by maskmatch, when the log was complete or
//! flooded). It is null for a log from a file, and where there was none. `processor` is the
//! emulated one below the host. If `host` is null, the processor is under test. Fields may be
//! added, never changed.
//!
//! A host that gives a result for each version and parameter set has them in a list:
//!
//! ```json
//! { "l0": "lab", "verdict": "pass", "exit_code": 0,
//!   "results": [ { "kernel": "6.1.0-57-cloud-amd64", "params": "ept=0",
//!     "in_force": { "ept": "N" }, "kernel_trouble": [], "version": "0.1.0",
//!     "l0": "KVM of Linux ...", ... } ] }
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use spec::log::Cost;

use crate::escape::in_json;
use crate::verdict::account::{Total, Way};
use crate::verdict::conclusion::Conclusion;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::{Failure, Fate, Incomplete, Price};
use crate::verdict::judge::{Judgement, Source};
use crate::verdict::known::Party;
use crate::verdict::result::{RunResult, overall};
use crate::verdict::subject::Product;
use crate::vmm::End;

/// One result.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: Option<&'a str>,
    l0: &'a str,
    processor: Option<&'a Product>,
    host: Option<&'a Product>,
    verdict: &'static str,
    exit_code: u8,
    sentence: &'a str,
    conclusion: Option<&'a Conclusion>,
    log_sound: bool,
    why_not: Option<String>,
    boots: &'a [Judgement],
    facts: BTreeMap<&'a str, &'a str>,
    groups: Vec<GroupResult<'a>>,
    unexpected_passes: &'a [String],
    prices: Vec<PriceResult<'a>>,
    errors: &'a [String],
    notes: Vec<&'a String>,
    end: Option<&'static str>,
    instructions: Option<u64>,
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct GroupResult<'a> {
    name: &'a str,
    verdict: &'static str,
    cases: Option<u64>,
    differing: Option<u64>,
    failed: Option<u64>,
    known: Option<u64>,
    known_of_processor: Option<u64>,
    exits: Option<u64>,
    delivered: Option<u64>,
    tsc: Option<u64>,
    digest: Option<String>,
    skip_reason: Option<&'a str>,
    suspects: &'a [&'static str],
    failures: Vec<&'a Failure>,
    known_deviations: Vec<KnownResult<'a>>,
    differences: &'a [Way],
    incomplete: &'a [Incomplete],
}

#[derive(Debug, Serialize)]
struct KnownResult<'a> {
    name: &'a str,
    of: Party,
    cases: u64,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct PriceResult<'a> {
    filter: &'a str,
    stimulus: Option<&'a str>,
    exits: u64,
    delivered: u64,
    tsc: u64,
    l0_exits: Option<u64>,
}

/// Several results.
#[derive(Debug, Serialize)]
struct List<'a> {
    l0: &'static str,
    verdict: &'static str,
    exit_code: u8,
    results: Vec<Listed<'a>>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    kernel: Option<&'a str>,
    params: Option<&'a str>,
    in_force: Option<&'a BTreeMap<String, String>>,
    kernel_trouble: &'a [String],
    #[serde(flatten)]
    document: Document<'a>,
}

/// Writes the results to a file.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, results: &[RunResult]) -> Result<(), Stop> {
    std::fs::write(path, text(results)).map_err(|error| Stop::file("write", path, &error))
}

/// The JSON text.
fn text(results: &[RunResult]) -> String {
    let json = match results {
        [one] if one.origin.column.is_none() => serde_json::to_string_pretty(&document(one)),
        several => serde_json::to_string_pretty(&list(several)),
    };
    // Strings, numbers and maps by string: nothing here can fail to be written.
    in_json(&json.unwrap_or_default()).into_owned() + "\n"
}

fn list(results: &[RunResult]) -> List<'_> {
    let verdict = overall(results);
    let listed = results.iter().map(|result| {
        let column = result.origin.column.as_ref();
        Listed {
            kernel: column.map(|column| column.release.as_str()),
            params: column.map(|column| column.set.as_str()),
            in_force: result.origin.subject.host.as_ref().map(|host| &host.parameters),
            kernel_trouble: &result.trouble,
            document: document(result),
        }
    });
    List {
        l0: results
            .iter()
            .find_map(|result| result.origin.column.as_ref())
            .map_or("", |column| column.l0),
        verdict: verdict.name(),
        exit_code: Exit::from(verdict) as u8,
        results: listed.collect(),
    }
}

fn document(result: &RunResult) -> Document<'_> {
    let RunResult { findings, judgement, source, origin, measured, .. } = result;
    let bad = findings.sound().err();
    Document {
        version: findings.version.as_deref(),
        l0: &origin.l0,
        processor: origin.subject.processor.as_ref(),
        host: origin.subject.host.as_ref(),
        verdict: judgement.verdict.name(),
        exit_code: Exit::from(judgement.verdict) as u8,
        sentence: &judgement.sentence,
        conclusion: result.conclusion.as_ref(),
        log_sound: bad.is_none(),
        why_not: bad,
        boots: &result.boots,
        facts: findings.facts.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        groups: (0..findings.groups.len()).map(|at| group_result(result, at)).collect(),
        unexpected_passes: &result.accounts.passes,
        prices: findings.prices.iter().map(price).collect(),
        errors: &findings.errors,
        notes: findings.notes.iter().chain(&result.accounts.asked).collect(),
        end: match source {
            Source::Run(End::PoweredOff) => Some("powered-off"),
            Source::Run(End::Crashed(_)) => Some("crashed"),
            Source::Run(End::TimedOut(_)) => Some("timed-out"),
            Source::Run(End::Stopped) => Some("stopped"),
            Source::File | Source::Skipped | Source::Unavailable => None,
        },
        instructions: measured.instructions,
        seconds: measured.seconds,
    }
}

fn price(price: &Price) -> PriceResult<'_> {
    let Cost { exits, delivered, tsc, l0_exits } = price.cost;
    PriceResult {
        filter: &price.filter,
        stimulus: price.stimulus.as_deref(),
        exits,
        delivered,
        tsc,
        l0_exits,
    }
}

fn group_result(result: &RunResult, at: usize) -> GroupResult<'_> {
    let RunResult { findings, accounts, strict, .. } = result;
    let (group, account) = (&findings.groups[at], &accounts.groups[at]);
    let counts = group.counts();
    let of_group = |total: &'_ Total| {
        total.cases.iter().find(|(group, _)| *group == at).map(|(_, cases)| *cases)
    };
    let known = accounts.totals.iter().filter_map(|total| {
        Some(KnownResult {
            name: &total.name,
            of: total.of,
            cases: of_group(total)?,
            reason: &total.reason,
        })
    });
    GroupResult {
        name: &group.name,
        verdict: accounts.verdict(at, group, *strict),
        cases: counts.map(|counts| counts.cases),
        differing: counts.map(|counts| counts.differing),
        failed: counts.map(|_| account.failed),
        known: counts.map(|_| account.known),
        known_of_processor: counts.map(|_| account.below),
        exits: counts.map(|counts| counts.exits),
        delivered: counts.map(|counts| counts.delivered),
        tsc: counts.map(|counts| counts.tsc),
        digest: counts.map(|counts| format!("{:08x}", counts.digest)),
        skip_reason: match &group.fate {
            Fate::Skipped(reason) => Some(reason),
            Fate::Ran(_) | Fate::Unfinished => None,
        },
        suspects: result.conclusion.as_ref().map_or(&[], |conclusion| conclusion.causes_of(at)),
        failures: account.failures(group),
        known_deviations: known.collect(),
        differences: &account.ways,
        incomplete: &group.incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::verdict::findings::Findings;
    use crate::verdict::judge::Source;
    use crate::verdict::result::{Column, Measured, Origin, RunResult};
    use crate::verdict::subject::Subject;
    use crate::vmm::End;
    use spec::log::{Counts, Writer};
    use std::time::Duration;

    #[test]
    fn a_crash_keeps_what_was_seen() {
        let mut serial = String::new();
        let mut log = Writer::begin(&mut serial, "0.1.0", &"boot=pvh cpu=GenuineIntel");
        log.plan(3);
        log.result(1, &"filter.basic.long", &Counts { cases: 7, ..Counts::default() });
        log.skip(2, &"filter.basic.long-ac", &"no \"SMAP\"");
        log.fail(&"filter.high.long:user-read-user:1,0,0", &"silent", &"silent+without-effect");
        let findings = Findings::of_text(&serial);
        let source = Source::Run(End::TimedOut(Duration::from_secs(9)));
        let origin = Origin {
            subject: Subject::processor("bochs 2.7 cpu=tigerlake".parse().unwrap()),
            ..Origin::default()
        };
        let measured = Measured { instructions: Some(5), seconds: Some(1.5) };
        let result = RunResult::new((findings, None), source, false, origin, measured);
        let value: serde_json::Value = serde_json::from_str(&text(&[result])).unwrap();
        assert_eq!(value["verdict"], "crash");
        assert_eq!(value["exit_code"], 4);
        assert_eq!(value["log_sound"], false);
        assert_eq!(value["end"], "timed-out");
        assert_eq!(value["facts"]["cpu"], "GenuineIntel");
        assert_eq!(value["groups"][0]["cases"], 7);
        assert_eq!(value["groups"][1]["skip_reason"], "no \"SMAP\"");
        assert_eq!(value["groups"][2]["verdict"], "unfinished");
        assert_eq!(value["groups"][2]["failures"][0]["got"], "silent+without-effect");
        assert_eq!(value["instructions"], 5);
        assert_eq!(value["processor"]["parameters"]["cpu"], "tigerlake");
        assert_eq!(value["host"], serde_json::Value::Null);
    }

    #[test]
    fn a_host_with_sets_has_a_list_even_of_one() {
        let (release, set) = ("6.1".into(), "ept=0".into());
        let column =
            Column { l0: "lab", host: "KVM of Linux", release, set, in_force: String::new() };
        let subject = Subject::host("kvm 6.1 ept=N".parse().unwrap());
        let origin = Origin { column: Some(column), subject, ..Origin::default() };
        let result = RunResult::skipped("why".into(), false, origin);
        let value: serde_json::Value = serde_json::from_str(&text(&[result])).unwrap();
        assert_eq!(
            (&value["l0"], &value["verdict"], &value["exit_code"]),
            (&"lab".into(), &"skip".into(), &3.into())
        );
        let [only] = &value["results"].as_array().unwrap()[..] else { panic!("one result") };
        assert_eq!((&only["kernel"], &only["params"]), (&"6.1".into(), &"ept=0".into()));
        assert_eq!(only["in_force"]["ept"], "N");
        assert_eq!((&only["sentence"], &only["end"]), (&"why".into(), &serde_json::Value::Null));
    }
}
