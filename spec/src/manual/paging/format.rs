//! The paging modes: their levels, the width of their entries, large pages, and which bits must be
//! 0.
//!
//! SDM vol. 3A, "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level Paging", and "Page-Fault
//! Exceptions", for the bits that must be 0.

use super::{Entry, Level, Maxphyaddr};

/// A paging mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit paging: two levels, entries of four bytes.
    Legacy {
        /// CR4.PSE: 4-MByte pages.
        pse: bool,
    },
    /// PAE paging: 32-bit linear addresses, entries of eight bytes. The four entries of the root
    /// are held in registers.
    Pae,
    /// 4-level paging.
    Level4,
    /// 5-level paging.
    Level5,
}

/// Address bits 51:0 of an entry of eight bytes.
const ADDRESS_BITS: u64 = (1 << 52) - 1;
/// The widest address that the entry of a 4-MByte page can hold (PSE-36). Table 4-3.
const PSE36_WIDTH: u32 = 40;

impl Format {
    /// The levels in the order of the walk.
    #[must_use]
    pub const fn levels(self) -> &'static [Level] {
        match self {
            Self::Legacy { .. } => &[Level::Pde, Level::Pte],
            Self::Pae => &[Level::Pdpte, Level::Pde, Level::Pte],
            Self::Level4 => &Level::WALK,
            Self::Level5 => &[Level::Pml5e, Level::Pml4e, Level::Pdpte, Level::Pde, Level::Pte],
        }
    }

    /// Whether the mode has a level.
    #[must_use]
    pub const fn has(self, level: Level) -> bool {
        match level {
            Level::Pte | Level::Pde => true,
            Level::Pdpte => !matches!(self, Self::Legacy { .. }),
            Level::Pml4e => self.is_long(),
            Level::Pml5e => matches!(self, Self::Level5),
        }
    }

    /// Whether it is a mode of IA-32e mode.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Level4 | Self::Level5)
    }

    /// The lowest bit of a linear address that selects an entry of this level.
    #[must_use]
    pub const fn shift(self, level: Level) -> u32 {
        match level {
            Level::Pml5e => 48,
            Level::Pml4e => 39,
            Level::Pdpte => 30,
            Level::Pde if matches!(self, Self::Legacy { .. }) => 22,
            Level::Pde => 21,
            Level::Pte => 12,
        }
    }

    /// The index of a linear address in its table of this level.
    #[must_use]
    pub const fn index(self, level: Level, linear: u64) -> usize {
        let entries = match self {
            Self::Legacy { .. } => 1024,
            Self::Pae if matches!(level, Level::Pdpte) => 4,
            Self::Pae | Self::Level4 | Self::Level5 => 512,
        };
        (linear >> self.shift(level)) as usize % entries
    }

    /// Bytes of an entry.
    #[must_use]
    pub const fn entry_bytes(self) -> u64 {
        if matches!(self, Self::Legacy { .. }) { 4 } else { 8 }
    }

    /// The bits that an entry has.
    #[must_use]
    pub const fn entry_mask(self) -> u64 {
        if matches!(self, Self::Legacy { .. }) { u32::MAX as u64 } else { u64::MAX }
    }

    /// Whether entries have an XD bit: CR4.PAE is 1.
    #[must_use]
    pub const fn has_xd(self) -> bool {
        !matches!(self, Self::Legacy { .. })
    }

    /// Whether a level's entries are read when CR3 is loaded, not in the walk. They have no access
    /// rights, and reserved bits make the load fail. "PDPTE Registers".
    #[must_use]
    pub const fn is_register(self, level: Level) -> bool {
        matches!(self, Self::Pae) && matches!(level, Level::Pdpte)
    }

    /// Whether the walk ends at this entry.
    #[must_use]
    pub const fn maps_page(self, level: Level, entry: Entry) -> bool {
        let large = entry.contains(Entry::PS);
        match (self, level) {
            (_, Level::Pte) => true,
            (Self::Legacy { pse }, Level::Pde) => pse && large,
            (Self::Pae, Level::Pde) | (Self::Level4 | Self::Level5, Level::Pde | Level::Pdpte) => {
                large
            }
            _ => false,
        }
    }

    /// Whether bit MAXPHYADDR of a present entry of eight bytes must be 0. With 52 address bits it
    /// is bit 52, which PAE paging reserves and 4-level and 5-level paging ignore. "PAE Paging" and
    /// "4-Level Paging and 5-Level Paging".
    #[must_use]
    pub const fn reserves_bit(self, maxphyaddr: Maxphyaddr) -> bool {
        maxphyaddr < 52 || matches!(self, Self::Pae)
    }

    /// The bits that must be 0 in a present entry of the walk. "Page-Fault Exceptions", RSVD flag,
    /// with the tables of each mode.
    #[must_use]
    pub(super) const fn reserved(
        self,
        level: Level,
        entry: Entry,
        nxe: bool,
        maxphyaddr: Maxphyaddr,
    ) -> u64 {
        let maps_page = self.maps_page(level, entry);
        let wide = {
            let address = ADDRESS_BITS & !((1 << maxphyaddr) - 1);
            address | if nxe { 0 } else { Entry::XD.bits() }
        };
        match (self, level) {
            // Table 4-4: bits 21:(M-19), where M is 40 or a smaller MAXPHYADDR.
            (Self::Legacy { .. }, Level::Pde) if maps_page => {
                let width =
                    if (maxphyaddr as u32) < PSE36_WIDTH { maxphyaddr as u32 } else { PSE36_WIDTH };
                bits_between(width - 19, 21)
            }
            (Self::Legacy { .. }, _) => 0,
            // Tables 4-9 to 4-11: bits 62:M.
            (Self::Pae, Level::Pde) if maps_page => {
                wide | bits_between(52, 62) | bits_between(13, 20)
            }
            (Self::Pae, _) => wide | bits_between(52, 62),
            (_, Level::Pml5e | Level::Pml4e) => wide | Entry::PS.bits(),
            // Below the address of a large page only PAT (bit 12) is defined.
            (_, Level::Pdpte) if maps_page => wide | bits_between(13, 29),
            (_, Level::Pde) if maps_page => wide | bits_between(13, 20),
            (_, Level::Pdpte | Level::Pde | Level::Pte) => wide,
        }
    }
}

