//! Options of `list` and `explain`.

use clap::Args;
use spec::catalogue::case::Case;
use spec::catalogue::plan::Profile;

use super::value::{case, glob, profile};

/// Options of `list`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct ListArgs {
    /// Which groups: a pattern in which `*` stands for anything and `?` for one character; may be
    /// repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub filter: Vec<String>,
    /// Which groups or cases not: a pattern as for `run`; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub exclude: Vec<String>,
    /// How much is tried.
    #[arg(long, value_parser = profile, default_value = "standard", value_name = "quick|standard|exhaustive")]
    pub profile: Profile,
    /// Every case's id, one a line.
    #[arg(long, conflicts_with = "stimuli")]
    pub cases: bool,
    /// Every stimulus, with the error code of the fault that must arise.
    #[arg(long)]
    pub stimuli: bool,
    /// Everything, as docs/catalogue.md has it.
    #[arg(long, conflicts_with_all = ["stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub catalogue: bool,
    /// The known deviations that are built in, as docs/known-deviations.md has them.
    #[arg(long, conflicts_with_all = ["catalogue", "stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub known: bool,
    /// The evidence for each of them, as docs/evidence.md has it.
    #[arg(long, conflicts_with_all = ["known", "catalogue", "stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub evidence: bool,
    /// The manual's sections that are cited, as docs/sections.md has them.
    #[arg(long, conflicts_with_all = ["evidence", "known", "catalogue", "stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub sections: bool,
    /// The form of results, as docs/results.schema.json has it: a JSON Schema of what `--json` writes.
    #[arg(long, conflicts_with_all = ["sections", "evidence", "known", "catalogue", "stimuli", "cases", "filter", "exclude", "profile", "maxphyaddr"])]
    pub schema: bool,
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The case's id.
    #[arg(value_name = "ID", value_parser = case)]
    pub case: Case,
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

/// What the stimuli depend on in the processor.
#[derive(Clone, Copy, Debug, Args)]
pub struct ProcessorArgs {
    /// Physical-address width of the processor: which address bits are reserved.
    #[arg(long, value_name = "BITS", default_value_t = 40, value_parser = clap::value_parser!(u8).range(36..=52))]
    pub maxphyaddr: u8,
}
