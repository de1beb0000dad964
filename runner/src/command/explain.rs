//! `explain`: what a case does, what the manual says, and what must happen, in words and without booting.
//!
//! Every fact comes from `spec`; here are only the sentences around it.

use std::fmt::Write;

use spec::catalogue::case::{Case, Probe};
use spec::catalogue::group::Group;
use spec::channel::{EVENT_ADDRESS, EVENT_PFEC};
use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Level, Maxphyaddr, Privilege};
use spec::manual::pfec::Pfec;
use spec::suspects::{Hypothesis, Raised};
use spec::walk::action::{Action, Event};
use spec::walk::host::{HostAccess, Round};
use spec::walk::outcome::{INTERRUPTION_INFO_PF, Outcome, RFLAGS_AC, RFLAGS_RF, WALK_RFLAGS};
use spec::walk::page::{self, PAGES};
use spec::walk::setting::{BASE, Setting};
use spec::walk::stimulus::Stimulus;

use crate::cli::ExplainArgs;
use crate::command::list::{around, bits};
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};

mod scene;
mod smp;

/// Prints the explanation.
///
/// # Errors
/// Standard output cannot be written.
pub fn explain(arguments: &ExplainArgs) -> Result<Exit, Stop> {
    output::text(&text(&arguments.case, arguments.processor.maxphyaddr))?;
    Ok(Exit::Pass)
}

/// The explanation of a case on a processor with this address width.
pub fn text(case: &Case, maxphyaddr: Maxphyaddr) -> String {
    let mut text = format!("{case}\n\n");
    let pfec = case.pfec(maxphyaddr);
    match (case.group, case.probe) {
        (Group::Filter { setting, .. }, Probe::Stimulus(stimulus)) => {
            access(&mut text, &stimulus, setting, maxphyaddr);
            fault(&mut text, case, pfec);
            rule(&mut text, case.filter, pfec);
            outcome(&mut text, case.filter, &stimulus, setting, pfec);
        }
        (Group::Action(action), Probe::Stimulus(stimulus)) => {
            host_action(&mut text, action);
            access(&mut text, &stimulus, BASE, maxphyaddr);
            fault(&mut text, case, pfec);
            rule(&mut text, case.filter, pfec);
            outcome(&mut text, case.filter, &stimulus, BASE, pfec);
        }
        (Group::Action(action), Probe::Own(stimulus)) => {
            host_action(&mut text, action);
            own(&mut text, &stimulus, maxphyaddr, pfec);
        }
        (Group::Action(action), Probe::Event) => {
            host_action(&mut text, action);
            event(&mut text, action, case.filter);
        }
        (group, Probe::Host(access)) => host(&mut text, group, access, case.filter),
        (Group::Scene { environment, .. }, Probe::Scene(scene)) => {
            scene::explain(&mut text, scene, environment, case.filter, maxphyaddr);
        }
        (Group::Smp(_), Probe::Smp(probe)) => smp::explain(&mut text, probe, case.filter, maxphyaddr),
        // No id leads here: a group's accesses are of its own kind.
        (Group::Host(_) | Group::Scene { .. } | Group::Smp(_), Probe::Stimulus(_))
        | (Group::Host(_) | Group::Filter { .. } | Group::Scene { .. } | Group::Smp(_), Probe::Own(_) | Probe::Event)
        | (_, Probe::Scene(_) | Probe::Smp(_)) => {}
    }
    if let (Some(pfec), Probe::Stimulus(stimulus)) = (pfec, case.probe) {
        let setting = if let Group::Filter { setting, .. } = case.group { setting } else { BASE };
        catches(&mut text, case.filter, pfec, Raised::of(&stimulus, setting.mode));
    }
    let _ = writeln!(text, "\nRun it: maskmatch replay {case}");
    text
}

/// What the VMM does.
fn host_action(text: &mut String, action: &Action) {
    let _ = writeln!(text, "While L2 is active, the VMM acts: {}.", action.what);
    if action.before != action.after {
        let _ = writeln!(text, "The MAXPHYADDR below is the one behind the action.");
    }
    if action.may_be_refused() {
        let _ = writeln!(text, "L0 may refuse it by EINVAL; then L2 walks with the MAXPHYADDR that it has.");
    }
    let _ = writeln!(text);
}

