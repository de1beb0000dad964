//! Two processors at once, see [`spec::smp`]: the first runs the groups and judges, the second does
//! the jobs that it gets by the [`mailbox`].
//!
//! The second processor touches its own [`vcpu::SmpVcpu`], its own descriptor tables and VMX
//! regions, the mailbox and what the L2s share, and nothing else of L1. It is started for a group
//! and halted after it.

mod code;
pub mod group;
mod lockstep;
mod mailbox;
mod memory;
pub mod pair;
mod second;
mod start;
mod vcpu;

use crate::vmx::Region;

/// The VMCS of each processor.
static VMCS_REGIONS: [Region; 2] = [const { Region::new() }; 2];

const _: () = {
    use spec::manual::paging::Access;
    assert!(
        Access::Read as usize == 0 && Access::Write as usize == 1 && Access::Fetch as usize == 2
    );
};
