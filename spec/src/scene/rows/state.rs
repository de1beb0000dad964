//! What a fault leaves of L2's state, and what an exit reports of it.

use super::delivery::{DB, raised};
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::scene::between::Between;
use crate::scene::builder::user;
use crate::scene::end::Word::{
    self, Cs, Dirty, Interruptibility, Leaf, Memory, Rax, Rbp, Rcx, Rdi, Rflags, Rip, Rsp, Ss,
};
use crate::scene::expect::{
    BLOCKING_BY_MOV_SS, BLOCKING_BY_NMI, BLOCKING_BY_STI, PENDING_BS, selectors,
};
use crate::scene::freedom::{NMI_EXITING, VIRTUAL_NMIS};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, UserStack};
use crate::scene::{Answer, Fault, Fits, RIP, Row, stack_of};
use crate::walk::outcome::{RFLAGS_IF, RFLAGS_RF, RFLAGS_TF};

const DATA0: u64 = Data0.linear();
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
/// CF, PF, AF, ZF, SF, DF, OF.
const FLAGS: u64 = 0xcd5;

const STACK: u64 = stack_of(Supervisor);
const TARGET: u64 = Code1.linear();

const fn read(name: &'static str, what: &'static str) -> Row {
    Row::new(name, what, Supervisor, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
}

const fn write(name: &'static str, what: &'static str) -> Row {
    user(name, what, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0), (Rax, 7)])
        .watch(DATA0)
}

/// Where SS of IRETQ's frame is alone on its page: the order in which the others are read does not
/// matter.
const SPLIT: u64 = UserStack.linear();

/// IRETQ whose frame is cut before SS, by a page that is not present.
const fn iret(name: &'static str, what: &'static str) -> Row {
    Row::new(name, what, Supervisor, &[0x48, 0xcf], "iretq")
        .fits(Fits::Bits64)
        .rsp(SPLIT - 32)
        .memory(&[
            (SPLIT - 32, TARGET),
            (SPLIT - 24, CS_3),
            (SPLIT - 16, FLAGS | 2),
            (SPLIT - 8, STACK_3),
        ])
        .pages(&[(UserStack, Kind::NP)])
        .fault(SPLIT, Read)
        .in_parts()
}

const CS_3: u64 = selectors(User).0;
const SS_0: u64 = selectors(Supervisor).1;
/// DR7.GD: an access to a debug register is #DB; and bit 10, which is 1.
const DETECT: u64 = 1 << 13 | 1 << 10;
const SS_3: u64 = selectors(User).1;
const STACK_3: u64 = stack_of(User);

/// IRETQ that completes, to CPL 3 at [`TARGET`], whose page is not present.
const fn iret_out(name: &'static str, what: &'static str) -> Row {
    Row::new(name, what, Supervisor, &[0x48, 0xcf], "iretq")
        .fits(Fits::Bits64)
        .memory(&[
            (STACK, TARGET),
            (STACK + 8, CS_3),
            (STACK + 16, FLAGS | 2),
            (STACK + 24, STACK_3),
            (STACK + 32, SS_3),
        ])
        .pages(&[(Code1, Kind::NP)])
        .at_fault(&[
            (Rsp, STACK_3),
            (Rflags, FLAGS | 2 | RFLAGS_RF),
            (Cs, CS_3),
            (Ss, SS_3),
            (Interruptibility, 0),
        ])
        .faults(Fault { address: TARGET, access: Fetch, privilege: User, rip: Some(TARGET) })
}

