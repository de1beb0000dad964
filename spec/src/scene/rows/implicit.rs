//! Accesses to descriptor tables and the TSS, made by instructions that load or look at segments:
//! supervisor-mode accesses at any CPL.
//!
//! With a bad GDT or TSS no page fault can be delivered: where L1 does not want it, the one in its
//! delivery has the same error code, and a triple fault comes. There is no scene with a reserved
//! bit before the GDT: KVM that emulates a smaller MAXPHYADDR never ends the delivery of its page
//! fault, and L1 would not get the processor back.

use super::implicit_smap;
use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::descriptor::{
    CALL_GATE_SELECTOR, FRESH_DATA_SELECTOR, FRESH_USER_DATA_SELECTOR, LDT_SELECTOR,
    LOCAL_DATA_SELECTOR, TSS_SELECTOR,
};
use crate::scene::end::Word::{Rax, Rcx, Rdi, Rdx};
use crate::scene::place::Place::{Data0, Data1, Gdt, Ldt, Stack, Tss};
use crate::scene::place::{Kind, PAGE};
use crate::scene::{Row, Unwanted};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const GDT: u64 = Gdt.linear();
const LDT: u64 = Ldt.linear();
/// Selectors: code and data of CPL 3, data of CPL 0.
const USER_CODE: u64 = 0x1b;
const USER_DATA: u64 = 0x23;
const DATA: u64 = 0x10;
/// The call gate that leads from CPL 3 to CPL 0.
const GATE: u64 = CALL_GATE_SELECTOR as u64;
const IMPLICIT: Citation = Section::ACCESS_RIGHTS.says("implicit supervisor-mode accesses");
const ACCESSED: Citation =
    Section::SEGMENT_TYPES.says("the accessed bit is set when the segment is loaded");
const BUSY: Citation = Section::LTR.says("the segment is marked busy");
const MAP_BASE: Citation = Section::IO_BITMAP.says("its base is in the TSS");

const fn entry(selector: u16) -> u64 {
    GDT + (selector & !7) as u64
}

impl Row {
    /// With a GDT that is not there: the descriptor at an address in it cannot be read, and an
    /// event cannot be delivered either.
    const fn bad_gdt(self, descriptor: u64) -> Self {
        let row = self.pages(&[(Gdt, Kind::NP)]).implicit_fault(descriptor, Read);
        row.unwanted(Unwanted::TripleFault).section(IMPLICIT)
    }
}

const fn mov_ds(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    Row::new(name, what, cpl, &[0x8e, 0xd8], "mov ds,ax")
}

const fn call_far(name: &'static str, what: &'static str, cpl: Privilege) -> Row {
    Row::new(name, what, cpl, &[0xff, 0x1f], "call far fword ptr [rdi]")
}

/// The rows.
pub const ROWS: &[Row] =
    &super::delivery::join::<{ BAD.len() + implicit_smap::ROWS.len() }>(BAD, implicit_smap::ROWS);
