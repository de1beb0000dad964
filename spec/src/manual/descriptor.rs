//! Descriptors of segments and gates, the task-state segment, and access rights as a VMCS has them.
//!
//! SDM vol. 3A, "Segment Descriptors", "System Descriptor Types", "IA-32e Mode Call Gates", "IDT
//! Descriptors", "64-Bit Mode IDT", "TSS Descriptor in 64-bit mode", and "Task Management in 64-bit
//! Mode"; vol. 3C, "Guest Register State".

use crate::manual::paging::Privilege;

/// Type bit 0 of a code or data segment: accessed.
const ACCESSED: u64 = 1 << 40;
/// Type bit 1: a code segment can be read, a data segment written.
const READ_OR_WRITE: u64 = 1 << 41;
/// Type bit 3: a code segment.
const EXECUTABLE: u64 = 1 << 43;
/// S: a code or data segment.
const CODE_OR_DATA: u64 = 1 << 44;
/// The lowest bit of the DPL.
const DPL: u32 = 45;
/// P: the descriptor is present.
const PRESENT: u64 = 1 << 47;
/// L: code of 64 bits.
const LONG: u64 = 1 << 53;
/// D/B: code or a stack of 32 bits.
const DEFAULT_32: u64 = 1 << 54;
/// Base 0, limit FFFFFH in units of 4 KiB (G).
const FLAT: u64 = 0x000f_0000_0000_ffff | 1 << 55;

const SEGMENT: u64 = FLAT | PRESENT | CODE_OR_DATA | READ_OR_WRITE | ACCESSED;
/// A flat code segment of 64 bits for CPL 0 that was loaded once.
pub const CODE_64: u64 = SEGMENT | EXECUTABLE | LONG;
/// A flat code segment of 32 bits for CPL 0 that was loaded once.
pub const CODE_32: u64 = SEGMENT | EXECUTABLE | DEFAULT_32;
/// A flat data segment for CPL 0 that was loaded once.
pub const DATA: u64 = SEGMENT | DEFAULT_32;
/// A flat data segment for CPL 0 that was never loaded.
pub const FRESH_DATA: u64 = DATA & !ACCESSED;

/// The type of a system segment in IA-32e mode. SDM vol. 3A, "System Descriptor Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum System {
    /// A local descriptor table.
    Ldt = 2,
    /// A task-state segment that TR does not hold.
    AvailableTss = 9,
    /// A task-state segment that TR holds.
    BusyTss = 0xb,
}

/// Gate types, with P.
const CALL_GATE: u64 = 0xc << 40 | PRESENT;
const INTERRUPT_GATE: u64 = 0xe << 40 | PRESENT;

/// A descriptor for another privilege: segments for CPL 3 have DPL 3, and so have gates that CPL 3
/// may call.
#[must_use]
pub const fn with_dpl(descriptor: u64, privilege: Privilege) -> u64 {
    let dpl = match privilege {
        Privilege::Supervisor => 0,
        Privilege::User => 3,
    };
    descriptor & !(3 << DPL) | dpl << DPL
}

/// The descriptor of a system segment, 16 bytes in IA-32e mode. Elsewhere only the first eight
/// count.
#[must_use]
pub const fn system_segment(base: u64, limit: u16, kind: System) -> [u64; 2] {
    let low = limit as u64 | (base & 0xff_ffff) << 16 | (base >> 24 & 0xff) << 56;
    [low | PRESENT | (kind as u64) << 40, base >> 32]
}

/// An interrupt gate for CPL 0, 16 bytes in IA-32e mode. `ist` is 0 where the stack is not one of
/// the interrupt-stack table. With an `ist` of 0 the first eight bytes are a gate of 32 bits.
#[must_use]
pub const fn interrupt_gate(selector: u16, handler: u64, ist: u64) -> [u64; 2] {
    gate(INTERRUPT_GATE | ist << 32, selector, handler)
}

/// A call gate for CPL 0, 16 bytes in IA-32e mode.
#[must_use]
pub const fn call_gate(selector: u16, target: u64) -> [u64; 2] {
    gate(CALL_GATE, selector, target)
}

const fn gate(kind: u64, selector: u16, target: u64) -> [u64; 2] {
    let low = target & 0xffff | (selector as u64) << 16 | (target >> 16 & 0xffff) << 48;
    [low | kind, target >> 32]
}

/// Limit of a TSS without an I/O permission bitmap.
pub const TSS_LIMIT: u16 = 0x67;
/// Offset in a TSS of RSP0, in one of 32 bits of ESP0.
pub const TSS_RSP0: usize = 0x04;
/// Offset in a TSS of 32 bits of SS0.
pub const TSS_SS0: usize = 0x08;
/// Offset in a TSS of the word with T and, in its upper half, the offset of the I/O permission
/// bitmap.
pub const TSS_IO_MAP: usize = 0x64;

