//! Instructions that do more than one read or one write: read-modify-write, whole states saved, and
//! operands that are not what they look.
//!
//! An instruction that reads and writes its destination is held against a read-only page, where the
//! read is allowed: which of the two a page that is not there refuses, the manual leaves open.

use crate::manual::paging::Access::{Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::section::Section;
use crate::scene::builder::user;
use crate::scene::end::Word::{Memory, Rax, Rbx, Rdi, Rdx};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1};
use crate::scene::{Answer, Feature, Row};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const VALUE: u64 = 0x0102_0304_0506_0708;

/// An instruction of user mode whose RDI points to the data.
const fn changes(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    instruction: &'static str,
) -> Row {
    user(name, what, code, instruction).registers(&[(Rdi, DATA0)])
}

/// The rows.
pub const ROWS: &[Row] = &[
    // Read, modified, written.
    changes(
        "user-add-ro",
        "a destination that is read and written",
        &[0x01, 0x07],
        "add [rdi],eax",
    )
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, VALUE)])
    .watch(DATA0)
    .fault(DATA0, Write),
    changes("user-lock-add-ro", "a locked destination", &[0xf0, 0x01, 0x07], "lock add [rdi],eax")
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault(DATA0, Write),
    changes(
        "user-lock-inc-retry",
        "a locked destination that L1 lets be tried again",
        &[0xf0, 0xff, 0x07],
        "lock inc dword ptr [rdi]",
    )
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 41)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .answer(Answer::Retry)
    .at_end(&[(Memory, 42)]),
    user("user-xchg-ro", "an exchange", &[0x87, 0x07], "xchg [rdi],eax")
        .registers(&[(Rdi, DATA0), (Rax, 5)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault(DATA0, Write),
    user("user-xadd-ro", "exchange and add", &[0xf0, 0x0f, 0xc1, 0x07], "lock xadd [rdi],eax")
        .registers(&[(Rdi, DATA0), (Rax, 5)])
        .pages(&[(Data0, Kind::RO)])
        .memory(&[(DATA0, VALUE)])
        .watch(DATA0)
        .fault(DATA0, Write),
    user(
        "user-cmpxchg-ro-equal",
        "a compare and exchange that would exchange",
        &[0xf0, 0x0f, 0xb1, 0x0f],
        "lock cmpxchg [rdi],ecx",
    )
    .registers(&[(Rdi, DATA0), (Rax, 9)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 9)])
    .watch(DATA0)
    .fault(DATA0, Write),
    user(
        "user-cmpxchg-ro-differs",
        "a compare and exchange that would not exchange: a write all the same",
        &[0xf0, 0x0f, 0xb1, 0x0f],
        "lock cmpxchg [rdi],ecx",
    )
    .registers(&[(Rdi, DATA0), (Rax, 9)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 8)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .section(
        Section::CMPXCHG
            .says("the destination gets a write cycle without regard to the comparison"),
    ),
    user(
        "user-cmpxchg8b-ro-differs",
        "eight bytes that differ: a write all the same",
        &[0xf0, 0x0f, 0xc7, 0x0f],
        "lock cmpxchg8b [rdi]",
    )
    .registers(&[(Rdi, DATA0), (Rax, 9), (Rdx, 0), (Rbx, 1)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 8)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .section(Section::CMPXCHG8B.says("the destination gets a write cycle")),
    user(
        "user-cmpxchg16b-ro-equal",
        "sixteen bytes that are equal",
        &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
        "lock cmpxchg16b [rdi]",
    )
    .registers(&[(Rdi, DATA0 + 0x10), (Rax, 9), (Rdx, 0)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0 + 0x10, 9), (DATA0 + 0x18, 0)])
    .watch(DATA0 + 0x10)
    .fault(DATA0 + 0x10, Write)
    .needs(Feature::Cmpxchg16b)
    .only_64_bit(),
    user(
        "user-cmpxchg16b-ro-differs",
        "sixteen bytes that differ: a write all the same",
        &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
        "lock cmpxchg16b [rdi]",
    )
    .registers(&[(Rdi, DATA0), (Rax, 9), (Rdx, 0)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 8), (DATA0 + 8, 8)])
    .watch(DATA0)
    .fault(DATA0, Write)
    .needs(Feature::Cmpxchg16b)
    .only_64_bit()
    .section(Section::CMPXCHG8B.says("the destination gets a write cycle")),
    Row::new(
        "super-lock-bts-ro",
        "a bit that is set already",
        Supervisor,
        &[0xf0, 0x0f, 0xba, 0x2f, 0x03],
        "lock bts dword ptr [rdi],3",
    )
    .registers(&[(Rdi, DATA0)])
    .pages(&[(Data0, Kind::RO)])
    .memory(&[(DATA0, 8)])
    .watch(DATA0)
    .fault(DATA0, Write),
    user(
        "user-btr-far-ro",
        "a bit beyond the page that the register names",
        &[0x0f, 0xb3, 0x07],
        "btr [rdi],eax",
    )
    .registers(&[(Rdi, DATA0), (Rax, 0x8000 + 33)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1 + 4, Write),
    user(
        "user-bt-back-np",
        "a bit in front of the page that the register names",
        &[0x0f, 0xa3, 0x07],
        "bt [rdi],eax",
    )
    .registers(&[(Rdi, DATA1), (Rax, 0xffff_ffff)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA1 - 4, Read)
    .in_parts(),
    // Reads in disguise, and none.
    changes("user-cmp-np", "a destination that is only compared", &[0x39, 0x07], "cmp [rdi],eax")
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    changes("user-not-ro", "a destination without a source", &[0xf7, 0x17], "not dword ptr [rdi]")
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA0, Write),
    changes(
        "user-cmov-false-np",
        "a conditional move whose condition does not hold",
        &[0x0f, 0x44, 0x07],
        "cmove eax,[rdi]",
    )
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .section(Section::CMOVCC.says("temp := SRC comes first")),
    user("user-setcc-ro", "a condition stored", &[0x0f, 0x94, 0x07], "sete [rdi]")
        .registers(&[(Rdi, DATA0 + 3)])
        .pages(&[(Data0, Kind::RO)])
        .fault(DATA0 + 3, Write),
    user("user-xlat-np", "a table lookup", &[0xd7], "xlat [rbx]")
        .registers(&[(Rbx, DATA0), (Rax, 0x55)])
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0 + 0x55, Read),
    changes("user-lea-np", "an address that is not accessed", &[0x8d, 0x07], "lea eax,[rdi]")
        .pages(&[(Data0, Kind::NP)])
        .at_end(&[(Rax, DATA0)]),
    changes("user-nop-np", "a NOP with a memory operand", &[0x0f, 0x1f, 0x07], "nop [rdi]")
        .pages(&[(Data0, Kind::NP)]),
    changes(
        "user-prefetch-np",
        "a prefetch, which never faults",
        &[0x0f, 0x18, 0x0f],
        "prefetcht0 [rdi]",
    )
    .pages(&[(Data0, Kind::NP)]),
    changes(
        "user-clflush-np",
        "a cache line flush, checked as a read of a byte",
        &[0x0f, 0xae, 0x3f],
        "clflush [rdi]",
    )
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA0, Read)
    .section(Section::CLFLUSH.says("the faults of a byte load")),
    changes(
        "user-clflush-ro",
        "a cache line flush of a page that cannot be written",
        &[0x0f, 0xae, 0x3f],
        "clflush [rdi]",
    )
    .pages(&[(Data0, Kind::RO)]),
    changes("user-fld-np", "a floating-point load", &[0xdd, 0x07], "fld st,qword ptr [rdi]")
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    changes("user-fstcw-ro", "the x87 control word stored", &[0xd9, 0x3f], "fnstcw [rdi]")
        .pages(&[(Data0, Kind::RO)])
        .watch(DATA0)
        .fault(DATA0, Write),
    changes("user-ldmxcsr-np", "MXCSR loaded", &[0x0f, 0xae, 0x17], "ldmxcsr [rdi]")
        .pages(&[(Data0, Kind::NP)])
        .fault(DATA0, Read),
    changes(
        "user-movntdq-ro",
        "a write past the caches",
        &[0x66, 0x0f, 0xe7, 0x07],
        "movntdq [rdi],xmm0",
    )
    .pages(&[(Data0, Kind::RO)])
    .watch(DATA0)
    .fault(DATA0, Write),
    // State saved and restored in part.
    user(
        "user-fxsave-second",
        "FXSAVE whose second half is on a bad page",
        &[0x0f, 0xae, 0x07],
        "fxsave [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 0x100)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .in_parts(),
    user(
        "user-fxsave-first",
        "FXSAVE whose first half is on a bad page",
        &[0x0f, 0xae, 0x07],
        "fxsave [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 0x100)])
    .pages(&[(Data0, Kind::NP)])
    .fault(DATA1 - 0x100, Write)
    .in_parts(),
    user(
        "user-fxrstor-second",
        "FXRSTOR whose second half is on a bad page",
        &[0x0f, 0xae, 0x0f],
        "fxrstor [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 0x100)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts(),
    user("user-fnsave-second", "FNSAVE across two pages", &[0xdd, 0x37], "fnsave [rdi]")
        .registers(&[(Rdi, DATA1 - 0x30)])
        .pages(&[(Data1, Kind::RO)])
        .fault(DATA1, Write)
        .in_parts(),
    user(
        "user-xsave-second",
        "XSAVE whose header is on a bad page",
        &[0x0f, 0xae, 0x27],
        "xsave [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 0x200), (Rax, 1), (Rdx, 0)])
    .pages(&[(Data1, Kind::RO)])
    .fault(DATA1, Write)
    .in_parts()
    .needs(Feature::Xsave),
    user(
        "user-xrstor-second",
        "XRSTOR whose header is on a bad page",
        &[0x0f, 0xae, 0x2f],
        "xrstor [rdi]",
    )
    .registers(&[(Rdi, DATA1 - 0x200), (Rax, 1), (Rdx, 0)])
    .pages(&[(Data1, Kind::NP)])
    .fault(DATA1, Read)
    .in_parts()
    .needs(Feature::Xsave),
];
