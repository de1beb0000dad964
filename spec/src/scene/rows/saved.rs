//! What L2 changed before the fault: it is saved as it is then, and the next VM entry gives it back
//! to L2. SDM vol. 3C, "VM Exits" and "VM Entries".

use super::parts::{IRET, LLDT, MOV_DS, Part, READ, last, parts};
use super::to_user::{self, USER, USER_READ, to_user};
use crate::manual::descriptor::{DATA as DATA_SEGMENT, access_rights};
use crate::manual::paging::Access::Read;
use crate::manual::paging::Entry;
use crate::manual::paging::Privilege::Supervisor;
use crate::scene::descriptor::{FRESH_DATA_SELECTOR, idt_base};
use crate::scene::end::Word::{
    self, Cr0, Cr3, Cr4, Dr7, Ds, DsAccess, DsBase, DsLimit, FsBase, GdtrBase, GdtrLimit, GsBase,
    IdtrBase, IdtrLimit, Ldtr, Rax, Rbx, Rcx, Rdi, Rdx, Rflags, Rsi, Ss, SsAccess, SysenterCs,
    SysenterEip, SysenterEsp,
};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0, Data1, Gdt};
use crate::scene::{Answer, Exiting, Feature, Fits, Row};
use crate::walk::outcome::RFLAGS_RF;

const DATA: u64 = Data0.linear();
const OPERAND: u64 = Data1.linear();
const VALUE: u64 = 0x1234;
pub(super) const GDT: u64 = Gdt.linear();
pub(super) const FRESH: u64 = FRESH_DATA_SELECTOR as u64;
const SS_FLAT: u64 = access_rights(DATA_SEGMENT);

/// A data segment with a base of its own, 12345678H, and a limit in bytes, 54321H, not accessed yet.
pub(super) const DESCRIPTOR: u64 = 0x1245_9234_5678_4321;
pub(super) const BASE: u64 = 0x1234_5678;
pub(super) const LIMIT: u64 = 0x5_4321;
/// What a VMCS has of its access rights once it was loaded: D/B, P, S, and a type with A.
pub(super) const RIGHTS: u64 = 0x4093;

const CR0: Part = Part(
    &[0x0f, 0x20, 0xc0, 0x8d, 0x80, 0x08, 0x00, 0x03, 0x00, 0x0f, 0x22, 0xc0],
    "mov rax,cr0; lea eax,[rax+30008h]; mov cr0,rax",
);
const CR0_CHANGED: u64 = 0x5_0008;
const CR4: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x8c, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+8Ch]; mov cr4,rax",
);
const CR4_CHANGED: u64 = 0x8c;
const CR3: Part = Part(
    &[0x0f, 0x20, 0xd8, 0x8d, 0x40, 0x18, 0x0f, 0x22, 0xd8],
    "mov rax,cr3; lea eax,[rax+18h]; mov cr3,rax",
);
const MOV_SS: Part = Part(&[0x8e, 0xd1, 0x90], "mov ss,cx; nop");
const LGDT: Part = Part(&[0x0f, 0x01, 0x16], "lgdt [rsi]");
const LIDT: Part = Part(&[0x0f, 0x01, 0x1e], "lidt [rsi]");
const MOV_DR7: Part = Part(&[0x0f, 0x23, 0xf8], "mov dr7,rax");
const FLAGS: Part = Part(&[0xf9, 0xfd], "stc; std");
/// With EDX = 0 SYSENTER's MSRs get 71H, 72H and 73H, the bases of FS and GS [`OPERAND`].
const SYSENTER: Part = Part(
    &[
        0xb9, 0x74, 0x01, 0x00, 0x00, 0xb8, 0x71, 0x00, 0x00, 0x00, 0x0f, 0x30, 0x8d, 0x49, 0x01,
        0x8d, 0x40, 0x01, 0x0f, 0x30, 0x8d, 0x49, 0x01, 0x8d, 0x40, 0x01, 0x0f, 0x30,
    ],
    "mov ecx,174h; mov eax,71h; wrmsr; lea ecx,[rcx+1]; lea eax,[rax+1]; wrmsr; lea ecx,[rcx+1]; lea eax,[rax+1]; wrmsr",
);
const RDMSR_EIP: Part = Part(&[0xb9, 0x76, 0x01, 0x00, 0x00, 0x0f, 0x32], "mov ecx,176h; rdmsr");
const FS_BASE: Part = Part(
    &[0xb9, 0x00, 0x01, 0x00, 0xc0, 0x89, 0xf0, 0x0f, 0x30],
    "mov ecx,0C0000100h; mov eax,esi; wrmsr",
);
const GS_BASE: Part = Part(
    &[0xb9, 0x01, 0x01, 0x00, 0xc0, 0x89, 0xf0, 0x0f, 0x30],
    "mov ecx,0C0000101h; mov eax,esi; wrmsr",
);
const BY_FS: Part = Part(&[0x64, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x00, 0x00], "mov ebx,fs:[0]");
const BY_GS: Part = Part(&[0x65, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x00, 0x00], "mov ebx,gs:[0]");

impl Row {
    /// With state that changed before the page's fault, and that is there at the end too.
    const fn keeps(self, changes: &'static [(Word, u64)]) -> Self {
        self.at_fault(changes)
            .at_end(changes)
            .registers(&[(Rdi, DATA), (Rsi, OPERAND), (Rcx, 0), (Rdx, 0), (Rax, 0x700)])
            .pages(&[(Data0, Kind::NP)])
            .open(Rax.bit() | Rbx.bit() | Rcx.bit() | Rdx.bit())
            .answer(Answer::Retry)
            .unsettles()
    }

