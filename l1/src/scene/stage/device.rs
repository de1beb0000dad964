//! What L2 has at [`Place::Device`](spec::scene::place::Place::Device): the device, L1's local APIC, or a page table.

use spec::channel::DEVICE_PAGE;
use spec::scene::Scene;
use spec::scene::event::Sender;

use super::{ept, tables};
use crate::machine::apic::Apic;
use crate::walk::walker::EntryFailed;

/// Maps what a scene wants.
pub fn map(scene: &Scene, apic: Option<Apic>) -> Result<(), EntryFailed> {
    let by_guest = scene.pending.is_some_and(|pending| pending.by == Sender::Guest);
    let page = match (scene.table, apic) {
        (Some(level), _) => tables::table(level),
        (None, Some(apic)) if by_guest => apic.page(),
        (None, _) => DEVICE_PAGE,
    };
    ept::set_device(page).map_err(EntryFailed::Entry)
}
