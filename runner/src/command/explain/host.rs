//! The explanation of an access that L0 must intercept and L2 must not notice.

use std::fmt::Write;

use spec::manual::section::Section;
use spec::walk::host::{HostCase, Round};

use super::sentences::{cite, does, privilege};

/// What L2 accesses, and why none of it may show.
pub fn explain(text: &mut String, HostCase { access, filter }: &HostCase) {
    let (who, does) = (privilege(access.privilege), does(access.access));
    let round = match access.round {
        Round::First => "for the first time in a walk",
        Round::Again => "for the second time in a walk, at the next eight bytes",
    };
    let _ = writeln!(text, "L2, in {who}, {does} a page that its tables allow, {round}.");
    let _ = writeln!(text, "  page     {}", access.need.what());
    let _ = writeln!(
        text,
        "\nL0 must intercept the access, and may do so by a page fault. L2's own paging does not cause that\n\
         fault: it must not show, whatever L1's filter, {filter}, asks for."
    );
    cite(text, &[Section::OTHER_CAUSES]);
    let _ = writeln!(
        text,
        "\nMust happen: silence. The access has its effect; L1 sees no exit by #PF, L2 no #PF."
    );
}
