//! Each outcome that the manual allows is accepted, and each other one is refused.

use super::all_scenes;
use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Maxphyaddr};
use crate::scene::act::Act;
use crate::scene::case::SceneGroup;
use crate::scene::end::{EVERY_WORD, End, Ends, How, Word, words_of};
use crate::scene::environment::{ENVIRONMENTS, Environment};
use crate::scene::expect::{NMI_UNBLOCKED, PENDING_BS};
use crate::scene::freedom::FREEDOM;
use crate::scene::place::{PAGE, Place};
use crate::scene::{FORCED_EMULATION_PREFIX, Fault, RIP, Scene};
use crate::tally::Difference;
use std::vec::Vec;

const WIDTH: Maxphyaddr = 46;
const FILTERS: [Filter; 4] =
    [Filter::ALWAYS, Filter::NEVER, Filter::new(true, 1, 1), Filter::new(false, 3, 3)];

/// The bits of a word that are open at an end.
fn open(scene: &Scene, end: &End, word: Word) -> u64 {
    let sources = FREEDOM.iter().filter(|freedom| freedom.word == word);
    sources.fold(0, |bits, freedom| bits | (freedom.bits)(scene, end))
}

/// Whether an end with a word that differs in these bits is accepted in place of the one that must
/// be.
fn accepts(scene: &Scene, want: &Ends, second: bool, word: Word, bits: u64) -> bool {
    let mut seen = *want;
    let end = if second { seen.second.as_mut().unwrap() } else { &mut seen.first };
    end.words[word as usize] ^= bits;
    end.clear_open(scene);
    Difference::of_ends(want, &seen).is_none()
}

#[test]
fn what_is_open_is_accepted_and_all_else_is_refused() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for (environment, scene) in all_scenes(WIDTH) {
        for filter in FILTERS {
            let want = scene.expect(environment, filter, WIDTH);
            let ends = [(false, Some(want.first)), (true, want.second)];
            for (second, end) in ends.into_iter().filter_map(|(second, end)| Some((second, end?))) {
                for word in words_of(EVERY_WORD) {
                    let at = (environment.name, scene.id, filter, word);
                    let accepts = |bits| accepts(&scene, &want, second, word, bits);
                    let is_fixed = end.fixed & word.bit() != 0;
                    let open = if is_fixed { open(&scene, &end, word) } else { u64::MAX };
                    assert!(
                        accepts(open) && accepts(open & next()),
                        "{at:?}: what may be is refused"
                    );
                    let fixed = !open;
                    if fixed != 0 {
                        let one =
                            1u64 << (fixed.trailing_zeros() + next() as u32 % fixed.count_ones());
                        let one = if one & fixed == 0 { fixed & fixed.wrapping_neg() } else { one };
                        for bits in [one, one | open, fixed & next() | one] {
                            assert!(!accepts(bits), "{at:?}: {bits:x} goes unseen");
                        }
                    }
                }
            }
        }
    }
}

fn find(act: Act, environment: &str, name: &str) -> (&'static Environment, Scene) {
    let environment = ENVIRONMENTS.iter().find(|known| known.name == environment).unwrap();
    let id = SceneGroup { act, environment }.scenes().find(|id| id.name() == name).unwrap();
    (environment, id.scene())
}

#[test]
fn the_sources_of_freedom_are_where_the_manual_has_them() {
    let gate = 0xf;
    for (act, environment, name, how, word, bits) in [
        // Bit 12.
        (Act::State, "long", "iret-nmi-exiting", How::Exit(0), Word::Info, NMI_UNBLOCKED),
        (Act::State, "long", "iret", How::Exit(0), Word::Info, 0),
        (Act::State, "long", "iret-unblocks-virtual", How::Exit(0), Word::Info, 0),
        (Act::Event, "long", "int-idt-np", How::Exit(0), Word::Info, NMI_UNBLOCKED),
        (Act::Event, "long", "int-idt-np", How::Exit(0), Word::IdtInfo, NMI_UNBLOCKED),
        (
            Act::Ept,
            "long-ept",
            "int-push",
            How::Exit(48),
            Word::Qualification,
            0x1_fe40 & !(1 << 8),
        ),
        (
            Act::Ept,
            "long-ept",
            "read-page",
            How::Exit(48),
            Word::Qualification,
            0x1_ee40 & !(1 << 8),
        ),
        (Act::State, "long", "tf-mov-ss", How::Exit(0), Word::PendingDebug, PENDING_BS),
        (Act::State, "long", "mov-ss", How::Exit(0), Word::PendingDebug, 0),
        // Addresses.
        (Act::Access, "long", "user-mov-read-np", How::Exit(0), Word::Qualification, 0),
        (Act::Access, "long", "user-fetch-jump", How::Exit(0), Word::Qualification, 0),
        (Act::Access, "long", "user-read-cross-second", How::Exit(0), Word::Qualification, 0xfff),
        (Act::Access, "long", "user-fetch-cross-nx", How::Exit(0), Word::Qualification, 0xfff),
        (Act::Access, "long", "user-read-cross-both", How::Exit(0), Word::Qualification, 0x7fff),
        (Act::Access, "long", "user-fetch-cross-both", How::Exit(0), Word::Qualification, 0x3fff),
        (Act::Event, "long", "int-idt-np", How::Exit(0), Word::Qualification, gate),
        (Act::Event, "long", "int-stack-np", How::Exit(0), Word::Qualification, 0x3f),
        (Act::Event, "long", "int-gdt-np", How::Exit(0), Word::Qualification, 7),
        (Act::Event, "long", "int-tss-np", How::Exit(0), Word::Qualification, 0x7f),
        (Act::Implicit, "long", "super-ltr-gdt", How::Exit(0), Word::Qualification, 0x7f),
        (Act::Implicit, "long", "user-iret-cross", How::Exit(0), Word::Qualification, 0xfff),
        (Act::Ept, "long-ept", "int-gate", How::Exit(48), Word::GuestLinear, gate),
        (Act::Ept, "long-ept", "read-page", How::Exit(48), Word::GuestLinear, 0),
    ] {
        let (environment, scene) = find(act, environment, name);
        let end = scene.expect(environment, Filter::ALWAYS, WIDTH).first;
        assert_eq!(end.how, how, "{name}");
        assert_eq!(open(&scene, &end, word), bits, "{name} {word}");
    }
    // A double fault that L1 intercepts.
    let (environment, scene) = find(Act::Event, "long", "pf-stack-ro");
    let end = scene.expect(environment, Filter::NEVER, WIDTH).first;
    assert_eq!((end.how, open(&scene, &end, Word::Info)), (How::Exit(0), NMI_UNBLOCKED));
    assert_eq!(open(&scene, &end, Word::IdtInfo) & 1 << 31, 0);
}

