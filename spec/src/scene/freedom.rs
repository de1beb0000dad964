//! What the manual leaves open at the end of a scene, bit by bit.
//!
//! A word that has no meaning at an end, or is open as a whole, is not among its
//! [fixed](End::fixed) ones. Of a fixed word some bits can be open all the same. [`FREEDOM`] lists
//! them, once and for all scenes: what must be seen and what was seen are both cleared of them
//! before they are compared.

use super::descriptor::{CALL_GATE_SELECTOR, LDT_SELECTOR, TSS_SELECTOR};
use super::end::{EXIT_EPT_VIOLATION, EXIT_EXCEPTION, End, Ends, How, Word};
use super::ept::{During, QUALIFICATION_EXECUTE_FOR_USER, QUALIFICATION_OPTIONAL};
use super::expect::{BLOCKING_BY_MOV_SS, NMI_UNBLOCKED, PENDING_BS, VECTOR_DF, VECTOR_PF};
use super::place::{PAGE, Place};
use super::{Fault, Scene};
use crate::manual::paging::Access;
use crate::walk::outcome::IDT_VECTORING_VALID;

/// Bits that the manual leaves open.
pub struct Freedom {
    /// In which word.
    pub word: Word,
    /// The bits that are open at an end of a scene.
    pub bits: fn(&Scene, &End) -> u64,
}

/// Bit 31 of interruption information and of IDT-vectoring information: valid.
const VALID: u64 = IDT_VECTORING_VALID;
/// The vector in interruption information.
const VECTOR: u64 = 0xff;
/// "NMI exiting" among the pin-based controls. SDM vol. 3C, "Pin-Based VM-Execution Controls".
pub const NMI_EXITING: u32 = 1 << 3;
/// "Virtual NMIs" among the same.
pub const VIRTUAL_NMIS: u32 = 1 << 5;

/// The sources of freedom.
pub const FREEDOM: &[Freedom] = &[
    // SDM vol. 3C, "Information for VM Exits Due to Vectored Events" and "Information for VM Exits
    // During Event Delivery": of information that is not valid, no other bit is defined; bit 12 of
    // IDT-vectoring information is not.
    Freedom {
        word: Word::IdtInfo,
        bits: |_, end| if end.word(Word::IdtInfo) & VALID == 0 { !VALID } else { NMI_UNBLOCKED },
    },
    Freedom {
        word: Word::Info,
        bits: |scene, end| match end.word(Word::Info) {
            info if info & VALID == 0 => !VALID,
            info if bit_12_is_undefined(scene, end) || info & VECTOR == VECTOR_DF as u64 => {
                NMI_UNBLOCKED
            }
            _ => 0,
        },
    },
    // "Basic VM-Exit Information": bits of features that may be off or unknown to us.
    Freedom {
        word: Word::Qualification,
        bits: |scene, end| match end.how {
            How::Exit(EXIT_EPT_VIOLATION) if bit_12_is_undefined(scene, end) => {
                of_violation(scene) | NMI_UNBLOCKED
            }
            How::Exit(EXIT_EPT_VIOLATION) => of_violation(scene),
            How::Exit(EXIT_EXCEPTION) => of_faults(scene),
            _ => 0,
        },
    },
    // CR2 has the address of a fault that L2 gets, or that an exit comes in the delivery of.
    Freedom {
        word: Word::Cr2,
        bits: |scene, end| match end.how {
            How::Delivered(VECTOR_PF) => of_faults(scene),
            How::Exit(_) => scene.first.map_or(0, |first| of_access(scene, &first)),
            _ => 0,
        },
    },
    // Which byte an access that EPT translates too names, by its guest-physical address and by its
    // linear address.
    Freedom { word: Word::GuestPhysical, bits: |scene, _| of_delivery(scene) },
    Freedom { word: Word::GuestLinear, bits: |scene, _| of_delivery(scene) },
    // "Saving Non-Register State": at an exit right after the VM entry, whether BS is saved as it
    // was loaded is the implementation's choice.
    Freedom {
        word: Word::PendingDebug,
        bits: |scene, _| {
            let held_back = scene.interruptibility & BLOCKING_BY_MOV_SS != 0;
            if held_back { scene.pending_debug & PENDING_BS } else { 0 }
        },
    },
];

/// "Information About NMI Unblocking Due to IRET": bit 12 of the interruption information, and of
/// the exit qualification of an EPT violation, is undefined where IDT-vectoring information is
/// valid, and with "NMI exiting" without "virtual NMIs".
fn bit_12_is_undefined(scene: &Scene, end: &End) -> bool {
    end.word(Word::IdtInfo) & VALID != 0 || scene.pins & (NMI_EXITING | VIRTUAL_NMIS) == NMI_EXITING
}

