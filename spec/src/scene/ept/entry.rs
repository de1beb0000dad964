//! EPT's entries: what maps a frame of L2's memory, and how it can be other than good. SDM vol. 3C,
//! "EPT Translation Mechanism" and "EPT Misconfigurations".

use crate::manual::paging::Maxphyaddr;

/// The EPT entry that maps a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EptEntry {
    /// Bits 2:0: read, write, execute.
    pub rights: u8,
    /// Bits 5:3: the memory type.
    pub memory_type: u8,
    /// A reserved bit of the address is set.
    pub reserved: bool,
    /// With mode-based execute control, bit 10: execute for user-mode addresses, where it is not as
    /// bit 2, which is for supervisor-mode addresses then.
    pub user: Option<bool>,
    /// It is the entry of the EPT page directory that leads to the deep page's, and to no other
    /// frame's; it has no memory type. Only of [`GuestFrame::Page`](super::GuestFrame::Page).
    pub upper: bool,
}

const READ: u8 = 1 << 0;
const WRITE: u8 = 1 << 1;
const EXECUTE: u8 = 1 << 2;
/// Bit 10 of an entry, which is ignored without mode-based execute control.
pub const EXECUTE_FOR_USER: u64 = 1 << 10;
/// Write-back.
const WB: u8 = 6;
/// Bit 7 of an EPT page-directory entry: it maps a page of 2 MiB.
const LARGE: u64 = 1 << 7;
/// An address bit that is reserved in an entry that maps 2 MiB.
const LARGE_RESERVED: u64 = 1 << 13;

impl EptEntry {
    /// Allows everything.
    pub const GOOD: Self = Self::with_rights(READ | WRITE | EXECUTE);
    /// Not present.
    pub const NP: Self = Self::with_rights(0);
    /// Read and execute.
    pub const RO: Self = Self::with_rights(READ | EXECUTE);
    /// Read and write.
    pub const NX: Self = Self::with_rights(READ | WRITE);
    /// Execute alone, which a processor need not support.
    pub const XO: Self = Self::with_rights(EXECUTE);
    /// Write alone: misconfigured.
    pub const WO: Self = Self::with_rights(WRITE);
    /// Write and execute: misconfigured.
    pub const WX: Self = Self::with_rights(WRITE | EXECUTE);
    /// With a reserved bit.
    pub const RSVD: Self = Self { reserved: true, ..Self::GOOD };
    /// With memory type 2, which is reserved.
    pub const TYPE2: Self = Self { memory_type: 2, ..Self::GOOD };
    /// With memory type 3, which is reserved.
    pub const TYPE3: Self = Self { memory_type: 3, ..Self::GOOD };
    /// Execute for supervisor-mode addresses alone.
    pub const XS: Self = Self { user: Some(false), ..Self::GOOD };
    /// Execute for user-mode addresses alone.
    pub const XU: Self = Self { user: Some(true), ..Self::NX };
    /// Read, and execute for user-mode addresses alone.
    pub const RO_XU: Self = Self { user: Some(true), ..Self::with_rights(READ) };
    /// Execute for user-mode addresses and nothing else, which a processor need not support.
    pub const XU_ALONE: Self = Self { user: Some(true), ..Self::NP };
    /// The same with a reserved bit: misconfigured.
    pub const XU_ALONE_RSVD: Self = Self { reserved: true, ..Self::XU_ALONE };
    /// With memory type 7, which is reserved.
    pub const TYPE7: Self = Self { memory_type: 7, ..Self::GOOD };
    /// One level above: not present.
    pub const UPPER_NP: Self = Self::NP.upper();
    /// One level above: read and execute.
    pub const UPPER_RO: Self = Self::RO.upper();
    /// One level above: read and write.
    pub const UPPER_NX: Self = Self::NX.upper();
    /// One level above: write alone, misconfigured.
    pub const UPPER_WO: Self = Self::WO.upper();
    /// One level above: with a reserved bit of the address.
    pub const UPPER_RSVD: Self = Self::RSVD.upper();
    /// One level above: with a memory type, whose bits are reserved there.
    pub const UPPER_TYPE: Self = Self { memory_type: WB, ..Self::GOOD.upper() };

    const fn with_rights(rights: u8) -> Self {
        Self { rights, memory_type: WB, reserved: false, user: None, upper: false }
    }

    /// The same rights one level above.
    const fn upper(self) -> Self {
        Self { upper: true, memory_type: 0, ..self }
    }

    /// What allows everything in its place.
    #[must_use]
    pub const fn good(self) -> Self {
        if self.upper { Self::GOOD.upper() } else { Self::GOOD }
    }

    /// Whether code of user-mode addresses may be executed.
    const fn executes_for_user(self) -> bool {
        match self.user {
            Some(user) => user,
            None => self.rights & EXECUTE != 0,
        }
    }

    /// Bits 2:0 as they hold for a fetch from a user-mode address, or for any other access.
    pub(super) const fn rights_for(self, of_user: bool) -> u8 {
        match (of_user, self.user) {
            (true, Some(true)) => self.rights | EXECUTE,
            (true, Some(false)) => self.rights & !EXECUTE,
            _ => self.rights,
        }
    }

    /// The entry without its address, in a page table or, if `large`, in a page directory.
    #[must_use]
    pub const fn bits(self, large: bool, maxphyaddr: Maxphyaddr) -> u64 {
        let page_size = if large { LARGE } else { 0 };
        let reserved = match (self.reserved, large) {
            (true, true) => LARGE_RESERVED,
            (true, false) => 1 << maxphyaddr,
            (false, _) => 0,
        };
        let user = if self.executes_for_user() { EXECUTE_FOR_USER } else { 0 };
        self.rights as u64 | (self.memory_type as u64) << 3 | page_size | user | reserved
    }

    /// Whether a processor with this address width has such entries. With 52 bits none of the address
    /// is reserved but in an entry that maps 2 MiB. Above one of those nothing is spoiled.
    #[must_use]
    pub const fn exists(self, large: bool, maxphyaddr: Maxphyaddr) -> bool {
        !(self.upper && large) && (!self.reserved || large || maxphyaddr < 52)
    }

    /// Whether the entry, which [exists](Self::exists), is one that the manual calls misconfigured.
    /// Execute alone is taken to be supported.
    #[must_use]
    pub const fn is_misconfigured(self) -> bool {
        (self.rights != 0 || matches!(self.user, Some(true)))
            && (matches!(self.rights, WRITE | 6)
                || matches!(self.memory_type, 2 | 3 | 7)
                || self.upper && self.memory_type != 0
                || self.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::EptEntry;

    #[test]
    fn an_entry_for_user_mode_addresses_alone_is_present() {
        let bits = |entry: EptEntry| entry.bits(false, 40);
        assert_eq!(bits(EptEntry::XU_ALONE) & 0x407, 0x400);
        assert!(!EptEntry::XU_ALONE.is_misconfigured() && !EptEntry::NP.is_misconfigured());
        assert!(EptEntry::XU_ALONE_RSVD.is_misconfigured());
        assert!(!EptEntry { reserved: true, ..EptEntry::NP }.is_misconfigured());
        assert_eq!(
            (EptEntry::XU_ALONE.rights_for(true), EptEntry::XU_ALONE.rights_for(false)),
            (4, 0)
        );
    }
}
