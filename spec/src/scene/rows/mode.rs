//! L2 changes its own mode, which no control makes an exit, and accesses a page whose rights depend
//! on it: the new mode holds at once, and the old one no longer does.

use super::parts::{
    CALL, INVLPG, Part, READ, READ_FORCED, SMAP_OFF, SMAP_ON, WP_OFF, WRITE, parts,
};
use crate::manual::paging::Access::{Fetch, Read, Write};
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::manual::paging::{Entry, Mode};
use crate::manual::section::{Citation, Section};
use crate::scene::end::Word::{Rax, Rbx, Rcx, Rdi, Rdx, Rsp};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Device};
use crate::scene::{Exiting, Feature, Row, stack_of};
use crate::walk::outcome::RFLAGS_AC;

const DATA: u64 = Data0.linear();
const DEVICE: u64 = Device.linear();
const VALUE: u64 = 0x1234;
const RIGHTS: Citation = Section::DETERMINING_RIGHTS.says("");

/// What L2 turns over, by instructions that change no flag.
const WP_ON: Part = Part(
    &[0x0f, 0x20, 0xc0, 0x8d, 0x80, 0x00, 0x00, 0x01, 0x00, 0x0f, 0x22, 0xc0],
    "mov rax,cr0; lea eax,[rax+10000h]; mov cr0,rax",
);
const SMEP_OFF: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0xf0, 0xff, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax-100000h]; mov cr4,rax",
);
const SMEP_ON: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0x10, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+100000h]; mov cr4,rax",
);
const PKE_OFF: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0xc0, 0xff, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax-400000h]; mov cr4,rax",
);
const PKE_ON: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0x40, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+400000h]; mov cr4,rax",
);
const NXE_OFF: Part = Part(
    &[0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x8d, 0x80, 0x00, 0xf8, 0xff, 0xff, 0x0f, 0x30],
    "mov ecx,0C0000080h; rdmsr; lea eax,[rax-800h]; wrmsr",
);
const NXE_ON: Part = Part(
    &[0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x8d, 0x80, 0x00, 0x08, 0x00, 0x00, 0x0f, 0x30],
    "mov ecx,0C0000080h; rdmsr; lea eax,[rax+800h]; wrmsr",
);
const STAC: Part = Part(&[0x0f, 0x01, 0xcb], "stac");
const CLAC: Part = Part(&[0x0f, 0x01, 0xca], "clac");
const WRPKRU: Part = Part(&[0x0f, 0x01, 0xef], "wrpkru");
/// Access-disable of key 1, to be written.
const CLOSE: Part = Part(&[0xb8, 0x04, 0x00, 0x00, 0x00], "mov eax,4");
const AD1: u32 = 1 << 2;
/// A write that L0 emulates.
const WRITE_FORCED: Part = Part(&[0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x89, 0x1f], "mov [rdi],ebx");

/// A user-mode page in a scene of CPL 0, and one with a key.
const USER: Kind = Kind { with: Entry::US, ..Kind::GOOD };
const KEY1: Kind = Kind { key: 1, ..Kind::GOOD };
const USER1: Kind = Kind { key: 1, ..USER };

impl Row {
    /// With memory at [`DATA`], which it accesses.
    const fn of_data(self, pages: &'static [(crate::scene::place::Place, Kind)]) -> Self {
        let row = self.registers(&[(Rdi, DATA), (Rbx, VALUE)]).memory(&[(DATA, VALUE)]);
        row.pages(pages).mode_changed()
    }

    /// With an access to the device.
    const fn of_device(self, pages: &'static [(crate::scene::place::Place, Kind)]) -> Self {
        let row =
            self.registers(&[(Rdi, DEVICE)]).open(Rax.bit() | Rbx.bit() | Rcx.bit() | Rdx.bit());
        let row = row.pages(pages).unsettles().section(RIGHTS);
        if row.scene.needs.is_none() { row.needs(Feature::Channel) } else { row }
    }

    const fn mode_changed(self) -> Self {
        self.open(Rax.bit() | Rcx.bit() | Rdx.bit()).unsettles().section(RIGHTS)
    }

    const fn forced(self) -> Self {
        self.needs(Feature::ForcedEmulation).only_64_bit()
    }
}

/// Rows of a bit under which an access is allowed once it is turned over, and faults once it is
/// turned back: plainly, emulated, and of the device.
macro_rules! allows {
    ($($bit:literal, $name:literal: $off:ident, $on:ident, $access:ident, $forced:ident, $kind:expr, $flips:expr, $how:expr;)*) => {
        &[$(
            parts!(concat!($name, "-off"), concat!($bit, " turned over: the access is allowed"), Supervisor; $off, $access)
                .of_data(&[(Data0, $kind)]).flips($flips),
            parts!(concat!($name, "-off-on"), concat!($bit, " turned over and back: the access that was allowed faults"), Supervisor;
                $off, $access, $on, $access => DATA, $how).of_data(&[(Data0, $kind)]),
            parts!(concat!($name, "-off-forced"), concat!($bit, " turned over: the emulated access is allowed"), Supervisor; $off, $forced)
                .of_data(&[(Data0, $kind)]).flips($flips).forced(),
            parts!(concat!($name, "-off-on-forced"), concat!($bit, " turned over and back: the access that was allowed faults, emulated"),
                Supervisor; $off, $access, $on, $forced => DATA, $how).of_data(&[(Data0, $kind)]).forced(),
            parts!(concat!($name, "-off-device"), concat!($bit, " turned over: the access to the device is allowed"), Supervisor; $off, $access)
                .of_device(&[(Device, $kind)]).flips($flips),
            parts!(concat!($name, "-off-on-device"), concat!($bit, " turned over and back: the access to the device that was allowed faults"),
                Supervisor; $off, $access, $on, $access => DEVICE, $how).of_device(&[(Device, $kind)]),
        )*]
    };
}