/// Rows whose operand a disassembler does not see as a whole: a bit string, of which the processor
/// may access a byte, and what ENTER tries at the end; and instructions whose parts it does not
/// list; and an access after IRET.
const UNSEEN: [&str; 4] = ["user-bt-back-np", "user-enter-final", "user-gate-stack", "iret-user"];

/// Whether an instruction's accesses to the page that faults are more than one, or on two pages.
fn is_in_parts(environment: &Environment, scene: &Scene, fault: &Fault) -> bool {
    use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Mnemonic, Register};
    const REGISTERS: [Register; Word::REGISTERS] = [
        Register::RAX,
        Register::RCX,
        Register::RDX,
        Register::RBX,
        Register::RBP,
        Register::RSI,
        Register::RDI,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];
    let code = scene.code.strip_prefix(&FORCED_EMULATION_PREFIX).unwrap_or(scene.code);
    let instruction =
        Decoder::with_ip(environment.width.address_bits(), code, RIP, DecoderOptions::NONE)
            .decode();
    // Frames, of which the disassembler lists a part.
    if matches!(instruction.mnemonic(), Mnemonic::Retf | Mnemonic::Iretd | Mnemonic::Iretq) {
        return true;
    }
    let at_fault = |word: Word| {
        scene.at_fault.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    };
    let value = |register: Register, _, _| {
        if register.is_segment_register() {
            return Some(0);
        }
        let full = register.full_register();
        if full == Register::RSP {
            return Some(at_fault(Word::Rsp).unwrap_or(scene.start_rsp()));
        }
        let at = REGISTERS.iter().position(|known| *known == full)?;
        Some(at_fault(Word::ALL[at]).unwrap_or(scene.start_registers()[at]))
    };
    let mut factory = InstructionInfoFactory::new();
    let memory = factory.info(&instruction).used_memory();
    let mut ranges: Vec<_> = memory
        .iter()
        .map(|memory| {
            let first = memory.virtual_address(0, value).unwrap();
            let size = memory.memory_size().size() as u64;
            // Of a repeated string instruction an element counts; of a state the size is not known.
            let element = instruction.memory_size().size() as u64;
            let size = if instruction.is_string_instruction() { element } else { size };
            (first, if size == 0 { 576 } else { size })
        })
        .filter(|(first, size)| {
            (first / PAGE..=(first + size - 1) / PAGE).contains(&(fault.address / PAGE))
        })
        .collect();
    ranges.dedup();
    ranges.len() > 1
        || ranges.iter().any(|(first, size)| {
            first / PAGE != (first + size - 1) / PAGE || !size.is_power_of_two() || *size > 16
        })
}

#[test]
fn rows_say_which_operands_are_in_parts() {
    let mut wrong = Vec::new();
    for (environment, scene) in all_scenes(WIDTH) {
        let Some(fault) =
            scene.fault.filter(|fault| fault.access != Access::Fetch && !scene.shadow)
        else {
            continue;
        };
        let delivers = scene.event.is_some() || scene.first.is_some();
        let own = matches!(Place::of(fault.address), Some(Place::Gdt | Place::Ldt | Place::Tss));
        if delivers
            || own
            || scene.intercepted.is_some()
            || scene.tested.is_some()
            || scene.nested.is_some()
            || UNSEEN.contains(&scene.id.name())
        {
            continue;
        }
        if is_in_parts(environment, &scene, &fault) != scene.parts {
            wrong.push((environment.name, scene.id, scene.parts));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
