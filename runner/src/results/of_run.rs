//! Turns the results of a run into the form in which they are kept.

use chrono::{DateTime, Utc};
use spec::catalogue::options::Options;
use spec::log::Cost;

use super::document::{
    Boot, Conclusion, GroupResult, GuestEnd, HostResult, KnownDeviation, Price, Results,
};
use super::label;
use crate::verdict::account::Total;
use crate::verdict::conclusion;
use crate::verdict::exit_code::Exit;
use crate::verdict::findings::{self, Fate};
use crate::verdict::judge::Source;
use crate::verdict::result::RunResult;
use crate::vmm::End;

/// What a command found.
pub fn document(results: &[RunResult]) -> Results {
    let made = Utc::now();
    let named = results.iter().zip(label::names(results));
    let results = named.map(|(result, name)| of_host(result, name, made)).collect();
    Results::of(made, std::env::args().skip(1).collect(), results)
}

fn of_host(result: &RunResult, name: String, made: DateTime<Utc>) -> HostResult {
    let RunResult { findings, judgement, source, origin, measured, .. } = result;
    let why_not = findings.sound().err();
    let column = origin.column.as_ref();
    let line = findings.image_options();
    let profile = findings.fact("options").and_then(|_| Options::parse_loaded(&line).ok());
    HostResult {
        name,
        made,
        l0: origin.l0.clone(),
        release: column.map(|column| column.release.clone()),
        params: column.map(|column| column.set.clone()),
        processor: origin.subject.processor.clone(),
        host: origin.subject.host.clone(),
        options: origin.options.trim_start().into(),
        profile: profile.map(|options| options.profile.name().into()),
        strict: result.strict,
        verdict: judgement.verdict.into(),
        exit_code: Exit::from(judgement.verdict) as u8,
        sentence: judgement.sentence.clone(),
        conclusion: result.conclusion.as_ref().map(concluded),
        available: result.is_available(),
        version: findings.version.clone(),
        log_sound: why_not.is_none(),
        why_not,
        boots: result
            .boots
            .iter()
            .map(|boot| Boot { verdict: boot.verdict.into(), sentence: boot.sentence.clone() })
            .collect(),
        facts: findings.facts.iter().cloned().collect(),
        groups: (0..findings.groups.len()).map(|at| of_group(result, at)).collect(),
        unexpected_passes: result.accounts.passes.clone(),
        prices: findings.prices.iter().map(price).collect(),
        errors: findings.errors.clone(),
        notes: findings.notes.iter().chain(&result.accounts.asked).cloned().collect(),
        kernel_trouble: result.trouble.clone(),
        end: match source {
            Source::Run(End::PoweredOff) => Some(GuestEnd::PoweredOff),
            Source::Run(End::Crashed(_)) => Some(GuestEnd::Crashed),
            Source::Run(End::TimedOut(_)) => Some(GuestEnd::TimedOut),
            Source::Run(End::Stopped) => Some(GuestEnd::Stopped),
            Source::File | Source::Skipped | Source::Unavailable => None,
        },
        instructions: measured.instructions,
        seconds: measured.seconds,
    }
}

fn concluded(conclusion: &conclusion::Conclusion) -> Conclusion {
    let conclusion::Conclusion { causes, sentence, groups, failing, .. } = conclusion;
    Conclusion {
        causes: causes.iter().copied().map(String::from).collect(),
        sentence: sentence.clone(),
        groups: *groups,
        failing: *failing,
    }
}

fn price(price: &findings::Price) -> Price {
    let Cost { exits, delivered, tsc, l0_exits } = price.cost;
    let findings::Price { filter, stimulus, .. } = price.clone();
    Price { filter, stimulus, exits, delivered, tsc, l0_exits }
}

