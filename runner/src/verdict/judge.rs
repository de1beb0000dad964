//! The verdict on a run: what the log says, joined with how the run ended.
//!
//! A sound log with an end record counts, however the VMM ended: not every VMM lets a guest power
//! off. Without an end record the verdict is *crash*, whatever came before. The sentence then says
//! what ended the guest and where it was.

use std::fmt::Write;

use spec::log::{BadLog, Verdict};

use crate::verdict::account::Accounts;
use crate::verdict::findings::{Fate, Findings};
use crate::vmm::End;

/// Why the bytes of a log end where they end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A guest ran and its run ended like this.
    Run(End),
    /// The log was read from a file.
    File,
    /// There is no log: the host lacks what the run needs.
    Skipped,
    /// There is no log: what was asked for is not available.
    Unavailable,
}

/// The verdict and what is to be said with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What follows the verdict's word: counts, or a sentence.
    pub sentence: String,
}

/// Judges a run. What differs from the manual is no failure if it is known. With `strict` it is one
/// if it is the fault of what is tested.
pub fn judge(
    findings: &Findings,
    accounts: &Accounts,
    stopped: Option<&str>,
    source: &Source,
    strict: bool,
) -> Judgement {
    let fails = accounts.failed() > 0 || strict && accounts.is_strict_failure();
    let verdict = match findings.verdict() {
        _ if stopped.is_some() => Verdict::Crash,
        Verdict::Pass | Verdict::Fail if fails => Verdict::Fail,
        Verdict::Fail => Verdict::Pass,
        verdict => verdict,
    };
    let sentence = match verdict {
        Verdict::Pass => passed(findings, accounts),
        Verdict::Fail => failed(findings, accounts, strict),
        Verdict::Skip => skipped(findings),
        Verdict::Error => format!("maskmatch itself is wrong: {}", findings.errors.join("; ")),
        Verdict::Crash => crashed(findings, stopped, source),
    };
    Judgement { verdict, sentence }
}

fn passed(findings: &Findings, accounts: &Accounts) -> String {
    let summary = findings.reader.summary();
    let groups = summary.passed + summary.failed;
    let mut text = format!("{}, {}", counted(groups, "group"), counted(summary.cases, "case"));
    if summary.skipped > 0 {
        let _ = write!(text, ", {} skipped", counted(summary.skipped, "group"));
    }
    let (known, below) = (accounts.known(), accounts.below());
    if known + below > 0 {
        let _ = write!(text, ", {} with known deviations", thousands(known + below));
    }
    if below > 0 {
        let only = if known == 0 { "only " } else { "" };
        let _ = write!(text, ", {only}of the processor in {}", thousands(below));
    }
    text
}

fn failed(findings: &Findings, accounts: &Accounts, strict: bool) -> String {
    let summary = findings.reader.summary();
    let groups = summary.passed + summary.failed;
    let failing = accounts.groups.iter().filter(|account| account.failed > 0).count();
    let mut parts = Vec::new();
    if failing > 0 {
        let (cases, all) = (thousands(accounts.failed()), counted(summary.cases, "case"));
        parts.push(format!("{failing} of {} failed, {cases} of {all}", counted(groups, "group")));
    }
    if strict && accounts.known() > 0 {
        let mut names: Vec<&str> =
            accounts.totals_of(true).map(|total| total.name.as_str()).collect();
        names.sort_unstable();
        let shown = counted(accounts.known(), "case");
        parts.push(format!(
            "{} in {shown} of {}, a failure by --strict",
            names.join(", "),
            thousands(summary.cases)
        ));
    }
    if strict && !accounts.passes.is_empty() {
        parts.push(format!("{} did not show, a failure by --strict", accounts.passes.join(", ")));
    }
    parts.join("; ")
}

fn skipped(findings: &Findings) -> String {
    if let Some(reason) = &findings.skip {
        return reason.clone();
    }
    let mut reasons: Vec<&str> = findings
        .groups
        .iter()
        .filter_map(|group| match &group.fate {
            Fate::Skipped(reason) => Some(reason.as_str()),
            Fate::Unfinished | Fate::Ran(_) => None,
        })
        .collect();
    reasons.dedup();
    if reasons.is_empty() { "no group was to run".into() } else { reasons.join("; ") }
}

