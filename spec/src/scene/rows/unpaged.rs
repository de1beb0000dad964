//! Real mode: no access raises a page fault, whatever the filter. SDM vol. 3C, "Checks on Guest
//! Control Registers, Debug Registers, and MSRs": an unrestricted guest may have CR0.PE and CR0.PG
//! clear.

#![expect(clippy::large_types_passed_by_value, reason = "as the builder methods of scenes")]

use super::delivery::{DB, DE, GP, SS, UD};
use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::section::Section;
use crate::scene::end::Word::{Dr6, Memory, Rax, Rcx, Rdi, Rsi, Rsp};
use crate::scene::environment::{REAL, REAL_SELECTOR};
use crate::scene::ept::{During, EptEntry, GuestFrame, Nested};
use crate::scene::event::EventType::{ExternalInterrupt, HardwareException, SoftwareInterrupt};
use crate::scene::event::{Event, Source};
use crate::scene::expect::{DR6_AT_START, DR6_BS};
use crate::scene::place::Place::{Code1, Data0, Data1, Stack};
use crate::scene::place::{Kind, PAGE, STAGE_BASE};
use crate::scene::{Answer, Feature, RIP, Row, stack_of};
use crate::walk::outcome::{RFLAGS_IF, RFLAGS_TF};

/// What a pointer holds for a place: its offset in the segment.
const fn offset(linear: u64) -> u64 {
    REAL.pointer(linear)
}

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();
const TOP: u64 = stack_of(Supervisor);
const VECTOR: u8 = 0x80;
/// What an interrupt pushes, the last pushed first: IP, CS, FLAGS.
const fn frame(ip: u64) -> u64 {
    offset(ip) | REAL_SELECTOR << 16 | 2 << 32
}

/// A scene of real mode.
const fn real(
    name: &'static str,
    what: &'static str,
    code: &'static [u8],
    text: &'static str,
) -> Row {
    Row::new(name, what, Supervisor, code, text).real()
}

/// With a frame that EPT spoils.
const fn spoiled(row: Row, address: u64, access: Access, entry: EptEntry) -> Row {
    let frame = match access {
        Fetch => GuestFrame::Place(Code1),
        Read | Write => GuestFrame::Place(Data0),
    };
    let nested = Nested {
        address,
        access,
        during: During::Instruction,
        guest: None,
        frame: Some((frame, entry)),
    };
    row.nested(nested).answer(Answer::Retry)
}

const READ: Row = real("read", "a read", &[0x8b, 0x05], "mov ax,[di]")
    .registers(const { &[(Rdi, offset(DATA0)), (Rax, 0)] })
    .memory(const { &[(DATA0, 0x1234)] })
    .at_end(const { &[(Rax, 0x1234)] });
const WRITE: Row = real("write", "a write", &[0x89, 0x05], "mov [di],ax")
    .registers(const { &[(Rdi, offset(DATA0)), (Rax, 0x5678)] })
    .watch(DATA0)
    .at_end(const { &[(Memory, 0x5678)] });
const CODE1: u64 = Code1.linear() + 0x40;

/// The last byte of the segment: a word there ends beyond the limit.
const LAST: u64 = STAGE_BASE + PAGE + 0xffff;
/// What the delivery of an exception with the stack pointer there pushes, as eight bytes that begin
/// one below it.
const FRAME_AT_LAST: u64 = LAST - 7;
const PF: u8 = 14;

/// An exception of an instruction: in real mode none has an error code. `frame` is what its
/// delivery pushes, the instruction's own address first.
const fn raises(row: Row, vector: u8) -> Row {
    row.event(Event::new(Source::Raised, HardwareException, vector))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP))] })
        .section(Section::REAL_MODE_EVENTS.says("an exception pushes no error code"))
}

/// The same, and L1 intercepts it. SDM vol. 3C, "Information for VM Exits Due to Vectored Events":
/// bit 11 is 0 in real mode.
const fn exits(row: Row, vector: u8) -> Row {
    row.event(Event::new(Source::Raised, HardwareException, vector))
        .intercepts(1 << vector)
        .section(Section::VECTORED_EVENTS.says("no error code in real mode"))
}

const GP_READ: Row = real("gp", "a read beyond the limit", &[0x8b, 0x05], "mov ax,[di]")
    .registers(const { &[(Rdi, 0xffff)] });
const SS_POP: Row = real("ss", "a POP beyond the stack's limit", &[0x58], "pop ax").rsp(LAST);
const UD_ITSELF: Row = real("ud", "UD2", &[0x0f, 0x0b], "ud2");
const DE_ZERO: Row =
    real("de", "a division by 0", &[0xf7, 0xf1], "div cx").registers(const { &[(Rcx, 0)] });

/// An instruction that L0 emulates.
macro_rules! forced {
    ($name:literal, $what:literal, [$($code:literal),+], $text:literal) => {
        real($name, $what, &[0x0f, 0x0b, 0x6b, 0x76, 0x6d, $($code),+], $text)
            .needs(Feature::ForcedEmulation)
    };
}

const FORCED_GP: Row =
    forced!("forced-gp", "an emulated read beyond the limit", [0x8b, 0x05], "mov ax,[di]")
        .registers(const { &[(Rdi, 0xffff)] });
const FORCED_SS: Row =
    forced!("forced-ss", "an emulated POP beyond the stack's limit", [0x58], "pop ax").rsp(LAST);

