//! One page or table, used in turn in several ways: what an access was allowed must not allow the
//! next one.

use super::parts::{CALL, IRET, Part, READ, WP_OFF, WRITE, parts};
use super::to_user::{self, STACK_3, TARGET, USER, USER_READ, USER_WRITE, to_user};
use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level};
use crate::manual::section::{Citation, Section};
use crate::scene::end::Word::{self, Leaf, Memory, Rax, Rbx, Rdi, Rip, Rsi, Rsp};
use crate::scene::place::Kind;
use crate::scene::place::Place::{self, Code1, Data0, Device};
use crate::scene::tested::{Formats, GOOD, Tested, linear};
use crate::scene::{Feature, Row, stack_of};
use crate::walk::outcome::RFLAGS_AC;
use crate::walk::page::Page;

const DATA: u64 = Data0.linear();
const DEVICE: u64 = Device.linear();
const VALUE: u64 = 0x1234;
const RIGHTS: Citation = Section::DETERMINING_RIGHTS.says("");

const USER_RO: Kind = Kind { with: Entry::US, ..Kind::RO };
const RO_NX: Kind = Kind { with: Entry::XD, ..Kind::RO };

impl Row {
    /// With IRET to CPL 3 as its last instruction, after which this access, of two bytes, faults or
    /// completes. RFLAGS.AC lets CPL 0 access the user's page.
    const fn then_user(self, fault: Option<(u64, Access)>) -> Self {
        let row = self
            .rflags(RFLAGS_AC)
            .at_fault(to_user::AT_FAULT)
            .at_end(&[(Rsp, STACK_3), (Rip, TARGET + 2)])
            .only_64_bit()
            .changed();
        match fault {
            Some((address, access)) => row.faults(to_user::fault(address, access)),
            None => row,
        }
    }

    const fn changed(self) -> Self {
        self.registers(&[(Rdi, DATA), (Rbx, VALUE)]).open(Rax.bit()).unsettles().section(RIGHTS)
    }

    const fn of_page(self, pages: &'static [(Place, Kind)]) -> Self {
        self.registers(&[(Rdi, DATA), (Rbx, VALUE)])
            .memory(&[(DATA, 0xc3)])
            .watch(DATA)
            .pages(pages)
            .section(RIGHTS)
    }
}

const ONE_PAGE: &[Row] = &[
    // By CPL 0 and CPL 3 in turn.
    parts!("wp0-write-user-write", "CPL 0 writes a user's read-only page with WP = 0; then CPL 3 writes it", Supervisor; WP_OFF, WRITE, IRET)
        .telling()
        .then_user(Some((DATA, Write)))
        .memory(const { &to_user(USER_WRITE, VALUE) })
        .pages(&[(Code1, USER), (Data0, USER_RO)]),
    parts!("wp0-write-user-read", "CPL 0 writes a user's read-only page with WP = 0; then CPL 3 reads it", Supervisor; WP_OFF, WRITE, IRET)
        .then_user(None)
        .memory(const { &to_user(USER_READ, VALUE) })
        .pages(&[(Code1, USER), (Data0, USER_RO)]),
    parts!("wp0-write-user-write-good", "CPL 0 writes a user's page with WP = 0; then CPL 3 writes it", Supervisor; WP_OFF, WRITE, IRET)
        .then_user(None)
        .memory(const { &to_user(USER_WRITE, VALUE) })
        .pages(&[(Code1, USER), (Data0, USER)]),
    parts!("wp0-write-fetch", "CPL 0 writes a user's read-only page with WP = 0; then it fetches from it", Supervisor; WP_OFF, WRITE, CALL)
        .telling()
        .changed()
        .rflags(RFLAGS_AC)
        .pages(&[(Data0, USER_RO)])
        .fault_after(DATA, Fetch, DATA)
        .at_fault(&[(Rsp, stack_of(Supervisor) - 8)])
        .only_64_bit(),
    parts!("super-read-user-read", "CPL 0 reads its page; then CPL 3 reads it", Supervisor; READ, IRET)
        .then_user(Some((DATA, Read)))
        .memory(const { &to_user(USER_READ, VALUE) })
        .pages(&[(Code1, USER)]),
    parts!("super-write-user-write", "CPL 0 writes its page; then CPL 3 writes it", Supervisor; WRITE, IRET)
        .then_user(Some((DATA, Write)))
        .memory(const { &to_user(USER_WRITE, VALUE) })
        .pages(&[(Code1, USER)]),
    parts!("super-read-user-write", "CPL 0 reads a user's read-only page; then CPL 3 writes it", Supervisor; READ, IRET)
        .then_user(Some((DATA, Write)))
        .memory(const { &to_user(USER_WRITE, VALUE) })
        .pages(&[(Code1, USER), (Data0, USER_RO)]),
    parts!("device-super-read-user-read", "CPL 0 reads the device by its own page; then CPL 3 reads that", Supervisor; READ, IRET)
        .telling()
        .then_user(Some((DEVICE, Read)))
        .memory(const { &to_user(USER_READ, VALUE) })
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Code1, USER)])
        .open(Rbx.bit())
        .needs(Feature::Channel),
    // Reads, writes and fetches in turn.
    parts!("read-write", "a read, then a write that faults", User; READ, WRITE => DATA, Write).of_page(&[(Data0, Kind::RO)]).at_fault(&[(Rbx, 0xc3)]),
    parts!("read-fetch", "a read, then a fetch that faults", User; READ, CALL)
        .of_page(&[(Data0, RO_NX)])
        .fault_after(DATA, Fetch, DATA)
        .at_fault(&[(Rbx, 0xc3), (Rsp, STACK_3 - 8)])
        .only_64_bit(),
    parts!("write-fetch", "a write, then a fetch that faults", User; WRITE, CALL)
        .of_page(&[(Data0, Kind::NX)])
        .fault_after(DATA, Fetch, DATA)
        .at_fault(&[(Memory, VALUE), (Rsp, STACK_3 - 8)])
        .only_64_bit(),
    parts!("read-write-fetch", "a read, a write and a fetch that are allowed", User; READ, WRITE, CALL)
        .of_page(&[(Data0, Kind::CLEAN)])
        .at_end(&[(Rbx, 0xc3), (Leaf, 1 << 5 | 1 << 6)])
        .only_64_bit(),
    parts!("read-write-clean", "a read that sets A, then a write that sets D", User; READ, WRITE)
        .of_page(&[(Data0, Kind::CLEAN)])
        .at_end(&[(Rbx, 0xc3), (Leaf, 1 << 5 | 1 << 6)]),
    parts!("device-read-write", "a read of the device, then a write to it that faults", User; READ, WRITE => DEVICE, Write)
        .registers(&[(Rdi, DEVICE)])
        .pages(&[(Device, Kind::RO)])
        .open(Rbx.bit())
        .needs(Feature::Channel)
        .section(RIGHTS),
    parts!("device-read-write-good", "a read of the device, then a write to it", User; READ, WRITE)
        .registers(&[(Rdi, DEVICE)])
        .open(Rbx.bit())
        .needs(Feature::Channel)
        .section(RIGHTS),
];

