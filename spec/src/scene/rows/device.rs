//! Accesses to a device of the VMM, which L0 emulates: the page fault is one of L0's emulator then,
//! and everything reported is as hardware would give it.

use super::REP;
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rbp, Rcx, Rdi, Rsi};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1, Device, ShadowStack};
use crate::scene::{Answer, Feature, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const DEVICE: u64 = Device.linear();
const AFTER_DEVICE: u64 = ShadowStack.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const DF: u64 = 1 << 10;

/// An instruction that L0 emulates.
const fn emulated(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    user(name, what, code, instruction).needs(Feature::Channel)
}

/// An instruction whose RDI points to the device.
const fn device(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    emulated(name, what, code, instruction).registers(&[(Rdi, DEVICE)])
}

const fn read(name: &'static str, what: &'static str) -> Row {
    device(name, what, &[0x8b, 0x07], "mov eax,[rdi]")
}

const fn write(name: &'static str, what: &'static str) -> Row {
    device(name, what, &[0x89, 0x07], "mov [rdi],eax")
}

/// The rows.
pub const ROWS: &[Row] = &[
    read("device-read", "a read of the device").registers(&[(Rdi, DEVICE)]).open(Rax.bit()),
    write("device-write", "a write to the device").registers(&[(Rdi, DEVICE)]),
    read("device-read-np", "a read of the device's page, which is bad")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::NP)])
        .fault(DEVICE, Read),
    write("device-write-ro", "a write to the device's page, which cannot be written")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::RO)])
        .fault(DEVICE, Write),
    write("device-write-rsvd", "a write to the device through an entry with a reserved bit")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::RSVD)])
        .fault(DEVICE, Write),
    read("device-read-super", "a read of the device by a user who may not")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::SUPER)])
        .fault(DEVICE, Read),
    device(
        "device-add-np",
        "a read and write of the device, which is not there: a write",
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .pages(&[(Device, Kind::NP)])
    .fault(DEVICE, Write),
    device(
        "device-add-ro",
        "a read and write of the device, which cannot be written",
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write),
    device(
        "device-lock-ro",
        "a locked access to the device, which cannot be written",
        &[0xf0, 0x0f, 0xb1, 0x0f],
        "lock cmpxchg [rdi],ecx",
    )
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write),
    read("device-cross-out", "a read across the device's end, onto a bad page")
        .registers(&[(Rdi, AFTER_DEVICE - 2)])
        .pages(&[(ShadowStack, Kind::NP)])
        .fault(AFTER_DEVICE, Read)
        .in_parts(),
    write("device-cross-out-write", "a write across the device's end, onto a supervisor's page")
        .registers(&[(Rdi, AFTER_DEVICE - 1)])
        .fault(AFTER_DEVICE, Write)
        .in_parts(),
    write("device-cross-in", "a write across the device's beginning, from a bad page")
        .registers(&[(Rdi, DEVICE - 2)])
        .pages(&[(Data1, Kind::RO)])
        .fault(DEVICE - 2, Write)
        .in_parts(),
    emulated(
        "device-movs-dest",
        "MOVS from the device to a page that cannot be written",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .watch(DATA0)
    .fault(DATA0, Write),
    emulated(
        "device-movs-dest-np",
        "MOVS from the device to a page that is not there",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .watch(DATA0)
    .fault(DATA0, Write),
    emulated(
        "device-movs-source",
        "MOVS to the device from a bad page",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DATA0), (Rdi, DEVICE)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    emulated(
        "device-movs-cross",
        "MOVS from the device across two pages, the second bad",
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .in_parts(),
    emulated(
        "device-rep-movs-dest",
        "MOVS from the device, the third destination element is bad",
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DEVICE), (Rdi, END0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DEVICE + 8), (Rdi, DATA1)])
    .section(REP),
    emulated(
        "device-rep-movs-source",
        "MOVS to the device, the third source element is bad",
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DEVICE)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DEVICE + 8)])
    .section(REP),
    emulated(
        "device-rep-movs-down",
        "MOVS from the device downwards, the third destination element is bad",
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DEVICE + 0x80), (Rdi, DATA1 + 4)])
    .rflags(DF)
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA1 - 4, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DEVICE + 0x78), (Rdi, DATA1 - 4)])
    .section(REP),
    emulated(
        "device-movs-retry",
        "MOVS from the device that L1 lets go on",
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 4), (Rsi, DEVICE), (Rdi, END0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 2), (Rsi, DEVICE + 8), (Rdi, DATA1)])
    .answer(Answer::Retry)
    .at_end(&[(Rcx, 0), (Rsi, DEVICE + 16), (Rdi, DATA1 + 8)])
    .section(REP),
    Row::new(
        "device-movs-super",
        "MOVS from the device in supervisor mode",
        Supervisor,
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA0, Write)
    .needs(Feature::Channel),
    emulated(
        "device-stos",
        "STOS to the device, which ends in its fill",
        &[0xf3, 0xab],
        "rep stosd [rdi]",
    )
    .registers(&[(Rcx, 8), (Rdi, AFTER_DEVICE - 8)])
    .fault(AFTER_DEVICE, Write)
    .at_fault(&[(Rcx, 6), (Rdi, AFTER_DEVICE)])
    .section(REP),
    emulated(
        "device-lods",
        "LODS from the device, which ends in its read",
        &[0xf3, 0xad],
        "rep lodsd [rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, AFTER_DEVICE - 8)])
    .fault(AFTER_DEVICE, Read)
    .at_fault(&[(Rcx, 6), (Rsi, AFTER_DEVICE)])
    .open(Rax.bit())
    .section(REP),
    emulated("device-cmps", "CMPS of the device and a bad page", &[0xa7], "cmpsd [rsi],[rdi]")
        .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    device(
        "device-push",
        "a push of the device's memory to a bad stack",
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .rsp(DATA1)
    .pages(&[(Data0, Kind::NP)])
    .fault(END0, Write)
    .only_64_bit(),
    device(
        "device-pop",
        "a pop to the device from a bad stack",
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .rsp(DATA0)
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .only_64_bit(),
    device(
        "device-pop-ro",
        "a pop to the device, which cannot be written",
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .rsp(DATA0)
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write)
    .only_64_bit(),
    emulated(
        "device-push-to",
        "a push of bad memory to the device",
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .rsp(DEVICE + 0x100)
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .only_64_bit(),
    emulated("device-leave", "LEAVE with a frame in the device whose end is bad", &[0xc9], "leave")
        .registers(&[(Rbp, AFTER_DEVICE - 4)])
        .fault(AFTER_DEVICE, Read)
        .in_parts()
        .only_64_bit(),
];
