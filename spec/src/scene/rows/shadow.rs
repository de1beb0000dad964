//! Shadow stacks at CPL 3: CR4.CET and IA32_U_CET.SH_STK_EN are set, SSP is the scene's.

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Entry;
use crate::manual::paging::Privilege::User;
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
const RIGHTS: &str = "vol. 3A, 4.6.1 (Determination of Access Rights): shadow-stack accesses";
/// Behind an indirect call of two bytes: a direct one to the next instruction pushes to no shadow stack.
const BEHIND: u64 = RIP + 2;
const SSP: u64 = SHADOW + 0x800;
/// Where the return address of the stack is looked up.
const RETURN: u64 = RIP + 1;

/// The rows.
pub const ROWS: &[Row] = &[
    Row::new("call-good", "a call that pushes to a good shadow stack", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rsp, DATA1 - 8)])
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("call-np", "a call whose shadow stack is not there", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, NP)])
        .shadow_fault(SSP - 8, Write)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("call-writable", "a call whose shadow stack is an ordinary page", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, WRITABLE)])
        .shadow_fault(SSP - 8, Write)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("call-clean", "a call whose shadow stack is a read-only page", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, CLEAN)])
        .shadow_fault(SSP - 8, Write)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("call-super", "a call whose shadow stack is a supervisor's", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, SUPER)])
        .shadow_fault(SSP - 8, Write)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("call-rsvd", "a call whose shadow stack is behind a reserved bit", User, &[0xff, 0xd0], "call rax")
        .registers(&[(Rax, BEHIND)])
        .ssp(SSP)
        .rsp(DATA1)
        .pages(&[(ShadowStack, RSVD)])
        .shadow_fault(SSP - 8, Write)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("ret-good", "a return that finds its address on a good shadow stack", User, &[0xc3], "ret")
        .ssp(SSP)
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN), (SSP, RETURN)])
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rsp, DATA0 + 8)])
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("ret-np", "a return whose shadow stack is not there", User, &[0xc3], "ret")
        .ssp(SSP)
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN)])
        .pages(&[(ShadowStack, NP)])
        .shadow_fault(SSP, Read)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new("ret-writable", "a return whose shadow stack is an ordinary page", User, &[0xc3], "ret")
        .ssp(SSP)
        .rsp(DATA0)
        .memory(&[(DATA0, RETURN), (SSP, RETURN)])
        .pages(&[(ShadowStack, WRITABLE)])
        .shadow_fault(SSP, Read)
        .needs(Feature::ShadowStack)
        .only_64_bit()
        .section(RIGHTS),
    Row::new(
        "incssp-np",
        "INCSSP whose shadow stack is not there",
        User,
        &[0xf3, 0x48, 0x0f, 0xae, 0xe8],
        "incsspq rax",
    )
    .registers(&[(Rax, 1)])
    .ssp(SSP)
    .pages(&[(ShadowStack, NP)])
    .shadow_fault(SSP, Read)
    .needs(Feature::ShadowStack)
    .only_64_bit()
    .section(RIGHTS),
    Row::new("mov-write", "an ordinary write to a shadow stack", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, SHADOW)])
        .ssp(SSP)
        .pages(&[(ShadowStack, GOOD)])
        .watch(SHADOW)
        .fault(SHADOW, Write)
        .needs(Feature::ShadowStack)
        .section(RIGHTS),
    Row::new("mov-read", "an ordinary read of a shadow stack: allowed", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, SHADOW)])
        .ssp(SSP)
        .memory(&[(SHADOW, 7)])
        .pages(&[(ShadowStack, GOOD)])
        .at_end(&[(Rax, 7)])
        .needs(Feature::ShadowStack)
        .section(RIGHTS),
];
