//! Instructions that L1 intercepts, executed by the processor and, after the forced-emulation
//! prefix, by L0: the VM exit must be the same. The twin of each, without the control, completes.
//! SDM vol. 3C, "Instructions That Cause VM Exits Conditionally" and "Basic VM-Exit Information".

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::{Citation, Section};
use crate::scene::descriptor::{GDT_LIMIT, LDT_SELECTOR};
use crate::scene::end::Word::{self, Memory, Rax, Rcx, Rdi, Rdx, Rsi};
use crate::scene::expect::DR7_AT_START;
use crate::scene::feature::{LISTED_PORT_A, LISTED_PORT_B};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Gdt};
use crate::scene::{Exiting, Feature, Row};

const DATA0: u64 = Data0.linear();
/// Basic exit reasons. SDM vol. 3D, "VMX Basic Exit Reasons".
const CPUID: u16 = 10;
const HLT: u16 = 12;
const INVD: u16 = 13;
const INVLPG: u16 = 14;
const RDPMC: u16 = 15;
const RDTSC: u16 = 16;
const CONTROL_REGISTER: u16 = 28;
const DEBUG_REGISTER: u16 = 29;
const IO: u16 = 30;
const RDMSR: u16 = 31;
const WRMSR: u16 = 32;
const PAUSE: u16 = 40;
const GDTR_IDTR: u16 = 46;
const LDTR_TR: u16 = 47;
/// Bits of the exit qualification of I/O instructions: IN, a string, and repeated.
const IN: u64 = 1 << 3;
const STRING: u64 = 1 << 4;
const REPEATED: u64 = 1 << 5;
const UNCONDITIONAL: Citation = Section::UNCONDITIONAL_EXITS.says("");
const CONDITIONAL: Citation = Section::CONDITIONAL_EXITS.says("");
/// Ports whose bits in the bitmaps are clear.
const FREE_PORT: u64 = LISTED_PORT_A as u64 + 1;
const IO_A: u64 = LISTED_PORT_A as u64;
const IO_B: u64 = LISTED_PORT_B as u64;
/// RCX and RDI at the start, of string I/O.
const RDI_AT: (Word, u64) = (Rdi, DATA0);

const fn row(
    name: &'static str,
    what: &'static str,
    cpl: Privilege,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    Row::new(name, what, cpl, code, instruction).only_64_bit().section(CONDITIONAL)
}

/// Two rows of an instruction: executed by the processor, and by L0's emulator.
macro_rules! both {
    ($($name:literal: $what:literal, $cpl:ident, [$($code:literal),+], $text:literal, |$row:ident| $made:expr;)*) => {
        &[$({
            let $row = row($name, $what, $cpl, &[$($code),+], $text);
            $made
        },
        {
            let $row = row(
                concat!("forced-", $name),
                concat!($what, ", after the forced-emulation prefix"),
                $cpl,
                &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, $($code),+],
                $text,
            );
            Row { telling: false, ..$made.needs(Feature::ForcedEmulation) }
        },)*]
    };
}

