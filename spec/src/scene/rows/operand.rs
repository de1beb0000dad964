//! Page faults of L1's own VMX instructions: L2 faults, L1 executes one whose operand is on a page
//! under test, and L2 faults again.

use crate::manual::paging::Access::Read;
use crate::manual::section::Section;
use crate::scene::between::Between;
use crate::scene::builder::user;
use crate::scene::end::Word::Rdi;
use crate::scene::invalidation::Invalidation::SingleContext;
use crate::scene::own::{Own, OwnInstruction};
use crate::scene::place::Kind;
use crate::scene::place::Place::Data0;
use crate::scene::{Answer, Feature, Row};
use crate::walk::page::index_of;

const DATA0: u64 = Data0.linear();

const fn own(
    name: &'static str,
    what: &'static str,
    instruction: OwnInstruction,
    page: &str,
) -> Row {
    let own = Own { instruction, page: index_of(page) as u8 };
    let row = user(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .answer(Answer::Again(Between::Own(own)))
        .only_64_bit()
        .section(Section::VMX_INSTRUCTIONS.says(""));
    match instruction {
        OwnInstruction::Invept => row.needs(Feature::Invept),
        OwnInstruction::Invvpid => row.needs(Feature::Invvpid(SingleContext)),
        _ => row,
    }
}

/// Rows of an instruction: a name and the page for each.
macro_rules! operands {
    ($($Instruction:ident $text:literal: $($name:literal $page:literal $($telling:ident)?),+;)*) => {
        &[$($(own($name, concat!($text, " with its operand on the page ", $page), OwnInstruction::$Instruction, $page)$(.$telling())?,)+)*]
    };
}

/// The rows.
pub const ROWS: &[Row] = operands![
    Vmread "VMREAD": "vmread" "user", "vmread-np" "np-pte", "vmread-np-pml4e" "np-pml4e",
        "vmread-rsvd" "rsvd-low-pte", "vmread-ro" "user-ro" telling, "vmread-ro-pde" "ro-pde";
    Vmwrite "VMWRITE": "vmwrite" "user", "vmwrite-ro" "user-ro", "vmwrite-np" "np-pde" telling,
        "vmwrite-rsvd" "rsvd-top-pte";
    Vmptrld "VMPTRLD": "vmptrld" "user", "vmptrld-np" "np-pte" telling, "vmptrld-rsvd" "rsvd-low-pdpte";
    Vmptrst "VMPTRST": "vmptrst" "user", "vmptrst-np" "np-pdpte", "vmptrst-ro" "super-ro" telling,
        "vmptrst-rsvd" "rsvd-low-pte";
    Vmclear "VMCLEAR": "vmclear" "super", "vmclear-np" "np-pte", "vmclear-rsvd" "rsvd-2m-pde";
    Invept "INVEPT": "invept-np" "np-pte", "invept-rsvd" "rsvd-low-pte";
    Invvpid "INVVPID": "invvpid-np" "np-pte", "invvpid-rsvd" "rsvd-low-pte";
];