/// The rows.
pub const ROWS: &[Row] = &[
    // RFLAGS, RIP and RSP.
    read("flags", "all flags set")
        .rflags(FLAGS)
        .memory(&[(DATA0, 3)])
        .answer(Answer::Retry)
        .at_end(&[(Rax, 3)]),
    user(
        "rmw-flags",
        "a read-modify-write that faults changes no flag",
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .registers(&[(Rdi, DATA0), (Rax, 0)])
    .rflags(FLAGS)
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 5)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .answer(Answer::Retry),
    Row::new(
        "push",
        "PUSH from a page not present moves no RSP",
        Supervisor,
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .fits(Fits::Bits64)
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .answer(Answer::Retry)
    .at_end(&[(Rsp, STACK - 8)]),
    Row::new(
        "pop",
        "POP to a page not present moves no RSP",
        Supervisor,
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .fits(Fits::Bits64)
    .registers(&[(Rdi, DATA0)])
    .memory(&[(STACK, 0x77)])
    .pages(&[(Data0, Kind::NP)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .answer(Answer::Retry)
    .at_end(&[(Rsp, STACK + 8), (Memory, 0x77)]),
    user("popf", "POPF from a stack not present changes no flag", &[0x9d], "popfq")
        .fits(Fits::Bits64)
        .rflags(FLAGS)
        .pages(&[(UserStack, Kind::NP)])
        .fault(stack_of(User), Read)
        .answer(Answer::Retry)
        .at_end(&[(Rsp, stack_of(User) + 8)]),
    Row::new(
        "leave",
        "LEAVE to a stack not present moves neither RSP nor RBP",
        Supervisor,
        &[0xc9],
        "leave",
    )
    .fits(Fits::Bits64)
    .registers(&[(Rbp, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    // Interruptibility.
    read("sti", "the instruction after STI").rflags(RFLAGS_IF).interruptibility(BLOCKING_BY_STI),
    read("mov-ss", "the instruction after MOV SS").interruptibility(BLOCKING_BY_MOV_SS),
    Row::new(
        "mov-ss-faults",
        "MOV SS that faults blocks nothing",
        Supervisor,
        &[0x8e, 0x17],
        "mov ss,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    // Debug exceptions.
    read("tf", "TF is set, and the instruction does not complete").rflags(RFLAGS_TF),
    read("tf-mov-ss", "TF is set, and a single step is pending after MOV SS")
        .rflags(RFLAGS_TF)
        .interruptibility(BLOCKING_BY_MOV_SS)
        .pending_debug(PENDING_BS),
    Row::new(
        "detect-mov-ss",
        "MOV from DR6 with DR7.GD set, after MOV SS with TF set",
        Supervisor,
        &[0x0f, 0x23, 0xf8, 0x9d, 0x8e, 0xd1, 0x0f, 0x21, 0xf3],
        "mov dr7,rax; popfq; mov ss,cx; mov rbx,dr6",
    )
    .fits(Fits::Bits64)
    .registers(&[(Rax, DETECT), (Rcx, SS_0)])
    .rsp(DATA0)
    .memory(&[(DATA0, RFLAGS_TF | 2)])
    .event(raised(DB))
    .event_stack(1 << DB)
    .at_end(&[(Rip, RIP + 6), (Rsp, DATA0 + 8)])
    // Not asked: RF, and whether the single step that MOV SS holds back is reported too.
    .open(Word::Dr6.bit() | Word::Rflags.bit()),
    // NMIs.
    read("nmi-blocked", "no IRET, NMIs blocked").interruptibility(BLOCKING_BY_NMI),
    read("nmi-blocked-virtual", "no IRET, virtual NMIs blocked")
        .interruptibility(BLOCKING_BY_NMI)
        .pins(NMI_EXITING | VIRTUAL_NMIS),
    iret("iret", "IRET, NMIs not blocked"),
    iret("iret-virtual", "IRET, virtual NMIs not blocked").pins(NMI_EXITING | VIRTUAL_NMIS),
    iret("iret-unblocks", "IRET unblocks NMIs").interruptibility(BLOCKING_BY_NMI).nmi_unblocked(),
    iret(
        "iret-unblocks-again",
        "IRET unblocks NMIs, after an exit during the delivery of an exception",
    )
    .interruptibility(BLOCKING_BY_NMI)
    .nmi_unblocked()
    .answer(Answer::Again(Between::VectoredExit)),
    iret("iret-unblocks-virtual", "IRET unblocks virtual NMIs")
        .interruptibility(BLOCKING_BY_NMI)
        .pins(NMI_EXITING | VIRTUAL_NMIS)
        .nmi_unblocked(),
    iret("iret-nmi-exiting", "IRET with NMI exiting and without virtual NMIs unblocks none")
        .interruptibility(BLOCKING_BY_NMI)
        .pins(NMI_EXITING),
    // IRET to CPL 3.
    iret_out("iret-out", "IRET to CPL 3, where the fetch faults"),
    iret_out("iret-out-unblocks", "IRET unblocks NMIs and completes, and the fetch faults")
        .interruptibility(BLOCKING_BY_NMI),
    iret_out(
        "iret-out-unblocks-virtual",
        "IRET unblocks virtual NMIs and completes, and the fetch faults",
    )
    .interruptibility(BLOCKING_BY_NMI)
    .pins(NMI_EXITING | VIRTUAL_NMIS),
    // A and D flags.
    write("ad-write", "a write sets A and D")
        .pages(&[(Data0, Kind::CLEAN)])
        .at_end(&[(Memory, 7), (Leaf, A | D)]),
    // Whether A is set where rights are missing is open.
    write("ad-write-ro", "a write to a read-only page sets no D")
        .pages(&[(Data0, Kind::RO_CLEAN)])
        .fault(DATA0, Write)
        .at_fault(&[(Dirty, 0)]),
    write("ad-write-np", "a write to a page not present sets neither")
        .pages(&[(
            Data0,
            Kind { without: Kind::NP.without.union(Kind::CLEAN.without), ..Kind::NP },
        )])
        .fault(DATA0, Write)
        .answer(Answer::Retry)
        .at_fault(&[(Leaf, 0)])
        .at_end(&[(Memory, 7)]),
    user("ad-read", "a read sets A alone", &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0)])
        .watch(DATA0)
        .pages(&[(Data0, Kind::CLEAN)])
        .at_end(&[(Rax, 0), (Leaf, A)]),
];
