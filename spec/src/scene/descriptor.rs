//! The descriptor tables of the stage. SDM vol. 3A, section 3.4.5, "Segment Descriptors", section 6.11, "IDT
//! Descriptors", section 6.14.1, "64-Bit Mode IDT", and section 7.7, "Task Management in 64-bit Mode".

use super::environment::{REAL, REAL_SELECTOR};
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
/// Selector of a call gate from CPL 3 to CPL 0, RPL included; its descriptor has 16 bytes in IA-32e mode.
pub const CALL_GATE_SELECTOR: u16 = 0x68 | 3;
/// Limit of GDTR: behind the last descriptor.
pub const GDT_LIMIT: u16 = 0x77;
/// Limit of LDTR: one descriptor.
pub const LDT_LIMIT: u16 = 7;
/// Limit of TR: the TSS without an I/O permission bitmap.
pub const TSS_LIMIT: u16 = 0x67;

/// Bytes of a gate: in IA-32e mode or not.
#[must_use]
pub const fn gate_bytes(long: bool) -> u64 {
    if long { 16 } else { 8 }
}

/// Limit of IDTR: 256 gates.
#[must_use]
pub const fn idt_limit(long: bool) -> u64 {
    256 * gate_bytes(long) - 1
}

/// Linear address of the IDT: the gate of #PF is the first in [`Place::Idt1`].
#[must_use]
pub const fn idt_base(long: bool) -> u64 {
    Place::Idt1.linear() - 14 * gate_bytes(long)
}

/// Bytes from the handler of a vector to the next one's in [`Place::Handlers`].
pub const HANDLER: u64 = 16;
/// IST of the gates of #DF and #PF.
pub const FAULT_IST: u64 = 1;
/// IST of the gates that [`super::Scene::event_stack`] names.
pub const EVENT_IST: u64 = 2;
/// VMCALL: what stands behind the instruction under test.
pub const VMCALL: [u8; 3] = [0x0f, 0x01, 0xc1];
/// What handlers are: NOP and VMCALL. The latter is not first, since Bochs saves the interrupted RIP on a VM exit by the
/// first instruction of an NMI's handler.
pub const HANDLER_CODE: [u8; 4] = [0x90, 0x0f, 0x01, 0xc1];

/// Linear address of a vector's gate.
#[must_use]
pub const fn gate_address(vector: u8, long: bool) -> u64 {
    idt_base(long) + vector as u64 * gate_bytes(long)
}

/// The vector whose gate has a byte at a linear address.
#[must_use]
pub const fn vector_of_gate(linear: u64, long: bool) -> Option<u8> {
    let vector = linear.wrapping_sub(idt_base(long)) / gate_bytes(long);
    if vector <= u8::MAX as u64 { Some(vector as u8) } else { None }
}

/// Linear address of the interrupt vectors of real mode, as a scene names it.
pub const REAL_IDT: u64 = Place::Idt0.linear();
/// Bytes of a vector of real mode. SDM vol. 3B, section 20.1.4, "Interrupt and Exception Handling".
pub const REAL_VECTOR: u64 = 4;
/// Limit of IDTR in real mode: 256 vectors.
pub const REAL_IDT_LIMIT: u16 = 256 * REAL_VECTOR as u16 - 1;

/// A vector of real mode: offset and selector of its handler.
#[must_use]
pub const fn real_vector(vector: u8) -> u32 {
    let handler = REAL.pointer(Place::Handlers.linear()) + vector as u64 * HANDLER;
    handler as u32 | (REAL_SELECTOR as u32) << 16
}

