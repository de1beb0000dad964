//! `merge`: what each merge policy makes of two parties' filters, and what it costs.
//!
//! Every verdict comes from `crate::command::merge::policy`; this module has the words around it.
//! [`survey`] does the same for all filters of L1 at once, [`chapter`] writes that down, [`chart`]
//! draws it.

mod chapter;
mod chart;
pub mod policy;
mod survey;
pub mod wording;

use std::fmt::Write;

use crate::command::merge::policy::{Judgement, Parties, Party, Policy, codes};
use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

use crate::cli::MergeArgs;
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::judge::thousands;
use wording::{fault, in_fields};

pub use wording::in_words;

/// Merging more than a few filters would take long.
const MOST_L0_FILTERS: usize = 8;

/// Prints what each policy makes of the filters, or writes the survey.
///
/// # Errors
/// The filters are too many, or a file or standard output cannot be written.
pub fn merge(arguments: &MergeArgs) -> Result<Exit, Stop> {
    if arguments.survey {
        return chapter::write(&arguments.out);
    }
    let Some(l1) = arguments.l1 else {
        return Err(Stop::usage("--l1 is missing: L1's filter, as in --l1 'P,!RSVD'; or --survey"));
    };
    if arguments.l0.len() > MOST_L0_FILTERS {
        return Err(Stop::usage(format!("--l0 can be given {MOST_L0_FILTERS} times at most")));
    }
    output::text(&text(Parties { l0: &arguments.l0, l1 }, arguments.before))?;
    Ok(Exit::Pass)
}

/// The tables for two parties.
fn text(parties: Parties<'_>, before: Filter) -> String {
    let mut text = String::new();
    let basic = codes::basic().count();
    if parties.l0.is_empty() {
        let _ = writeln!(text, "L0 needs   none");
    }
    for &filter in parties.l0 {
        let _ = writeln!(text, "L0 needs   {:20} {}", in_words(filter), in_fields(filter));
    }
    let _ = writeln!(text, "L1 needs   {:20} {}", in_words(parties.l1), in_fields(parties.l1));
    let wanted = codes::basic().filter(|&pfec| parties.want(pfec)).count();
    let _ = writeln!(
        text,
        "together   {} of 2^32 error codes; {wanted} of the {basic} that faults have without PK, SS, HLAT, SGX\n",
        thousands(parties.count())
    );

    let judged =
        Policy::ALL.map(|policy| (policy, Judgement::of(policy.vmcs02(parties, before), parties)));
    let _ = writeln!(
        text,
        "{:15} {:42} {:8} {:>14} {:>8}  exits on",
        "policy",
        "vmcs02",
        "verdict",
        "excess",
        format!("of {basic}")
    );
    for (policy, judgement) in &judged {
        let needless = needless(judgement, parties).len();
        let _ = writeln!(
            text,
            "{:15} {:42} {:8} {:>14} {needless:>8}  {}",
            policy.name(),
            in_fields(judgement.vmcs02),
            judgement.verdict(),
            thousands(judgement.excess),
            in_words(judgement.vmcs02)
        );
    }
    text += "\nsound: every needed fault exits. exact: and no other. excess: error codes that exit needlessly.\n";
    for (_, judgement) in judged.iter().filter(|(policy, _)| *policy == Policy::Exact) {
        text += if judgement.is_exact() {
            "An exact merge exists.\n"
        } else {
            "No exact merge exists: of all sound filters, the one called exact has the least excess.\n"
        };
    }
    lost(&mut text, &judged, parties);
    needless_faults(&mut text, &judged, parties);
    text
}

/// The basic error codes that can arise and exit though nobody needs them.
fn needless(judgement: &Judgement, parties: Parties<'_>) -> Vec<Pfec> {
    codes::basic().filter(|&pfec| judgement.vmcs02.exits(pfec) && !parties.want(pfec)).collect()
}

