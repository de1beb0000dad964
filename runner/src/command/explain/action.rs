//! The explanation of a host action, and of what it must not disturb.

use std::fmt::Write;

use spec::channel::{EVENT_ADDRESS, EVENT_PFEC};
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::manual::section::Section;
use spec::walk::action::case::{ActionCase, ActionProbe};
use spec::walk::action::{Action, Event, own_pfec};
use spec::walk::outcome::Outcome;
use spec::walk::page::PAGES;
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;

use super::sentences::{cite, difference, does, stimulus};
use crate::command::list::bits;

/// What the VMM does, and what must still be seen.
pub fn explain(text: &mut String, case: &ActionCase, maxphyaddr: Maxphyaddr) {
    let ActionCase { action, probe, filter } = case;
    host_action(text, action);
    match probe {
        ActionProbe::Stimulus(access) => stimulus(text, access, BASE, *filter, maxphyaddr),
        ActionProbe::Own(access) => own(text, access, maxphyaddr),
        ActionProbe::Event => event(text, action, *filter),
    }
}

/// What the VMM does.
fn host_action(text: &mut String, action: &Action) {
    let _ = writeln!(text, "While L2 is active, the VMM acts: {}.", action.what());
    if action.before != action.after {
        let _ = writeln!(text, "The MAXPHYADDR below is the one after the action.");
    }
    if action.may_be_refused() {
        let _ = writeln!(
            text,
            "L0 may refuse it with EINVAL; L2 then walks with the MAXPHYADDR that it has."
        );
    }
    let _ = writeln!(text);
}

/// What comes to L2 with an action.
fn event(text: &mut String, action: &Action, filter: Filter) {
    let (what, sections): (_, &[Section]) = match action
        .event
        .map(|event| (event, event.outcome(filter, 0, 0, 0, false)))
    {
        Some((Event::Nmi, _)) => (
            "one NMI in L2's own handler: vmcs12 does not ask for NMI exits.",
            &[Section::OTHER_CAUSES],
        ),
        Some((Event::Smi, _)) => (
            "its handler runs once, and L2 goes on as if nothing had happened.",
            &[Section::SMI_TREATMENT],
        ),
        Some((Event::SmiAndNmi, _)) => (
            "the SMI's handler runs once, and one NMI comes to L2's own handler: vmcs12 does not ask for NMI exits.",
            &[Section::SMI_TREATMENT, Section::OTHER_CAUSES],
        ),
        Some((Event::Exits, _)) => (
            "L2 gets back what the VMM gave it, and goes on: vmcs12 asks for no I/O exits.",
            &[Section::CONDITIONAL_EXITS],
        ),
        Some((Event::Interrupt, _)) if action.interrupt_exiting => (
            "one VM exit to L1 by the interrupt: vmcs12's \"external-interrupt exiting\" is 1. L2 then goes on.",
            &[Section::OTHER_CAUSES],
        ),
        Some((Event::Interrupt, _)) => (
            "the interrupt in L2's own handler, once: vmcs12's \"external-interrupt exiting\" is 0, L2's IF is 1.",
            &[Section::OTHER_CAUSES],
        ),
        Some((Event::AsyncFaults | Event::AsyncFaultsAndSmi, _)) => (
            "VM exits to L1 by asynchronous page faults, if pages are late, and an interrupt for each when its page is there.\n  \
             Linux, Documentation/virt/kvm/x86/msr.rst (MSR_KVM_ASYNC_PF_EN): L1 enabled them as exits, so no filter is asked",
            &[],
        ),
        Some((Event::Init, _)) => ("a VM exit to L1.", &[Section::OTHER_CAUSES]),
        Some((Event::FaultInDelivery, _)) => (
            "the page fault in L2's own handler: no filter is asked about one that is being delivered.",
            &[Section::EVENT_INJECTION],
        ),
        Some((Event::Fault | Event::InterruptAndFault | Event::SmiAndFault, Outcome::Exit(_))) => {
            ("a VM exit by the page fault: L1's filter asks for it.", &[Section::OTHER_CAUSES])
        }
        Some((Event::Fault | Event::InterruptAndFault | Event::SmiAndFault, _)) => (
            "the page fault in L2's own handler: L1's filter does not ask for it.",
            &[Section::OTHER_CAUSES],
        ),
        None => ("nothing.", &[]),
    };
    let _ = writeln!(text, "L1's filter: {filter}");
    if action.event == Some(Event::InterruptAndFault) {
        let who = if action.interrupt_exiting { "L1, by a VM exit" } else { "L2's own handler" };
        let _ =
            writeln!(text, "The interrupt goes to {who}, once, whatever comes of the page fault.");
    }
    if matches!(action.event, Some(Event::SmiAndFault | Event::AsyncFaultsAndSmi)) {
        let _ = writeln!(text, "The SMI's handler runs, whatever comes of the page faults.");
    }
    if matches!(
        action.event,
        Some(Event::Fault | Event::FaultInDelivery | Event::InterruptAndFault | Event::SmiAndFault)
    ) {
        let _ = writeln!(
            text,
            "The page fault: error code {:#04x} at {EVENT_ADDRESS:#x}.",
            EVENT_PFEC.bits()
        );
    }
    let _ = writeln!(text, "\nMust happen: {what}");
    cite(text, sections);
}

/// An access of L1's own.
fn own(text: &mut String, stimulus: &Stimulus, maxphyaddr: Maxphyaddr) {
    let page = &PAGES[stimulus.page];
    let (does, address) = (does(stimulus.access), stimulus.address());
    let _ =
        writeln!(text, "When L2 has walked, L1, in supervisor mode, {does} {address:#x} itself.");
    let _ = writeln!(text, "  page     {}: {}", page.name, difference(page, maxphyaddr));
    let Some(pfec) = own_pfec(stimulus, maxphyaddr) else {
        let _ = writeln!(text, "\nMust happen: silence. The access has its effect.");
        return;
    };
    let _ = writeln!(
        text,
        "\nMust happen: one #PF in L1's own handler, error code {:#04x}: {}. No filter in vmcs12 concerns L1's own\n\
         faults.",
        pfec.bits(),
        bits(pfec)
    );
    cite(text, &[Section::PAGE_FAULTS]);
}
