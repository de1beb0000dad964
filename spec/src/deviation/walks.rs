//! What known deviations explain of accesses on a walk: groups `filter.*`, `host.*`, `action.*` and `smp.*`.

use super::Deviation;
use crate::catalogue::case::{Case, Probe};
use crate::catalogue::group::Group;
use crate::channel::Ask;
use crate::manual::filter::Filter;
use crate::manual::paging::Entry;
use crate::scene::expect::NMI_UNBLOCKED;
use crate::walk::action::{Event, OWN_MODE, Then, uncorrected_pfec};
use crate::walk::outcome::{Delivery, Exit, INTERRUPTION_INFO_PF, Observed, Outcome, RFLAGS_RF};
use crate::walk::page::PAGES;
use crate::walk::setting::BASE;

impl Deviation {
    /// Whether the deviation, and nothing else, makes the difference between what must be and what was.
    #[must_use]
    pub fn explains(self, case: &Case, want: &Observed, got: &Observed) -> bool {
        match self {
            Self::Rf0 => {
                let rf_clear = |exit: Exit| Exit { rflags: exit.rflags & !RFLAGS_RF, ..exit };
                want.exit.is_some() && *got == Observed { exit: want.exit.map(rf_clear), ..*want }
            }
            Self::NxStale => {
                self.shows_in(case.group) && has_xd(case.probe) && *got == Observed::exactly(Outcome::Silent)
            }
            Self::NmiBlocked => match (want.exit, case.group, case.probe) {
                (Some(exit), ..) => {
                    let rf = got.exit.map_or(exit.rflags, |got| got.rflags | RFLAGS_RF);
                    let unblocked = Exit { info: exit.info | NMI_UNBLOCKED, rflags: rf, ..exit };
                    let got_rf = got.exit.map(|got| Exit { rflags: got.rflags | RFLAGS_RF, ..got });
                    Observed { exit: got_rf, ..*got } == Observed { exit: Some(unblocked), ..*want }
                        && exit.rflags == rf
                }
                (None, Group::Action(action), Probe::Event) => {
                    let late = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
                    action.event == Some(Event::Nmi) && *got == late
                }
                _ => false,
            },
            Self::CpuidVmcs02 => match (case.group, case.probe) {
                (Group::Action(action), Probe::Stimulus(stimulus)) if action.then != Then::WriteMask => {
                    match action.ask {
                        // MASK and MATCH stay vmcs12's, EB.PF is 1: hardware gives to L2 what they do not take.
                        Ask::Narrow | Ask::MoveThenNarrow => {
                            let Filter { mask, matching, .. } = case.filter;
                            uncorrected_pfec(&stimulus, BASE.mode).is_some_and(|pfec| {
                                !Filter::new(true, mask, matching).exits(pfec)
                                    && is_taken(want, got, Taken::Delivered, pfec.bits().into())
                            })
                        }
                        // MASK and MATCH stay 0, EB.PF is vmcs12's.
                        Ask::Widen | Ask::MoveThenWiden => {
                            let taken = if case.filter.eb_pf { Taken::Exited } else { Taken::Delivered };
                            error_code(want).is_some_and(|code| is_taken(want, got, taken, code))
                        }
                        _ => false,
                    }
                }
                _ => false,
            },
            Self::CpuidVmcs01 => match (case.group, case.probe) {
                (Group::Action(action), Probe::Own(stimulus)) => {
                    matches!(action.ask, Ask::Narrow | Ask::MoveThenNarrow)
                        && uncorrected_pfec(&stimulus, OWN_MODE)
                            .is_some_and(|pfec| is_taken(want, got, Taken::Delivered, pfec.bits().into()))
                }
                _ => false,
            },
            Self::ApfFlag => is_flagged(case, want, got),
            Self::ApfLate => {
                case.probe == Probe::Event
                    && self.shows_in(case.group)
                    && got.exit.is_some()
                    && *got == Observed { exits: 1, exit: got.exit, ..*want }
            }
            Self::ApfStale => case.probe == Probe::Event && self.shows_in(case.group) && is_stale(want, got),
            // They show in scenes alone.
            Self::ApfEmulated
            | Self::TripleKill
            | Self::PaeInvlpg
            | Self::DeliveryHang
            | Self::IdtLost
            | Self::DoubleFirst
            | Self::IretUnreported
            | Self::RfEmulated
            | Self::IretUntold
            | Self::LegacyId
            | Self::RepFlags
            | Self::InsBatch
            | Self::CrossWrite
            | Self::PkeyAccess
            | Self::PkruAlone
            | Self::UcetLost
            | Self::RsvdUd
            | Self::EptAdRead
            | Self::EptFlagWrite
            | Self::EptMisconfigQual
            | Self::ShadowLost
            | Self::StepEarly
            | Self::NmiKept
            | Self::NmiOpen
            | Self::IretReblocked
            | Self::NmiExiting
            | Self::NmiBit12
            | Self::Int1Db
            | Self::Int1Lost
            | Self::RsvdHang => false,
            Self::PgdUnsynced | Self::ApicPrefetch => {
                let without_effect = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
                self.shows_in(case.group) && *got == without_effect
            }
        }
    }
}