/// What unsound filters lose, and the case that shows it.
fn lost(text: &mut String, judged: &[(Policy, Judgement)], parties: Parties<'_>) {
    for (policy, judgement) in judged {
        let Some(missed) = judgement.missed else { continue };
        let party = match missed.party {
            Party::L0 => "L0",
            Party::L1 => "L1",
        };
        let real = if codes::is_possible(missed.pfec) {
            fault(missed.pfec)
        } else {
            "no fault has it".into()
        };
        let (name, code) = (policy.name(), missed.pfec.bits());
        let _ = writeln!(text, "\n{name} loses {code:#04x}, which {party} needs ({real}).");
        let _ = match judgement.case(parties) {
            Some(case) => writeln!(text, "  A host that does so fails: maskmatch replay {case}"),
            None => writeln!(
                text,
                "  No case shows it: no access of L2 reveals whether that fault exits."
            ),
        };
    }
}

/// The needless faults in words, with a column for each filter that has any.
fn needless_faults(text: &mut String, judged: &[(Policy, Judgement)], parties: Parties<'_>) {
    let mut columns: Vec<(String, Filter)> = Vec::new();
    for (policy, judgement) in judged {
        if needless(judgement, parties).is_empty() {
            continue;
        }
        match columns.iter_mut().find(|(_, filter)| *filter == judgement.vmcs02) {
            Some((names, _)) => {
                names.push_str(", ");
                names.push_str(policy.name());
            }
            None => columns.push((policy.name().to_string(), judgement.vmcs02)),
        }
    }
    for (names, filter) in columns {
        let _ = writeln!(text, "\nExit needlessly with {names}:");
        for pfec in needless(&Judgement::of(filter, parties), parties) {
            let _ = writeln!(text, "  {:#04x}  {}", pfec.bits(), fault(pfec));
        }
    }
    let rare = |filter: Filter| {
        codes::all().filter(|&pfec| filter.exits(pfec) && !parties.want(pfec)).count()
    };
    let more: Vec<String> = judged
        .iter()
        .map(|(policy, judgement)| {
            (policy, rare(judgement.vmcs02) - needless(judgement, parties).len())
        })
        .filter(|&(_, count)| count != 0)
        .map(|(policy, count)| format!("{} {count}", policy.name()))
        .collect();
    if !more.is_empty() {
        let _ = writeln!(text, "\nMore such codes with PK, SS, HLAT or SGX: {}.", more.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use super::wording::parse;
    use crate::command::merge::policy::Parties;
    use spec::catalogue::case::Case;
    use spec::manual::filter::Filter;

    fn told(l0: &[&str], l1: &str) -> String {
        let l0: Vec<Filter> = l0.iter().map(|text| parse(text).unwrap()).collect();
        text(Parties { l0: &l0, l1: parse(l1).unwrap() }, Filter::new(false, 0, 0))
    }

    #[test]
    fn an_exact_merge_is_told() {
        let text = told(&["P,!RSVD"], "eb=0 mask=0x1 match=0x1");
        assert!(
            text.contains("together   3,221,225,472 of 2^32 error codes; 12 of the 18"),
            "{text}"
        );
        assert!(text.contains("An exact merge exists."), "{text}");
        let line = text.lines().find(|line| line.starts_with("exact ")).unwrap();
        assert!(line.contains("eb=0 mask=0x9 match=0x9") && line.ends_with("!(P,RSVD)"), "{line}");
        // KVM's takes the reserved ones too.
        assert!(text.contains("0x09  supervisor read, reserved bit"), "{text}");
    }

    #[test]
    fn what_is_lost_can_be_replayed() {
        let text = told(&["P,!RSVD"], "!P");
        let ids: Vec<&str> =
            text.lines().filter_map(|line| line.split("maskmatch replay ").nth(1)).collect();
        assert!(!ids.is_empty());
        assert!(ids.iter().all(|id| Case::from_id(id).is_some()), "{text}");
    }

    #[test]
    fn no_need_of_l0_is_told() {
        let text = told(&[], "U,W");
        assert!(text.starts_with("L0 needs   none\n"));
        assert!(!text.contains("needlessly with kvm"));
    }
}