/// What comes to L2 with an action.
fn event(text: &mut String, action: &Action, filter: Filter) {
    let what = match action.event.map(|event| (event, event.outcome(filter, 0, 0, 0, false))) {
        Some((Event::Nmi, _)) => {
            "one NMI in L2's own handler: vmcs12 does not ask for NMI exits.\n  SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
        }
        Some((Event::Smi, _)) => {
            "its handler runs once, and L2 goes on as if nothing had been.\n  \
             SDM vol. 3C, 34.14 (Default Treatment of SMIs and SMM with VMX Operation and SMX Operation)"
        }
        Some((Event::Exits, _)) => {
            "L2 gets back what the VMM gave it, and goes on.\n  SDM vol. 3C, 25.1.3 (Instructions That Cause VM Exits \
             Conditionally): vmcs12 asks for no I/O exits"
        }
        Some((Event::Interrupt, _)) if action.interrupt_exiting => {
            "one VM exit to L1 by the interrupt: vmcs12's \"external-interrupt exiting\" is 1. L2 then goes on.\n  \
             SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
        }
        Some((Event::Interrupt, _)) => {
            "the interrupt in L2's own handler, once: vmcs12's \"external-interrupt exiting\" is 0, L2's IF is 1.\n  \
             SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
        }
        Some((Event::AsyncFaults, _)) => {
            "VM exits to L1 by asynchronous page faults, if pages are late, and an interrupt for each when its page is there.\n  \
             Linux, Documentation/virt/kvm/x86/msr.rst (MSR_KVM_ASYNC_PF_EN): L1 enabled them as exits, so no filter is asked"
        }
        Some((Event::Init, _)) => "a VM exit to L1.\n  SDM vol. 3C, 25.2 (Other Causes of VM Exits)",
        Some((Event::FaultInDelivery, _)) => {
            "the page fault in L2's own handler: no filter is asked about one that is being delivered.\n  \
             SDM vol. 3C, 26.6.1 (Vectored-Event Injection)"
        }
        Some((Event::Fault | Event::InterruptAndFault, Outcome::Exit(_))) => {
            "a VM exit by the page fault: L1's filter wants it.\n  SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
        }
        Some((Event::Fault | Event::InterruptAndFault, _)) => {
            "the page fault in L2's own handler: L1's filter does not want it.\n  \
             SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
        }
        None => "nothing.",
    };
    let _ = writeln!(text, "L1's filter: {filter}");
    if action.event == Some(Event::InterruptAndFault) {
        let who = if action.interrupt_exiting { "L1, by a VM exit" } else { "L2's own handler" };
        let _ = writeln!(text, "The interrupt goes to {who}, once, whatever comes of the page fault.");
    }
    if matches!(action.event, Some(Event::Fault | Event::FaultInDelivery | Event::InterruptAndFault)) {
        let _ = writeln!(text, "The page fault: error code {:#04x} at {EVENT_ADDRESS:#x}.", EVENT_PFEC.bits());
    }
    let _ = writeln!(text, "\nMust happen: {what}");
}

/// An access of L1's own.
fn own(text: &mut String, stimulus: &Stimulus, maxphyaddr: Maxphyaddr, pfec: Option<Pfec>) {
    let page = &PAGES[stimulus.page];
    let (does, address) = (does(stimulus.access), stimulus.address());
    let _ = writeln!(text, "When L2 has walked, L1, in supervisor mode, {does} {address:#x} itself.");
    let _ = writeln!(text, "  page     {}: {}", page.name, difference(page, maxphyaddr));
    let _ = match pfec {
        Some(pfec) => writeln!(
            text,
            "\nMust happen: one #PF in L1's own handler, error code {:#04x}: {}. No filter in vmcs12 is about L1's own\n\
             faults.\n  SDM vol. 3A, 4.7 (Page-Fault Exceptions)",
            pfec.bits(),
            bits(pfec)
        ),
        None => writeln!(text, "\nMust happen: silence. The access has its effect."),
    };
}

/// An access that L0 must see for itself.
fn host(text: &mut String, group: Group, access: HostAccess, filter: Filter) {
    let (who, does) = (privilege(access.privilege), does(access.access));
    let round = match access.round {
        Round::First => "for the first time in a walk",
        Round::Again => "for the second time in a walk, at the next eight bytes",
    };
    let (_, what) = around(group);
    let _ = writeln!(text, "L2, in {who}, {does} a page that its tables allow, {round}.");
    let _ = writeln!(text, "  page     {what}");
    let _ = writeln!(
        text,
        "\nL0 has to see the access, and may intercept a page fault for that. L2's own paging does not cause that\n\
         fault: it must not show, whatever L1's filter, {filter}, asks for.\n  \
         SDM vol. 3C, 25.2 (Other Causes of VM Exits)"
    );
    let _ = writeln!(text, "\nMust happen: silence. The access has its effect; L1 sees no exit by #PF, L2 no #PF.");
}