/// Which way a fault went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Exited,
    Delivered,
}

/// Whether the entry of the page under test has bit 63 set.
pub(super) fn has_xd(probe: Probe) -> bool {
    match probe {
        Probe::Stimulus(stimulus) => PAGES[stimulus.page].entry(36) & Entry::XD.bits() != 0,
        Probe::Host(_) | Probe::Own(_) | Probe::Event | Probe::Scene(_) | Probe::Smp(_) => false,
    }
}

/// The error code of the fault that must be.
fn error_code(want: &Observed) -> Option<u64> {
    want.exit.map(|exit| exit.error_code).or(want.delivery.map(|delivery| delivery.error_code))
}

/// Whether a fault that L0 made for L2 is right but for being an exit. CR2 is L1's to compare.
fn is_flagged(case: &Case, want: &Observed, got: &Observed) -> bool {
    // An async page fault has its address where a save does not find it: restored while it is pending, the fault is an
    // ordinary one that has the address of L1's CR2 if it exits, else leaves L2's CR2 as it was.
    if matches!(case.group, Group::Action(action) if action.ask == Ask::MovesOn) {
        if let (Some(exit), Some(seen)) = (want.exit, got.exit) {
            let stale = Exit { qualification: exit.cr2, rflags: seen.rflags, ..exit };
            return seen.rflags | RFLAGS_RF == exit.rflags && *got == Observed { exit: Some(stale), ..*want };
        }
        if let (Some(delivery), Some(seen)) = (want.delivery, got.delivery) {
            let stale = Delivery { cr2: seen.cr2, ..delivery };
            return *got == Observed { delivery: Some(stale), ..*want };
        }
    }
    let (Some(delivery), Some(exit)) = (want.delivery, got.exit) else { return false };
    let expected = Exit {
        info: INTERRUPTION_INFO_PF,
        error_code: delivery.error_code,
        qualification: delivery.cr2,
        rip: delivery.rip,
        rflags: exit.rflags,
        idt_vectoring: 0,
        cr2: exit.cr2,
    };
    exit.rflags | RFLAGS_RF == delivery.rflags && *got == Observed::exactly(Outcome::Exit(expected))
}

/// Whether the fault that must be exited with the token of an asynchronous one in place of its address.
fn is_stale(want: &Observed, got: &Observed) -> bool {
    let address = want.exit.map(|exit| exit.qualification).or(want.delivery.map(|delivery| delivery.cr2));
    let addressed = |qualification| got.exit.map(|exit| Exit { qualification, ..exit });
    let got = address.map(|address| Observed { exit: addressed(address), ..*got });
    error_code(want).zip(got).is_some_and(|(code, got)| is_taken(want, &got, Taken::Exited, code))
}

/// Whether the fault that must be went this way instead, with this error code and all else right. CR2 of an exit
/// and CS of a delivery are not known where the other was to be.
fn is_taken(want: &Observed, got: &Observed, taken: Taken, error_code: u64) -> bool {
    let Some((address, rip, rflags)) = want
        .exit
        .map(|exit| (exit.qualification, exit.rip, exit.rflags))
        .or(want.delivery.map(|delivery| (delivery.cr2, delivery.rip, delivery.rflags)))
    else {
        return false;
    };
    match (taken, got.exit, got.delivery) {
        (Taken::Exited, Some(exit), None) => {
            let info = INTERRUPTION_INFO_PF;
            let rf_aside = exit.rflags | RFLAGS_RF == rflags;
            let exit = Exit { info, error_code, qualification: address, rip, idt_vectoring: 0, ..exit };
            rf_aside && *got == Observed::exactly(Outcome::Exit(exit))
        }
        (Taken::Delivered, None, Some(delivery)) => {
            let cs = want.delivery.map_or(delivery.cs, |delivery| delivery.cs);
            let delivery = Delivery { error_code, cr2: address, rip, cs, rflags };
            *got == Observed::exactly(Outcome::Delivered(delivery))
        }
        _ => false,
    }
}
