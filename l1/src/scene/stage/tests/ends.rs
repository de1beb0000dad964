//! What L2 leaves is read as the manual has it: frames of handlers, VMCS, registers, memory.

use std::string::ToString;

use spec::manual::paging::Privilege;
use spec::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, EXIT_EXCEPTION};
use spec::scene::event::EventType;
use spec::scene::expect::selectors;
use spec::scene::flaw::INVALID_CONTROL;

use super::*;

/// Lays words as the processor pushes them, the last first, and returns their linear address.
fn pushed(place: Place, offset: u64, words: &[u64], bytes: u64) -> u64 {
    for (word, at) in words.iter().zip((offset..).step_by(bytes as usize)) {
        for (byte, at) in word.to_le_bytes().into_iter().zip(at..at + bytes) {
            // SAFETY: the words end within the page, and `begin` gave it to the test.
            unsafe { mapped::<u8>(memory::physical(place) + at).write(byte) };
        }
    }
    place.linear() + offset
}

#[test]
fn a_handler_s_frame_has_an_error_code_where_the_vector_pushes_one() {
    const PF: u8 = 14;
    const BP: u8 = 3;
    let words = |rsp, width, vector, software| {
        let frame = memory::StackFrame::at(rsp, width);
        [Word::ErrorCode, Word::Rip, Word::Cs, Word::Rflags, Word::Rsp, Word::Ss, Word::Cr2]
            .map(|word| frame.word(word, vector, software))
    };
    let some = |words: [u64; 5]| words.map(Some);
    let _turn = begin();
    let [rip, cs, rflags, rsp, ss] = some([0x4000_1100, 0x1b, 0x1_0cd7, 0x4000_8ff8, 0x23]);
    let user = [0x4000_1100, 0x1b, 0x1_0cd7, 0x4000_8ff8, 0x23];
    for (width, bytes) in [(Width::Bits64, 8), (Width::Compatibility, 8), (Width::Bits32, 4)] {
        let at = pushed(Place::Stack, 0x800, &user, bytes);
        assert_eq!(words(at, width, BP, false), [None, rip, cs, rflags, rsp, ss, None]);
        assert_eq!(
            words(at, width, PF, true),
            [None, rip, cs, rflags, rsp, ss, None],
            "INT 14 pushes none"
        );
        let at = pushed(Place::Stack, 0x800, &[&[6], &user[..]].concat(), bytes);
        assert_eq!(words(at, width, PF, false), [Some(6), rip, cs, rflags, rsp, ss, None]);
    }
    // Outside IA-32e mode a handler of the same CPL finds neither ESP nor SS, which are what they
    // were. The upper half of a pushed selector means nothing.
    let at = pushed(Place::Stack, 0x800, &[6, 0x4000_1100, 0xdead_0008, 0x1_0cd7, 0x55], 4);
    let same = [Some(6), rip, Some(8), rflags, Some(at + 16), None, None];
    assert_eq!(words(at, Width::Bits32, PF, false), same);
}

#[test]
fn what_is_known_of_vmcs12_is_what_it_holds() {
    let _turn = begin();
    let mut skipped = 0;
    for environment in ENVIRONMENTS {
        let mut kept = Kept::default();
        for (scene, filter) in
            scenes(environment).flat_map(|scene| [(scene, Filter::ALWAYS), (scene, Filter::NEVER)])
        {
            let before = processor().vmwrites;
            state::write_scene(&scene, environment, &mut kept);
            let written = processor().vmwrites - before;
            let with_what_was_known = processor().vmcs.clone();
            state::write_scene(&scene, environment, &mut Kept::default());
            assert_eq!(with_what_was_known, processor().vmcs, "{} {}", environment.name, scene.id);
            skipped += processor().vmwrites - before - 2 * written;
            let want = scene.expect(environment, filter, MAXPHYADDR).first;
            kept = kept.after(&scene, environment, &want);
            leave(&scene, environment, &want);
        }
    }
    assert!(skipped > 1000, "{skipped}");
}

