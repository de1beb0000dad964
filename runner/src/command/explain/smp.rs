//! The explanation of a case on two processors.

use std::fmt::Write;

use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::manual::section::Section;
use spec::smp::case::{SmpCase, SmpProbe};
use spec::smp::shootdown::{Moment, Shot, State, shot_address};
use spec::smp::together::Together;
use spec::walk::setting::BASE;

use super::sentences::{access, cite, does, level_name, outcome, privilege, rule};
use crate::command::list::bits;

/// What the two L2s do, under which filters, and what must be seen on the processor that the case
/// is about.
pub fn explain(text: &mut String, SmpCase { probe, filter }: &SmpCase, maxphyaddr: Maxphyaddr) {
    match probe {
        SmpProbe::Together(together) => explain_together(text, together, *filter, maxphyaddr),
        SmpProbe::Shot(shot) => explain_shot(text, shot, *filter, maxphyaddr),
    }
}

fn explain_together(text: &mut String, case: &Together, filter: Filter, maxphyaddr: Maxphyaddr) {
    let Together { partner, processor, stimulus } = case;
    let number = *processor as u32;
    let partner = partner.filter(filter);
    let _ = writeln!(
        text,
        "Two processors, each with an L1, an L2, page tables and a VMCS of its own, make all accesses of the group at the\n\
         same time. L1's filter is {filter} on processor 0 and {partner} on processor 1. This case is about processor {number}.\n\
         A VMCS is one processor's own."
    );
    cite(text, &[Section::VMCS]);
    let _ = writeln!(text);
    access(text, stimulus, BASE, maxphyaddr);
    let pfec = stimulus.pfec(BASE, maxphyaddr);
    if let Some(pfec) = pfec {
        let _ = writeln!(
            text,
            "\nThe access raises #PF with error code {:#04x}: {}.",
            pfec.bits(),
            bits(pfec)
        );
    }
    let own = case.filter(filter);
    rule(text, own, pfec);
    outcome(text, own, stimulus, BASE, pfec);
}

fn explain_shot(text: &mut String, shot: &Shot, filter: Filter, maxphyaddr: Maxphyaddr) {
    let Shot { change, moment } = shot;
    let level = level_name(change.level);
    let told = match moment {
        Moment::Before => "sees a flag that is set after the change, and invalidates nothing yet",
        Moment::After => "sees a flag that is set after the change, and executes INVLPG",
        Moment::Interrupt => {
            "gets an interrupt that is sent after the change, and executes INVLPG in its handler"
        }
    };
    let (old, new) =
        (change.entry(change.level, State::Old), change.entry(change.level, State::New));
    let _ = writeln!(
        text,
        "The L2s of two processors have the same page tables. Processor 1's uses a page, if its tables allow it; processor 0's\n\
         changes the page's {level} from {old:#x} to {new:#x} (its address aside). Processor 1's L2 {told}.\n\
         Then it, in {}, {} {:#x}.",
        privilege(change.privilege),
        does(change.access),
        shot_address(*moment),
    );
    cite(text, &[Section::INVALIDATION, Section::PROPAGATION]);
    let name = |state| {
        change.pfec(state, maxphyaddr).map_or("silence".into(), |pfec| {
            format!("#PF with error code {:#04x} ({})", pfec.bits(), bits(pfec))
        })
    };
    let pfec = change.pfec(State::New, maxphyaddr);
    rule(text, filter, pfec);
    let wants = |state| match change.pfec(state, maxphyaddr) {
        None => "",
        Some(pfec) if filter.exits(pfec) => ", by a VM exit to L1",
        Some(_) => ", in L2's own handler",
    };
    if *moment == Moment::Before && !change.was_not_present() {
        let _ = writeln!(
            text,
            "\nMust happen: {}{} (the new entry), or {}{} (the old one, which the processor may keep until INVLPG).",
            name(State::New),
            wants(State::New),
            name(State::Old),
            wants(State::Old)
        );
    } else {
        let _ = writeln!(text, "\nMust happen: {}{}.", name(State::New), wants(State::New));
    }
    if change.was_not_present() {
        let _ = writeln!(text, "  The processor keeps nothing of an entry that is not present.");
        cite(text, &[Section::OPTIONAL_INVALIDATION]);
    }
}
