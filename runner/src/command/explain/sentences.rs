//! Sentences that several kinds of explanation share.

use std::fmt::Write;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Level, Maxphyaddr, Privilege};
use spec::manual::pfec::Pfec;
use spec::manual::section::Section;
use spec::walk::outcome::{INTERRUPTION_INFO_PF, RFLAGS_AC, RFLAGS_RF, WALK_RFLAGS};
use spec::walk::page::{self, PAGES};
use spec::walk::setting::Setting;
use spec::walk::stimulus::Stimulus;

use crate::command::list::bits;
use crate::verdict::suspects::{Hypothesis, Raised};

/// All about an access of L2's walk under a filter.
pub fn stimulus(
    text: &mut String,
    stimulus: &Stimulus,
    setting: &Setting,
    filter: Filter,
    maxphyaddr: Maxphyaddr,
) {
    let pfec = stimulus.pfec(setting, maxphyaddr);
    access(text, stimulus, setting, maxphyaddr);
    fault(text, filter, pfec);
    rule(text, filter, pfec);
    outcome(text, filter, stimulus, setting, pfec);
    if let Some(pfec) = pfec {
        catches(text, filter, pfec, Raised::of(stimulus, setting.mode));
    }
}

/// What L2 accesses, and how.
pub fn access(text: &mut String, stimulus: &Stimulus, setting: &Setting, maxphyaddr: Maxphyaddr) {
    let page = &PAGES[stimulus.page];
    let level = level_name(page.level);
    let (who, does) = (privilege(stimulus.privilege), does(stimulus.access));
    let _ = writeln!(text, "L2, in {who}, {does} {:#x}.", stimulus.address());
    let _ =
        writeln!(text, "  page     {}: its {level} is {}", page.name, difference(page, maxphyaddr));
    let _ = writeln!(text, "  setting  {}: {}", setting.name, setting.what());
    if !page.exists(maxphyaddr) {
        let _ = writeln!(
            text,
            "  A processor with MAXPHYADDR {maxphyaddr} has no reserved address bit: no such case."
        );
    }
}

/// The name of a level's entry.
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Pml5e => "PML5 entry",
        Level::Pml4e => "PML4 entry",
        Level::Pdpte => "page-directory-pointer-table entry",
        Level::Pde => "page-directory entry",
        Level::Pte => "page-table entry",
    }
}

/// The mode of an access.
pub fn privilege(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Supervisor => "supervisor mode (CPL 0)",
        Privilege::User => "user mode (CPL 3)",
    }
}

/// The verb of an access.
pub fn does(access: Access) -> &'static str {
    match access {
        Access::Read => "reads from",
        Access::Write => "writes to",
        Access::Fetch => "fetches an instruction from",
    }
}

/// How an entry differs from one that allows everything.
pub fn difference(page: &page::Page, maxphyaddr: Maxphyaddr) -> String {
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
    if parts.is_empty() {
        "present, writable, user and executable".into()
    } else {
        parts.join(", ")
    }
}

/// What the manual requires of every VM exit by an exception.
pub const OF_EXITS: [Section; 5] = [
    Section::BEFORE_EXIT,
    Section::BASIC_EXIT_INFORMATION,
    Section::VECTORED_EVENTS,
    Section::EVENT_DELIVERY,
    Section::SAVING_RIP,
];

/// Where the manual says so.
pub fn cite(text: &mut String, sections: &[Section]) {
    for section in sections {
        let _ = writeln!(text, "  {section}");
    }
}

/// Whether the access faults.
fn fault(text: &mut String, filter: Filter, pfec: Option<Pfec>) {
    let _ = match pfec {
        Some(pfec) => writeln!(
            text,
            "\nThe access raises #PF with error code {:#04x}: {}.",
            pfec.bits(),
            bits(pfec)
        ),
        None => writeln!(
            text,
            "\nThe access is allowed: it raises no fault, and L1's filter, {filter}, is not asked."
        ),
    };
    cite(text, &[Section::DETERMINING_RIGHTS, Section::PAGE_FAULTS]);
}

/// What the filter says of the error code.
pub fn rule(text: &mut String, filter: Filter, pfec: Option<Pfec>) {
    let Filter { eb_pf, mask, matching } = filter;
    let _ = writeln!(
        text,
        "\nL1's filter: EB.PF = {}, MASK = {mask:#x}, MATCH = {matching:#x}",
        u8::from(eb_pf)
    );
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
    cite(text, &[Section::EXCEPTION_BITMAP, Section::OTHER_CAUSES]);
}

/// What must be seen of the access.
pub fn outcome(
    text: &mut String,
    filter: Filter,
    stimulus: &Stimulus,
    setting: &Setting,
    pfec: Option<Pfec>,
) {
    let Some(pfec) = pfec else {
        let _ = writeln!(
            text,
            "\nMust happen: silence. The access has its effect; L1 sees no exit, L2 no #PF."
        );
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
             interruption information        {INTERRUPTION_INFO_PF:#x}\n  \
             interruption error code         {:#x}\n  \
             exit qualification              {address:#x}\n  \
             guest RIP                       {rip}\n  \
             guest RFLAGS                    {rflags:#x}, RF set\n  \
             IDT-vectoring information       not valid\n  \
             CR2                             as before the access",
            pfec.bits()
        );
        cite(text, &OF_EXITS);
    } else {
        let _ = writeln!(
            text,
            "\nMust happen: one #PF in L2's own handler, the instruction unexecuted, and no exit to L1.\n  \
             error code on the stack         {:#x}\n  \
             CR2                             {address:#x}\n  \
             RIP on the stack                {rip}\n  \
             RFLAGS on the stack             {rflags:#x}, RF set",
            pfec.bits()
        );
        cite(text, &[Section::EXCEPTION_REFERENCE, Section::INSTRUCTION_BREAKPOINTS]);
    }
}

/// The wrong hosts that this one case catches.
fn catches(text: &mut String, filter: Filter, pfec: Pfec, raised: Raised) {
    if pfec.basic_index().is_none() {
        return;
    }
    let caught: Vec<Hypothesis> = Hypothesis::ALL
        .into_iter()
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