/// L2 leaves vmcs12's guest state as the manual has it for this end; what it may have changed is
/// spoiled.
fn leave(scene: &Scene, environment: &Environment, end: &End) {
    const ALWAYS: [Field; 4] =
        [Field::GuestRip, Field::GuestRsp, Field::GuestRflags, Field::GuestInterruptibility];
    const SEGMENTS: [Field; 5] = [
        Field::GuestCs,
        Field::GuestSs,
        Field::GuestCsAccess,
        Field::GuestSsAccess,
        Field::GuestSsLimit,
    ];
    const REST: [Field; 4] =
        [Field::GuestActivity, Field::GuestPendingDebug, Field::GuestDr7, Field::GuestDebugctl];
    let spoil = |fields: &[Field]| fields.iter().for_each(|field| vmwrite(*field, 0x5501));
    spoil(&ALWAYS);
    let (cs, ss) = selectors(scene.cpl);
    // A delivery to a handler of another CPL or width loads CS and SS. What the instruction loaded
    // before its fault is loaded on an exit, too.
    let is_delivered = matches!(end.how, How::Delivered(_));
    let handler_is_alike = environment.width == Width::Bits64 && scene.cpl == Privilege::Supervisor;
    let has_loaded = end.word(Word::Cs) != cs || end.word(Word::Ss) != ss;
    if has_loaded || is_delivered && !handler_is_alike {
        spoil(&SEGMENTS);
    }
    // Other ends are after instructions that can change anything, and an event ends a state of
    // inactivity and takes pending debug exceptions.
    let of_instruction = matches!(end.how, How::Done)
        || matches!(end.how, How::Exit(reason) if ![EXIT_EXCEPTION, EXIT_EPT_VIOLATION, EXIT_EPT_MISCONFIGURATION].contains(&reason));
    if of_instruction || scene.activity != 0 || scene.pending_debug != 0 {
        spoil(&SEGMENTS);
        spoil(&REST);
    }
}

#[test]
fn an_end_is_read_as_the_processor_leaves_it() {
    let _turn = begin();
    let mut words = 0;
    for environment in ENVIRONMENTS {
        set_up(environment);
        for (scene, filter) in
            scenes(environment).flat_map(|scene| [(scene, Filter::ALWAYS), (scene, Filter::NEVER)])
        {
            let mut want = scene.expect(environment, filter, MAXPHYADDR).first;
            // Registers that only privileged instructions read.
            want.fixed &= !(Word::Cr2.bit() | Word::Dr6.bit());
            memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
            let registers = leave_end(&scene, environment, &want);
            let mut seen = End::new(How::Done);
            let error = match want.how {
                How::Failed(error) if error == u16::from(INVALID_CONTROL) => Some(error),
                _ => None,
            };
            end(&scene, environment, &registers, error, &want, &mut seen);
            let differing = words_of(want.differing(&seen)).map(|word| word.to_string());
            let differing = differing.collect::<Vec<_>>();
            assert!(
                want.admits(&seen),
                "{} {} {filter}: {differing:?} {want} {seen}",
                environment.name,
                scene.id
            );
            words |= want.fixed;
        }
    }
    let never = [Word::Cr2, Word::Dr6].map(Word::bit);
    assert_eq!(words | never[0] | never[1], EVERY_WORD);
}

