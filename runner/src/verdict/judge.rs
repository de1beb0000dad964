//! The verdict on a run: what the log says, joined with how the run ended.
//!
//! A sound log with an end record counts, however the VMM ended: not every VMM lets a guest power off. Without one
//! the verdict is *crash*, whatever stood before, and the sentence says what ended the guest and where it was.

use std::fmt::Write;

use spec::log::{BadLog, Verdict};

use crate::verdict::findings::{Fate, Findings};
use crate::vmm::End;

/// Why the bytes of a log end where they end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A guest ran and its run ended like this.
    Run(End),
    /// The log was read from a file.
    File,
}

/// The verdict and what is to be said with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What stands behind the verdict's word: counts, or a sentence.
    pub sentence: String,
}

/// Judges.
pub fn judge(findings: &Findings, stopped: Option<&str>, source: &Source, strict: bool) -> Judgement {
    let verdict = findings.reader.verdict(strict);
    let sentence = match verdict {
        Verdict::Pass => passed(findings),
        Verdict::Fail => failed(findings, strict),
        Verdict::Skip => skipped(findings),
        Verdict::Error => format!("maskmatch itself is wrong: {}", findings.errors.join("; ")),
        Verdict::Crash => crashed(findings, stopped, source),
    };
    Judgement { verdict, sentence }
}

fn passed(findings: &Findings) -> String {
    let summary = findings.reader.summary();
    let mut text = format!("{}, {}", counted(summary.passed, "group"), counted(summary.cases, "case"));
    if summary.skipped > 0 {
        let _ = write!(text, ", {} skipped", counted(summary.skipped, "group"));
    }
    if findings.reader.known() > 0 {
        let _ = write!(text, ", {} with known deviations", thousands(findings.reader.known()));
    }
    text
}

fn failed(findings: &Findings, strict: bool) -> String {
    let summary = findings.reader.summary();
    let groups = summary.passed + summary.failed;
    let cases: u64 = findings.groups.iter().map(crate::verdict::findings::Group::failed).sum();
    let mut parts = Vec::new();
    if summary.failed > 0 {
        let (cases, all) = (thousands(cases), counted(summary.cases, "case"));
        parts.push(format!("{} of {} failed, {cases} of {all}", summary.failed, counted(groups, "group")));
    }
    if strict && findings.reader.known() > 0 {
        let mut names: Vec<&str> =
            findings.groups.iter().flat_map(|group| &group.known).map(|known| known.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let shown = counted(findings.reader.known(), "case");
        parts.push(format!("{} in {shown} of {}, a failure by --strict", names.join(", "), thousands(summary.cases)));
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
        // The guest went away, or was, before the log was complete: how it ended tells more than the gap.
        (None, Some(BadLog::Cut | BadLog::NoLog), Source::Run(end)) => {
            let before = if bad == Some(BadLog::NoLog) { "its log began" } else { "the log's end record" };
            match end {
                End::PoweredOff => format!("the guest powered off before {before}"),
                End::Crashed(how) => format!("{} before {before}", how.trim_end_matches('.')),
                End::TimedOut(limit) => {
                    format!("the time limit of {} s was reached before {before}", limit.as_secs_f64())
                }
                End::Stopped => format!("the run was stopped before {before}"),
            }
        }
        (None, Some(bad), _) => bad.to_string(),
        (None, None, _) => "the log cannot be judged".into(),
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
    use crate::verdict::intake::{Intake, Limits};
    use crate::verdict::progress::Progress;
    use crate::vmm::{End, Sink};
    use spec::log::{Counts, Verdict, Writer};
    use std::time::Duration;

    const COUNTS: Counts = Counts { cases: 1000, failed: 0, known: 0, exits: 4, delivered: 3, tsc: 99, digest: 1 };

    fn log(body: impl FnOnce(&mut Writer<&mut String>)) -> String {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        body(&mut log);
        log.end();
        text
    }

    fn judged(text: &str, source: &Source, strict: bool) -> Judgement {
        let mut intake = Intake::new(Limits::FILE, None, Progress::none());
        let _ = intake.bytes(text.as_bytes());
        let (findings, stopped) = intake.finish();
        judge(&findings, stopped.as_deref(), source, strict)
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
        for end in [End::PoweredOff, End::Stopped, End::TimedOut(Duration::from_secs(1)), End::Crashed("x".into())] {
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
        let sentence = judged(cut, &Source::Run(End::Crashed("triple fault".into())), false).sentence;
        assert_eq!(sentence, "triple fault before the log's end record; last seen behind group filter.basic.long");
        assert!(judged(cut, &Source::File, false).sentence.contains("no end record"));
    }

    #[test]
    fn silence_and_noise_are_told_apart() {
        let silent = judged("", &Source::Run(End::PoweredOff), false);
        assert_eq!(silent.verdict, Verdict::Crash);
        assert_eq!(silent.sentence, "the guest powered off before its log began; nothing was written");
        let noisy = judged("SeaBIOS\nno bootable device", &Source::Run(End::Stopped), false);
        assert!(noisy.sentence.ends_with("last seen at the line 'no bootable device'"), "{}", noisy.sentence);
    }

    #[test]
    fn damage_is_named() {
        let garbled = passing().replace("# progress", "[  0.1] clocksource\n# progress");
        let Judgement { verdict, sentence } = judged(&garbled, &Source::Run(End::PoweredOff), false);
        assert_eq!(verdict, Verdict::Crash);
        assert!(sentence.starts_with("line 4 of the log is not maskmatch's"), "{sentence}");
        let changed = passing().replace("exits=4", "exits=5");
        assert!(judged(&changed, &Source::File, false).sentence.contains("checksum"));
    }

    #[test]
    fn strictness_names_the_deviation() {
        let text = log(|log| {
            log.plan(1);
            log.known(&"filter.basic.long", "rf0", 4, "a reason");
            log.result(1, &"filter.basic.long", &Counts { known: 4, ..COUNTS });
        });
        assert_eq!(judged(&text, &Source::File, false).verdict, Verdict::Pass);
        let Judgement { verdict, sentence } = judged(&text, &Source::File, true);
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(sentence, "rf0 in 4 cases of 1,000, a failure by --strict");
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
