//! Options of Xen in the lab.

use std::path::PathBuf;

use clap::Args;

/// Options of Xen in the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of Xen in the lab")]
pub struct XenArgs {
    /// A hypervisor of your own: xen or xen.gz.
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    pub xen_image: Option<PathBuf>,
    /// Options of Xen's, as in 'vpid=0' or 'hap_1gb=0 hap_2mb=0'. May be repeated: each is a run of
    /// its own. By default '', 'ept=no-ad', 'vpid=0', and 'hap_1gb=0 hap_2mb=0'.
    #[arg(long, value_name = "NAME=VALUE ...", allow_hyphen_values = true)]
    pub xen_options: Vec<String>,
    /// A domain of its own for each group. By default all groups run in one, where what one leaves
    /// behind shows in the next.
    #[arg(long)]
    pub isolate: bool,
}