/// The rows. Page-table entries of L2 that are not good have no say.
pub const ROWS: &[Row] = &[
    READ.pages(const { &[(Data0, Kind::NP)] }),
    WRITE.pages(const { &[(Data0, Kind::RO)] }),
    real("add", "a locked read-modify-write", &[0xf0, 0x01, 0x05], "lock add [di],ax")
        .registers(const { &[(Rdi, offset(DATA0)), (Rax, 1)] })
        .pages(const { &[(Data0, Kind::RSVD)] })
        .memory(const { &[(DATA0, 0x1234)] })
        .watch(DATA0)
        // CF, PF, AF, ZF, SF and OF are as the sum has them: none.
        .at_end(const { &[(Memory, 0x1235)] }),
    real("push", "a push", &[0x50], "push ax")
        .registers(const { &[(Rax, 0x5678)] })
        .pages(const { &[(Stack, Kind::NP)] })
        .watch(TOP - 2)
        .at_end(const { &[(Memory, 0x5678), (Rsp, TOP - 2)] }),
    real("movs", "a string instruction across two pages", &[0xf3, 0xa5], "rep movsw [di],[si]")
        .registers(const { &[(Rcx, 4), (Rsi, offset(DATA1) - 4), (Rdi, offset(DATA0))] })
        .pages(const { &[(Data1, Kind::NP)] })
        .memory(const { &[(DATA1 - 8, 0x0403_0000_0000), (DATA1, 0x0605)] })
        .watch(DATA0)
        .at_end(
            const {
                &[
                    (Memory, 0x0605_0000_0403),
                    (Rcx, 0),
                    (Rsi, offset(DATA1) + 4),
                    (Rdi, offset(DATA0) + 8),
                ]
            },
        ),
    real("read-split", "a read across two pages", &[0x66, 0x8b, 0x05], "mov eax,[di]")
        .registers(const { &[(Rdi, offset(DATA1) - 2), (Rax, 0)] })
        .pages(const { &[(Data1, Kind::NP)] })
        .memory(const { &[(DATA1 - 8, 0x0201 << 48), (DATA1, 0x0403)] })
        .at_end(const { &[(Rax, 0x0403_0201)] }),
    real("fetch-split", "an instruction across two pages", &[0xb8, 0x78, 0x56], "mov ax,5678h")
        .rip(Code1.linear() - 1)
        .registers(const { &[(Rax, 0)] })
        .pages(const { &[(Code1, Kind::NP)] })
        .at_end(const { &[(Rax, 0x5678)] }),
    real("int", "a software interrupt", &[0xcd, VECTOR], "int 80h")
        .event(Event::new(Source::Raised, SoftwareInterrupt, VECTOR).length(2))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP + 2))] }),
    real("interrupt", "an interrupt that L1 injects", &[], "")
        .rflags(RFLAGS_IF)
        .event(Event::new(Source::Injected, ExternalInterrupt, VECTOR))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP) | RFLAGS_IF << 32)] }),
    // Exceptions.
    raises(GP_READ, GP),
    exits(GP_READ.renamed("gp-exits"), GP),
    raises(SS_POP, SS).watch(FRAME_AT_LAST).at_end(const { &[(Memory, frame(RIP) << 8)] }),
    exits(SS_POP.renamed("ss-exits"), SS),
    raises(UD_ITSELF, UD),
    exits(UD_ITSELF.renamed("ud-exits"), UD),
    raises(DE_ZERO, DE),
    exits(DE_ZERO.renamed("de-exits"), DE),
    real("step", "a single step", &[0x90], "nop")
        .rflags(RFLAGS_TF)
        .event(Event::new(Source::Raised, HardwareException, DB))
        .watch(TOP - 6)
        .at_end(
            const { &[(Memory, frame(RIP + 1) | RFLAGS_TF << 32), (Dr6, DR6_AT_START | DR6_BS)] },
        ),
    real("int-14", "INT 14, which is no #PF", &[0xcd, 14], "int 0Eh")
        .event(Event::new(Source::Raised, SoftwareInterrupt, PF).length(2))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP + 2))] }),
    real("pf-injected", "vector 14 injected as an exception, without an error code", &[], "")
        .event(Event::new(Source::Injected, HardwareException, PF))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP))] }),
    real("gp-injected", "#GP injected, without an error code", &[], "")
        .event(Event::new(Source::Injected, HardwareException, GP))
        .watch(TOP - 6)
        .at_end(const { &[(Memory, frame(RIP))] }),
    forced!("forced-read", "an emulated read", [0x8b, 0x05], "mov ax,[di]")
        .registers(const { &[(Rdi, offset(DATA0)), (Rax, 0)] })
        .memory(const { &[(DATA0, 0x1234)] })
        .at_end(const { &[(Rax, 0x1234)] }),
    raises(FORCED_GP, GP).at_end(const { &[(Memory, frame(RIP + 5))] }),
    exits(FORCED_GP.renamed("forced-gp-exits"), GP),
    raises(FORCED_SS, SS).watch(FRAME_AT_LAST).at_end(const { &[(Memory, frame(RIP + 5) << 8)] }),
    exits(FORCED_SS.renamed("forced-ss-exits"), SS),
    // EPT-induced exits come all the same.
    spoiled(READ.renamed("read-ept"), DATA0, Read, EptEntry::NP),
    spoiled(WRITE.renamed("write-ept-ro"), DATA0, Write, EptEntry::RO),
    spoiled(READ.renamed("read-ept-rsvd"), DATA0, Read, EptEntry::RSVD),
    spoiled(real("fetch-ept-nx", "a fetch", &[0x90], "nop").rip(CODE1), CODE1, Fetch, EptEntry::NX),
];
