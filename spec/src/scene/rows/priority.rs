//! Instructions that L1 intercepts and whose operand would fault: the VM exit comes first, and a
//! fault of the fetch before it.

use super::ports::{IOPL, PORT};
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::end::Word::{Rax, Rcx, Rdi, Rdx, Rsi};
use crate::scene::event::Event;
use crate::scene::event::EventType::HardwareException;
use crate::scene::event::Source::Raised;
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0};
use crate::scene::{Exiting, Feature, Row};

const DATA0: u64 = Data0.linear();
const CODE1: u64 = Code1.linear();
/// The operand of all these instructions.
const OPERAND: &[(crate::scene::place::Place, Kind)] = &[(Data0, Kind::NP)];
const RAISES_GP: Event = Event::new(Raised, HardwareException, 13).error_code(0);
/// Basic exit reasons. SDM vol. 3D, "VMX Basic Exit Reasons".
const VMCLEAR: u16 = 19;
const VMPTRLD: u16 = 21;
const VMPTRST: u16 = 22;
const VMREAD: u16 = 23;
const VMWRITE: u16 = 25;
const VMXON: u16 = 27;
const IO: u16 = 30;
const GDTR_IDTR: u16 = 46;
const LDTR_TR: u16 = 47;
const INVEPT: u16 = 50;
const INVVPID: u16 = 53;
const INVPCID: u16 = 58;
const PRIORITY: Citation = Section::FAULT_PRIORITY.says("");

/// An instruction with a bad operand, which L1 intercepts.
const fn exits(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    Row::new(name, what, cpl, code, instruction).pages(OPERAND).section(PRIORITY)
}

