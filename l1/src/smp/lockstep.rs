//! `smp.filters`: what either processor does.

use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::smp::together::{MAX_STIMULI, stimuli};

use super::mailbox;
use super::vcpu::{Seen, SmpVcpu};

/// Makes all accesses, each when the other processor is as far.
pub fn play_all(
    vcpu: &mut SmpVcpu,
    processor: usize,
    maxphyaddr: Maxphyaddr,
    filter: Filter,
    number: u64,
    seen: &mut [Option<Seen>; MAX_STIMULI],
) {
    seen.fill(None);
    vcpu.set_filter(filter);
    let count = stimuli(maxphyaddr).count();
    let from = processor * count / 2;
    let order = stimuli(maxphyaddr)
        .enumerate()
        .skip(from)
        .chain(stimuli(maxphyaddr).enumerate().take(from));
    for (at, stimulus) in order {
        if !mailbox::meet(processor) {
            return;
        }
        seen[at] = Some(vcpu.play(&stimulus, number));
    }
}