/// The bits of an EPT violation that depend on features; with mode-based execute control bit 6 is
/// defined.
fn of_violation(scene: &Scene) -> u64 {
    let frame = scene.nested.and_then(|nested| nested.frame);
    let has_modes = frame.is_some_and(|(_, entry)| entry.user.is_some());
    QUALIFICATION_OPTIONAL & !if has_modes { QUALIFICATION_EXECUTE_FOR_USER } else { 0 }
}

/// The bits of an address in which the bytes from `first` on differ.
const fn bytes(first: u64, count: u64) -> u64 {
    let differ = first ^ (first + count - 1);
    if differ == 0 { 0 } else { u64::MAX >> differ.leading_zeros() }
}

/// Bytes of a descriptor, and of a gate or a system descriptor of IA-32e mode. Those of protected
/// mode are shorter.
const DESCRIPTOR: u64 = 8;
const LONG_DESCRIPTOR: u64 = 16;
/// All of a TSS before its I/O permission bitmap. SDM vol. 3A, "Task Management in 64-bit Mode".
const TSS: u64 = 0x68;
/// What a delivery pushes in IA-32e mode, rounded up to a power of two. In protected mode it is
/// less.
const FRAME: u64 = 64;

/// The bits of a fault's reported address that are open.
///
/// The manual says that it is the address that generated the fault (SDM vol. 3A, "Exception and
/// Interrupt Reference", interrupt 14), and not in which order, or in how many accesses, the
/// processor reaches what it wants. So an operand within one page that one access reaches names its
/// first byte; and any byte may be named
/// - of a descriptor, a gate, the TSS or the frame of a handler, which the processor accesses by
///   itself;
/// - of an instruction or an operand on two pages, in the page that faults, or in either if both
///   do;
/// - of an operand in several parts: see [`Scene::parts`].
fn of_access(scene: &Scene, fault: &Fault) -> u64 {
    let Fault { address, access, .. } = *fault;
    let delivers = scene.event.is_some() || scene.first.is_some();
    match Place::of(address) {
        Some(Place::Idt0 | Place::Idt1) => LONG_DESCRIPTOR - 1,
        Some(Place::Gdt) if is_system(address) => bytes(address, LONG_DESCRIPTOR),
        Some(Place::Gdt | Place::Ldt) => DESCRIPTOR - 1,
        Some(place @ Place::Tss) => bytes(place.linear(), TSS),
        Some(Place::Stack | Place::UserStack | Place::EventStack | Place::FaultStack)
            if delivers && access == Access::Write =>
        {
            FRAME - 1
        }
        _ if scene.parts
            || access == Access::Fetch && address != fault.rip.unwrap_or(scene.rip) =>
        {
            let (page, next) = (address & !(PAGE - 1), address + PAGE);
            let both = Place::of(next).is_some_and(|next| is_bad(scene, next))
                && Place::of(address).is_some_and(|place| is_bad(scene, place));
            (PAGE - 1) | if both { bytes(page, 2 * PAGE) } else { 0 }
        }
        _ => 0,
    }
}

/// Whether a system descriptor begins at an address of the GDT.
const fn is_system(address: u64) -> bool {
    let selector = (address % PAGE) as u16;
    matches!(selector, TSS_SELECTOR | LDT_SELECTOR) || selector == CALL_GATE_SELECTOR & !7
}

/// Whether a page is among those that are not good.
fn is_bad(scene: &Scene, place: Place) -> bool {
    scene.pages.iter().any(|(bad, _)| *bad == place)
}

/// The bits that are open in the address of either fault of a scene.
fn of_faults(scene: &Scene) -> u64 {
    scene.first.iter().chain(&scene.fault).fold(0, |bits, fault| bits | of_access(scene, fault))
}

/// The bits that are open in the address of a delivery's access through EPT.
fn of_delivery(scene: &Scene) -> u64 {
    let nested = scene.nested.filter(|nested| nested.during != During::Instruction);
    nested.map_or(0, |nested| match Place::of(nested.address) {
        Some(Place::Idt0 | Place::Idt1) => LONG_DESCRIPTOR - 1,
        _ => FRAME - 1,
    })
}

impl End {
    /// Clears the bits of fixed words that the manual leaves open.
    pub fn clear_open(&mut self, scene: &Scene) {
        for Freedom { word, bits } in FREEDOM {
            if self.fixed & word.bit() != 0 {
                self.words[*word as usize] &= !bits(scene, self);
            }
        }
    }
}

impl Ends {
    /// Clears the bits that the manual leaves open.
    pub(super) fn clear_open(&mut self, scene: &Scene) {
        core::iter::once(&mut self.first)
            .chain(&mut self.second)
            .for_each(|end| end.clear_open(scene));
    }
}