/// A mask of the bits from `low` to `high`, both included.
pub(super) const fn bits_between(low: u32, high: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

#[cfg(test)]
mod tests {
    use super::Format::{Legacy, Level4, Level5, Pae};
    use super::{Format, bits_between};
    use crate::manual::paging::{
        Access, Access::Fetch, Access::Read, Access::Write, Level, Mode, Privilege, walk_in,
    };

    const ALL_ON: Mode = Mode { wp: true, smep: true, smap: true, ac: false, nxe: true };
    const ALL_OFF: Mode = Mode { wp: false, smep: false, smap: false, ac: false, nxe: false };
    const PSE: Format = Legacy { pse: true };
    const NO_PSE: Format = Legacy { pse: false };

    fn user(format: Format, entries: &[u64], access: Access, mode: Mode) -> Option<u32> {
        walk_in(format, entries, access, Privilege::User, mode, 40).err().map(|pfec| pfec.bits())
    }

    #[test]
    fn each_mode_has_its_levels() {
        for (format, levels, top) in [(PSE, 2, 22), (Pae, 3, 30), (Level4, 4, 39), (Level5, 5, 48)]
        {
            assert_eq!((format.levels().len(), format.shift(format.levels()[0])), (levels, top));
        }
        assert_eq!(
            (PSE.index(Level::Pde, 0xffff_ffff), PSE.index(Level::Pte, 0x40_3000)),
            (1023, 3)
        );
        assert_eq!(
            (Pae.index(Level::Pdpte, 0xffff_ffff), Pae.index(Level::Pde, 0x4020_0000)),
            (3, 1)
        );
        assert_eq!(Level5.index(Level::Pml5e, 1 << 48), 1);
    }

    #[test]
    fn legacy_has_no_xd_and_i_d_by_smep_alone() {
        let np = [7, 0];
        assert_eq!(user(NO_PSE, &np, Fetch, ALL_ON), Some(0x14));
        assert_eq!(
            user(NO_PSE, &np, Fetch, Mode { smep: false, ..ALL_ON }),
            Some(0x04),
            "NXE without PAE"
        );
        assert_eq!(user(Pae, &[1, 7, 0], Fetch, Mode { smep: false, ..ALL_ON }), Some(0x14));
        assert_eq!(user(Pae, &[1, 7, 0], Fetch, ALL_OFF), Some(0x04));
        assert_eq!(
            user(NO_PSE, &[7, 1 << 63 | 1 << 40 | 7], Fetch, ALL_ON),
            None,
            "entries have 32 bits"
        );
    }

    #[test]
    fn ps_maps_4_mib_with_pse_alone() {
        assert_eq!(user(NO_PSE, &[0x87, 0], Read, ALL_ON), Some(0x04), "the page table is asked");
        assert_eq!(user(PSE, &[0x87, 0], Read, ALL_ON), None);
        assert_eq!(user(PSE, &[0x85, 0], Write, ALL_ON), Some(0x07));
        // Bits 20:13 are address bits 39:32 if MAXPHYADDR is 40 or more, bit 21 is reserved.
        assert_eq!(user(PSE, &[0x87 | 1 << 20, 0], Read, ALL_ON), None);
        assert_eq!(user(PSE, &[0x87 | 1 << 21, 0], Read, ALL_ON), Some(0x0d));
        assert_eq!(user(NO_PSE, &[0x87 | 1 << 21, 7], Read, ALL_ON), None);
        for (maxphyaddr, bit, faults) in
            [(36, 16, false), (36, 17, true), (46, 20, false), (52, 21, true)]
        {
            let walked =
                walk_in(PSE, &[0x87 | 1 << bit], Read, Privilege::User, ALL_ON, maxphyaddr);
            assert_eq!(walked.is_err(), faults, "{maxphyaddr} {bit}");
        }
    }

    #[test]
    fn pae_has_no_rights_in_its_root_and_no_ignored_bits_above() {
        assert_eq!(user(Pae, &[1, 7, 7], Write, ALL_ON), None);
        assert_eq!(user(Pae, &[0, 7, 7], Write, ALL_ON), Some(0x06));
        for bit in [40, 51, 52, 62] {
            assert_eq!(user(Pae, &[1, 7, 7 | 1 << bit], Read, ALL_ON), Some(0x0d), "{bit}");
            assert_eq!(user(Pae, &[1, 7 | 1 << bit, 7], Read, ALL_ON), Some(0x0d), "{bit}");
        }
        assert_eq!(user(Level4, &[7, 7, 7, 7 | 1 << 52 | 1 << 62], Read, ALL_ON), None);
        assert_eq!(user(Pae, &[1, 0x87, 0], Read, ALL_ON), None);
        assert_eq!(user(Pae, &[1, 0x87 | 1 << 12, 0], Read, ALL_ON), None, "PAT");
        assert_eq!(user(Pae, &[1, 0x87 | 1 << 13, 0], Read, ALL_ON), Some(0x0d));
        assert_eq!(user(Pae, &[1, 0x87 | 1 << 20, 0], Read, ALL_ON), Some(0x0d));
        assert_eq!(user(Pae, &[1, 7, 7 | 1 << 63], Read, ALL_OFF), Some(0x0d));
        assert_eq!(user(Pae, &[1, 7, 7 | 1 << 63], Fetch, ALL_ON), Some(0x15));
    }

    #[test]
    fn five_levels_are_walked_from_their_root() {
        assert_eq!(user(Level5, &[7; 5], Write, ALL_ON), None);
        assert_eq!(user(Level5, &[0, 7, 7, 7, 7], Write, ALL_ON), Some(0x06));
        assert_eq!(user(Level5, &[0x87, 7, 7, 7, 7], Read, ALL_ON), Some(0x0d));
        assert_eq!(user(Level5, &[7, 0x87, 7, 7, 7], Read, ALL_ON), Some(0x0d));
        assert_eq!(user(Level5, &[5, 7, 7, 7, 7], Write, ALL_ON), Some(0x07));
        assert_eq!(user(Level5, &[7, 7, 0x87, 0, 0], Read, ALL_ON), None);
    }

    #[test]
    fn bit_ranges_keep_their_top_bit() {
        assert_eq!(bits_between(17, 21), 0x003e_0000);
        assert_eq!(bits_between(0, 63), u64::MAX);
    }
}