/// A vector's gate: an interrupt gate for CPL 3 and below that leads to its handler.
#[must_use]
pub const fn gate(vector: u8, ist: u64) -> [u64; 2] {
    let handler = Place::Handlers.linear() + vector as u64 * HANDLER;
    let low = handler & 0xffff | 0x08 << 16 | ist << 32 | 0xee00 << 32 | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// A vector's gate of 32 bits: an interrupt gate for CPL 3 and below that leads to its handler. There is no IST:
/// the handler has the stack of what was interrupted, or that of the TSS for CPL 0.
/// SDM vol. 3A, section 6.11, "IDT Descriptors", and section 6.12.1, "Exception- or Interrupt-Handler Procedures".
#[must_use]
pub const fn gate_32(vector: u8) -> u64 {
    let [low, _] = gate(vector, 0);
    low & !(0xffff << 16) | 0x28 << 16
}

/// The call gate: to the handler of vector 0, by way of the code segment of CPL 0. SDM vol. 3A, section 5.8.3.1,
/// "IA-32e Mode Call Gates".
#[must_use]
pub const fn call_gate() -> [u64; 2] {
    let target = Place::Handlers.linear();
    let low = target & 0xffff | 0x08 << 16 | 0xec00 << 32 | (target >> 16 & 0xffff) << 48;
    [low, target >> 32]
}

/// A descriptor of 16 bytes for a system segment: `kind` is its type, 9 for a TSS that is free, 2 for an LDT.
#[must_use]
pub const fn system_segment(base: u64, limit: u16, kind: u64) -> [u64; 2] {
    let low = limit as u64 | (base & 0xff_ffff) << 16 | (0x80 | kind) << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

/// Selector of CPL 0's stack segment in a TSS of 32 bits.
const SS0: u32 = 0x10;

/// The words of 32 bits of the TSS that differ from 0 in IA-32e mode or else, by their offsets. SDM vol. 3A, figures
/// 7-2, "32-Bit Task-State Segment (TSS)", and 7-11, "64-Bit TSS Format".
#[must_use]
pub const fn tss(long: bool) -> [(usize, u32); 5] {
    [
        // The upper half of RSP0, or SS0.
        (0x08, if long { 0 } else { SS0 }),
        // RSP0 or ESP0, IST1, IST2: the tops of their pages. In a TSS of 32 bits the latter are registers
        // of a task switch, which never comes.
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
    use super::{gate, gate_32, gate_address, system_segment, vector_of_gate};
    use crate::scene::place::Place;

    #[test]
    fn the_idt_is_cut_before_the_gate_of_pf() {
        for long in [false, true] {
            assert_eq!(Place::of(gate_address(13, long)), Some(Place::Idt0));
            assert_eq!(gate_address(14, long), Place::Idt1.linear());
            assert_eq!(Place::of(gate_address(255, long)), Some(Place::Idt1));
        }
    }

    #[test]
    fn a_gate_is_found_by_each_of_its_bytes() {
        for (long, bytes) in [(false, 8), (true, 16)] {
            for vector in 0..=u8::MAX {
                let at = gate_address(vector, long);
                assert_eq!(vector_of_gate(at, long), Some(vector));
                assert_eq!(vector_of_gate(at + bytes - 1, long), Some(vector));
            }
            assert_eq!(vector_of_gate(gate_address(0, long) - 1, long), None);
            assert_eq!(vector_of_gate(gate_address(255, long) + bytes, long), None);
        }
    }

    #[test]
    fn descriptors_have_their_parts_where_the_manual_wants_them() {
        let [low, high] = gate(14, 1);
        assert_eq!(low & 0xffff | low >> 32 & 0xffff_0000 | high << 32, Place::Handlers.linear() + 14 * 16);
        assert_eq!((low >> 16 & 0xffff, low >> 32 & 7, low >> 40 & 0xff), (0x08, 1, 0xee));
        let low = gate_32(14);
        assert_eq!(low & 0xffff | low >> 32 & 0xffff_0000, Place::Handlers.linear() + 14 * 16);
        assert_eq!((low >> 16 & 0xffff, low >> 32 & 0xff, low >> 40 & 0xff), (0x28, 0, 0xee));
        let [low, high] = system_segment(0x1_2345_6789, 0x67, 9);
        assert_eq!(
            (low & 0xffff, low >> 16 & 0xff_ffff, low >> 40 & 0xff, low >> 56, high),
            (0x67, 0x45_6789, 0x89, 0x23, 1)
        );
    }
}