    const fn msrs(self) -> Self {
        self.exiting(Exiting::NotEvenMsrs).only_64_bit()
    }
}

/// Code that changes something, and a read that faults.
macro_rules! saved {
    ($name:literal, $what:literal; $change:ident) => {
        parts!($name, $what, Supervisor; $change, READ => DATA, Read)
    };
    ($name:literal, $what:literal; $change:ident, then $use:ident) => {
        parts!($name, $what, Supervisor; $change, READ, $use).fault_after(DATA, Read, last(&[$change, READ]))
    };
}

/// What [`SYSENTER`] leaves; RAX is the last that it writes.
const SYSENTER_READ: &[(Word, u64)] =
    &[(Rax, 0x73), (SysenterCs, 0x71), (SysenterEsp, 0x72), (SysenterEip, 0x73)];

/// The rows.
pub const ROWS: &[Row] = &[
    saved!("cr0", "CR0.WP, AM and TS were turned over"; CR0).keeps(&[(Cr0, CR0_CHANGED)]),
    saved!("cr4", "CR4.TSD, DE and PGE were turned over"; CR4)
        .keeps(&[(Cr4, CR4_CHANGED)])
        .telling(),
    saved!("cr3", "CR3 was loaded with PWT and PCD"; CR3)
        .keeps(&[(Cr3, 0x18)])
        .needs(Feature::Cr3WithoutExits),
    saved!("ds", "DS was loaded"; MOV_DS)
        .keeps(&[(Ds, FRESH), (DsBase, BASE), (DsLimit, LIMIT), (DsAccess, RIGHTS)])
        .registers(&[(Rdi, DATA), (Rcx, FRESH)])
        .memory(&[(GDT + FRESH, DESCRIPTOR)])
        .only_64_bit()
        .telling(),
    saved!("ss", "SS was loaded"; MOV_SS)
        .keeps(&[(Ss, FRESH), (SsAccess, SS_FLAT)])
        .registers(&[(Rdi, DATA), (Rcx, FRESH)])
        .only_64_bit(),
    saved!("ldtr", "LDTR was loaded with a null selector"; LLDT).keeps(&[(Ldtr, 0)]).only_64_bit(),
    saved!("gdtr", "GDTR was loaded"; LGDT)
        .keeps(&[(GdtrBase, GDT), (GdtrLimit, 0x7f)])
        .memory(&[(OPERAND, GDT << 16 | 0x7f), (OPERAND + 8, 0)])
        .only_64_bit(),
    saved!("idtr", "IDTR was loaded"; LIDT)
        .keeps(&[(IdtrBase, idt_base(true)), (IdtrLimit, 0x3ff)])
        .memory(&[(OPERAND, idt_base(true) << 16 | 0x3ff), (OPERAND + 8, 0)])
        .only_64_bit(),
    saved!("dr7", "DR7 was loaded"; MOV_DR7).keeps(&[(Dr7, 0x700)]).fits(Fits::DebugControls),
    saved!("rflags", "CF and DF were set"; FLAGS)
        .keeps(&[])
        .at_fault(&[(Rflags, 0x403 | RFLAGS_RF)])
        .at_end(&[(Rflags, 0x403)]),
    saved!("sysenter", "the MSRs of SYSENTER were written"; SYSENTER, then RDMSR_EIP)
        .keeps(SYSENTER_READ)
        .open(Rbx.bit() | Rcx.bit() | Rdx.bit())
        .msrs()
        .telling(),
    saved!("fs-base", "the base of FS was written"; FS_BASE, then BY_FS)
        .keeps(&[(FsBase, OPERAND)])
        .at_end(&[(FsBase, OPERAND), (Rbx, VALUE)])
        .open(Rax.bit() | Rcx.bit() | Rdx.bit())
        .memory(&[(OPERAND, VALUE)])
        .msrs(),
    saved!("gs-base", "the base of GS was written"; GS_BASE, then BY_GS)
        .keeps(&[(GsBase, OPERAND)])
        .at_end(&[(GsBase, OPERAND), (Rbx, VALUE)])
        .open(Rax.bit() | Rcx.bit() | Rdx.bit())
        .memory(&[(OPERAND, VALUE)])
        .msrs(),
    parts!("iret-user", "IRET led to CPL 3", Supervisor; IRET)
        .telling()
        .keeps(to_user::AT_FAULT)
        .memory(const { &to_user(USER_READ, 0) })
        .pages(&[(Code1, USER), (Data0, Kind { with: Entry::US, ..Kind::NP })])
        .faults(to_user::fault(DATA, Read))
        .answer(Answer::Resume)
        .only_64_bit(),
    parts!("iret-user-completes", "IRET led to CPL 3, and nothing faults", Supervisor; IRET)
        .keeps(&[])
        .at_end(to_user::AT_END)
        .memory(const { &to_user(USER_READ, 0) })
        .pages(&[(Code1, USER), (Data0, USER)])
        .answer(Answer::Nothing)
        .only_64_bit(),
];

#[cfg(test)]
mod tests {
    use super::{BASE, DESCRIPTOR, LIMIT, RIGHTS};
    use crate::manual::descriptor::access_rights;

    #[test]
    fn the_descriptor_has_its_base_limit_and_rights() {
        let base = DESCRIPTOR >> 16 & 0xff_ffff | DESCRIPTOR >> 32 & 0xff00_0000;
        let limit = DESCRIPTOR & 0xffff | DESCRIPTOR >> 32 & 0xf_0000;
        // A is clear until it is loaded.
        assert_eq!((base, limit, access_rights(DESCRIPTOR) | 1), (BASE, LIMIT, RIGHTS));
    }
}
