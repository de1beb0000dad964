//! Whether a change of the filter takes effect at the next entry, and whether nothing else makes
//! the filter stale.

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::section::Section;
use crate::scene::between::Between::{
    self, Clear, GuestRegisters, InTurn, OrdinaryVmcs, OtherExit, OtherVmcs, OwnFaults,
    OwnRegisters, Rewrite, Unannounced, WrongEntry,
};
use crate::scene::between::FilterField::{self, Bitmap, Mask, Match};
use crate::scene::builder::user;
use crate::scene::end::Word::Rdi;
use crate::scene::place::Kind;
use crate::scene::place::Place::Data0;
use crate::scene::{Answer, Fits, Row};

const DATA: u64 = Data0.linear();

const fn not_present(name: &'static str, between: Between) -> Row {
    user(name, "a read of a page that is not present, twice", &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA, Read)
        .answer(Answer::Again(between))
        .fits(Fits::Bits64)
}

const fn read_only(name: &'static str, between: Between) -> Row {
    user(name, "a write to a read-only page, twice", &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA)])
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA)
        .fault(DATA, Write)
        .answer(Answer::Again(between))
        .fits(Fits::Bits64)
}

const fn reserved(name: &'static str, between: Between) -> Row {
    user(name, "a write to a page with a reserved bit, twice", &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA)])
        .pages(&[(Data0, Kind::RSVD)])
        .watch(DATA)
        .fault(DATA, Write)
        .answer(Answer::Again(between))
        .fits(Fits::Bits64)
}

/// The same at CPL 0, where a delivery loads no segment register with something else.
const fn at_cpl_0(mut row: Row, name: &'static str) -> Row {
    row.scene.cpl = Supervisor;
    if let Some(fault) = &mut row.scene.fault {
        fault.privilege = Supervisor;
    }
    row.renamed(name)
}

/// Beside an entry that the launch state forbids.
const fn launch_state(mut row: Row) -> Row {
    row.scene.fits = Fits::LaunchState;
    row.section(Section::VMX_ERRORS.says(""))
}
const LAUNCH: Between = WrongEntry { cleared: false };
const RESUME: Between = WrongEntry { cleared: true };

/// On an enlightened VMCS.
const fn enlightened(mut row: Row) -> Row {
    row.scene.fits = Fits::CleanFields;
    row
}

/// One bit of a field's upper half changes.
const fn upper(field: FilterField, bit: u8, set: bool) -> Between {
    Between::Upper { field, bit, set }
}

/// The rows.
pub const ROWS: &[Row] = &[
    not_present("np-match-bit16-set", upper(Match, 16, true)),
    not_present("np-match-bit31-set", upper(Match, 31, true)),
    not_present("np-match-bit16-clear", upper(Match, 16, false)),
    not_present("np-match-bit31-clear", upper(Match, 31, false)),
    not_present("np-mask-bit16-set", upper(Mask, 16, true)),
    not_present("np-mask-bit31-set", upper(Mask, 31, true)),
    not_present("np-mask-bit31-clear", upper(Mask, 31, false)),
    read_only("ro-match-bit24-set", upper(Match, 24, true)),
    read_only("ro-match-bit24-clear", upper(Match, 24, false)),
    reserved("rsvd-match-bit17-set", upper(Match, 17, true)),
    reserved("rsvd-match-bit30-clear", upper(Match, 30, false)),
    not_present("np-bitmap-alone", Rewrite(Bitmap)),
    not_present("np-mask-alone", Rewrite(Mask)),
    not_present("np-match-alone", Rewrite(Match)),
    not_present("np-other-vmcs", OtherVmcs),
    not_present("np-in-turn", InTurn),
    at_cpl_0(not_present("", InTurn), "super-np-in-turn"),
    not_present("np-vmclear", Clear),
    not_present("np-other-exit", OtherExit),
    not_present("np-own-faults", OwnFaults),
    not_present("np-own-registers", OwnRegisters),
    not_present("np-guest-registers", GuestRegisters),
    read_only("ro-bitmap-alone", Rewrite(Bitmap)),
    read_only("ro-mask-alone", Rewrite(Mask)),
    read_only("ro-match-alone", Rewrite(Match)),
    read_only("ro-other-vmcs", OtherVmcs),
    read_only("ro-in-turn", InTurn),
    at_cpl_0(read_only("", InTurn), "super-ro-in-turn"),
    read_only("ro-vmclear", Clear),
    read_only("ro-other-exit", OtherExit),
    read_only("ro-own-faults", OwnFaults),
    read_only("ro-own-registers", OwnRegisters),
    read_only("ro-guest-registers", GuestRegisters),
    reserved("rsvd-bitmap-alone", Rewrite(Bitmap)),
    reserved("rsvd-mask-alone", Rewrite(Mask)),
    reserved("rsvd-match-alone", Rewrite(Match)),
    reserved("rsvd-other-vmcs", OtherVmcs),
    reserved("rsvd-in-turn", InTurn),
    at_cpl_0(reserved("", InTurn), "super-rsvd-in-turn"),
    reserved("rsvd-vmclear", Clear),
    reserved("rsvd-other-exit", OtherExit),
    reserved("rsvd-own-faults", OwnFaults),
    reserved("rsvd-own-registers", OwnRegisters),
    reserved("rsvd-guest-registers", GuestRegisters),
    launch_state(not_present("np-launch-again", LAUNCH)),
    launch_state(read_only("ro-launch-again", LAUNCH)),
    launch_state(not_present("np-resume-cleared", RESUME)),
    launch_state(reserved("rsvd-resume-cleared", RESUME)),
    enlightened(not_present("np-bitmap-unannounced", Unannounced(Bitmap))).telling(),
    enlightened(not_present("np-mask-unannounced", Unannounced(Mask))),
    enlightened(read_only("ro-match-unannounced", Unannounced(Match))),
    enlightened(reserved("rsvd-bitmap-unannounced", Unannounced(Bitmap))),
    enlightened(not_present("np-ordinary-vmcs", OrdinaryVmcs)),
    enlightened(read_only("ro-ordinary-vmcs", OrdinaryVmcs)),
    enlightened(reserved("rsvd-ordinary-vmcs", OrdinaryVmcs)),
];
