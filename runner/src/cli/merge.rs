//! Options of `merge`.

use std::path::PathBuf;

use clap::Args;
use spec::manual::filter::Filter;

use crate::command::merge::wording::parse as parse_filter;

/// Options of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// L0's need. Given more than once, L0 needs every fault that any of them asks for; left out,
    /// none.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, conflicts_with = "survey")]
    pub l0: Vec<Filter>,
    /// L1's filter, as its vmcs12 has it.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, required_unless_present = "survey", conflicts_with = "survey")]
    pub l1: Option<Filter>,
    /// What vmcs02 has before: one of the policies does not always write it.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, default_value = "eb=0 mask=0 match=0")]
    pub before: Filter,
    /// Write merge.md and merge.svg: all of L1's filters against what hosts need.
    #[arg(long)]
    pub survey: bool,
    /// With `--survey`: the folder of both files.
    #[arg(long, value_name = "DIR", default_value = "docs", requires = "survey")]
    pub out: PathBuf,
}
