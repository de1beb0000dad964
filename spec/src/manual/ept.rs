//! The EPT pointer, and the operands of the instructions that invalidate cached translations.
//!
//! SDM vol. 3C, "Extended-Page-Table Pointer (EPTP)", and "VMX Instructions", INVEPT and INVVPID.

/// Write-back as the memory type of the EPT paging structures.
const WRITE_BACK: u64 = 6;
/// Bits 5:3: one less than the number of levels.
const FOUR_LEVELS: u64 = 3 << 3;
/// Accessed and dirty flags are on.
const ACCESSED_AND_DIRTY: u64 = 1 << 6;

/// The EPT pointer that leads to a root table of four levels.
#[must_use]
pub const fn pointer(root: u64, accessed_and_dirty: bool) -> u64 {
    root | WRITE_BACK | FOUR_LEVELS | if accessed_and_dirty { ACCESSED_AND_DIRTY } else { 0 }
}

/// The type of INVEPT and INVVPID that invalidates all of one context.
pub const SINGLE_CONTEXT: u64 = 1;

/// INVEPT's descriptor. Its upper half must be 0.
#[must_use]
pub const fn invept_descriptor(pointer: u64) -> [u64; 2] {
    [pointer, 0]
}

/// INVVPID's descriptor: VPID in bits 15:0, bits 63:16 must be 0, a linear address in the upper
/// half.
#[must_use]
pub const fn invvpid_descriptor(vpid: u16, linear: u64) -> [u64; 2] {
    [vpid as u64, linear]
}

#[cfg(test)]
mod tests {
    use super::{invept_descriptor, invvpid_descriptor, pointer};

    #[test]
    fn the_pointer_has_its_parts_where_the_manual_wants_them() {
        for ad in [false, true] {
            let pointer = pointer(0x12_3456_7000, ad);
            assert_eq!((pointer & 7, pointer >> 3 & 7, pointer >> 6 & 1), (6, 3, ad.into()));
            assert_eq!((pointer & !0xfff, pointer & 0xf80), (0x12_3456_7000, 0));
        }
    }

    #[test]
    fn reserved_parts_of_descriptors_are_clear() {
        assert_eq!(invept_descriptor(0x7000_001e), [0x7000_001e, 0]);
        assert_eq!(invvpid_descriptor(0xffff, u64::MAX), [0xffff, u64::MAX]);
    }
}
