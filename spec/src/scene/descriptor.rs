//! The descriptor tables of the stage. SDM vol. 3A, section 3.4.5, "Segment Descriptors", section 6.14.1, "64-Bit
//! Mode IDT", and section 7.7, "Task Management in 64-bit Mode".

use super::place::{PAGE, Place};

/// The descriptors before the TSS's, at selectors 00H, 08H and so on: code of 64 bits and data for CPL 0, then for
/// CPL 3, then code of 32 bits for both.
pub const SEGMENTS: [u64; 7] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_fb00_0000_ffff,
];
/// Selector of the TSS; its descriptor has 16 bytes in IA-32e mode.
pub const TSS_SELECTOR: u16 = 0x38;
/// Selector of the LDT; its descriptor has 16 bytes in IA-32e mode.
pub const LDT_SELECTOR: u16 = 0x48;
/// Selector of a data segment for CPL 0 that was never loaded: A is clear in its descriptor.
pub const FRESH_DATA_SELECTOR: u16 = 0x58;
/// Selector of the same for CPL 3, RPL included.
pub const FRESH_USER_DATA_SELECTOR: u16 = 0x60 | 3;
/// The two descriptors behind [`LDT_SELECTOR`]'s.
pub const FRESH_SEGMENTS: [u64; 2] = [0x00cf_9200_0000_ffff, 0x00cf_f200_0000_ffff];
/// Selector of a data segment for CPL 3 in the LDT, RPL and TI included: its first entry.
pub const LOCAL_DATA_SELECTOR: u16 = 7;
/// The LDT's first entry.
pub const LOCAL_SEGMENT: u64 = 0x00cf_f300_0000_ffff;
/// Limit of GDTR: behind the last descriptor.
pub const GDT_LIMIT: u16 = 0x67;
/// Limit of LDTR: one descriptor.
pub const LDT_LIMIT: u16 = 7;
/// Limit of TR: the TSS without an I/O permission bitmap.
pub const TSS_LIMIT: u16 = 0x67;

/// Bytes of a gate in IA-32e mode.
pub const GATE: u64 = 16;
/// Limit of IDTR: 256 gates.
pub const IDT_LIMIT: u16 = 256 * GATE as u16 - 1;
/// Linear address of the IDT: the gate of #PF is the first in [`Place::Idt1`].
pub const IDT_BASE: u64 = Place::Idt1.linear() - 14 * GATE;
/// Bytes from the handler of a vector to the next one's in [`Place::Handlers`].
pub const HANDLER: u64 = 16;
/// IST of the gates of #DF and #PF.
pub const FAULT_IST: u64 = 1;
/// IST of the gates that [`super::Scene::event_stack`] names.
pub const EVENT_IST: u64 = 2;
/// VMCALL: what handlers are, and what stands behind the instruction under test.
pub const VMCALL: [u8; 3] = [0x0f, 0x01, 0xc1];

/// Linear address of a vector's gate.
#[must_use]
pub const fn gate_address(vector: u8) -> u64 {
    IDT_BASE + vector as u64 * GATE
}

/// A vector's gate: an interrupt gate for CPL 3 and below that leads to its handler.
#[must_use]
pub const fn gate(vector: u8, ist: u64) -> [u64; 2] {
    let handler = Place::Handlers.linear() + vector as u64 * HANDLER;
    let low = handler & 0xffff | 0x08 << 16 | ist << 32 | 0xee00 << 32 | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// A descriptor of 16 bytes for a system segment: `kind` is its type, 9 for a TSS that is free, 2 for an LDT.
#[must_use]
pub const fn system_segment(base: u64, limit: u16, kind: u64) -> [u64; 2] {
    let low = limit as u64 | (base & 0xff_ffff) << 16 | (0x80 | kind) << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

/// The words of 32 bits of the TSS that are not 0, by their offsets.
#[must_use]
pub const fn tss() -> [(usize, u32); 4] {
    [
        // RSP0, IST1, IST2: the tops of their pages; the upper halves are 0.
        (0x04, top(Place::Stack)),
        (0x24, top(Place::FaultStack)),
        (0x2c, top(Place::EventStack)),
        // The I/O map is behind the limit.
        (0x64, 0x68 << 16),
    ]
}

const fn top(stack: Place) -> u32 {
    (stack.linear() + PAGE) as u32
}

#[cfg(test)]
mod tests {
    use super::{gate, gate_address, system_segment};
    use crate::scene::place::Place;

    #[test]
    fn the_idt_is_cut_before_the_gate_of_pf() {
        assert_eq!(Place::of(gate_address(13)), Some(Place::Idt0));
        assert_eq!(gate_address(14), Place::Idt1.linear());
        assert_eq!(Place::of(gate_address(255)), Some(Place::Idt1));
    }

    #[test]
    fn descriptors_have_their_parts_where_the_manual_wants_them() {
        let [low, high] = gate(14, 1);
        assert_eq!(low & 0xffff | low >> 32 & 0xffff_0000 | high << 32, Place::Handlers.linear() + 14 * 16);
        assert_eq!((low >> 16 & 0xffff, low >> 32 & 7, low >> 40 & 0xff), (0x08, 1, 0xee));
        let [low, high] = system_segment(0x1_2345_6789, 0x67, 9);
        assert_eq!(
            (low & 0xffff, low >> 16 & 0xff_ffff, low >> 40 & 0xff, low >> 56, high),
            (0x67, 0x45_6789, 0x89, 0x23, 1)
        );
    }
}