fn of_group(result: &RunResult, at: usize) -> GroupResult {
    let RunResult { findings, accounts, strict, conclusion, .. } = result;
    let (group, account) = (&findings.groups[at], &accounts.groups[at]);
    let counts = group.counts();
    let of_group =
        |total: &Total| total.cases.iter().find(|(group, _)| *group == at).map(|(_, cases)| *cases);
    let known = accounts.totals.iter().filter_map(|total| {
        Some(KnownDeviation {
            name: total.name.clone(),
            of: total.of,
            cases: of_group(total)?,
            reason: total.reason.clone(),
        })
    });
    let suspects = conclusion.iter().flat_map(|conclusion| conclusion.causes_of(at)).copied();
    GroupResult {
        name: group.name.clone(),
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
            Fate::Skipped(reason) => Some(reason.clone()),
            Fate::Ran(_) | Fate::Unfinished => None,
        },
        suspects: suspects.map(String::from).collect(),
        failures: account.failures(group).into_iter().cloned().collect(),
        known_deviations: known.collect(),
        differences: account.ways.clone(),
        incomplete: group.incomplete.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::document;
    use crate::results::store;
    use crate::verdict::findings::Findings;
    use crate::verdict::judge::Source;
    use crate::verdict::result::{Column, Measured, Origin, RunResult};
    use crate::verdict::subject::Subject;
    use crate::vmm::End;
    use serde_json::Value;
    use spec::log::{Counts, Writer};
    use std::time::Duration;

    fn written(results: &[RunResult]) -> Value {
        serde_json::from_str(&store::text(&document(results))).unwrap()
    }

    #[test]
    fn a_crash_keeps_what_was_seen() {
        let mut serial = String::new();
        let mut log =
            Writer::begin(&mut serial, "0.1.0", &"boot=pvh cpu=GenuineIntel options=profile=quick");
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
        let value = written(&[result]);
        assert_eq!((&value["verdict"], &value["exit_code"]), (&"crash".into(), &4.into()));
        let only = &value["results"][0];
        assert_eq!(only["name"], "bochs 2.7 cpu=tigerlake");
        assert_eq!(only["log_sound"], false);
        assert_eq!(only["end"], "timed-out");
        assert_eq!(only["profile"], "quick");
        assert_eq!(only["facts"]["cpu"], "GenuineIntel");
        assert_eq!(only["groups"][0]["cases"], 7);
        assert_eq!(only["groups"][1]["skip_reason"], "no \"SMAP\"");
        assert_eq!(only["groups"][2]["verdict"], "unfinished");
        assert_eq!(only["groups"][2]["failures"][0]["got"], "silent+without-effect");
        assert_eq!(only["instructions"], 5);
        assert_eq!(only["processor"]["parameters"]["cpu"], "tigerlake");
        assert_eq!(only["host"], Value::Null);
    }

    #[test]
    fn a_host_with_sets_is_named_by_what_was_asked_for() {
        let result = |set: &str| {
            let (release, set) = ("6.1.0-57-cloud-amd64".into(), set.into());
            let column = Column {
                l0: "lab".into(),
                host: "KVM of Linux".into(),
                release,
                set,
                in_force: String::new(),
            };
            let subject = Subject::host("kvm 6.1 ept=N vpid=Y".parse().unwrap());
            let origin = Origin { column: Some(column), subject, ..Origin::default() };
            RunResult::skipped("why".into(), false, origin)
        };
        let value = written(&[result("ept=0"), result("ept=0")]);
        assert_eq!((&value["verdict"], &value["exit_code"]), (&"skip".into(), &3.into()));
        let [one, two] = &value["results"].as_array().unwrap()[..] else { panic!("two results") };
        assert_eq!((&one["name"], &one["params"]), (&"kvm 6.1 ept=0".into(), &"ept=0".into()));
        assert_eq!(two["name"], "kvm 6.1 ept=0 (2)");
        assert_eq!(one["host"]["parameters"]["ept"], "N");
        assert_eq!((&one["sentence"], &one["end"]), (&"why".into(), &Value::Null));
    }
}
