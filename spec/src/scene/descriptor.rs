//! The descriptor tables of the stage, made of [`crate::manual::descriptor`]s.

use super::environment::{REAL, REAL_SELECTOR};
use super::place::{PAGE, Place};
use crate::manual::descriptor::{
    self, CODE_32, CODE_64, DATA, FRESH_DATA, TSS_IO_MAP, TSS_LIMIT, TSS_RSP0, TSS_SS0,
    interrupt_gate, tss_ist, with_dpl,
};
use crate::manual::paging::Privilege::User;

/// The descriptors before the TSS's, at selectors 00H, 08H and so on: code of 64 bits and data for
/// CPL 0, then for CPL 3, then code of 32 bits for both.
pub const SEGMENTS: [u64; 7] = [
    0,
    CODE_64,
    DATA,
    with_dpl(CODE_64, User),
    with_dpl(DATA, User),
    CODE_32,
    with_dpl(CODE_32, User),
];
/// Selectors of CPL 0's code segments of 64 and of 32 bits, where the gates lead, and of its stack.
const CODE_64_SELECTOR: u16 = 0x08;
const CODE_32_SELECTOR: u16 = 0x28;
const STACK_SELECTOR: u16 = 0x10;
/// Selector of the TSS; its descriptor has 16 bytes in IA-32e mode.
pub const TSS_SELECTOR: u16 = 0x38;
/// Selector of the LDT; its descriptor has 16 bytes in IA-32e mode.
pub const LDT_SELECTOR: u16 = 0x48;
/// Selector of a data segment for CPL 0 that was never loaded: A is clear in its descriptor.
pub const FRESH_DATA_SELECTOR: u16 = 0x58;
/// Selector of the same for CPL 3, RPL included.
pub const FRESH_USER_DATA_SELECTOR: u16 = 0x60 | 3;
/// The two descriptors after [`LDT_SELECTOR`]'s.
pub const FRESH_SEGMENTS: [u64; 2] = [FRESH_DATA, with_dpl(FRESH_DATA, User)];
/// Selector of a data segment for CPL 3 in the LDT, RPL and TI included: its first entry.
pub const LOCAL_DATA_SELECTOR: u16 = 7;
/// The LDT's first entry.
pub const LOCAL_SEGMENT: u64 = with_dpl(DATA, User);
/// Selector of a call gate from CPL 3 to CPL 0, RPL included; its descriptor has 16 bytes in IA-32e
/// mode.
pub const CALL_GATE_SELECTOR: u16 = 0x68 | 3;
/// Limit of GDTR: after the last descriptor.
pub const GDT_LIMIT: u16 = 0x77;
/// Limit of LDTR: one descriptor.
pub const LDT_LIMIT: u16 = 7;

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
/// VMCALL: what follows the instruction under test.
pub const VMCALL: [u8; 3] = [0x0f, 0x01, 0xc1];
/// What handlers are: NOP and VMCALL. The latter is not first, since Bochs saves the interrupted
/// RIP on a VM exit by the first instruction of an NMI's handler.
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
/// Bytes of a vector of real mode. SDM vol. 3B, "Interrupt and Exception Handling".
pub const REAL_VECTOR: u64 = 4;
/// Limit of IDTR in real mode: 256 vectors.
pub const REAL_IDT_LIMIT: u16 = 256 * REAL_VECTOR as u16 - 1;

/// A vector of real mode: offset and selector of its handler.
#[must_use]
pub const fn real_vector(vector: u8) -> u32 {
    let handler = REAL.pointer(Place::Handlers.linear()) + vector as u64 * HANDLER;
    handler as u32 | (REAL_SELECTOR as u32) << 16
}

/// Linear address of a vector's handler.
pub(crate) const fn handler(vector: u8) -> u64 {
    Place::Handlers.linear() + vector as u64 * HANDLER
}

/// A vector's gate: an interrupt gate for CPL 3 and below that leads to its handler.
#[must_use]
pub const fn gate(vector: u8, ist: u64) -> [u64; 2] {
    let [low, high] = interrupt_gate(CODE_64_SELECTOR, handler(vector), ist);
    [with_dpl(low, User), high]
}

