//! Instructions that reach memory by the stack pointer: a fault leaves RSP and RBP as before.
//!
//! ENTER has no locals where a push is bad, since a host may try the final stack pointer first.

use super::CROSSING;
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rbp, Rdi, Rsp};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, Data1};
use crate::scene::{Answer, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const CODE1: u64 = Code1.linear();
/// The last eight bytes before the second data page.
const END0: u64 = DATA1 - 8;
const VALUE: u64 = 0x0102_0304_0506_0708;
const STACK: Citation = Section::STACKS.says("");

/// An instruction whose operand on the stack has 64 bits.
const fn on_stack(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    Row::new(name, what, cpl, code, instruction).only_64_bit().section(STACK)
}

/// The rows.
pub const ROWS: &[Row] = &[
    on_stack("user-push-np", "a push", User, &[0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::NP)])
        .fault(END0, Write),
    on_stack("user-push-ro", "a push", User, &[0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::RO)])
        .watch(END0)
        .fault(END0, Write),
    on_stack("super-push-np", "a push", Supervisor, &[0x50], "push rax")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::NP)])
        .fault(END0, Write),
    user("user-push-cross", "a push across two pages", &[0x50], "push rax")
        .rsp(DATA1 + 4)
        .pages(&[(Data1, Kind::RO)])
        .memory(&[(END0, VALUE)])
        .watch(END0)
        .fault(DATA1, Write)
        .in_parts()
        .only_64_bit()
        .section(CROSSING),
    on_stack("user-pushf-np", "the flags pushed", User, &[0x9c], "pushfq")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::NP)])
        .fault(END0, Write),
    user("user-pop-np", "a pop", &[0x58], "pop rax")
        .rsp(DATA0 + 0x20)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0 + 0x20, Read)
        .section(STACK),
    user("user-popf-np", "the flags popped", &[0x9d], "popfq")
        .rsp(DATA0 + 0x20)
        .rflags(0x41)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0 + 0x20, Read)
        .section(STACK),
    on_stack(
        "user-push-mem-source",
        "a push of memory that is bad",
        User,
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .rsp(DATA1)
    .registers(&[(Rdi, DATA1 + 8)])
    .pages(&[(Data1, Kind::NP)])
    .watch(END0)
    .fault(DATA1 + 8, Read),
    on_stack(
        "user-push-mem-stack",
        "a push of memory to a stack that is bad",
        User,
        &[0xff, 0x37],
        "push qword ptr [rdi]",
    )
    .rsp(DATA1)
    .registers(&[(Rdi, DATA1 + 8)])
    .pages(&[(Data0, Kind::NP)])
    .fault(END0, Write),
    on_stack(
        "user-pop-mem-dest",
        "a pop to memory that is bad: RSP is as before",
        User,
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .rsp(END0)
    .registers(&[(Rdi, DATA1 + 0x10)])
    .pages(&[(Data1, Kind::RO)])
    .watch(DATA1 + 0x10)
    .fault(DATA1 + 0x10, Write),
    on_stack(
        "user-pop-mem-stack",
        "a pop to memory from a stack that is bad",
        User,
        &[0x8f, 0x07],
        "pop qword ptr [rdi]",
    )
    .rsp(END0)
    .registers(&[(Rdi, DATA1 + 0x10)])
    .pages(&[(Data0, Kind::NP)])
    .fault(END0, Read),
    user(
        "user-pop-rsp-dest",
        "a pop whose destination is found by the RSP after it",
        &[0x8f, 0x04, 0x24],
        "pop qword ptr [rsp]",
    )
    .rsp(END0)
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .only_64_bit()
    .section(Section::POP.says("an address with RSP as base is computed after the increment")),
    on_stack("user-call-np", "a near call whose push is bad", User, &[0xff, 0xd0], "call rax")
        .rsp(DATA1)
        .pages(&[(Data0, Kind::RO)])
        .registers(&[(Rax, CODE1)])
        .watch(END0)
        .fault(END0, Write),
    user(
        "user-call-mem-np",
        "a near call through a pointer that is bad",
        &[0xff, 0x17],
        "call qword ptr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .only_64_bit(),
    on_stack(
        "user-call-mem-stack",
        "a near call through a pointer whose push is bad",
        User,
        &[0xff, 0x17],
        "call qword ptr [rdi]",
    )
    .rsp(DATA1)
    .registers(&[(Rdi, DATA1)])
    .memory(&[(DATA1, CODE1)])
    .pages(&[(Data0, Kind::NP)])
    .fault(END0, Write),
    user(
        "user-jmp-mem-np",
        "a near jump through a pointer that is bad",
        &[0xff, 0x27],
        "jmp qword ptr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .only_64_bit(),
    user("user-ret-np", "a near return", &[0xc3], "ret")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .section(STACK),
    user(
        "user-ret-n-cross",
        "a near return whose address is on two pages",
        &[0xc2, 0x08, 0x00],
        "ret 8",
    )
    .rsp(DATA1 - 3)
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts()
    .section(CROSSING),
    on_stack(
        "user-enter-np",
        "ENTER whose first push is bad",
        User,
        &[0xc8, 0x00, 0x00, 0x00],
        "enter 0,0",
    )
    .rsp(DATA1)
    .pages(&[(Data0, Kind::RO)])
    .watch(END0)
    .fault(END0, Write),
    user(
        "user-enter-nested-read",
        "ENTER of a nested procedure: the frame before is bad",
        &[0xc8, 0x00, 0x00, 0x02],
        "enter 0,2",
    )
    .rsp(DATA0 + 0x800)
    .registers(&[(Rbp, DATA1 + 0x18)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1 + 0x10, Read)
    .only_64_bit()
    .section(Section::ENTER.says("")),
    user(
        "user-enter-nested-retry",
        "ENTER of a nested procedure that L1 lets be tried again",
        &[0xc8, 0x00, 0x00, 0x02],
        "enter 0,2",
    )
    .rsp(DATA1 + 0x10)
    .registers(&[(Rbp, DATA1 + 0x18)])
    .memory(&[(DATA1 + 0x10, VALUE)])
    .pages(&[(Data0, Kind::RO)])
    .watch(DATA1)
    .fault(END0, Write)
    .answer(Answer::Retry)
    .open(Memory.bit())
    .at_end(&[(Rbp, DATA1 + 8), (Rsp, END0)])
    .only_64_bit()
    .section(Section::ENTER.says("")),
    user(
        "user-enter-final",
        "ENTER whose RSP at the end is on a page that cannot be written",
        &[0xc8, 0x40, 0x00, 0x00],
        "enter 40h,0",
    )
    .rsp(DATA1 + 0x20)
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA1 + 0x18 - 64, Write)
    .in_parts()
    .only_64_bit()
    .section(
        Section::ENTER
            .says("a page fault where a write with the final stack pointer would have one"),
    ),
    user("user-leave-np", "LEAVE: RSP and RBP are as before", &[0xc9], "leave")
        .registers(&[(Rbp, DATA0 + 0x40)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0 + 0x40, Read)
        .section(Section::LEAVE.says("")),
];
