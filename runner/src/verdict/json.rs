//! The result as JSON: everything that the text report has, and every failing case that the log has.
//!
//! ```json
//! { "version": "0.1.0", "l0": "Bochs 2.7", "verdict": "pass", "exit_code": 0, "sentence": "12 groups, ...",
//!   "log_sound": true, "why_not": null, "facts": { "boot": "pvh" },
//!   "groups": [ { "name": "filter.basic.long", "verdict": "pass", "cases": 1, "failed": 0, "known": 0, "exits": 1,
//!     "delivered": 0, "tsc": 99, "digest": "0123abcd", "skip_reason": null, "suspects": [],
//!     "failures": [ { "id": "...", "want": "...", "got": "..." } ],
//!     "known_deviations": [ { "name": "rf0", "cases": 1, "reason": "..." } ] } ],
//!   "prices": [ { "filter": "1,9,1", "stimulus": "user-read-np-pte", "exits": 0, "delivered": 32, "tsc": 99, "l0_exits": 1 } ],
//!   "errors": [], "notes": [], "end": "stopped", "instructions": 123, "seconds": 1.5 }
//! ```
//!
//! `verdict` is pass, fail, skip, error or crash; a group's is pass, fail, skip or unfinished, and its counts are
//! null unless it ran. `prices` are what `bench` measured of whole walks: without a stimulus, of a bare round trip; `l0_exits` is
//! null where the VMM does not count. `end` is how the guest ended: powered-off, crashed, timed-out, stopped (by maskmatch, since the
//! log was complete or flooded), or null for a log that was read from a file. Fields may be added, never changed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use spec::log::Cost;

use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::{Fate, Findings, Group, Price};
use crate::verdict::judge::{Judgement, Source};
use crate::vmm::End;

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    version: Option<&'a str>,
    l0: &'a str,
    verdict: &'static str,
    exit_code: u8,
    sentence: &'a str,
    log_sound: bool,
    why_not: Option<String>,
    facts: BTreeMap<&'a str, &'a str>,
    groups: Vec<GroupResult<'a>>,
    prices: Vec<PriceResult<'a>>,
    errors: &'a [String],
    notes: &'a [String],
    end: Option<&'static str>,
    instructions: Option<u64>,
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct GroupResult<'a> {
    name: &'a str,
    verdict: &'static str,
    cases: Option<u64>,
    failed: Option<u64>,
    known: Option<u64>,
    exits: Option<u64>,
    delivered: Option<u64>,
    tsc: Option<u64>,
    digest: Option<String>,
    skip_reason: Option<&'a str>,
    suspects: &'a [String],
    failures: Vec<FailureResult<'a>>,
    known_deviations: Vec<KnownResult<'a>>,
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

#[derive(Debug, Serialize)]
struct FailureResult<'a> {
    id: &'a str,
    want: &'a str,
    got: &'a str,
}

#[derive(Debug, Serialize)]
struct KnownResult<'a> {
    name: &'a str,
    cases: u64,
    reason: &'a str,
}

/// What is known of a run beside its log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Instructions that the guest ran, if the VMM counts them.
    pub instructions: Option<u64>,
    /// Wall time of the run.
    pub seconds: Option<f64>,
}

impl<'a> Document<'a> {
    /// Puts the result together.
    pub fn new(
        findings: &'a Findings,
        judgement: &'a Judgement,
        source: &Source,
        strict: bool,
        l0: &'a str,
        measured: Measured,
    ) -> Self {
        let bad = findings.reader.sound().err();
        Self {
            version: findings.version.as_deref(),
            l0,
            verdict: judgement.verdict.name(),
            exit_code: Exit::from(judgement.verdict) as u8,
            sentence: &judgement.sentence,
            log_sound: bad.is_none(),
            why_not: bad.map(|bad| bad.to_string()),
            facts: findings.facts.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            groups: findings.groups.iter().map(|group| group_result(group, strict)).collect(),
            prices: findings.prices.iter().map(price).collect(),
            errors: &findings.errors,
            notes: &findings.notes,
            end: match source {
                Source::Run(End::PoweredOff) => Some("powered-off"),
                Source::Run(End::Crashed(_)) => Some("crashed"),
                Source::Run(End::TimedOut(_)) => Some("timed-out"),
                Source::Run(End::Stopped) => Some("stopped"),
                Source::File => None,
            },
            instructions: measured.instructions,
            seconds: measured.seconds,
        }
    }

    /// The JSON text.
    pub fn text(&self) -> String {
        // Strings and numbers alone: there is nothing in it that could fail to be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the JSON to a file.
    pub fn write(&self, path: &Path) -> Result<(), Stop> {
        std::fs::write(path, self.text()).map_err(|error| Stop::file("write", path, &error))
    }
}

fn price(price: &Price) -> PriceResult<'_> {
    let Cost { exits, delivered, tsc, l0_exits } = price.cost;
    PriceResult { filter: &price.filter, stimulus: price.stimulus.as_deref(), exits, delivered, tsc, l0_exits }
}

fn group_result(group: &Group, strict: bool) -> GroupResult<'_> {
    let counts = group.counts();
    GroupResult {
        name: &group.name,
        verdict: group.verdict(strict),
        cases: counts.map(|counts| counts.cases),
        failed: counts.map(|counts| counts.failed),
        known: counts.map(|counts| counts.known),
        exits: counts.map(|counts| counts.exits),
        delivered: counts.map(|counts| counts.delivered),
        tsc: counts.map(|counts| counts.tsc),
        digest: counts.map(|counts| format!("{:08x}", counts.digest)),
        skip_reason: match &group.fate {
            Fate::Skipped(reason) => Some(reason),
            Fate::Ran(_) | Fate::Unfinished => None,
        },
        suspects: &group.suspects,
        failures: group.failures.iter().map(|f| FailureResult { id: &f.id, want: &f.want, got: &f.got }).collect(),
        known_deviations: group
            .known
            .iter()
            .map(|known| KnownResult { name: &known.name, cases: known.cases, reason: &known.reason })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Measured};
    use crate::verdict::findings::Findings;
    use crate::verdict::judge::{Source, judge};
    use crate::vmm::End;
    use spec::log::{Counts, Writer};
    use std::time::Duration;

    #[test]
    fn a_crash_keeps_what_was_seen() {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh cpu=GenuineIntel");
        log.plan(3);
        log.result(1, &"filter.basic.long", &Counts { cases: 7, ..Counts::default() });
        log.skip(2, &"filter.basic.long-ac", &"no \"SMAP\"");
        log.fail(&"filter.high.long:user-read-user:1,0,0", &"silent", &"silent+without-effect");
        let mut findings = Findings::default();
        for line in text.lines() {
            findings.line(line);
        }
        let source = Source::Run(End::TimedOut(Duration::from_secs(9)));
        let judgement = judge(&findings, None, &source, false);
        let measured = Measured { instructions: Some(5), seconds: Some(1.5) };
        let json = Document::new(&findings, &judgement, &source, false, "Bochs 2.7", measured).text();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
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
    }
}
