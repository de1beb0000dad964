//! The explanation of a scene.

use std::fmt::Write;

use spec::manual::paging::Maxphyaddr;
use spec::manual::section::Section;
use spec::scene::Answer;
use spec::scene::case::{SceneCase, SceneGroup};
use spec::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, End, How};
use spec::scene::ept::{During, GuestFrame, Nested};
use spec::scene::event::{Sender, Source};
use spec::scene::flaw::INVALID_CONTROL;
use spec::scene::place::{Kind, Place};
use spec::scene::tested::linear;

use super::sentences::{OF_EXITS, cite, difference, does, level_name, privilege, rule};
use crate::command::list::bits;

/// What L2 does, what L1 sets, and what must be seen.
#[expect(clippy::too_many_lines, reason = "the sentences in their order")]
pub fn explain(text: &mut String, case: &SceneCase, maxphyaddr: Maxphyaddr) {
    let SceneCase { group: SceneGroup { environment, .. }, id, filter } = *case;
    let (scene, texts) = (&id.scene(), id.texts());
    let pfec = scene.pfec(environment, maxphyaddr);
    let _ = writeln!(text, "L2, in {}: {}.", privilege(scene.cpl), texts.what);
    let _ = writeln!(text, "  environment  {}: {}", environment.name, environment.what());
    if !texts.instruction.is_empty() {
        let bytes: Vec<String> = scene.code.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(
            text,
            "  instruction  {} ({}) at {:#x}",
            texts.instruction,
            bytes.join(" "),
            scene.rip
        );
    }
    if let Some(event) = &scene.event {
        let how = match event.source {
            Source::Injected => "L1 injects at the VM entry",
            Source::Raised => "the instruction raises",
            Source::Arrived => "the local APIC has",
        };
        let _ = writeln!(text, "  event        {how} vector {} ({:?})", event.vector, event.kind);
    }
    if let Some(pending) = &scene.pending {
        let by = match pending.by {
            Sender::Hypervisor => "L1 makes it pending before the VM entry",
            Sender::Guest => {
                "the instruction writes the interrupt command register of L1's local APIC"
            }
        };
        let blocked = if scene.event.is_none() { ", and L2 blocks it" } else { "" };
        let _ = writeln!(
            text,
            "  interrupt    {by}: vector {} ({:?}){blocked}",
            pending.event.vector, pending.event.kind
        );
    }
    if let Some(tested) = &scene.tested {
        let (level, format) = (tested.page.level, environment.format);
        let _ = writeln!(
            text,
            "  page         at {:#x}: its {} is {}",
            linear(format, level),
            level_name(level),
            difference(&tested.page, maxphyaddr)
        );
    }
    if let Some(before) = &scene.before {
        let (at, who) =
            (difference(before, maxphyaddr), if scene.code.len() > 2 { "L2's code" } else { "L1" });
        let _ = writeln!(text, "               at the start it is {at}; {who} changes that");
        if let Some(level) = scene.table {
            let name = level_name(level);
            let _ = writeln!(
                text,
                "  page         Device at {:#x}: the table of its {name}",
                Place::Device.linear()
            );
        }
    }
    for (place, kind) in scene.pages {
        let _ = writeln!(
            text,
            "  page         {place:?} at {:#x}: {}",
            place.linear(),
            differs(*kind).join(", ")
        );
    }
    if let Some(nested) = &scene.nested {
        self::nested(text, nested);
    }
    for (field, bit) in scene.flaw.iter().flat_map(|flaw| flaw.bits) {
        let _ = writeln!(text, "  wrong        at first: bit {bit} of {}", field.what());
    }
    match (scene.fault, pfec) {
        (Some(fault), Some(pfec)) => {
            let implicit =
                if fault.privilege == scene.cpl { "" } else { ", implicitly in supervisor mode," };
            let _ = writeln!(
                text,
                "\nIt{implicit} {} {:#x}, which raises #PF with error code {:#04x}: {}.",
                does(fault.access),
                fault.address,
                pfec.bits(),
                bits(pfec)
            );
            cite(text, &[Section::DETERMINING_RIGHTS, Section::PAGE_FAULTS]);
        }
        _ => {
            let _ =
                writeln!(text, "\nNo page fault arises, so L1's filter, {filter}, is not asked.");
        }
    }
    rule(text, filter, pfec);
    let ends = scene.expect(environment, filter, maxphyaddr);
    let _ = writeln!(text, "\nMust happen: {}", end(&ends.first));
    let _ = writeln!(text, "  {}", ends.first);
    if let Some(second) = &ends.second {
        let answer = match scene.answer {
            _ if scene.flaw.is_some() => "L1 makes good what was wrong, and enters again",
            Answer::Nothing => "L1 goes on",
            Answer::Retry if is_ept(&ends.first) => {
                "L1 makes the EPT entry good and enters L2 again"
            }
            Answer::Retry => "L1 makes the page good and enters L2 again",
            Answer::Reinject if is_ept(&ends.first) => {
                "L1 makes the EPT entry good and injects the event that the exit reported"
            }
            Answer::Reinject => {
                "L1 makes the page good and injects the event that the exit reported"
            }
            Answer::Reflect => "L1 injects the page fault into L2",
            Answer::Again(between) => between.what(),
            Answer::Resume => "L1 changes nothing and enters L2 again",
            Answer::Spoil(how) => how.what(),
            Answer::GoOn => "L1 enters L2 at the next instruction that faults",
        };
        let _ = writeln!(text, "Then {answer}: {}", end(second));
        let _ = writeln!(text, "  {second}");
    }
    if let Some(citation) = &texts.section {
        let _ = writeln!(text, "  {citation}");
    }
    cite(text, &OF_EXITS);
    cite(text, &[Section::SAVING_NON_REGISTERS, Section::STACK_FRAME_64]);
}

