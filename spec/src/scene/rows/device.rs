//! Accesses to a device of the VMM, which L0 emulates: the page fault is one of L0's emulator then, and everything
//! reported is as hardware would give it.

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{Supervisor, User};
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
const REP: &str = "vol. 2B, REP/REPE/REPZ/REPNE/REPNZ: a repeated string instruction can be suspended by an exception";

/// The rows.
pub const ROWS: &[Row] = &[
    Row::new("device-read", "a read of the device", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DEVICE)])
        .open(Rax.bit())
        .needs(Feature::Channel),
    Row::new("device-write", "a write to the device", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DEVICE)])
        .needs(Feature::Channel),
    Row::new("device-read-np", "a read of the device's page, which is bad", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::NP)])
        .fault(DEVICE, Read)
        .needs(Feature::Channel),
    Row::new(
        "device-write-ro",
        "a write to the device's page, which cannot be written",
        User,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DEVICE)])
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write)
    .needs(Feature::Channel),
    Row::new("device-write-rsvd", "a write to the device behind a reserved bit", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::RSVD)])
        .fault(DEVICE, Write)
        .needs(Feature::Channel),
    Row::new("device-read-super", "a read of the device by a user who may not", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::SUPER)])
        .fault(DEVICE, Read)
        .needs(Feature::Channel),
    Row::new(
        "device-add-ro",
        "a read and write of the device, which cannot be written",
        User,
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .registers(&[(Rdi, DEVICE)])
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write)
    .needs(Feature::Channel),
    Row::new(
        "device-lock-ro",
        "a locked access to the device, which cannot be written",
        User,
        &[0xf0, 0x0f, 0xb1, 0x0f],
        "lock cmpxchg [rdi],ecx",
    )
    .registers(&[(Rdi, DEVICE)])
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write)
    .needs(Feature::Channel),
    Row::new(
        "device-cross-out",
        "a read across the device's end, onto a bad page",
        User,
        &[0x8b, 0x07],
        "mov eax,[rdi]",
    )
    .registers(&[(Rdi, AFTER_DEVICE - 2)])
    .pages(&[(ShadowStack, Kind::NP)])
    .fault(AFTER_DEVICE, Read)
    .in_parts()
    .needs(Feature::Channel),
    Row::new(
        "device-cross-out-write",
        "a write across the device's end, onto a supervisor's page",
        User,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, AFTER_DEVICE - 1)])
    .fault(AFTER_DEVICE, Write)
    .in_parts()
    .needs(Feature::Channel),
    Row::new(
        "device-cross-in",
        "a write across the device's beginning, from a bad page",
        User,
        &[0x89, 0x07],
        "mov [rdi],eax",
    )
    .registers(&[(Rdi, DEVICE - 2)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DEVICE - 2, Write)
    .in_parts()
    .needs(Feature::Channel),
    Row::new(
        "device-movs-dest",
        "MOVS from the device to a page that cannot be written",
        User,
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .needs(Feature::Channel),
    Row::new(
        "device-movs-dest-np",
        "MOVS from the device to a page that is not there",
        User,
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .needs(Feature::Channel),
    Row::new("device-movs-source", "MOVS to the device from a bad page", User, &[0xa5], "movsd [rdi],[rsi]")
        .registers(&[(Rsi, DATA0), (Rdi, DEVICE)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .needs(Feature::Channel),
    Row::new(
        "device-movs-cross",
        "MOVS from the device across two pages, the second bad",
        User,
        &[0xa5],
        "movsd [rdi],[rsi]",
    )
    .registers(&[(Rsi, DEVICE), (Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .in_parts()
    .needs(Feature::Channel),
    Row::new(
        "device-rep-movs-dest",
        "MOVS from the device, the third destination element is bad",
        User,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DEVICE), (Rdi, END0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DEVICE + 8), (Rdi, DATA1)])
    .section(REP)
    .needs(Feature::Channel),
    Row::new(
        "device-rep-movs-source",
        "MOVS to the device, the third source element is bad",
        User,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, END0), (Rdi, DEVICE)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DEVICE + 8)])
    .section(REP)
    .needs(Feature::Channel),
    Row::new(
        "device-rep-movs-down",
        "MOVS from the device downwards, the third destination element is bad",
        User,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DEVICE + 0x80), (Rdi, DATA1 + 4)])
    .rflags(DF)
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA1 - 4, Write)
    .at_fault(&[(Rcx, 6), (Rsi, DEVICE + 0x78), (Rdi, DATA1 - 4)])
    .section(REP)
    .needs(Feature::Channel),
    Row::new(
        "device-movs-retry",
        "MOVS from the device that L1 lets go on",
        User,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 4), (Rsi, DEVICE), (Rdi, END0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .at_fault(&[(Rcx, 2), (Rsi, DEVICE + 8), (Rdi, DATA1)])
    .answer(Answer::Retry)
    .at_end(&[(Rcx, 0), (Rsi, DEVICE + 16), (Rdi, DATA1 + 8)])
    .section(REP)
    .needs(Feature::Channel),
    Row::new("device-movs-super", "MOVS from the device in supervisor mode", Supervisor, &[0xa5], "movsd [rdi],[rsi]")
        .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA0, Write)
        .needs(Feature::Channel),
    Row::new("device-stos", "STOS to the device, which ends in its fill", User, &[0xf3, 0xab], "rep stosd [rdi]")
        .registers(&[(Rcx, 8), (Rdi, AFTER_DEVICE - 8)])
        .fault(AFTER_DEVICE, Write)
        .at_fault(&[(Rcx, 6), (Rdi, AFTER_DEVICE)])
        .section(REP)
        .needs(Feature::Channel),
    Row::new("device-lods", "LODS from the device, which ends in its read", User, &[0xf3, 0xad], "rep lodsd [rsi]")
        .registers(&[(Rcx, 8), (Rsi, AFTER_DEVICE - 8)])
        .fault(AFTER_DEVICE, Read)
        .at_fault(&[(Rcx, 6), (Rsi, AFTER_DEVICE)])
        .open(Rax.bit())
        .section(REP)
        .needs(Feature::Channel),
    Row::new("device-cmps", "CMPS of the device and a bad page", User, &[0xa7], "cmpsd [rsi],[rdi]")
        .registers(&[(Rsi, DEVICE), (Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .needs(Feature::Channel),
    Row::new(
        "device-push",
        "a push of the device's memory to a bad stack",
        User,
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .registers(&[(Rdi, DEVICE)])
    .rsp(DATA1)
    .pages(&[(Data0, Kind::NP)])
    .fault(END0, Write)
    .only_64_bit()
    .needs(Feature::Channel),
    Row::new("device-pop", "a pop to the device from a bad stack", User, &[0x8f, 0x07], "pop qword ptr [rdi]")
        .registers(&[(Rdi, DEVICE)])
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .only_64_bit()
        .needs(Feature::Channel),
    Row::new(
        "device-pop-ro",
        "a pop to the device, which cannot be written",
        User,
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .registers(&[(Rdi, DEVICE)])
    .rsp(DATA0)
    .pages(&[(Device, Kind::RO)])
    .fault(DEVICE, Write)
    .only_64_bit()
    .needs(Feature::Channel),
    Row::new("device-push-to", "a push of bad memory to the device", User, &[0xff, 0x37], "push qword ptr [rdi]")
        .registers(&[(Rdi, DATA0)])
        .rsp(DEVICE + 0x100)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .only_64_bit()
        .needs(Feature::Channel),
    Row::new("device-leave", "LEAVE with a frame in the device whose end is bad", User, &[0xc9], "leave")
        .registers(&[(Rbp, AFTER_DEVICE - 4)])
        .fault(AFTER_DEVICE, Read)
        .in_parts()
        .only_64_bit()
        .needs(Feature::Channel),
];