fn access(text: &mut String, stimulus: &Stimulus, setting: &Setting, maxphyaddr: Maxphyaddr) {
    let page = &PAGES[stimulus.page];
    let level = level_name(page.level);
    let (who, does) = (privilege(stimulus.privilege), does(stimulus.access));
    let _ = writeln!(text, "L2, in {who}, {does} {:#x}.", stimulus.address());
    let _ = writeln!(text, "  page     {}: its {level} is {}", page.name, difference(page, maxphyaddr));
    let _ = writeln!(text, "  setting  {}: {}", setting.name, setting.what);
    if !page.exists(maxphyaddr) {
        let _ = writeln!(text, "  A processor with MAXPHYADDR {maxphyaddr} has no reserved address bit: no such case.");
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Pml5e => "PML5 entry",
        Level::Pml4e => "PML4 entry",
        Level::Pdpte => "page-directory-pointer-table entry",
        Level::Pde => "page-directory entry",
        Level::Pte => "page-table entry",
    }
}

fn privilege(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Supervisor => "supervisor mode (CPL 0)",
        Privilege::User => "user mode (CPL 3)",
    }
}

fn does(access: Access) -> &'static str {
    match access {
        Access::Read => "reads from",
        Access::Write => "writes to",
        Access::Fetch => "fetches an instruction from",
    }
}

/// What an entry has that one which allows everything has not, and the other way round.
fn difference(page: &page::Page, maxphyaddr: Maxphyaddr) -> String {
    let (entry, good) = (page.entry(maxphyaddr), page::good(page.level));
    let names = |bits: u64| -> Vec<String> {
        let named = |bit: u32| match bit {
            0 => "P (present)".into(),
            1 => "R/W".into(),
            2 => "U/S".into(),
            7 => "PS (page size)".into(),
            63 => "XD".into(),
            _ => format!("bit {bit}"),
        };
        (0..64).filter(|bit| bits >> bit & 1 == 1).map(named).collect()
    };
    let parts: Vec<String> = [("without", good & !entry), ("with", entry & !good)]
        .into_iter()
        .filter(|(_, bits)| *bits != 0)
        .map(|(word, bits)| format!("{word} {}", names(bits).join(", ")))
        .collect();
    if parts.is_empty() { "present, writable, user and executable".into() } else { parts.join(", ") }
}

fn fault(text: &mut String, case: &Case, pfec: Option<Pfec>) {
    let sections = "SDM vol. 3A, 4.6.1 (Determination of Access Rights) and 4.7 (Page-Fault Exceptions)";
    let _ = match pfec {
        Some(pfec) => writeln!(
            text,
            "\nThe access raises #PF with error code {:#04x}: {}.\n  {sections}",
            pfec.bits(),
            bits(pfec)
        ),
        None => writeln!(
            text,
            "\nThe access is allowed: it raises no fault, and L1's filter, {}, is not asked.\n  {sections}",
            case.filter
        ),
    };
}

fn rule(text: &mut String, filter: Filter, pfec: Option<Pfec>) {
    let Filter { eb_pf, mask, matching } = filter;
    let _ = writeln!(text, "\nL1's filter: EB.PF = {}, MASK = {mask:#x}, MATCH = {matching:#x}", u8::from(eb_pf));
    let Some(pfec) = pfec else { return };
    let masked = pfec.bits() & mask;
    let equal = masked == matching;
    let _ = writeln!(
        text,
        "  error code & MASK = {masked:#x} {} MATCH: EB.PF = {} {} says {}.",
        if equal { "equals" } else { "differs from" },
        u8::from(eb_pf),
        if equal { "directly" } else { "inversely" },
        if filter.exits(pfec) { "exit" } else { "no exit" },
    );
    if matching & !mask != 0 {
        let _ = writeln!(text, "  MATCH has bits outside MASK, so the two can never be equal.");
    }
    let _ = writeln!(text, "  SDM vol. 3C, 24.6.3 (Exception Bitmap) and 25.2 (Other Causes of VM Exits)");
}

