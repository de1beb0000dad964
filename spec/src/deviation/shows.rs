//! Where known deviations show.

use super::Deviation;
use crate::catalogue::group::Group;
use crate::channel::Ask;
use crate::scene::Act;
use crate::walk::action::{Event, Then};
use crate::walk::host::Wish;

impl Deviation {
    /// Whether the deviation can show in a group.
    #[must_use]
    pub fn shows_in(self, group: Group) -> bool {
        match (self, group) {
            (Self::Rf0 | Self::ApfFlag, Group::Filter { .. } | Group::Scene { .. } | Group::Smp(_))
            | (Self::ApicPrefetch, Group::Host(Wish::Apic) | Group::Scene { act: Act::Event, .. })
            | (Self::EptMisconfigQual, Group::Scene { act: Act::Ept | Act::Unpaged, .. })
            | (Self::NmiOpen, Group::Scene { act: Act::Ept | Act::Event, .. })
            | (Self::ApfEmulated, Group::Scene { act: Act::Device | Act::Ports | Act::Forced, .. })
            | (Self::NmiBlocked, _) => true,
            (Self::RfEmulated, Group::Scene { act, .. }) => {
                matches!(act, Act::Device | Act::Ports | Act::Forced | Act::Tlb)
            }
            (Self::RepFlags, Group::Scene { act, .. }) => act == Act::Strings,
            (Self::InsBatch, Group::Scene { act, .. }) => act == Act::Ports,
            (Self::CrossWrite, Group::Scene { act, .. }) => act == Act::Forced,
            (Self::PkeyAccess | Self::PkruAlone, Group::Scene { act, .. }) => act == Act::Pkey,
            (Self::UcetLost, Group::Scene { act, .. }) => act == Act::Shadow,
            (Self::RsvdUd, Group::Scene { act, .. }) => act == Act::Implicit,
            (
                Self::NmiKept
                | Self::IretReblocked
                | Self::IretUnreported
                | Self::IretUntold
                | Self::NmiExiting
                | Self::NmiBit12,
                Group::Scene { act, .. },
            ) => act == Act::State,
            (Self::ShadowLost | Self::StepEarly, Group::Scene { act, .. }) => matches!(act, Act::Event | Act::State),
            (Self::IdtLost | Self::DoubleFirst, Group::Scene { act, .. }) => matches!(act, Act::Event | Act::Inject),
            (Self::Int1Db, Group::Scene { act, .. }) => act == Act::Event,
            (Self::Int1Lost, Group::Scene { act, .. }) => act == Act::Inject,
            (Self::PgdUnsynced, Group::Scene { act, .. }) => act == Act::Tlb,
            (Self::PgdUnsynced, Group::Host(wish)) => wish != Wish::Dirty,
            (Self::NxStale, Group::Filter { setting, .. }) => !setting.mode.nxe,
            // On the running vCPU later versions than 5.10 refuse the change.
            (Self::CpuidVmcs02, Group::Action(action)) => {
                matches!(action.ask, Ask::MoveThenNarrow | Ask::MoveThenWiden) && action.then != Then::WriteMask
            }
            (Self::ApfStale, Group::Action(action)) => action.has_pending_fault(),
            (Self::ApfLate, Group::Action(action)) => action.event == Some(Event::AsyncFaults),
            (Self::CpuidVmcs01, Group::Action(action)) => action.ask == Ask::MoveThenNarrow,
            (Self::LegacyId, Group::Scene { environment, .. }) => {
                !environment.format.has_xd() && environment.mode.nxe && !environment.mode.smep
            }
            (Self::EptAdRead, Group::Scene { act: Act::Ept, environment }) => environment.ept.is_some_and(|ept| ept.ad),
            (Self::EptFlagWrite, Group::Scene { act: Act::Ept, environment }) => {
                environment.ept.is_some_and(|ept| !ept.ad)
            }
            _ => false,
        }
    }
}
