//! The form of results, which `--json` writes: everything that the report has, and every failing
//! case of the log. `list --schema` prints its JSON Schema, docs/results.schema.json.
//!
//! Fields may be added, never changed. If one must change, [`SCHEMA`] does.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use crate::verdict::account::{GroupVerdict, Way};
use crate::verdict::exit_code::Exit;
use crate::verdict::findings::{Failure, Incomplete};
use crate::verdict::known::Party;
use crate::verdict::result::worst;
use crate::verdict::subject::Product;

/// The version of this form.
pub const SCHEMA: u32 = 1;

/// The JSON Schema of [`Results`].
pub fn schema() -> String {
    // A schema is maps, lists and strings: nothing in it can fail to be written.
    serde_json::to_string_pretty(&schema_for!(Results)).unwrap_or_default() + "\n"
}

/// What a command with a verdict found, on one host or on many.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the form has this key")]
pub struct Results {
    /// The version of this form.
    pub schema: u32,
    /// The version of maskmatch that wrote it.
    pub maskmatch: String,
    /// When it was written, in UTC.
    pub made: DateTime<Utc>,
    /// The command line, without the program's name.
    pub command: Vec<String>,
    /// The worst verdict. A skip does not change a pass, unless something that was asked for is not
    /// available.
    pub verdict: Verdict,
    /// The exit code that belongs to the verdict.
    pub exit_code: u8,
    /// A result for each host, version and parameter set.
    pub results: Vec<HostResult>,
}

/// What was found on one host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostResult {
    /// What is tested, the same in every run: product, version and parameter set, as in `kvm 6.1
    /// ept=0`.
    pub name: String,
    /// When it was made, in UTC.
    pub made: DateTime<Utc>,
    /// What is tested, in full.
    pub l0: String,
    /// The kernel's or the hypervisor's full version, if the host has several.
    pub release: Option<String>,
    /// The parameters that it was asked to run with, if the host has such.
    pub params: Option<String>,
    /// The emulated processor below the host.
    pub processor: Option<Product>,
    /// The host, with the parameters in force. If it is null, the processor is under test.
    pub host: Option<Product>,
    /// Options of `run` and `replay` that choose this host again.
    pub options: String,
    /// How much was tried: quick, standard or exhaustive, if the log says so.
    pub profile: Option<String>,
    /// Whether known deviations of the host are failures.
    pub strict: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code that belongs to the verdict.
    pub exit_code: u8,
    /// What follows the verdict's word: counts, or a sentence.
    pub sentence: String,
    /// What seems to be wrong with the host, if anything is.
    pub conclusion: Option<Conclusion>,
    /// Whether what was asked for was there.
    pub available: bool,
    /// The version in the log.
    pub version: Option<String>,
    /// Whether the log is whole and can be believed.
    pub log_sound: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// Each boot of a capture of several. All else is of the first with the worst verdict.
    pub boots: Vec<Boot>,
    /// What the log's header says of processor, host and options.
    pub facts: BTreeMap<String, String>,
    /// The groups in the order in which they ran.
    pub groups: Vec<GroupResult>,
    /// Known deviations that had to show and did not.
    pub unexpected_passes: Vec<String>,
    /// What `bench` measured.
    pub prices: Vec<Price>,
    /// What is wrong in maskmatch itself.
    pub errors: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
    /// What the host's own kernel logged that shows it in trouble.
    pub kernel_trouble: Vec<String>,
    /// How the guest ended. Null for a log from a file, and where there was none.
    pub end: Option<GuestEnd>,
    /// Instructions that the guest ran, if the VMM counts them.
    pub instructions: Option<u64>,
    /// Wall time of the run.
    pub seconds: Option<f64>,
}

