//! Options of VirtualBox in the lab.

use clap::Args;

use crate::lab::virtualbox::options::Options;

/// Options of VirtualBox in the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of VirtualBox in the lab")]
pub struct VboxArgs {
    /// Options of the virtual machine by the names of `VBoxManage modifyvm`, as in
    /// 'x86-vtx-vpid=off' or 'cpus=2 large-pages=off'. May be repeated: each is a run of its own. By
    /// default '', 'x86-vtx-vpid=off', and 'cpus=2'.
    #[arg(long, value_name = "NAME=VALUE ...")]
    pub vbox_options: Vec<Options>,
}