/// Offset in a TSS of 64 bits of the interrupt-stack table's entry `ist`, 1 to 7.
#[must_use]
pub const fn tss_ist(ist: u64) -> usize {
    0x1c + 8 * ist as usize
}

/// Access rights in a VMCS: the segment is unusable. SDM vol. 3C, "Guest Register State".
pub const UNUSABLE: u64 = 1 << 16;

/// A descriptor's access rights as a VMCS has them: its bits 47:40 and 55:52.
#[must_use]
pub const fn access_rights(descriptor: u64) -> u64 {
    descriptor >> 40 & 0xf0ff
}

/// Access rights of a system segment.
#[must_use]
pub const fn system_access_rights(kind: System) -> u64 {
    let [low, _] = system_segment(0, 0, kind);
    access_rights(low)
}

#[cfg(test)]
mod tests {
    use super::{
        CODE_32, CODE_64, DATA, FRESH_DATA, System, access_rights, call_gate, interrupt_gate,
        system_access_rights, system_segment, tss_ist, with_dpl,
    };
    use crate::manual::paging::Privilege::{Supervisor, User};

    /// Base, limit in units of 4 KiB.
    fn base_and_limit(descriptor: u64) -> (u64, u64) {
        (
            descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000,
            descriptor & 0xffff | descriptor >> 32 & 0xf_0000,
        )
    }

    #[test]
    fn segments_are_flat_and_have_their_type_width_and_privilege() {
        for (descriptor, kind, l, d) in
            [(CODE_64, 0xb, 1, 0), (CODE_32, 0xb, 0, 1), (DATA, 3, 0, 1), (FRESH_DATA, 2, 0, 1)]
        {
            assert_eq!(base_and_limit(descriptor), (0, 0xf_ffff));
            assert_eq!(descriptor >> 55 & 1, 1, "G");
            assert_eq!(
                (descriptor >> 40 & 0xf, descriptor >> 53 & 1, descriptor >> 54 & 1),
                (kind, l, d)
            );
            for (privilege, dpl) in [(Supervisor, 0), (User, 3)] {
                let descriptor = with_dpl(descriptor, privilege);
                assert_eq!(
                    (descriptor >> 44 & 1, descriptor >> 45 & 3, descriptor >> 47 & 1),
                    (1, dpl, 1)
                );
                assert_eq!(
                    with_dpl(descriptor, Supervisor),
                    with_dpl(descriptor, User) & !(3 << 45)
                );
            }
        }
    }

    #[test]
    fn access_rights_are_those_of_table_24_2() {
        // Type in 3:0, S in 4, DPL in 6:5, P in 7; L in 13, D/B in 14, G in 15.
        assert_eq!(access_rights(CODE_64), 0xb | 1 << 4 | 1 << 7 | 1 << 13 | 1 << 15);
        assert_eq!(access_rights(CODE_32), 0xb | 1 << 4 | 1 << 7 | 1 << 14 | 1 << 15);
        assert_eq!(
            access_rights(with_dpl(DATA, User)),
            3 | 1 << 4 | 3 << 5 | 1 << 7 | 1 << 14 | 1 << 15
        );
        assert_eq!(system_access_rights(System::BusyTss), 0xb | 1 << 7);
        assert_eq!(system_access_rights(System::Ldt), 2 | 1 << 7);
    }

    #[test]
    fn system_segments_have_their_parts_where_the_manual_wants_them() {
        let [low, high] = system_segment(0x1_2345_6789, 0x67, System::AvailableTss);
        assert_eq!((base_and_limit(low), high), ((0x2345_6789, 0x67), 1));
        assert_eq!((low >> 40 & 0xff, low >> 55 & 1), (0x89, 0), "no G");
    }

    #[test]
    fn gates_have_their_parts_where_the_manual_wants_them() {
        let target = 0x1234_5678_9abc_def0;
        let lead_to = |[low, high]: [u64; 2]| low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
        for (gate, ist, kind) in [
            (interrupt_gate(0x28, target, 0), 0, 0x8e),
            (interrupt_gate(0x28, target, 2), 2, 0x8e),
            (call_gate(0x28, target), 0, 0x8c),
        ] {
            assert_eq!((lead_to(gate), gate[0] >> 16 & 0xffff), (target, 0x28));
            assert_eq!((gate[0] >> 32 & 0xff, gate[0] >> 40 & 0xff), (ist, kind));
            assert_eq!(with_dpl(gate[0], User) >> 40 & 0xff, kind | 0x60);
        }
    }

    #[test]
    fn the_interrupt_stack_table_begins_at_24h() {
        assert_eq!((tss_ist(1), tss_ist(2), tss_ist(7)), (0x24, 0x2c, 0x54));
    }
}