/// What was found in one group. Its counts are null unless it ran.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupResult {
    /// Its name.
    pub name: String,
    /// How it came out.
    pub verdict: GroupVerdict,
    /// Cases that ran.
    pub cases: Option<u64>,
    /// Cases that are not as the manual says.
    pub differing: Option<u64>,
    /// Those of them that are not known.
    pub failed: Option<u64>,
    /// Those with known deviations of what is tested.
    pub known: Option<u64>,
    /// Those with known deviations of the emulated processor below it.
    pub known_of_processor: Option<u64>,
    /// Page faults that exited to L1.
    pub exits: Option<u64>,
    /// Page faults that L2 got.
    pub delivered: Option<u64>,
    /// Ticks of the time stamp counter. Inside Bochs it counts instructions.
    pub tsc: Option<u64>,
    /// A digest of everything that was seen, as 8 hexadecimal digits.
    pub digest: Option<String>,
    /// Why it was skipped.
    pub skip_reason: Option<String>,
    /// The conclusion's causes, if they explain the group.
    pub suspects: Vec<String>,
    /// Failing cases in full: the first of each kind.
    pub failures: Vec<Failure>,
    /// The known deviations that were seen.
    pub known_deviations: Vec<KnownDeviation>,
    /// Each way in which cases differ.
    pub differences: Vec<Way>,
    /// Cases that came to no end.
    pub incomplete: Vec<Incomplete>,
}

/// What seems to be wrong with the host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Conclusion {
    /// Causes as docs/log.md names them, one of which explains the run. Empty if `sentence` is of a
    /// kind of difference.
    pub causes: Vec<String>,
    /// What is wrong, in words.
    pub sentence: String,
    /// How many failing groups it explains, or has a part in.
    pub groups: usize,
    /// How many groups fail.
    pub failing: usize,
}

/// A known deviation in a group.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KnownDeviation {
    /// Its name.
    pub name: String,
    /// Whose fault it is.
    pub of: Party,
    /// Cases of the group that show it.
    pub cases: u64,
    /// What is wrong, and what the manual requires.
    pub reason: String,
}

/// The judgement on one boot of a capture.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Boot {
    /// The verdict.
    pub verdict: Verdict,
    /// What follows its word.
    pub sentence: String,
}

/// What a walk of `bench` cost.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// L1's filter.
    pub filter: String,
    /// The access that raised the faults. Null for a bare round trip.
    pub stimulus: Option<String>,
    /// Faults that exited to L1.
    pub exits: u64,
    /// Faults that L2 got.
    pub delivered: u64,
    /// Ticks of the time stamp counter.
    pub tsc: u64,
    /// VM exits that L0 took. Null where the VMM does not count.
    pub l0_exits: Option<u64>,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What is tested is right, but for known deviations.
    Pass,
    /// It is wrong.
    Fail,
    /// Nothing could be run, or too little to judge.
    Skip,
    /// maskmatch itself is wrong.
    Error,
    /// There is no complete log.
    Crash,
}

/// How the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuestEnd {
    /// It powered off.
    PoweredOff,
    /// It crashed, or its VMM did.
    Crashed,
    /// The time limit was reached.
    TimedOut,
    /// maskmatch stopped it: the log was complete or flooded.
    Stopped,
}

impl Results {
    /// These results as one: the verdict is the worst.
    pub fn of(made: DateTime<Utc>, command: Vec<String>, results: Vec<HostResult>) -> Self {
        let verdict = worst(
            &results.iter().map(|one| (one.verdict.into(), one.available)).collect::<Vec<_>>(),
        );
        Self {
            schema: SCHEMA,
            maskmatch: env!("CARGO_PKG_VERSION").into(),
            made,
            command,
            verdict: verdict.into(),
            exit_code: Exit::from(verdict) as u8,
            results,
        }
    }
}

impl Verdict {
    /// Its word.
    pub fn word(self) -> &'static str {
        spec::log::Verdict::from(self).name()
    }
}

impl From<spec::log::Verdict> for Verdict {
    fn from(verdict: spec::log::Verdict) -> Self {
        match verdict {
            spec::log::Verdict::Pass => Self::Pass,
            spec::log::Verdict::Fail => Self::Fail,
            spec::log::Verdict::Skip => Self::Skip,
            spec::log::Verdict::Error => Self::Error,
            spec::log::Verdict::Crash => Self::Crash,
        }
    }
}

impl From<Verdict> for spec::log::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Skip => Self::Skip,
            Verdict::Error => Self::Error,
            Verdict::Crash => Self::Crash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn the_published_schema_is_current() {
        let published = include_str!("../../../docs/results.schema.json");
        let current = schema();
        assert!(
            published == current,
            "write it anew: maskmatch list --schema > docs/results.schema.json"
        );
    }
}
