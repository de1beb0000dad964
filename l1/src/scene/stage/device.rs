//! What L2 has at [`Place::Device`](spec::scene::place::Place::Device): the device, L1's local
//! APIC, or a page table.

use spec::channel::DEVICE_PAGE;
use spec::scene::Scene;
use spec::scene::event::Sender;

use super::tables;
use crate::machine::apic::Apic;

/// The physical address of what a scene needs.
pub fn page(scene: &Scene, apic: Option<Apic>) -> u64 {
    let by_guest = scene.pending.is_some_and(|pending| pending.by == Sender::Guest);
    match (scene.table, apic) {
        (Some(level), _) => tables::table(level),
        (None, Some(apic)) if by_guest => apic.page(),
        (None, _) => DEVICE_PAGE,
    }
}
