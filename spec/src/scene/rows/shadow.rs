//! Shadow stacks at CPL 3: CR4.CET and IA32_U_CET.SH_STK_EN are set, SSP is the scene's.

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Entry;
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rdi, Rsp};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1, ShadowStack};
use crate::scene::{Feature, RIP, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const SHADOW: u64 = ShadowStack.linear();
/// A good shadow stack of CPL 3: user-mode, dirty, read-only.
const GOOD: Kind = Kind { with: Entry::US.union(Entry::D), ..Kind::RO };
const NP: Kind = Kind { without: Entry::P.union(Entry::RW), ..GOOD };
const WRITABLE: Kind = Kind { with: Entry::US, ..Kind::GOOD };
const CLEAN: Kind = Kind { without: Entry::RW.union(Entry::D), with: Entry::US, ..Kind::GOOD };
const RSVD: Kind = Kind { reserved: true, ..GOOD };
const SUPER: Kind = Kind::SHADOW_STACK;
const RIGHTS: Citation = Section::DETERMINING_RIGHTS.says("shadow-stack accesses");
/// After an indirect call of two bytes: a direct one to the next instruction pushes to no shadow
/// stack.
const NEXT: u64 = RIP + 2;
const SSP: u64 = SHADOW + 0x800;
/// Where the return address of the stack is looked up.
const RETURN: u64 = RIP + 1;

/// An instruction that uses the shadow stack at [`SSP`].
const fn shadow(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    let row = user(name, what, code, instruction).ssp(SSP);
    row.needs(Feature::ShadowStack).only_64_bit().section(RIGHTS)
}

/// A call, which pushes to both stacks.
const fn call(name: &'static str, what: &'static str) -> Row {
    shadow(name, what, &[0xff, 0xd0], "call rax").registers(&[(Rax, NEXT)]).rsp(DATA1)
}

/// The rows.
pub const ROWS: &[Row] = &[
    call("call-good", "a call that pushes to a good shadow stack")
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rsp, DATA1 - 8)]),
    call("call-np", "a call whose shadow stack is not there")
        .pages(&[(ShadowStack, NP)])
        .shadow_fault(SSP - 8, Write),
    call("call-writable", "a call whose shadow stack is an ordinary page")
        .pages(&[(ShadowStack, WRITABLE)])
        .shadow_fault(SSP - 8, Write),
    call("call-clean", "a call whose shadow stack is a read-only page")
        .pages(&[(ShadowStack, CLEAN)])
        .shadow_fault(SSP - 8, Write),
    call("call-super", "a call whose shadow stack is a supervisor's")
        .pages(&[(ShadowStack, SUPER)])
        .shadow_fault(SSP - 8, Write),
    call("call-rsvd", "a call whose shadow stack has a reserved bit in its PTE")
        .pages(&[(ShadowStack, RSVD)])
        .shadow_fault(SSP - 8, Write),
    shadow("ret-good", "a return that finds its address on a good shadow stack", &[0xc3], "ret")
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN), (SSP, RETURN)])
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rsp, DATA0 + 8)]),
    shadow("ret-np", "a return whose shadow stack is not there", &[0xc3], "ret")
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN)])
        .pages(&[(ShadowStack, NP)])
        .shadow_fault(SSP, Read),
    shadow("ret-writable", "a return whose shadow stack is an ordinary page", &[0xc3], "ret")
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN), (SSP, RETURN)])
        .pages(&[(ShadowStack, WRITABLE)])
        .shadow_fault(SSP, Read),
    shadow(
        "incssp-np",
        "INCSSP whose shadow stack is not there",
        &[0xf3, 0x48, 0x0f, 0xae, 0xe8],
        "incsspq rax",
    )
    .registers(&[(Rax, 1)])
    .pages(&[(ShadowStack, NP)])
    .shadow_fault(SSP, Read),
    user("mov-write", "an ordinary write to a shadow stack", &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, SHADOW)])
        .ssp(SSP)
        .pages(&[(ShadowStack, GOOD)])
        .watch(SHADOW)
        .fault(SHADOW, Write)
        .needs(Feature::ShadowStack)
        .section(RIGHTS),
    user("mov-read", "an ordinary read of a shadow stack: allowed", &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, SHADOW)])
        .ssp(SSP)
        .memory(&[(SHADOW, 7)])
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rax, 7)])
        .needs(Feature::ShadowStack)
        .section(RIGHTS),
];