/// L2 leaves VMCS, registers, stack and memory with the words of an end, at the places that the
/// manual has for them.
fn leave_end(scene: &Scene, environment: &Environment, end: &End) -> Registers {
    const FIELDS: [(Word, Field); 35] = [
        (Word::Info, Field::ExitInterruptionInfo),
        (Word::ErrorCode, Field::ExitInterruptionErrorCode),
        (Word::Qualification, Field::ExitQualification),
        (Word::IdtInfo, Field::IdtVectoringInfo),
        (Word::IdtError, Field::IdtVectoringErrorCode),
        (Word::Length, Field::ExitInstructionLength),
        (Word::GuestLinear, Field::GuestLinearAddress),
        (Word::Rflags, Field::GuestRflags),
        (Word::Cs, Field::GuestCs),
        (Word::Ss, Field::GuestSs),
        (Word::CsAccess, Field::GuestCsAccess),
        (Word::SsAccess, Field::GuestSsAccess),
        (Word::Ds, Field::GuestDs),
        (Word::DsAccess, Field::GuestDsAccess),
        (Word::DsLimit, Field::GuestDsLimit),
        (Word::DsBase, Field::GuestDsBase),
        (Word::FsBase, Field::GuestFsBase),
        (Word::GsBase, Field::GuestGsBase),
        (Word::Ldtr, Field::GuestLdtr),
        (Word::GdtrBase, Field::GuestGdtrBase),
        (Word::GdtrLimit, Field::GuestGdtrLimit),
        (Word::IdtrBase, Field::GuestIdtrBase),
        (Word::IdtrLimit, Field::GuestIdtrLimit),
        (Word::SysenterCs, Field::GuestSysenterCs),
        (Word::SysenterEsp, Field::GuestSysenterEsp),
        (Word::SysenterEip, Field::GuestSysenterEip),
        (Word::Interruptibility, Field::GuestInterruptibility),
        (Word::Activity, Field::GuestActivity),
        (Word::PendingDebug, Field::GuestPendingDebug),
        (Word::Dr7, Field::GuestDr7),
        (Word::Debugctl, Field::GuestDebugctl),
        (Word::Bitmap, Field::ExceptionBitmap),
        (Word::Mask, Field::PfecMask),
        (Word::Match, Field::PfecMatch),
        (Word::GuestPhysical, Field::GuestPhysicalAddress),
    ];
    let [rip, rsp] = [Word::Rip, Word::Rsp].map(|word| environment.pointer(end.word(word)));
    for (word, field) in FIELDS {
        vmwrite(field, end.word(word));
    }
    vmwrite(Field::GuestCr0, end.word(Word::Cr0) ^ vmread(Field::Cr0ReadShadow));
    vmwrite(Field::GuestCr4, end.word(Word::Cr4) ^ vmread(Field::Cr4ReadShadow));
    let root =
        guest_physical(environment.ept, crate::scene::stage::tables::root(environment.format));
    vmwrite(Field::GuestCr3, end.word(Word::Cr3).wrapping_add(root));
    vmwrite(Field::ExitReason, REASON_VMCALL);
    vmwrite(Field::GuestRip, rip);
    vmwrite(Field::GuestRsp, rsp);
    let number = end.word(Word::GuestPhysical) & !(PAGE - 1);
    if let Some((_, _, guest)) =
        frames(environment).find(|(frame, ..)| frame.guest_physical(0) == number)
    {
        vmwrite(Field::GuestPhysicalAddress, guest + end.word(Word::GuestPhysical) % PAGE);
    }
    if environment.width == Width::Real {
        vmwrite(
            Field::GuestLinearAddress,
            REAL_BASE + environment.pointer(end.word(Word::GuestLinear)),
        );
    }
    match end.how {
        How::Exit(reason) => vmwrite(Field::ExitReason, reason.into()),
        How::Delivered(vector) => {
            let handler = Place::Handlers.linear() + u64::from(vector) * HANDLER;
            vmwrite(Field::GuestRip, environment.pointer(handler));
            if !scene.real {
                vmwrite(Field::GuestRsp, leave_frame(scene, environment, end, vector));
            }
        }
        How::Failed(number) => vmwrite(Field::ExitReason, ENTRY_FAILED | u64::from(number)),
        How::Done => {}
    }
    if let Some(watch) = scene.watch.filter(|watch| Place::of(*watch) != Some(Place::Device)) {
        // SAFETY: the eight bytes are in a page of the stage, which `begin` gave to the test.
        unsafe { mapped::<u64>(physical(watch)).write_unaligned(end.word(Word::Memory)) };
        let (a, d) = (Entry::A.bits(), Entry::D.bits());
        let flags = end.word(Word::Leaf) & (a | d) | end.word(Word::Dirty) & d;
        let entry = tables::pte(environment.format, watch) & !(a | d);
        tables::set_pte(environment.format, watch, entry | flags);
    }
    Registers::in_order(core::array::from_fn(|at| end.words[at]))
}

/// A handler's frame on the stack; returns RSP.
fn leave_frame(scene: &Scene, environment: &Environment, end: &End, vector: u8) -> u64 {
    let is_software = scene
        .event
        .is_some_and(|event| event.vector == vector && event.kind == EventType::SoftwareInterrupt);
    let mut words = [Word::Rip, Word::Cs, Word::Rflags, Word::Rsp, Word::Ss]
        .map(|word| end.word(word))
        .to_vec();
    if [8, 10, 11, 12, 13, 14, 17, 21].contains(&vector) && !is_software {
        words.insert(0, end.word(Word::ErrorCode));
    }
    let bytes = if environment.width.is_long() { 8 } else { 4 };
    let cpl = end.word(Word::Cs) & 3;
    if environment.width.is_long() || cpl != 0 {
        return pushed(Place::EventStack, 0x800, &words, bytes);
    }
    // Without a change of CPL the frame is below what ESP was.
    words.truncate(words.len() - 2);
    let is_fixed = end.fixed & Word::Rsp.bit() != 0;
    let top = if is_fixed { end.word(Word::Rsp) } else { Place::EventStack.linear() + 0x800 };
    let rsp = top - bytes * words.len() as u64;
    pushed(Place::of(rsp).unwrap(), rsp % PAGE, &words, bytes)
}
