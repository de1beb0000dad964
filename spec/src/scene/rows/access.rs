//! Who accesses: instructions by the way in which they reach memory.

use crate::paging::Access::{Read, Write};
use crate::paging::Privilege::{Supervisor, User};
use crate::scene::Scene;
use crate::scene::end::Word::{Memory, Rax, Rcx, Rdi, Rsi};
use crate::scene::place::Kind;
use crate::scene::place::Place::{Data0, Data1};

const DATA0: u64 = Data0.linear();
const DATA1: u64 = Data1.linear();

/// The rows.
pub const SCENES: &[Scene] = &[
    Scene::new("user-mov-read", "a read", User, &[0x8b, 0x07], "mov eax,[rdi]")
        .registers(&[(Rdi, DATA0), (Rax, 0)])
        .memory(&[(DATA0, 0x1234)])
        .at_end(&[(Rax, 0x1234)]),
    Scene::new("user-mov-write-np", "a write", User, &[0x89, 0x07], "mov [rdi],eax")
        .registers(&[(Rdi, DATA0)])
        .pages(&[(Data0, Kind::NP)])
        .watch(DATA0)
        .fault(DATA0, Write),
    Scene::new(
        "super-movs-read-mid",
        "a string instruction, source faults in its third round",
        Supervisor,
        &[0xf3, 0xa5],
        "rep movsd [rdi],[rsi]",
    )
    .registers(&[(Rcx, 8), (Rsi, DATA1 - 8), (Rdi, DATA0)])
    .memory(&[(DATA1 - 8, 0x0102_0304_0506_0708)])
    .pages(&[(Data1, Kind::NP)])
    .watch(DATA0)
    .fault(DATA1, Read)
    .at_fault(&[(Rcx, 6), (Rsi, DATA1), (Rdi, DATA0 + 8), (Memory, 0x0102_0304_0506_0708)]),
];