/// The rows. The exit qualification is the operand's displacement, "Basic VM-Exit
/// Information".
pub const ROWS: &[Row] = &[
    exits(
        "vmclear",
        "VMCLEAR exits always",
        Supervisor,
        &[0x66, 0x0f, 0xc7, 0x77, 0x10],
        "vmclear [rdi+10h]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0 + 0x10, Read)
    .intercepted(VMCLEAR, Some(0x10)),
    exits("vmptrld", "VMPTRLD exits always", Supervisor, &[0x0f, 0xc7, 0x37], "vmptrld [rdi]")
        .registers(&[(Rdi, DATA0)])
        .fault(DATA0, Read)
        .intercepted(VMPTRLD, Some(0)),
    exits("vmptrst", "VMPTRST exits always", Supervisor, &[0x0f, 0xc7, 0x3f], "vmptrst [rdi]")
        .registers(&[(Rdi, DATA0)])
        .fault(DATA0, Write)
        .intercepted(VMPTRST, Some(0)),
    exits(
        "vmread",
        "VMREAD to memory exits always",
        Supervisor,
        &[0x0f, 0x78, 0x47, 0xf8],
        "vmread [rdi-8],rax",
    )
    .registers(&[(Rdi, DATA0 + 8)])
    .fault(DATA0, Write)
    .intercepted(VMREAD, Some((-8i64).cast_unsigned()))
    .only_64_bit(),
    exits(
        "vmwrite",
        "VMWRITE from memory exits always",
        Supervisor,
        &[0x0f, 0x79, 0x07],
        "vmwrite rax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .intercepted(VMWRITE, Some(0))
    .only_64_bit(),
    exits("vmxon", "VMXON exits always", Supervisor, &[0xf3, 0x0f, 0xc7, 0x37], "vmxon [rdi]")
        .registers(&[(Rdi, DATA0)])
        .fault(DATA0, Read)
        .intercepted(VMXON, Some(0)),
    exits(
        "invept",
        "INVEPT exits always",
        Supervisor,
        &[0x66, 0x0f, 0x38, 0x80, 0x07],
        "invept rax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .intercepted(INVEPT, Some(0))
    .needs(Feature::Invept)
    .only_64_bit(),
    exits(
        "invvpid",
        "INVVPID exits always",
        Supervisor,
        &[0x66, 0x0f, 0x38, 0x81, 0x07],
        "invvpid rax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .intercepted(INVVPID, Some(0))
    .needs(Feature::AnyInvvpid)
    .only_64_bit(),
    user(
        "user-vmptrld",
        "VMPTRLD at CPL 3: the exit comes before #GP, too",
        &[0x0f, 0xc7, 0x37],
        "vmptrld [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(OPERAND)
    .fault(DATA0, Read)
    .intercepted(VMPTRLD, Some(0))
    .section(Section::VMX_INSTRUCTIONS.says("VMPTRLD")),
    Row::new(
        "vmptrld-fetch",
        "VMPTRLD whose last byte cannot be fetched: the page fault comes first",
        Supervisor,
        &[0x0f, 0xc7, 0x37],
        "vmptrld [rdi]",
    )
    .rip(CODE1 - 2)
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Code1, Kind::NX), (Data0, Kind::NP)])
    .fault(CODE1, Fetch)
    .section(PRIORITY),
    exits(
        "invpcid",
        "INVPCID with INVLPG exiting",
        Supervisor,
        &[0x66, 0x0f, 0x38, 0x82, 0x07],
        "invpcid rax,[rdi]",
    )
    .registers(&[(Rdi, DATA0), (Rax, 0)])
    .fault(DATA0, Read)
    .exiting(Exiting::Invlpg)
    .intercepted(INVPCID, Some(0))
    .needs(Feature::InvpcidExiting)
    .only_64_bit(),
    exits(
        "sgdt-exiting",
        "SGDT with descriptor-table exiting",
        User,
        &[0x0f, 0x01, 0x47, 0x10],
        "sgdt [rdi+10h]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0 + 0x10, Write)
    .exiting(Exiting::DescriptorTables)
    .intercepted(GDTR_IDTR, Some(0x10))
    .needs(Feature::DescriptorTableExiting),
    exits(
        "lidt-exiting",
        "LIDT with descriptor-table exiting",
        Supervisor,
        &[0x0f, 0x01, 0x1f],
        "lidt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .exiting(Exiting::DescriptorTables)
    .intercepted(GDTR_IDTR, Some(0))
    .needs(Feature::DescriptorTableExiting),
    exits(
        "lidt-not-exiting",
        "LIDT without descriptor-table exiting",
        Supervisor,
        &[0x0f, 0x01, 0x1f],
        "lidt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .in_parts(),
    exits(
        "sldt-exiting",
        "SLDT with descriptor-table exiting",
        User,
        &[0x0f, 0x00, 0x07],
        "sldt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Write)
    .exiting(Exiting::DescriptorTables)
    .intercepted(LDTR_TR, Some(0))
    .needs(Feature::DescriptorTableExiting),
    exits(
        "ltr-exiting",
        "LTR with descriptor-table exiting",
        Supervisor,
        &[0x0f, 0x00, 0x1f],
        "ltr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .fault(DATA0, Read)
    .exiting(Exiting::DescriptorTables)
    .intercepted(LDTR_TR, Some(0))
    .needs(Feature::DescriptorTableExiting),
    exits(
        "user-lgdt-exiting",
        "LGDT at CPL 3 with descriptor-table exiting: neither exit nor page fault",
        User,
        &[0x0f, 0x01, 0x17],
        "lgdt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .event(RAISES_GP)
    .exiting(Exiting::DescriptorTables)
    .needs(Feature::DescriptorTableExiting),
    Row::new(
        "lgdt-exiting-fetch",
        "LGDT with descriptor-table exiting whose last byte cannot be fetched",
        Supervisor,
        &[0x0f, 0x01, 0x17],
        "lgdt [rdi]",
    )
    .rip(CODE1 - 2)
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Code1, Kind::NP), (Data0, Kind::NP)])
    .fault(CODE1, Fetch)
    .exiting(Exiting::DescriptorTables)
    .needs(Feature::DescriptorTableExiting)
    .section(PRIORITY),
    user(
        "in-exiting-user",
        "IN at CPL 3 whose port the TSS does not allow: neither exit",
        &[0xec],
        "in al,dx",
    )
    .registers(&[(Rdx, PORT)])
    .event(RAISES_GP)
    .exiting(Exiting::Io)
    .section(PRIORITY),
    user("in-exiting", "IN with unconditional I/O exiting", &[0xec], "in al,dx")
        .registers(&[(Rdx, PORT)])
        .rflags(IOPL)
        .exiting(Exiting::Io)
        .intercepted(IO, Some(PORT << 16 | 1 << 3))
        .section(PRIORITY),
    exits(
        "outs-exiting",
        "OUTS with unconditional I/O exiting, source bad",
        User,
        &[0x6e],
        "outsb dx,[rsi]",
    )
    .registers(&[(Rdx, PORT), (Rsi, DATA0), (Rcx, 3)])
    .rflags(IOPL)
    .fault(DATA0, Read)
    .exiting(Exiting::Io)
    .intercepted(IO, Some(PORT << 16 | 1 << 4)),
    exits(
        "ins-exiting",
        "INS with unconditional I/O exiting, destination bad",
        User,
        &[0xf3, 0x6d],
        "rep insd [rdi],dx",
    )
    .registers(&[(Rdx, PORT), (Rdi, DATA0), (Rcx, 3)])
    .rflags(IOPL)
    .fault(DATA0, Write)
    .exiting(Exiting::Io)
    .intercepted(IO, Some(PORT << 16 | 1 << 5 | 1 << 4 | 1 << 3 | 3)),
];