/// The rows.
pub const ROWS: &[Row] = both![
    "cpuid": "CPUID exits always", User, [0x0f, 0xa2], "cpuid", |row|
        row.intercepted(CPUID, Some(0)).section(UNCONDITIONAL);
    "invd": "INVD exits always", Supervisor, [0x0f, 0x08], "invd", |row|
        row.intercepted(INVD, Some(0)).section(UNCONDITIONAL);
    "rdmsr": "RDMSR without MSR bitmaps", Supervisor, [0x0f, 0x32], "rdmsr", |row|
        row.registers(&[(Rcx, 0x174)]).intercepted(RDMSR, Some(0));
    "wrmsr": "WRMSR without MSR bitmaps", Supervisor, [0x0f, 0x30], "wrmsr", |row|
        row.registers(&[(Rcx, 0x174), (Rax, 0), (Rdx, 0)]).intercepted(WRMSR, Some(0));
    "hlt": "HLT with HLT exiting", Supervisor, [0xf4], "hlt", |row|
        row.exiting(Exiting::Hlt).intercepted(HLT, Some(0)).telling();
    "pause": "PAUSE with PAUSE exiting", User, [0xf3, 0x90], "pause", |row|
        row.exiting(Exiting::Pause).intercepted(PAUSE, Some(0));
    "pause-free": "PAUSE without PAUSE exiting", User, [0xf3, 0x90], "pause", |row| row;
    "rdtsc": "RDTSC with RDTSC exiting", User, [0x0f, 0x31], "rdtsc", |row|
        row.exiting(Exiting::Rdtsc).intercepted(RDTSC, Some(0));
    "rdtsc-free": "RDTSC without RDTSC exiting", User, [0x0f, 0x31], "rdtsc", |row|
        row.open(Rax.bit() | Rdx.bit());
    "rdpmc": "RDPMC with RDPMC exiting", Supervisor, [0x0f, 0x33], "rdpmc", |row|
        row.registers(&[(Rcx, 0)]).exiting(Exiting::Rdpmc).intercepted(RDPMC, Some(0));
    "cr3-load": "MOV to CR3 with CR3-load exiting", Supervisor, [0x0f, 0x22, 0xd8], "mov cr3,rax", |row|
        row.exiting(Exiting::Cr3).intercepted(CONTROL_REGISTER, Some(3));
    "cr3-store": "MOV from CR3 with CR3-store exiting", Supervisor, [0x0f, 0x20, 0xd9], "mov rcx,cr3", |row|
        row.exiting(Exiting::Cr3).intercepted(CONTROL_REGISTER, Some(1 << 8 | 1 << 4 | 3));
    "cr8-load": "MOV to CR8 with CR8-load exiting", Supervisor, [0x44, 0x0f, 0x22, 0xc0], "mov cr8,rax", |row|
        row.exiting(Exiting::Cr8).intercepted(CONTROL_REGISTER, Some(8));
    "dr-load": "MOV to DR7 with MOV-DR exiting", Supervisor, [0x0f, 0x23, 0xfe], "mov dr7,rsi", |row|
        row.exiting(Exiting::DebugRegisters).intercepted(DEBUG_REGISTER, Some(6 << 8 | 7)).telling();
    "dr-store": "MOV from DR7 with MOV-DR exiting", Supervisor, [0x0f, 0x21, 0xf9], "mov rcx,dr7", |row|
        row.exiting(Exiting::DebugRegisters).intercepted(DEBUG_REGISTER, Some(1 << 8 | 1 << 4 | 7));
    "dr-store-free": "MOV from DR7 without MOV-DR exiting", Supervisor, [0x0f, 0x21, 0xf9], "mov rcx,dr7", |row|
        row.at_end(&[(Rcx, DR7_AT_START)]);
    "invlpg": "INVLPG with INVLPG exiting", Supervisor, [0x0f, 0x01, 0x3f], "invlpg [rdi]", |row|
        row.registers(&[(Rdi, DATA0 + 0x123)])
            .exiting(Exiting::Invlpg)
            .intercepted(INVLPG, Some(DATA0 + 0x123))
            .needs(Feature::InvpcidExiting);
    "invlpg-free": "INVLPG without INVLPG exiting", Supervisor, [0x0f, 0x01, 0x3f], "invlpg [rdi]", |row|
        row.registers(&[RDI_AT]);
    "sgdt": "SGDT with descriptor-table exiting", User, [0x0f, 0x01, 0x47, 0x08], "sgdt [rdi+8]", |row|
        row.registers(&[RDI_AT])
            .pages(&[(Data0, Kind::NP)])
            .fault(DATA0 + 8, Write)
            .exiting(Exiting::DescriptorTables)
            .intercepted(GDTR_IDTR, Some(8))
            .needs(Feature::DescriptorTableExiting);
    "sgdt-free": "SGDT without descriptor-table exiting", User, [0x0f, 0x01, 0x07], "sgdt [rdi]", |row|
        row.registers(&[RDI_AT])
            .watch(DATA0)
            .at_end(const { &[(Memory, Gdt.linear() << 16 | GDT_LIMIT as u64)] });
    "lidt": "LIDT with descriptor-table exiting", Supervisor, [0x0f, 0x01, 0x1f], "lidt [rdi]", |row|
        row.registers(&[RDI_AT])
            .pages(&[(Data0, Kind::NP)])
            .fault(DATA0, Read)
            .exiting(Exiting::DescriptorTables)
            .intercepted(GDTR_IDTR, Some(0))
            .needs(Feature::DescriptorTableExiting);
    "sldt": "SLDT with descriptor-table exiting", User, [0x0f, 0x00, 0x07], "sldt [rdi]", |row|
        row.registers(&[RDI_AT])
            .exiting(Exiting::DescriptorTables)
            .intercepted(LDTR_TR, Some(0))
            .needs(Feature::DescriptorTableExiting);
    "sldt-free": "SLDT without descriptor-table exiting", User, [0x0f, 0x00, 0x07], "sldt [rdi]", |row|
        row.registers(&[RDI_AT]).watch(DATA0).at_end(const { &[(Memory, LDT_SELECTOR as u64)] });
    "in": "IN with unconditional I/O exiting", Supervisor, [0xec], "in al,dx", |row|
        row.registers(&[(Rdx, FREE_PORT)]).exiting(Exiting::Io).intercepted(IO, Some(FREE_PORT << 16 | IN));
    "in-wraps": "IN of two bytes beyond the last port, whose bits are clear", Supervisor, [0x66, 0xed], "in ax,dx", |row|
        row.registers(&[(Rdx, 0xffff)]).exiting(Exiting::IoBitmaps).intercepted(IO, Some(0xffff << 16 | IN | 1)).telling();
    "out": "OUT with unconditional I/O exiting", Supervisor, [0xef], "out dx,eax", |row|
        row.registers(&[(Rdx, FREE_PORT)]).exiting(Exiting::Io).intercepted(IO, Some(FREE_PORT << 16 | 3));
    "outs": "OUTS with unconditional I/O exiting, its source bad", Supervisor, [0xf3, 0x6e], "rep outsb dx,[rsi]", |row|
        row.registers(&[(Rdx, FREE_PORT), (Rsi, DATA0), (Rcx, 3)])
            .pages(&[(Data0, Kind::NP)])
            .fault(DATA0, Read)
            .exiting(Exiting::Io)
            .intercepted(IO, Some(FREE_PORT << 16 | REPEATED | STRING));
    "in-listed": "IN from a port whose bit in bitmap A is set", Supervisor, [0xec], "in al,dx", |row|
        row.registers(&[(Rdx, IO_A)]).exiting(Exiting::IoBitmaps).intercepted(IO, Some(IO_A << 16 | IN));
    "in-unlisted": "IN from the port after it", Supervisor, [0xec], "in al,dx", |row|
        row.registers(&[(Rdx, FREE_PORT)]).exiting(Exiting::IoBitmaps).open(Rax.bit());
    "in-wide-listed": "IN of four bytes, of which the last has a port whose bit is set", Supervisor, [0xed], "in eax,dx", |row|
        row.registers(&[(Rdx, IO_A - 3)]).exiting(Exiting::IoBitmaps).intercepted(IO, Some((IO_A - 3) << 16 | IN | 3));
    "in-wide-unlisted": "IN of four bytes up to the port before it", Supervisor, [0xed], "in eax,dx", |row|
        row.registers(&[(Rdx, IO_A - 4)]).exiting(Exiting::IoBitmaps).open(Rax.bit());
    "out-listed": "OUT to a port whose bit in bitmap B is set", Supervisor, [0xee], "out dx,al", |row|
        row.registers(&[(Rdx, IO_B)]).exiting(Exiting::IoBitmaps).intercepted(IO, Some(IO_B << 16)).telling();
    "out-unlisted": "OUT to the port before it", Supervisor, [0xee], "out dx,al", |row|
        row.registers(&[(Rdx, IO_B - 1)]).exiting(Exiting::IoBitmaps);
    "outs-listed": "OUTS to a port whose bit is set, its source bad", Supervisor, [0x6e], "outsb dx,[rsi]", |row|
        row.registers(&[(Rdx, IO_A), (Rsi, DATA0)])
            .pages(&[(Data0, Kind::NP)])
            .fault(DATA0, Read)
            .exiting(Exiting::IoBitmaps)
            .intercepted(IO, Some(IO_A << 16 | STRING));
    "ins-listed": "INS from a port whose bit is set, its destination bad", Supervisor, [0xf3, 0x6c], "rep insb [rdi],dx", |row|
        row.registers(&[(Rdx, IO_A), RDI_AT, (Rcx, 3)])
            .pages(&[(Data0, Kind::RO)])
            .fault(DATA0, Write)
            .exiting(Exiting::IoBitmaps)
            .intercepted(IO, Some(IO_A << 16 | REPEATED | STRING | IN));
];