/// By way of good entries.
const WIDE_WRITE: Part = Part(&[0x89, 0x1e], "mov [rsi],ebx");
const WIDE_CALL: Part = Part(&[0xff, 0xd6], "call rsi");

const fn path(level: Level) -> (Page, u64) {
    (Page::new("", level), linear(Format::Level4, level))
}

/// Two ways to one table, or to one frame, of which the second gives fewer rights.
macro_rules! paths {
    ($($name:literal, $entry:literal: $level:expr, $formats:expr;)*) => {
        &[$(
            parts!(concat!($name, "-ro"), concat!("a write by good entries, then by a read-only ", $entry), User;
                WIDE_WRITE, WRITE => path($level).1, Write)
                .path(path($level).0.without(Entry::RW), const { &[(Rdi, path($level).1), (Rsi, GOOD)] }, $formats),
            parts!(concat!($name, "-super"), concat!("a write by good entries, then a read by a supervisor's ", $entry), User;
                WIDE_WRITE, READ => path($level).1, Read)
                .path(path($level).0.without(Entry::US), const { &[(Rdi, path($level).1), (Rsi, GOOD)] }, $formats),
            parts!(concat!($name, "-nx"), concat!("a fetch by good entries, then by a not executable ", $entry), User;
                WIDE_CALL, CALL)
                .path(path($level).0.with(Entry::XD), const { &[(Rdi, path($level).1), (Rsi, GOOD)] }, $formats)
                .fault_after(path($level).1, Fetch, path($level).1)
                .at_fault(&[(Rsp, STACK_3 - 8)])
                .only_64_bit(),
            parts!(concat!($name, "-ro-wide"), concat!("a read by a read-only ", $entry, ", then a write by good entries"), User;
                READ, WIDE_WRITE)
                .path(path($level).0.without(Entry::RW), const { &[(Rdi, path($level).1), (Rsi, GOOD)] }, $formats)
                .at_end(&[(Rbx, 0xc3)]),
        )*]
    };
}

impl Row {
    const fn path(self, page: Page, registers: &'static [(Word, u64)], formats: Formats) -> Self {
        self.registers(registers)
            .memory(&[(GOOD, 0xc3)])
            .tested(Tested { page, formats })
            .section(RIGHTS)
    }
}

const PATHS: &[Row] = paths![
    "pte", "PTE": Level::Pte, Formats::WIDE;
    "pde", "PDE": Level::Pde, Formats::WIDE;
    "pdpte", "PDPTE": Level::Pdpte, Formats::LONG;
    "pml4e", "PML4E": Level::Pml4e, Formats::LONG;
];

/// The rows.
pub const ROWS: &[Row] =
    &super::delivery::join::<{ ONE_PAGE.len() + PATHS.len() }>(ONE_PAGE, PATHS);