const BAD: &[Row] = &[
    // Segments loaded: the operand is read explicitly, the descriptor implicitly.
    user(
        "user-mov-ds-operand",
        "a selector that is read from a bad page",
        &[0x8e, 0x1f],
        "mov ds,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    mov_ds("user-mov-ds-gdt", "a segment loaded from a bad GDT", User)
        .registers(&[(Rax, USER_DATA)])
        .bad_gdt(GDT + 0x20),
    mov_ds("user-mov-ds-gdt-good", "a segment loaded from a supervisor's GDT", User)
        .registers(&[(Rax, USER_DATA)])
        .section(IMPLICIT),
    mov_ds("user-mov-ds-null", "a null selector: no access", User)
        .registers(&[(Rax, 0)])
        .pages(&[(Gdt, Kind::NP)])
        .only_64_bit(),
    mov_ds("super-mov-ds-gdt", "a segment loaded from a bad GDT", Supervisor)
        .registers(&[(Rax, DATA)])
        .pages(&[(Gdt, Kind::NP)])
        .fault(GDT + 0x10, Read)
        .unwanted(Unwanted::TripleFault),
    Row::new(
        "super-mov-ss-gdt",
        "a stack segment loaded from a bad GDT",
        Supervisor,
        &[0x8e, 0xd0],
        "mov ss,ax",
    )
    .registers(&[(Rax, DATA)])
    .pages(&[(Gdt, Kind::NP)])
    .fault(GDT + 0x10, Read)
    .unwanted(Unwanted::TripleFault),
    mov_ds("user-mov-ds-ldt", "a segment loaded from a bad LDT", User)
        .registers(&[(Rax, LOCAL_DATA_SELECTOR as u64)])
        .pages(&[(Ldt, Kind::NP)])
        .implicit_fault(LDT, Read)
        .section(IMPLICIT),
    user(
        "user-mov-es-accessed",
        "the accessed bit of a GDT that cannot be written",
        &[0x8e, 0xc0],
        "mov es,ax",
    )
    .registers(&[(Rax, FRESH_USER_DATA_SELECTOR as u64)])
    .pages(&[(Gdt, Kind::RO)])
    .implicit_fault(entry(FRESH_USER_DATA_SELECTOR), Write)
    .section(ACCESSED),
    Row::new(
        "super-mov-es-accessed",
        "the accessed bit of a GDT that cannot be written",
        Supervisor,
        &[0x8e, 0xc0],
        "mov es,ax",
    )
    .registers(&[(Rax, FRESH_DATA_SELECTOR as u64)])
    .pages(&[(Gdt, Kind::RO)])
    .fault(entry(FRESH_DATA_SELECTOR), Write)
    .section(ACCESSED),
    mov_ds(
        "user-mov-ds-ro",
        "a segment that was accessed already, from a GDT that cannot be written",
        User,
    )
    .registers(&[(Rax, USER_DATA)])
    .pages(&[(Gdt, Kind::RO)])
    .section(ACCESSED),
    user("user-pop-fs-stack", "a selector popped from a bad page", &[0x0f, 0xa1], "pop fs")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    user("user-pop-fs-gdt", "a selector popped, and a bad GDT", &[0x0f, 0xa1], "pop fs")
        .rsp(DATA0)
        .memory(&[(DATA0, USER_DATA)])
        .bad_gdt(GDT + 0x20),
    user(
        "user-lfs-pointer",
        "a far pointer across two pages, its selector on a bad one",
        &[0x0f, 0xb4, 0x07],
        "lfs eax,[rdi]",
    )
    .registers(&[(Rdi, DATA1 - 4)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts(),
    user(
        "user-lgs-gdt",
        "a far pointer, and a bad GDT: the register is as before",
        &[0x0f, 0xb5, 0x07],
        "lgs eax,[rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .memory(&[(DATA0, USER_DATA << 32 | 0x99)])
    .bad_gdt(GDT + 0x20),
    // Segments looked at.
    user("user-lar-gdt", "access rights from a bad GDT", &[0x0f, 0x02, 0xc1], "lar eax,ecx")
        .registers(&[(Rcx, USER_DATA)])
        .bad_gdt(GDT + 0x20),
    user("user-lsl-gdt", "a limit from a bad GDT", &[0x0f, 0x03, 0xc1], "lsl eax,ecx")
        .registers(&[(Rcx, USER_CODE)])
        .bad_gdt(GDT + 0x18),
    user("user-lsl-ldt", "a limit from a bad LDT", &[0x0f, 0x03, 0xc1], "lsl eax,ecx")
        .registers(&[(Rcx, LOCAL_DATA_SELECTOR as u64)])
        .pages(&[(Ldt, Kind::RSVD)])
        .implicit_fault(LDT, Read)
        .section(IMPLICIT),
    user("user-verr-gdt", "VERR with a bad GDT", &[0x0f, 0x00, 0xe0], "verr ax")
        .registers(&[(Rax, USER_DATA)])
        .bad_gdt(GDT + 0x20),
    user("user-verw-gdt", "VERW with a bad GDT", &[0x0f, 0x00, 0xe8], "verw ax")
        .registers(&[(Rax, USER_DATA)])
        .bad_gdt(GDT + 0x20),
    user(
        "user-verr-operand",
        "VERR whose selector is on a bad page",
        &[0x0f, 0x00, 0x27],
        "verr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    Row::new(
        "super-lar-gdt",
        "access rights from a bad GDT",
        Supervisor,
        &[0x0f, 0x02, 0xc1],
        "lar eax,ecx",
    )
    .registers(&[(Rcx, DATA)])
    .pages(&[(Gdt, Kind::NP)])
    .fault(GDT + 0x10, Read)
    .unwanted(Unwanted::TripleFault),
    // Far transfers.
    user(
        "user-far-jmp-pointer",
        "a far jump through a pointer on a bad page",
        &[0xff, 0x2f],
        "jmp far fword ptr [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .in_parts(),
    user("user-far-jmp-gdt", "a far jump with a bad GDT", &[0xff, 0x2f], "jmp far fword ptr [rdi]")
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, USER_CODE << 32 | 0x99)])
        .bad_gdt(GDT + 0x18),
    call_far("user-far-call-stack", "a far call whose push is bad", User)
        .registers(&[(Rdi, DATA1)])
        .rsp(DATA1 - 0xff8)
        .memory(&[(DATA1, USER_CODE << 32 | DATA0)])
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA0 + 4, Write)
        .in_parts()
        .only_64_bit(),
    call_far("user-far-call-gdt", "a far call with a bad GDT", User)
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, USER_CODE << 32 | 0x99)])
        .bad_gdt(GDT + 0x18),
    user("user-far-ret-stack", "a far return from a bad stack", &[0xcb], "ret far")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .in_parts(),
    user(
        "user-far-ret-selector",
        "a far return whose selector is on a bad page",
        &[0xcb],
        "ret far",
    )
    .rsp(DATA1 - 4)
    .memory(&[(DATA1 - 8, DATA0 << 32)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts(),
    user("user-far-ret-gdt", "a far return with a bad GDT", &[0xcb], "ret far")
        .rsp(DATA0)
        .memory(&[(DATA0, USER_CODE << 32 | DATA0)])
        .bad_gdt(GDT + 0x18),
    Row::new(
        "super-far-ret-outer",
        "a far return to CPL 3 whose stack pointer is on a bad page",
        Supervisor,
        &[0xcb],
        "ret far",
    )
    .rsp(DATA1 - 8)
    .memory(&[(DATA1 - 8, USER_CODE << 32 | DATA0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts(),
    call_far("user-gate-gdt", "a call gate in a bad GDT", User)
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, GATE << 32)])
        .bad_gdt(entry(CALL_GATE_SELECTOR)),
    call_far(
        "user-gate-tss",
        "a call gate, and a TSS that is bad where the inner stack pointer is",
        User,
    )
    .registers(&[(Rdi, DATA0)])
    .memory(&[(DATA0, GATE << 32)])
    .pages(&[(Tss, Kind::NP)])
    .implicit_fault(Tss.linear() + 4, Read)
    .unwanted(Unwanted::TripleFault)
    .only_64_bit()
    .section(IMPLICIT),
    call_far("user-gate-stack", "a call gate, and an inner stack that cannot be written", User)
        .registers(&[(Rdi, DATA0)])
        .memory(&[(DATA0, GATE << 32)])
        .pages(&[(Stack, Kind::RO)])
        .implicit_fault(Stack.linear() + PAGE - 8, Write)
        .in_parts()
        .only_64_bit()
        .section(IMPLICIT),
    // IRET.
    user("user-iret-stack", "IRET from a bad stack", &[0x48, 0xcf], "iretq")
        .rsp(DATA0)
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read)
        .in_parts()
        .only_64_bit(),
    user("user-iret-cross", "IRET whose frame goes on on a bad page", &[0x48, 0xcf], "iretq")
        .rsp(DATA1 - 0x18)
        .memory(&[(DATA1 - 0x18, DATA0), (DATA1 - 0x10, USER_CODE), (DATA1 - 8, 2)])
        .pages(&[(Data1, Kind::NP)])
        .fault(DATA1, Read)
        .in_parts()
        .only_64_bit(),
    user("user-iret-gdt", "IRET with a bad GDT", &[0x48, 0xcf], "iretq")
        .rsp(DATA0)
        .memory(&[
            (DATA0, DATA0),
            (DATA0 + 8, USER_CODE),
            (DATA0 + 0x10, 2),
            (DATA0 + 0x18, DATA1),
            (DATA0 + 0x20, USER_DATA),
        ])
        .bad_gdt(GDT + 0x18)
        .only_64_bit(),
    Row::new(
        "super-iret-outer",
        "IRET to CPL 3 whose stack pointer is on a bad page",
        Supervisor,
        &[0x48, 0xcf],
        "iretq",
    )
    .rsp(DATA1 - 0x18)
    .memory(&[(DATA1 - 0x18, DATA0), (DATA1 - 0x10, USER_CODE), (DATA1 - 8, 2)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts()
    .only_64_bit(),
    // The tables themselves.
    Row::new(
        "super-lgdt-operand",
        "LGDT whose operand is on a bad page",
        Supervisor,
        &[0x0f, 0x01, 0x17],
        "lgdt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .in_parts(),
    Row::new(
        "super-lidt-second",
        "LIDT whose base is on a bad page",
        Supervisor,
        &[0x0f, 0x01, 0x1f],
        "lidt [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts(),
    user(
        "user-sgdt-ro",
        "SGDT to a page that cannot be written",
        &[0x0f, 0x01, 0x07],
        "sgdt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .fault(DATA0, Write)
    .in_parts(),
    Row::new(
        "super-sidt-second",
        "SIDT whose base is on a bad page",
        Supervisor,
        &[0x0f, 0x01, 0x0f],
        "sidt [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 2)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Write)
    .in_parts(),
    user(
        "user-sldt-ro",
        "SLDT to a page that cannot be written",
        &[0x0f, 0x00, 0x07],
        "sldt [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .watch(DATA0)
    .fault(DATA0, Write),
    user("user-smsw-np", "SMSW to a bad page", &[0x0f, 0x01, 0x27], "smsw [rdi]")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Write),
    Row::new(
        "super-lmsw-np",
        "LMSW from a bad page",
        Supervisor,
        &[0x0f, 0x01, 0x37],
        "lmsw [rdi]",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read),
    Row::new("super-lldt-gdt", "LLDT with a bad GDT", Supervisor, &[0x0f, 0x00, 0xd0], "lldt ax")
        .registers(&[(Rax, LDT_SELECTOR as u64)])
        .pages(&[(Gdt, Kind::NP)])
        .fault(entry(LDT_SELECTOR), Read)
        .unwanted(Unwanted::TripleFault),
    Row::new("super-ltr-gdt", "LTR with a bad GDT", Supervisor, &[0x0f, 0x00, 0xd8], "ltr ax")
        .registers(&[(Rax, TSS_SELECTOR as u64)])
        .pages(&[(Gdt, Kind::NP)])
        .fault(entry(TSS_SELECTOR), Read)
        .unwanted(Unwanted::TripleFault),
    Row::new(
        "super-ltr-busy",
        "LTR, and a GDT in which the TSS cannot be marked busy",
        Supervisor,
        &[0x0f, 0x00, 0xd8],
        "ltr ax",
    )
    .registers(&[(Rax, TSS_SELECTOR as u64)])
    .pages(&[(Gdt, Kind::RO)])
    .fault(entry(TSS_SELECTOR), Write)
    .section(BUSY),
    // The I/O permission bitmap.
    user(
        "user-in-tss",
        "IN at CPL 3, and a TSS that is bad where the bitmap's base is",
        &[0xec],
        "in al,dx",
    )
    .registers(&[(Rdx, 0x4d50)])
    .pages(&[(Tss, Kind::NP)])
    .implicit_fault(Tss.linear() + 0x66, Read)
    .unwanted(Unwanted::TripleFault)
    .section(MAP_BASE),
];
