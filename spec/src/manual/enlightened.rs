//! The enlightened VMCS: a VMCS that L1 reads and writes in memory, where L0 offers that.
//!
//! It is Hyper-V's interface, which KVM has too. *Hypervisor Top Level Functional Specification*
//! ("TLFS"): "Nested Virtualization", "Feature Discovery", "HV_VP_ASSIST_PAGE", and for the layout
//! "HV_VMX_ENLIGHTENED_VMCS".

/// The CPUID leaf that has the highest one of a hypervisor.
pub const HIGHEST_LEAF: u32 = 0x4000_0000;
/// The leaf whose EAX is [`INTERFACE`] if a hypervisor has Hyper-V's interface.
pub const INTERFACE_LEAF: u32 = 0x4000_0001;
/// "Hv#1", little-endian.
pub const INTERFACE: u32 = u32::from_le_bytes(*b"Hv#1");
/// The leaf whose EAX says what the guest may use.
pub const FEATURES_LEAF: u32 = 0x4000_0003;
/// The guest may write [`ASSIST_MSR`].
pub const FEATURE_ASSIST: u32 = 1 << 4;
/// The leaf whose EAX says what the guest should use.
pub const HINTS_LEAF: u32 = 0x4000_0004;
/// A hypervisor should use enlightened VMCSs.
pub const HINT_ENLIGHTENED_VMCS: u32 = 1 << 14;
/// The leaf whose EAX has the versions of the enlightened VMCS: the lowest in bits 7:0, the highest
/// in 15:8.
pub const VERSIONS_LEAF: u32 = 0x4000_000a;
/// The version of this layout, with which an enlightened VMCS begins.
pub const VERSION: u32 = 1;

/// The MSR with the physical address of this processor's assist page, in use if [`ASSIST_IN_USE`]
/// is set.
pub const ASSIST_MSR: u32 = 0x4000_0073;
/// See [`ASSIST_MSR`].
pub const ASSIST_IN_USE: u64 = 1 << 0;
/// Offset in the assist page of the byte that says whether VM entries use an enlightened VMCS.
pub const ENTRY_IS_ENLIGHTENED: usize = 40;
/// Offset in the assist page of the physical address of the enlightened VMCS.
pub const CURRENT_VMCS: usize = 48;

/// Offset of the four bytes that say of which fields L0 may use its own copy: L1 changed none of
/// the group.
pub const CLEAN_FIELDS: usize = 824;
/// Every group.
pub const ALL_CLEAN: u16 = u16::MAX;

/// How L1 uses an enlightened VMCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// After an entry L1 sets all bits at [`CLEAN_FIELDS`], and clears those of what it changes. Else
    /// they are always clear.
    pub clean_fields: bool,
}

/// A field of the VMCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    encoding: u16,
    /// Where it is in the enlightened VMCS.
    pub offset: u16,
    /// The groups that are no longer clean when L1 has changed it: bits at [`CLEAN_FIELDS`].
    pub group: u16,
}

impl Place {
    /// How many bytes the field has.
    #[must_use]
    pub const fn size(self) -> usize {
        size(self.encoding)
    }
}

/// Where a field is, if the enlightened VMCS has it.
#[must_use]
pub fn place(encoding: u32) -> Option<Place> {
    PLACES.iter().find(|place| u32::from(place.encoding) == encoding).copied()
}