fn crashed(findings: &Findings, stopped: Option<&str>, source: &Source) -> String {
    let bad = findings.reader.sound().err();
    let what = match (stopped, bad, source) {
        (Some(stopped), ..) => stopped.to_string(),
        // The guest ended, or was ended, before the log was complete. How it ended says more than
        // the gap.
        (None, Some(BadLog::Cut | BadLog::NoLog), Source::Run(end)) => {
            let before =
                if bad == Some(BadLog::NoLog) { "its log began" } else { "the log's end record" };
            match end {
                End::PoweredOff => format!("the guest powered off before {before}"),
                End::Crashed(how) => format!("{} before {before}", how.trim_end_matches('.')),
                End::TimedOut(limit) => {
                    format!(
                        "the time limit of {} s was reached before {before}",
                        limit.as_secs_f64()
                    )
                }
                End::Stopped => format!("the run was stopped before {before}"),
            }
        }
        (None, ..) => findings.sound().err().unwrap_or_default(),
    };
    match findings.last_seen() {
        Some(seen) => format!("{what}; last seen {seen}"),
        None => format!("{what}; nothing was written"),
    }
}

/// A number with its noun.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number with a comma at each thousand.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Judgement, Source, judge, thousands};
    use crate::verdict::account::Knowledge;
    use crate::verdict::intake::{Intake, SILENCE};
    use crate::verdict::known::Tables;
    use crate::verdict::progress::Progress;
    use crate::verdict::subject::Subject;
    use crate::vmm::{End, Sink};
    use spec::log::{Counts, Verdict, Writer};
    use spec::manual::filter::Filter;
    use spec::tally::Tally;
    use std::sync::Arc;
    use std::time::Duration;

    const COUNTS: Counts =
        Counts { cases: 1000, differing: 0, exits: 4, delivered: 3, tsc: 99, digest: 1 };

    fn log(body: impl FnOnce(&mut Writer<&mut String>)) -> String {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        body(&mut log);
        log.end();
        text
    }

    fn judged_of(text: &str, source: &Source, strict: bool, products: &[&str]) -> Judgement {
        let mut intake = Intake::new(SILENCE, None, Progress::none());
        let _ = intake.bytes(text.as_bytes());
        let (findings, stopped) = intake.finish().remove(0);
        let subject = Subject::of(products).unwrap();
        let knowledge = Knowledge { tables: Arc::new(Tables::built_in()), subject };
        let accounts = knowledge.accounts(&findings);
        judge(&findings, &accounts, stopped.as_deref(), source, strict)
    }

    fn judged(text: &str, source: &Source, strict: bool) -> Judgement {
        judged_of(text, source, strict, &[])
    }

    fn passing() -> String {
        log(|log| {
            log.plan(2);
            log.progress(&"filter.basic.long", 1, 2);
            log.result(1, &"filter.basic.long", &COUNTS);
            log.skip(2, &"filter.high.long", &"CPU lacks it");
        })
    }

    #[test]
    fn a_sound_log_counts_however_the_vmm_ended() {
        for end in [
            End::PoweredOff,
            End::Stopped,
            End::TimedOut(Duration::from_secs(1)),
            End::Crashed("x".into()),
        ] {
            let Judgement { verdict, sentence } = judged(&passing(), &Source::Run(end), false);
            assert_eq!(verdict, Verdict::Pass);
            assert_eq!(sentence, "1 group, 1,000 cases, 1 group skipped");
        }
    }

    #[test]
    fn a_hang_is_a_crash_that_says_where() {
        let text = passing();
        let cut = text.split_once("ok 1").unwrap().0;
        let Judgement { verdict, sentence } =
            judged(cut, &Source::Run(End::TimedOut(Duration::from_millis(2500))), false);
        assert_eq!(verdict, Verdict::Crash);
        assert_eq!(
            sentence,
            "the time limit of 2.5 s was reached before the log's end record; \
             last seen in group filter.basic.long at 1 of 2 filters"
        );
        let cut = text.split_once("ok 2").unwrap().0;
        let sentence =
            judged(cut, &Source::Run(End::Crashed("triple fault".into())), false).sentence;
        assert_eq!(
            sentence,
            "triple fault before the log's end record; last seen after group filter.basic.long"
        );
        assert!(judged(cut, &Source::File, false).sentence.contains("no end record"));
    }

    #[test]
    fn silence_and_noise_are_told_apart() {
        let silent = judged("", &Source::Run(End::PoweredOff), false);
        assert_eq!(silent.verdict, Verdict::Crash);
        assert_eq!(
            silent.sentence,
            "the guest powered off before its log began; nothing was written"
        );
        let noisy = judged("SeaBIOS\nno bootable device", &Source::Run(End::Stopped), false);
        assert!(
            noisy.sentence.ends_with("last seen at the line 'no bootable device'"),
            "{}",
            noisy.sentence
        );
    }

    #[test]
    fn damage_is_named() {
        let garbled = passing().replace("# progress", "[  0.1] clocksource\n# progress");
        let Judgement { verdict, sentence } =
            judged(&garbled, &Source::Run(End::PoweredOff), false);
        assert_eq!(verdict, Verdict::Crash);
        assert!(sentence.starts_with("line 4 of the log is not maskmatch's"), "{sentence}");
        let changed = passing().replace("exits=4", "exits=5");
        assert!(judged(&changed, &Source::File, false).sentence.contains("checksum"));
    }

    /// A log whose only group differs in this way.
    fn differing(group: &str, difference: &str, probe: &'static str, cases: u64) -> String {
        let mut room = [None; 1];
        let mut tally = Tally::new(&mut room);
        tally.add(probe, 0, Filter::ALWAYS, &difference.parse().unwrap(), cases);
        log(|log| {
            log.plan(1);
            log.fail(&format_args!("{group}:{probe}:1,0,0"), &"exit", &"exit");
            log.differs(&group, &mut tally);
            log.result(1, &group, &Counts { differing: cases, ..COUNTS });
        })
    }

    #[test]
    fn strictness_is_about_what_is_tested_and_names_the_deviation() {
        let text = differing("filter.basic.long", "exit0:rflags^10000", "user-read-np-pte", 4);
        let on = |strict, products: &[&str]| {
            let Judgement { verdict, sentence } = judged_of(&text, &Source::File, strict, products);
            (verdict, sentence)
        };
        let lab = ["bochs 2.7", "kvm 6.1 ept=1 allow_smaller_maxphyaddr=1"];
        let only = "1 group, 1,000 cases, 4 with known deviations, only of the processor in 4";
        assert_eq!(on(false, &lab), (Verdict::Pass, only.into()));
        assert_eq!(on(true, &lab), (Verdict::Pass, only.into()));
        assert_eq!(
            on(false, &["bochs 2.7"]),
            (Verdict::Pass, "1 group, 1,000 cases, 4 with known deviations".into())
        );
        let failure = "rf0 in 4 cases of 1,000, a failure by --strict";
        assert_eq!(on(true, &["bochs 2.7"]), (Verdict::Fail, failure.into()));
        let unknown = "1 of 1 group failed, 4 of 1,000 cases";
        assert_eq!(on(false, &["bochs 3.0"]), (Verdict::Fail, unknown.into()));
        assert_eq!(on(false, &[]), (Verdict::Fail, unknown.into()));
    }

    #[test]
    fn what_came_to_no_end_is_a_failure_whatever_is_known() {
        let mut tally = Tally::<&str>::new(&mut []);
        tally.add_incomplete("unexpected-exit", 2);
        let text = log(|log| {
            log.plan(1);
            log.fail(&"filter.basic.long:user-read-np-pte:1,0,0", &"exit", &"unexpected-exit");
            log.differs(&"filter.basic.long", &mut tally);
            log.result(1, &"filter.basic.long", &Counts { differing: 2, ..COUNTS });
        });
        let Judgement { verdict, sentence } =
            judged_of(&text, &Source::File, false, &["bochs 2.7"]);
        assert_eq!(
            (verdict, sentence.as_str()),
            (Verdict::Fail, "1 of 1 group failed, 2 of 1,000 cases")
        );
    }

    #[test]
    fn a_skip_says_what_is_missing() {
        let text = log(|log| log.skip_all(&"the CPU has no VMX"));
        let Judgement { verdict, sentence } = judged(&text, &Source::File, false);
        assert_eq!((verdict, sentence.as_str()), (Verdict::Skip, "the CPU has no VMX"));
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1000, 12_345_678].map(thousands).each_ref().map(String::as_str)
        );
    }
}
