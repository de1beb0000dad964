//! `explain`: what a case does, what the manual says, and what must happen, in words and without
//! booting.
//!
//! Every fact comes from `spec`; this module only has the sentences around it.

use std::fmt::Write;

use spec::catalogue::case::Case;
use spec::manual::paging::Maxphyaddr;

use crate::cli::ExplainArgs;
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};

mod action;
mod host;
mod scene;
mod sentences;
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
    match case {
        Case::Walk(case) => {
            sentences::stimulus(
                &mut text,
                &case.stimulus,
                case.group.setting,
                case.filter,
                maxphyaddr,
            );
        }
        Case::Host(case) => host::explain(&mut text, case),
        Case::Action(case) => action::explain(&mut text, case, maxphyaddr),
        Case::Scene(case) => scene::explain(&mut text, case, maxphyaddr),
        Case::Smp(case) => smp::explain(&mut text, case, maxphyaddr),
    }
    let _ = writeln!(text, "\nRun it: maskmatch replay {case}");
    text
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
            "\"Exception Bitmap\" (",
        ] {
            assert!(exit.contains(part), "{part}\n{exit}");
        }
        let delivered = explained("filter.basic.long:user-write-np-pte:0,1f,6");
        assert!(delivered.contains("EB.PF = 0 directly says no exit"), "{delivered}");
        assert!(delivered.contains("one #PF in L2's own handler"));
        let inverse = explained("filter.basic.long:user-write-np-pte:0,0,1");
        assert!(
            inverse.contains("EB.PF = 0 inversely says exit")
                && inverse.contains("can never be equal")
        );
        assert!(
            explained("filter.basic.long:user-read-user:1,0,0").contains("Must happen: silence")
        );
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
                for case in group.cases_with(filter, Profile::Exhaustive, 40) {
                    let text = text(&case, 40);
                    assert!(text.contains("Must happen: "), "{text}");
                }
            }
        }
        assert!(explained("host.dirty:user-write-again:1,0,0").contains("Must happen: silence"));
    }
}