/// A part of the layout.
enum Part {
    /// Bytes that are no field.
    Other(u16),
    /// Fields of a group, each aligned to its size.
    Fields(u16, &'static [u16]),
}

use Part::{Fields, Other};

/// What L0 reads at each VM entry, or only writes.
const NO_GROUP: u16 = 0;
/// What is in no group of the TLFS, so that nothing says whether L0 may keep a copy.
const EVERY_GROUP: u16 = ALL_CLEAN;
const IO_BITMAP: u16 = 1 << 0;
const MSR_BITMAP: u16 = 1 << 1;
const CONTROL_GROUP_2: u16 = 1 << 2;
const CONTROL_GROUP_1: u16 = 1 << 3;
const CONTROL_PROCESSOR: u16 = 1 << 4;
const CONTROL_EVENT: u16 = 1 << 5;
const CONTROL_ENTRY: u16 = 1 << 6;
const CONTROL_EXCEPTION: u16 = 1 << 7;
const CONTROL_AND_DEBUG_REGISTERS: u16 = 1 << 8;
const TRANSLATION: u16 = 1 << 9;
const GUEST_BASIC: u16 = 1 << 10;
const GUEST_GROUP_1: u16 = 1 << 11;
const GUEST_GROUP_2: u16 = 1 << 12;
const HOST_POINTER: u16 = 1 << 13;
const HOST_GROUP_1: u16 = 1 << 14;

/// The enlightened VMCS up to [`CLEAN_FIELDS`]. What follows is Hyper-V's own, or of features that
/// L1 does not use. Names of the fields: SDM vol. 3D, "Field Encoding in VMCS".
#[rustfmt::skip]
const LAYOUT: &[Part] = &[
    // The version, the abort indicator.
    Other(8),
    Fields(HOST_GROUP_1, &[
        0x0c00, 0x0c02, 0x0c04, 0x0c06, 0x0c08, 0x0c0a, 0x0c0c, 0x2c00, 0x2c02, 0x6c00, 0x6c02, 0x6c04,
        0x6c10, 0x6c12, 0x6c16, 0x4c00,
    ]),
    Fields(CONTROL_GROUP_1, &[0x4000, 0x400c, 0x401e]),
    Fields(IO_BITMAP, &[0x2000, 0x2002]),
    Fields(MSR_BITMAP, &[0x2004]),
    Fields(GUEST_GROUP_2, &[
        0x0800, 0x0802, 0x0804, 0x0806, 0x0808, 0x080a, 0x080c, 0x080e,
        0x4800, 0x4802, 0x4804, 0x4806, 0x4808, 0x480a, 0x480c, 0x480e, 0x4810, 0x4812,
        0x4814, 0x4816, 0x4818, 0x481a, 0x481c, 0x481e, 0x4820, 0x4822,
        0x6806, 0x6808, 0x680a, 0x680c, 0x680e, 0x6810, 0x6812, 0x6814, 0x6816, 0x6818,
    ]),
    Other(24),
    Fields(EVERY_GROUP, &[
        0x2006, 0x2008, 0x200a, 0x6008, 0x600a, 0x600c, 0x600e,
        0x4006, 0x4008, 0x400a, 0x400e, 0x4010, 0x4014,
    ]),
    Fields(CONTROL_GROUP_2, &[0x2010, 0x2012]),
    Fields(GUEST_GROUP_1, &[
        0x2800, 0x2802, 0x2804, 0x2806, 0x280a, 0x280c, 0x280e, 0x2810, 0x6822, 0x6824, 0x6826, 0x4826, 0x482a,
    ]),
    Fields(CONTROL_AND_DEBUG_REGISTERS, &[
        0x6000, 0x6002, 0x6004, 0x6006, 0x6800, 0x6802, 0x6804, 0x681a,
    ]),
    Fields(HOST_POINTER, &[0x6c06, 0x6c08, 0x6c0a, 0x6c0c, 0x6c0e, 0x6c14]),
    Fields(TRANSLATION, &[0x201a, 0x0000]),
    Other(46),
    Fields(NO_GROUP, &[
        0x2400, 0x4400, 0x4402, 0x4404, 0x4406, 0x4408, 0x440a, 0x440c, 0x440e,
        0x6400, 0x6402, 0x6404, 0x6406, 0x6408, 0x640a,
    ]),
    Fields(GUEST_BASIC, &[0x681c, 0x6820, 0x4824]),
    Fields(CONTROL_PROCESSOR, &[0x4002]),
    Fields(CONTROL_EXCEPTION, &[0x4004]),
    Fields(CONTROL_ENTRY, &[0x4012]),
    Fields(CONTROL_EVENT, &[0x4016, 0x4018, 0x401a]),
    Fields(NO_GROUP, &[0x401c, 0x681e]),
];

/// How many bytes a field has: SDM vol. 3C, "VMREAD, VMWRITE, and Encodings of VMCS Fields".
const fn size(encoding: u16) -> usize {
    match encoding >> 13 {
        0 => 2,
        2 => 4,
        _ => 8,
    }
}

const COUNT: usize = {
    let (mut count, mut at) = (0, 0);
    while at < LAYOUT.len() {
        if let Fields(_, encodings) = LAYOUT[at] {
            count += encodings.len();
        }
        at += 1;
    }
    count
};

static PLACES: [Place; COUNT] = {
    let mut places = [Place { encoding: 0, offset: 0, group: 0 }; COUNT];
    let (mut offset, mut count, mut at) = (0, 0, 0);
    while at < LAYOUT.len() {
        match LAYOUT[at] {
            Other(bytes) => offset += bytes,
            Fields(group, encodings) => {
                let mut field = 0;
                while field < encodings.len() {
                    let encoding = encodings[field];
                    offset = offset.next_multiple_of(size(encoding) as u16);
                    places[count] = Place { encoding, offset, group };
                    offset += size(encoding) as u16;
                    (count, field) = (count + 1, field + 1);
                }
            }
        }
        at += 1;
    }
    assert!(offset as usize == CLEAN_FIELDS);
    places
};

#[cfg(test)]
mod tests {
    use super::{ALL_CLEAN, CONTROL_EXCEPTION, NO_GROUP, PLACES, place};
    use std::collections::HashSet;

    /// Offsets that a C compiler gives the fields of KVM's own definition.
    #[test]
    fn fields_are_where_hyper_v_has_them() {
        for (encoding, offset) in [
            (0x0c0c, 20),
            (0x2c00, 24),
            (0x4c00, 88),
            (0x2004, 120),
            (0x080e, 142),
            (0x4822, 212),
            (0x6818, 288),
            (0x2006, 320),
            (0x4006, 376),
            (0x4008, 380),
            (0x4826, 504),
            (0x6c14, 616),
            (0x0000, 632),
            (0x2400, 680),
            (0x4402, 692),
            (0x640a, 760),
            (0x4004, 792),
            (0x681e, 816),
        ] {
            assert_eq!(place(encoding).unwrap().offset, offset, "{encoding:x}");
        }
    }

    #[test]
    fn each_field_has_one_place() {
        let encodings: HashSet<_> = PLACES.iter().map(|place| place.encoding).collect();
        let offsets: HashSet<_> = PLACES.iter().map(|place| place.offset).collect();
        assert_eq!((encodings.len(), offsets.len()), (PLACES.len(), PLACES.len()));
        assert!(PLACES.iter().all(|place| usize::from(place.offset) % place.size() == 0));
        // The VMX-preemption timer.
        assert_eq!(place(0x482e), None);
    }

    #[test]
    fn a_changed_field_takes_its_group_along() {
        let group = |encoding| place(encoding).unwrap().group;
        assert_eq!(group(0x4004), CONTROL_EXCEPTION);
        assert_eq!([group(0x4006), group(0x4008)], [ALL_CLEAN; 2]);
        assert_eq!(group(0x681e), NO_GROUP);
    }
}
