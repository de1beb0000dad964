//! Code of L2 in parts, each with its bytes and its text.

use crate::scene::FORCED_EMULATION_PREFIX;

/// A few instructions: their bytes, and how a disassembler writes them. Of an address the text has
/// the register as 64-bit mode names it.
#[derive(Clone, Copy)]
pub struct Part(pub &'static [u8], pub &'static str);

/// Accesses of two bytes of code to where RDI leads.
pub const READ: Part = Part(&[0x8b, 0x1f], "mov ebx,[rdi]");
pub const WRITE: Part = Part(&[0x89, 0x1f], "mov [rdi],ebx");
pub const CALL: Part = Part(&[0xff, 0xd7], "call rdi");
/// A read that L0 emulates.
pub const READ_FORCED: Part = Part(&[0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x8b, 0x1f], "mov ebx,[rdi]");
pub const INVLPG: Part = Part(&[0x0f, 0x01, 0x3f], "invlpg [rdi]");
pub const MOV_DS: Part = Part(&[0x8e, 0xd9], "mov ds,cx");
pub const LLDT: Part = Part(&[0x0f, 0x00, 0xd1], "lldt cx");
pub const IRET: Part = Part(&[0x48, 0xcf], "iretq");

/// CR0.WP turned off, with no flag changed.
pub const WP_OFF: Part = Part(
    &[0x0f, 0x20, 0xc0, 0x8d, 0x80, 0x00, 0x00, 0xff, 0xff, 0x0f, 0x22, 0xc0],
    "mov rax,cr0; lea eax,[rax-10000h]; mov cr0,rax",
);
/// CR4.SMAP turned off and on, with no flag changed.
pub const SMAP_OFF: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0xe0, 0xff, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax-200000h]; mov cr4,rax",
);
pub const SMAP_ON: Part = Part(
    &[0x0f, 0x20, 0xe0, 0x8d, 0x80, 0x00, 0x00, 0x20, 0x00, 0x0f, 0x22, 0xe0],
    "mov rax,cr4; lea eax,[rax+200000h]; mov cr4,rax",
);

/// How many bytes the code has, how many the part before its last one ends at, and how many its
/// text has.
pub const fn lengths(parts: &[Part]) -> (usize, usize, usize) {
    let (mut bytes, mut before, mut text, mut at) = (0, 0, 0, 0);
    while at < parts.len() {
        before = bytes;
        bytes += parts[at].0.len();
        text += parts[at].1.len() + if at == 0 { 0 } else { 2 };
        at += 1;
    }
    (bytes, before, text)
}

/// The bytes of all parts.
pub const fn bytes<const N: usize>(parts: &[Part]) -> [u8; N] {
    let (mut all, mut len, mut at) = ([0; N], 0, 0);
    while at < parts.len() {
        len = append(&mut all, len, parts[at].0);
        at += 1;
    }
    all
}

/// The texts of all parts.
pub const fn text<const N: usize>(parts: &[Part]) -> [u8; N] {
    let (mut all, mut len, mut at) = ([0; N], 0, 0);
    while at < parts.len() {
        if at > 0 {
            len = append(&mut all, len, b"; ");
        }
        len = append(&mut all, len, parts[at].1.as_bytes());
        at += 1;
    }
    all
}

const fn append(all: &mut [u8], mut len: usize, more: &[u8]) -> usize {
    let mut at = 0;
    while at < more.len() {
        all[len] = more[at];
        (len, at) = (len + 1, at + 1);
    }
    len
}

/// Where RIP is when the last part, which is one instruction, is executed.
pub const fn last(parts: &[Part]) -> u64 {
    let last = parts[parts.len() - 1].0;
    let prefix = FORCED_EMULATION_PREFIX;
    let forced = last.len() > prefix.len() && last[0] == prefix[0] && last[1] == prefix[1];
    crate::scene::RIP + lengths(parts).1 as u64 + if forced { prefix.len() as u64 } else { 0 }
}

/// A row whose code is in parts, and, after `=>`, the fault of the last of them: its address and
/// the access.
macro_rules! parts {
    ($name:expr, $what:expr, $cpl:expr; $($part:expr),+ $(=> $address:expr, $access:expr)?) => {{
        const PARTS: &[$crate::scene::rows::parts::Part] = &[$($part),+];
        const LENGTHS: (usize, usize, usize) = $crate::scene::rows::parts::lengths(PARTS);
        const CODE: [u8; LENGTHS.0] = $crate::scene::rows::parts::bytes(PARTS);
        const BYTES: [u8; LENGTHS.2] = $crate::scene::rows::parts::text(PARTS);
        const TEXT: &str = match str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("texts are text"),
        };
        $crate::scene::Row::new($name, $what, $cpl, &CODE, TEXT)
            $(.fault_after($address, $access, $crate::scene::rows::parts::last(PARTS)))?
    }};
}

pub(super) use parts;
