//! Where known deviations must show, so that their absence says that the host was mended.

use super::walks::has_xd;
use super::{Deviation, Deviations};
use crate::catalogue::case::{Case, Probe};
use crate::catalogue::group::Group;
use crate::channel::Ask;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::scene::end::{EXIT_EPT_MISCONFIGURATION, End, Ends, How, Word};
use crate::scene::{Act, Scene};
use crate::walk::action::{OWN_MODE, uncorrected_pfec};
use crate::walk::host::Round;
use crate::walk::setting::BASE;

/// RFLAGS.PF and RFLAGS.ZF: what a comparison of equal elements sets.
const EQUAL: u64 = 1 << 2 | 1 << 6;

impl Deviation {
    /// Whether the deviation shows wherever it can, whatever ran before it and whoever makes the fault.
    const fn is_steady(self) -> bool {
        !matches!(
            self,
            Self::ApfFlag
                | Self::ApfEmulated
                | Self::ApfStale
                | Self::ApfLate
                | Self::PkeyAccess
                // Bochs before 2.8 hides it, and not every fault is of KVM's emulator.
                | Self::RfEmulated
                | Self::PkruAlone
                | Self::UcetLost
                | Self::NmiBlocked
                | Self::NmiKept
                | Self::RsvdHang
                // The exit before decides, to L1 or to L0 alone.
                | Self::IretUntold
                | Self::IretReblocked
                // Where iret-reblocked does not hide it.
                | Self::NmiExiting
                | Self::RsvdUd
                | Self::TripleKill
                | Self::DeliveryHang
                | Self::PaeInvlpg
                // Only where L0 has not mapped the page before.
                | Self::StepEarly
                // Unless its flag says that the fault is another.
                | Self::IdtLost
                | Self::DoubleFirst
        )
    }

    /// What stands in for what was seen, where the deviation takes a word from there.
    fn example(self, scene: &Scene, want: &Ends) -> Ends {
        let change = |end: End| match self {
            Self::RepFlags => {
                let compared = scene
                    .at_fault
                    .iter()
                    .any(|(word, value)| *word == Word::Rcx && *value != scene.register_at(Word::Rcx as usize));
                let flags = end.word(Word::Rflags);
                if compared { end.with(Word::Rflags, flags ^ EQUAL) } else { end }
            }
            Self::EptMisconfigQual if end.how == How::Exit(EXIT_EPT_MISCONFIGURATION) => {
                end.with(Word::Qualification, 1)
            }
            _ => end,
        };
        Ends { first: change(want.first), second: want.second.map(change) }
    }
}