const ALLOWS: &[Row] = allows![
    "CR0.WP", "wp": WP_OFF, WP_ON, WRITE, WRITE_FORCED, Kind::RO, Mode { wp: true, ..Mode::NONE }, Write;
    "CR4.SMAP", "smap": SMAP_OFF, SMAP_ON, READ, READ_FORCED, USER, Mode { smap: true, ..Mode::NONE }, Read;
    "RFLAGS.AC", "ac": STAC, CLAC, READ, READ_FORCED, USER, Mode { ac: true, ..Mode::NONE }, Read;
];

/// NXE makes XD a permission: turned over, a read of such a page meets a reserved bit.
const NO_NXE: Mode = Mode { nxe: true, ..Mode::NONE };

const OTHERS: &[Row] = &[
    parts!("smep-off", "CR4.SMEP turned over: the fetch is allowed", Supervisor; SMEP_OFF, CALL)
        .of_data(&[(Data0, USER)])
        // RET.
        .memory(&[(DATA, 0xc3)])
        .flips(Mode { smep: true, ..Mode::NONE })
        .only_64_bit(),
    parts!("smep-off-on", "CR4.SMEP turned over and back: the fetch that was allowed faults", Supervisor;
        SMEP_OFF, CALL, SMEP_ON, CALL)
        .of_data(&[(Data0, USER)])
        .memory(&[(DATA, 0xc3)])
        .fault_after(DATA, Fetch, DATA)
        .at_fault(&[(Rsp, stack_of(Supervisor) - 8)])
        .only_64_bit(),
    parts!("nxe-off", "IA32_EFER.NXE turned over: the read that was allowed meets a reserved bit", Supervisor;
        // What was cached while XD was a permission may outlive that, unless it is invalidated.
        READ, NXE_OFF, INVLPG, READ => DATA, Read)
        .of_data(&[(Data0, Kind::NX)])
        .exiting(Exiting::NotEvenMsrs)
        .flips(NO_NXE),
    parts!("nxe-off-on", "IA32_EFER.NXE turned over and back: XD is a permission again", Supervisor; NXE_OFF, NXE_ON, READ)
        .of_data(&[(Data0, Kind::NX)])
        .exiting(Exiting::NotEvenMsrs),
    parts!("nxe-off-on-fetch", "IA32_EFER.NXE turned over and back: XD forbids the fetch", Supervisor; NXE_OFF, NXE_ON, CALL)
        .of_data(&[(Data0, Kind::NX)])
        .fault_after(DATA, Fetch, DATA)
        .at_fault(&[(Rsp, stack_of(Supervisor) - 8)])
        .exiting(Exiting::NotEvenMsrs)
        .only_64_bit(),
    parts!("nxe-off-forced", "IA32_EFER.NXE turned over: the emulated read meets a reserved bit", Supervisor;
        READ, NXE_OFF, INVLPG, READ_FORCED => DATA, Read)
        .of_data(&[(Data0, Kind::NX)])
        .exiting(Exiting::NotEvenMsrs)
        .flips(NO_NXE)
        .forced()
        .telling(),
    parts!("nxe-off-device", "IA32_EFER.NXE turned over: the read of the device meets a reserved bit", Supervisor;
        READ, NXE_OFF, INVLPG, READ => DEVICE, Read)
        .of_device(&[(Device, Kind::NX)])
        .exiting(Exiting::NotEvenMsrs)
        .flips(NO_NXE),
    parts!("pkru-opened", "PKRU written: the access is allowed", User; WRPKRU, READ)
        .of_keyed()
        .keys(AD1)
        .keys_then(0),
    parts!("pkru-closed", "PKRU written: the access that was allowed faults", User; READ, CLOSE, WRPKRU, READ => DATA, Read)
        .of_keyed()
        .keys_then(AD1),
    parts!("pke-off", "CR4.PKE turned over: keys do not count", Supervisor; PKE_OFF, READ)
        .of_data(&[(Data0, USER1)])
        .rflags(RFLAGS_AC)
        .keys(AD1)
        .keys_then(0)
        .needs(Feature::Pku),
    parts!("pke-off-on", "CR4.PKE turned over and back: keys count", Supervisor; PKE_OFF, READ, PKE_ON, READ => DATA, Read)
        .of_data(&[(Data0, USER1)])
        .rflags(RFLAGS_AC)
        .keys(AD1)
        .needs(Feature::Pku),
];

impl Row {
    const fn of_keyed(self) -> Self {
        let row = self.of_data(&[(Data0, KEY1)]).needs(Feature::Pku);
        row.registers(&[(Rdi, DATA), (Rbx, VALUE), (Rax, 0), (Rcx, 0), (Rdx, 0)])
    }
}

/// The rows.
pub const ROWS: &[Row] = &super::delivery::join::<{ ALLOWS.len() + OTHERS.len() }>(ALLOWS, OTHERS);