fn outcome(text: &mut String, filter: Filter, stimulus: &Stimulus, setting: &Setting, pfec: Option<Pfec>) {
    let Some(pfec) = pfec else {
        let _ = writeln!(text, "\nMust happen: silence. The access has its effect; L1 sees no exit, L2 no #PF.");
        return;
    };
    let address = stimulus.address();
    let rip = match stimulus.access {
        Access::Fetch => format!("{address:#x}, the instruction that could not be fetched"),
        Access::Read | Access::Write => "the accessing instruction".into(),
    };
    let ac = if setting.mode.ac { RFLAGS_AC } else { 0 };
    let rflags = WALK_RFLAGS | RFLAGS_RF | ac;
    if filter.exits(pfec) {
        let _ = writeln!(
            text,
            "\nMust happen: one VM exit to L1, the instruction unexecuted, and L2's #PF handler not called.\n  \
             exit reason                     0 (exception or NMI)\n  \
             interruption information        {INTERRUPTION_INFO_PF:#x} (SDM 27.2.2)\n  \
             interruption error code         {:#x}\n  \
             exit qualification              {address:#x} (27.2.1)\n  \
             guest RIP                       {rip} (27.3.3)\n  \
             guest RFLAGS                    {rflags:#x}, RF set (27.3.3)\n  \
             IDT-vectoring information       not valid (27.2.4)\n  \
             CR2                             as before the access (27.1)",
            pfec.bits()
        );
    } else {
        let _ = writeln!(
            text,
            "\nMust happen: one #PF in L2's own handler, the instruction unexecuted, and no exit to L1.\n  \
             error code on the stack         {:#x} (SDM vol. 3A, 6.15, Interrupt 14)\n  \
             CR2                             {address:#x}\n  \
             RIP on the stack                {rip}\n  \
             RFLAGS on the stack             {rflags:#x}, RF set",
            pfec.bits()
        );
    }
}

/// The wrong hosts that this one case tells from a right one.
fn catches(text: &mut String, filter: Filter, pfec: Pfec, raised: Raised) {
    if pfec.basic_index().is_none() {
        return;
    }
    let stale = [Hypothesis::StaleFilter, Hypothesis::StaleMaskMatch];
    let caught: Vec<Hypothesis> = Hypothesis::ALL
        .into_iter()
        .filter(|hypothesis| !stale.contains(hypothesis))
        .filter(|hypothesis| hypothesis.shows(filter, pfec, raised))
        .collect();
    if caught.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nIt catches a host that");
    for hypothesis in caught {
        let _ = writeln!(text, "  - {} ({})", hypothesis.meaning(), hypothesis.name());
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use spec::catalogue::case::Case;
    use spec::catalogue::group::Group;
    use spec::catalogue::plan::Profile;

    fn explained(id: &str) -> String {
        text(&Case::from_id(id).unwrap(), 40)
    }

    #[test]
    fn an_exit_a_delivery_and_silence_are_told_apart() {
        let exit = explained("filter.basic.long:user-write-np-pte:1,1f,6");
        for part in [
            "user mode (CPL 3), writes to",
            "without P (present)",
            "error code 0x06: W/R U/S",
            "error code & MASK = 0x6 equals MATCH: EB.PF = 1 directly says exit",
            "one VM exit to L1",
            "swapped-mask-match",
            "24.6.3",
        ] {
            assert!(exit.contains(part), "{part}\n{exit}");
        }
        let delivered = explained("filter.basic.long:user-write-np-pte:0,1f,6");
        assert!(delivered.contains("EB.PF = 0 directly says no exit"), "{delivered}");
        assert!(delivered.contains("one #PF in L2's own handler"));
        let inverse = explained("filter.basic.long:user-write-np-pte:0,0,1");
        assert!(inverse.contains("EB.PF = 0 inversely says exit") && inverse.contains("can never be equal"));
        assert!(explained("filter.basic.long:user-read-user:1,0,0").contains("Must happen: silence"));
    }

    #[test]
    fn a_case_says_which_wrong_hosts_it_catches() {
        let corrected = explained("filter.basic.long:user-write-rsvd-ro-pte:1,8,8");
        assert!(corrected.contains("(code-before-fixup)"), "{corrected}");
        assert!(!corrected.contains("(l0-filter-leaked)"), "{corrected}");
        let delivered = explained("filter.basic.long:user-write-user-ro:1,8,8");
        assert!(delivered.contains("(l0-filter-leaked)"), "{delivered}");
        assert!(!delivered.contains("(code-before-fixup)"), "{delivered}");
    }

    #[test]
    fn every_access_can_be_explained() {
        for group in Group::all() {
            for filter in group.filters(Profile::Quick).take(3) {
                for probe in group.probes(40) {
                    let text = text(&Case { group, probe, filter }, 40);
                    assert!(text.contains("Must happen: "), "{text}");
                }
            }
        }
        assert!(explained("host.dirty:user-write-again:1,0,0").contains("Must happen: silence"));
    }
}
