//! The result of a run: everything that the report and the kept results are made of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spec::log::Verdict;

use crate::verdict::account::{Accounts, Knowledge};
use crate::verdict::capture::Read;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::findings::Findings;
use crate::verdict::judge::{Judgement, Source, judge};
use crate::verdict::known::Tables;
use crate::verdict::subject::Subject;
use crate::vmm::Unavailable;

/// Where a log came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// What is under test, as the verdict line calls it. Empty if unknown.
    pub l0: String,
    /// The same, as known deviations depend on it.
    pub subject: Subject,
    /// Options of `run` that choose this host again, each with a space before it.
    pub options: String,
    /// What is known of hosts.
    #[serde(skip)]
    pub tables: Arc<Tables>,
    /// The image's command line, without what the host adds to it. `None` if the log was made
    /// elsewhere.
    pub asked: Option<String>,
    /// The result's place among others, if the host gives several.
    pub column: Option<Column>,
}

/// What differs between the results of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The host's name on the command line.
    pub l0: String,
    /// What runs, without its version, such as `KVM of Linux`.
    pub host: String,
    /// Its version in full.
    pub release: String,
    /// The parameters that it was asked to run with.
    pub set: String,
    /// The parameters in force that reports show. Empty if nothing is known.
    pub in_force: String,
}

/// What was measured apart from the log.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Instructions that the guest ran, if the VMM counts them.
    pub instructions: Option<u64>,
    /// Wall time of the run.
    pub seconds: Option<f64>,
}

/// Everything that is known after a run, or after a log was read.
pub struct RunResult {
    /// What the log says.
    pub findings: Findings,
    /// What is known of what differs.
    pub accounts: Accounts,
    /// What seems to be wrong with the host, if something is.
    pub conclusion: Option<Conclusion>,
    /// The verdict.
    pub judgement: Judgement,
    /// The judgement on each boot, if the log has several. All else is of the first with the worst
    /// verdict.
    pub boots: Vec<Judgement>,
    /// Why the log ends where it ends.
    pub source: Source,
    /// Whether known deviations are failures.
    pub strict: bool,
    /// Where the log came from.
    pub origin: Origin,
    /// What was measured apart from the log.
    pub measured: Measured,
    /// What the host itself logged that shows it in trouble.
    pub trouble: Vec<String>,
    /// The raw serial log, or `None` if it was written to its file as it came.
    pub raw: Option<Vec<u8>>,
    /// Why that file lacks some of the log, if it does.
    pub log_error: Option<String>,
}

impl RunResult {
    /// Judges what was read.
    pub fn new(
        (findings, stopped): Read,
        source: Source,
        strict: bool,
        origin: Origin,
        measured: Measured,
    ) -> Self {
        let findings = findings.answering(origin.asked.as_deref());
        let knowledge =
            Knowledge { tables: Arc::clone(&origin.tables), subject: origin.subject.clone() };
        let accounts = knowledge.accounts(&findings);
        let conclusion = Conclusion::of(&findings, &accounts);
        let judgement = judge(&findings, &accounts, stopped.as_deref(), &source, strict);
        let (boots, trouble, raw, log_error) = (Vec::new(), Vec::new(), None, None);
        Self {
            findings,
            accounts,
            conclusion,
            judgement,
            boots,
            source,
            strict,
            origin,
            measured,
            trouble,
            raw,
            log_error,
        }
    }

    /// Judges what was read of each boot, at least of one, by `judge`. The worst counts.
    pub fn of_boots(boots: Vec<Read>, mut judge: impl FnMut(Read) -> Self) -> Self {
        let total = boots.len();
        let mut results = boots.into_iter().map(&mut judge);
        // There is one: a capture without any log is judged too.
        let mut worst = results
            .next()
            .unwrap_or_else(|| Self::skipped(String::new(), false, Origin::default()));
        if total < 2 {
            return worst;
        }
        let (mut at, mut judgements) = (1, vec![worst.judgement.clone()]);
        for (number, result) in (2..).zip(results) {
            judgements.push(result.judgement.clone());
            if result.judgement.verdict > worst.judgement.verdict {
                (at, worst) = (number, result);
            }
        }
        let sentence = format!("boot {at} of {total}: {}", worst.judgement.sentence);
        Self { judgement: Judgement { sentence, ..worst.judgement }, boots: judgements, ..worst }
    }

    /// A skip: the host lacks what this run needs, so nothing was booted.
    pub fn skipped(why: String, strict: bool, origin: Origin) -> Self {
        Self {
            judgement: Judgement { verdict: Verdict::Skip, sentence: why },
            ..Self::new(<_>::default(), Source::Skipped, strict, origin, Measured::default())
        }
    }

    /// A skip: what was asked for is not available. It is in the JSON too, for those who wait for a
    /// result.
    pub fn unavailable(why: &Unavailable, strict: bool) -> Self {
        Self {
            source: Source::Unavailable,
            ..Self::skipped(why.to_string(), strict, Origin::default())
        }
    }

    /// The same with what L0's own kernel said that shows it in trouble: then it is no pass.
    pub fn in_trouble(mut self, trouble: Vec<String>) -> Self {
        if let Some(first) = trouble.first()
            && self.judgement.verdict < Verdict::Fail
        {
            self.judgement.verdict = Verdict::Fail;
            self.judgement.sentence = format!("L0's kernel is in trouble: {first}");
        }
        self.trouble = trouble;
        self
    }

    /// Whether what was asked for was there.
    pub fn is_available(&self) -> bool {
        self.source != Source::Unavailable
    }
}

/// The worst verdict. A skip does not change a pass, unless something that was asked for is not
/// available.
pub fn overall(results: &[RunResult]) -> Verdict {
    let verdicts = results.iter().map(|result| (result.judgement.verdict, result.is_available()));
    worst(&verdicts.collect::<Vec<_>>())
}

/// The worst of verdicts, each with whether what was asked for was available: see [`overall`].
pub fn worst(verdicts: &[(Verdict, bool)]) -> Verdict {
    let is_passed = |(verdict, _): &(Verdict, bool)| *verdict == Verdict::Pass;
    match verdicts.iter().map(|(verdict, _)| *verdict).max() {
        Some(Verdict::Skip)
            if verdicts.iter().any(is_passed)
                && verdicts.iter().all(|(_, is_available)| *is_available) =>
        {
            Verdict::Pass
        }
        worst => worst.unwrap_or(Verdict::Skip),
    }
}