/// How an entry differs from a good one.
fn differs(kind: Kind) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (what, flags) in [("without", kind.without), ("with", kind.with)] {
        words.extend(flags.iter_names().map(|(name, _)| format!("{what} {name}")));
    }
    if kind.reserved {
        words.push("with reserved address bit MAXPHYADDR".into());
    }
    if kind.key != 0 {
        words.push(format!("protection key {}", kind.key));
    }
    words
}

/// What differs on an access's way through EPT.
fn nested(text: &mut String, nested: &Nested) {
    let during = match nested.during {
        During::Instruction => "",
        During::Event => ", which the event's delivery does",
        During::PageFault => ", which the delivery of the page fault does",
    };
    let _ = writeln!(text, "  through EPT  {} {:#x}{during}", does(nested.access), nested.address);
    if let Some((level, kind)) = nested.guest {
        let _ = writeln!(text, "  guest entry  {level:?}: {}", differs(kind).join(", "));
    }
    if let Some((frame, entry)) = nested.frame {
        let right = |bit: u8, letter| if entry.rights >> bit & 1 == 1 { letter } else { '-' };
        let rights: String = [(0, 'r'), (1, 'w'), (2, 'x')]
            .into_iter()
            .map(|(bit, letter)| right(bit, letter))
            .collect();
        let reserved = if entry.reserved { ", a reserved bit" } else { "" };
        let user = match entry.user {
            Some(true) => " and x at user-mode addresses",
            Some(false) => " and no x at user-mode addresses",
            None => "",
        };
        let frame = match frame {
            GuestFrame::Place(place) => format!("{place:?}"),
            GuestFrame::Page => "the page".into(),
            _ => format!("the table {frame:?}"),
        };
        let _ = writeln!(
            text,
            "  EPT entry    of {frame}: {rights}{user}, memory type {}{reserved}; no filter is asked about EPT-induced exits",
            entry.memory_type
        );
    }
}

/// Whether an end is an EPT-induced VM exit.
fn is_ept(end: &End) -> bool {
    matches!(end.how, How::Exit(EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION))
}

fn end(end: &End) -> String {
    match end.how {
        How::Exit(EXIT_EPT_VIOLATION) => {
            "a VM exit to L1 by an EPT violation, whatever the filter.".into()
        }
        How::Exit(EXIT_EPT_MISCONFIGURATION) => {
            "a VM exit to L1 by an EPT misconfiguration, whatever the filter.".into()
        }
        How::Exit(0) => "a VM exit to L1 by an exception, L2's handler not called.".into(),
        How::Exit(reason) => format!("a VM exit to L1 with basic exit reason {reason}."),
        How::Delivered(vector) => {
            format!("L2's handler of vector {vector} runs, and no exit to L1 comes first.")
        }
        How::Failed(number) if number == u16::from(INVALID_CONTROL) => {
            "the VM entry fails with VM-instruction error 7: invalid control fields.".into()
        }
        How::Failed(number) => {
            format!("the VM entry fails with basic exit reason {number}: invalid guest state.")
        }
        How::Done => "the instruction completes; L1 sees no exit, L2 no fault.".into(),
    }
}