impl Deviations {
    /// Whether a host with these deviations must show this one in a case that is played.
    #[must_use]
    pub fn must_show(self, deviation: Deviation, case: &Case, maxphyaddr: Maxphyaddr) -> bool {
        if !deviation.is_steady() || !deviation.shows_in(case.group) {
            return false;
        }
        match (deviation, case.group, case.probe) {
            // Of the shadow pages some are synced all the same, and not every entry is prefetched.
            // In events blocking by STI is lost only where L0 takes an exit of its own.
            (Deviation::PgdUnsynced | Deviation::ApicPrefetch, Group::Scene { .. }, _)
            | (Deviation::ShadowLost, Group::Scene { act: Act::Event, .. }, _) => false,
            // Where the fault replaces the exception, nothing is reported of that.
            (Deviation::Int1Db, ..) if self.contains(Deviation::IdtLost) => false,
            (_, Group::Scene { environment, .. }, Probe::Scene(scene)) => {
                let want = scene.expect(environment, case.filter, maxphyaddr);
                let shows = |deviation: Deviation| {
                    let ends = deviation.ends(case, maxphyaddr, &want, &deviation.example(scene, &want));
                    ends.is_some_and(|ends| !want.admits(&ends))
                };
                if deviation == Deviation::Rf0 {
                    // It comes with each other one, which is told.
                    let told = |other: Deviation| other != Deviation::Rf0 && other.is_steady() && shows(other);
                    let alone = !self.iter().any(told);
                    return alone && want.first.with_rf_clear() != want.first;
                }
                self.unplayable(case, maxphyaddr, &want).is_none() && shows(deviation)
            }
            (Deviation::Rf0, Group::Filter { .. }, _) => {
                case.pfec(maxphyaddr).is_some_and(|pfec| case.filter.exits(pfec))
            }
            (Deviation::NxStale, _, probe) => has_xd(probe) && case.pfec(maxphyaddr).is_some(),
            (Deviation::PgdUnsynced, Group::Host(_), _) => true,
            // Where both explain it, pgd-unsynced is told.
            (Deviation::ApicPrefetch, _, Probe::Host(access)) => {
                access.round == Round::Again && !self.contains(Deviation::PgdUnsynced)
            }
            (Deviation::CpuidVmcs02, Group::Action(action), Probe::Stimulus(stimulus)) => {
                let Filter { mask, matching, .. } = case.filter;
                let to_l2 = |pfec| !Filter::new(true, mask, matching).exits(pfec);
                action.ask == Ask::MoveThenNarrow && uncorrected_pfec(&stimulus, BASE.mode).is_some_and(to_l2)
            }
            (Deviation::CpuidVmcs01, _, Probe::Own(stimulus)) => uncorrected_pfec(&stimulus, OWN_MODE).is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::case::Case;
    use crate::deviation::{Deviation, Deviations, Host};

    #[test]
    fn deviations_must_show_where_they_change_what_is_seen_and_are_told() {
        let bochs = Deviations::of(Host::Bochs { major: 2, minor: 7 });
        let kvm = |ept, smaller_maxphyaddr| {
            bochs.union(Deviations::of(Host::Kvm { ept, smaller_maxphyaddr, major: 6, minor: 1 }))
        };
        // It does not play what would hang.
        let old = Deviations::of(Host::Kvm { ept: true, smaller_maxphyaddr: true, major: 5, minor: 10 });
        let unsynced = Deviations::of(Host::Kvm { ept: false, smaller_maxphyaddr: false, major: 5, minor: 10 });
        let (ept, shadowing, smaller) = (kvm(true, false), kvm(false, false), kvm(true, true));
        for (known, deviation, id, must) in [
            (bochs, Deviation::Rf0, "filter.basic.long:user-read-np-pte:1,0,0", true),
            (bochs, Deviation::Rf0, "filter.basic.long:user-read-np-pte:1,0,1", false),
            (bochs, Deviation::Rf0, "access.long:user-mov-read-np:1,0,0", true),
            (bochs, Deviation::Rf0, "access.long:user-mov-read-np:1,0,1", false),
            (bochs, Deviation::Rf0, "state.long:tf-mov-ss:1,0,0", false),
            (shadowing, Deviation::NxStale, "filter.each.long-nx0:user-read-user-nx:1,0,0", true),
            (shadowing, Deviation::NxStale, "filter.each.long:user-fetch-np-pte:1,0,0", false),
            (shadowing, Deviation::NxStale, "filter.each.long:user-fetch-user-nx:1,0,0", false),
            (shadowing, Deviation::ApicPrefetch, "host.apic:user-read-again:1,0,0", true),
            (shadowing, Deviation::ApicPrefetch, "host.device:user-read-again:1,0,0", false),
            (unsynced, Deviation::ApicPrefetch, "host.apic:user-read-again:1,0,0", false),
            (unsynced, Deviation::PgdUnsynced, "host.apic:user-read-again:1,0,0", true),
            (smaller, Deviation::CpuidVmcs02, "action.cpuid-narrow-restored:super-write-rsvd-ro-pte:1,8,8", true),
            (smaller, Deviation::CpuidVmcs02, "action.cpuid-narrow-restored:super-write-rsvd-ro-pte:1,0,0", false),
            (smaller, Deviation::CpuidVmcs01, "action.cpuid-narrow-restored:own-super-write-rsvd-ro-pte:1,0,0", true),
            (shadowing, Deviation::LegacyId, "page.legacy-off:user-fetch-np-pde:1,0,0", true),
            (shadowing, Deviation::LegacyId, "page.legacy-off:user-read-np-pde:1,0,0", false),
            (bochs, Deviation::RepFlags, "strings.long:cmps-second-mid:1,0,0", true),
            (bochs, Deviation::RepFlags, "strings.long:movs-source-mid:1,0,0", false),
            (ept, Deviation::InsBatch, "ports.long:ins-mid:1,0,0", true),
            (ept, Deviation::InsBatch, "ports.long:ins-first:1,0,0", false),
            (ept, Deviation::CrossWrite, "forced.long:write-cross:1,0,0", true),
            (bochs, Deviation::EptAdRead, "ept.long-ept-ad:read-pt:1,0,0", true),
            (bochs, Deviation::EptAdRead, "ept.long-ept-ad:read-page:1,0,0", false),
            (bochs, Deviation::EptFlagWrite, "ept.long-ept:read-clean-pd:1,0,0", true),
            (bochs, Deviation::EptFlagWrite, "ept.long-ept:read-pd:1,0,0", false),
            (ept, Deviation::EptMisconfigQual, "ept.long-ept:read-page-rsvd:1,0,0", true),
            (ept, Deviation::EptMisconfigQual, "ept.long-ept:write-page-ro:1,0,0", false),
            (ept, Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,0", true),
            (ept, Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,1", false),
            (bochs, Deviation::ShadowLost, "state.long:sti:1,0,0", true),
            (bochs, Deviation::ShadowLost, "state.long:sti:1,0,1", false),
            (bochs, Deviation::ShadowLost, "state.long:nmi-blocked:1,0,0", false),
            (old, Deviation::NmiOpen, "event.long:nmi-idt-np:1,0,0", false),
            // Not where L0 maps the page first.
            (ept, Deviation::IretReblocked, "state.long:iret-unblocks:1,0,0", false),
            (ept, Deviation::NmiExiting, "state.long:iret-nmi-exiting:1,0,0", false),
            (shadowing, Deviation::NmiBit12, "state.long:nmi-blocked:1,0,0", true),
            (shadowing, Deviation::NmiBit12, "state.long:nmi-blocked:1,0,1", false),
            (ept, Deviation::Int1Db, "event.long:int1-idt-np:1,0,0", true),
            (old, Deviation::Int1Db, "event.long:int1-idt-np:1,0,0", false),
            (ept, Deviation::Int1Lost, "inject.long:int1-idt-np:1,0,0", true),
            (ept, Deviation::Int1Lost, "inject.long:int3-idt-np:1,0,0", false),
            // Not in every run.
            (bochs, Deviation::NmiBlocked, "state.long:sti:1,0,0", false),
        ] {
            let case = Case::from_id(id).expect(id);
            assert_eq!(known.must_show(deviation, &case, 40), must, "{deviation:?} {id}");
        }
    }
}