/// A vector's gate of 32 bits: an interrupt gate for CPL 3 and below that leads to its handler.
/// There is no IST: the handler has the stack of what was interrupted, or that of the TSS for CPL
/// 0. SDM vol. 3A, "Exception- or Interrupt-Handler Procedures".
#[must_use]
pub const fn gate_32(vector: u8) -> u64 {
    let [low, _] = interrupt_gate(CODE_32_SELECTOR, handler(vector), 0);
    with_dpl(low, User)
}

/// The call gate: to the handler of vector 0, by way of the code segment of CPL 0.
#[must_use]
pub const fn call_gate() -> [u64; 2] {
    let [low, high] = descriptor::call_gate(CODE_64_SELECTOR, handler(0));
    [with_dpl(low, User), high]
}

/// The words of 32 bits of the TSS that differ from 0 in IA-32e mode or else, by their offsets. SDM
/// vol. 3A, "Task-State Segment (TSS)" and "Task Management in 64-bit Mode".
#[must_use]
pub const fn tss(long: bool) -> [(usize, u32); 5] {
    [
        // The upper half of RSP0, or SS0.
        (TSS_SS0, if long { 0 } else { STACK_SELECTOR as u32 }),
        // RSP0 or ESP0, IST1, IST2: the tops of their pages. In a TSS of 32 bits the latter are
        // registers of a task switch, which never comes.
        (TSS_RSP0, top(Place::Stack)),
        (tss_ist(FAULT_IST), top(Place::FaultStack)),
        (tss_ist(EVENT_IST), top(Place::EventStack)),
        // The I/O map is beyond the limit.
        (TSS_IO_MAP, (TSS_LIMIT as u32 + 1) << 16),
    ]
}

const fn top(stack: Place) -> u32 {
    (stack.linear() + PAGE) as u32
}

#[cfg(test)]
mod tests {
    use super::{
        CODE_32_SELECTOR, CODE_64_SELECTOR, SEGMENTS, STACK_SELECTOR, call_gate, gate, gate_32,
        gate_address, tss, vector_of_gate,
    };
    use crate::manual::descriptor::{CODE_32, CODE_64, DATA};
    use crate::scene::place::{PAGE, Place};

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
    fn gates_lead_to_their_handlers_and_are_cpl_3s_to_call() {
        let [low, high] = gate(14, 1);
        assert_eq!(
            low & 0xffff | low >> 32 & 0xffff_0000 | high << 32,
            Place::Handlers.linear() + 14 * 16
        );
        assert_eq!((low >> 16 & 0xffff, low >> 32 & 7, low >> 40 & 0xff), (0x08, 1, 0xee));
        let low = gate_32(14);
        assert_eq!(low & 0xffff | low >> 32 & 0xffff_0000, Place::Handlers.linear() + 14 * 16);
        assert_eq!((low >> 16 & 0xffff, low >> 32 & 0xff, low >> 40 & 0xff), (0x28, 0, 0xee));
        let [low, high] = call_gate();
        assert_eq!(low & 0xffff | low >> 32 & 0xffff_0000 | high << 32, Place::Handlers.linear());
        assert_eq!((low >> 16 & 0xffff, low >> 40 & 0xff), (0x08, 0xec));
    }

    #[test]
    fn gates_and_stacks_have_selectors_of_the_gdt_s_segments() {
        let segment = |selector: u16| SEGMENTS[usize::from(selector / 8)];
        assert_eq!(segment(CODE_64_SELECTOR), CODE_64);
        assert_eq!(segment(CODE_32_SELECTOR), CODE_32);
        assert_eq!(segment(STACK_SELECTOR), DATA);
    }

    #[test]
    fn the_tss_has_its_stacks_where_the_manual_wants_them() {
        for (long, above_rsp0) in [(false, 0x10), (true, 0)] {
            let words = [
                (0x04, Place::Stack.linear() + PAGE),
                (0x08, above_rsp0),
                (0x24, Place::FaultStack.linear() + PAGE),
                (0x2c, Place::EventStack.linear() + PAGE),
                (0x64, 0x68_0000),
            ];
            let mut tss = tss(long);
            tss.sort_unstable();
            assert_eq!(tss.map(|(offset, word)| (offset, u64::from(word))), words);
        }
    }
}
