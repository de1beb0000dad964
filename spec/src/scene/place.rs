//! The pages among which a scene plays, and how their entries differ from good ones.

use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level, Maxphyaddr, Privilege};
use crate::walk::page::good;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Linear address of the pages. Below 4 GiB, since 32-bit modes have them too.
pub const STAGE_BASE: u64 = 0x4000_0000;

/// How many pages there are.
pub const PLACES: usize = Place::ALL.len();

crate::listed! {
    /// A page with a duty. Each has memory of its own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Place {
        /// The instruction under test.
        Code0,
        /// The page after [`Place::Code0`].
        Code1,
        /// One VMCALL for each vector, 16 bytes apart: where the IDT leads.
        Handlers,
        /// The interrupt-descriptor table: the gates of vectors 0 to 13 end here.
        Idt0,
        /// The gates from vector 14 on.
        Idt1,
        /// The global descriptor table.
        Gdt,
        /// The task-state segment.
        Tss,
        /// The stack of CPL 0.
        Stack,
        /// The stack of CPL 3.
        UserStack,
        /// The stack that the gates of an event can select, see [`super::Scene::event_stack`].
        EventStack,
        /// What the instruction accesses.
        Data0,
        /// The page after [`Place::Data0`].
        Data1,
        /// A device of the VMM: what is at `spec::channel::DEVICE_PAGE`.
        Device,
        /// A shadow stack.
        ShadowStack,
        /// The local descriptor table.
        Ldt,
        /// The stack of the handlers of #PF and #DF, whatever the interrupted one.
        FaultStack,
    }
}

impl Place {
    /// The page's linear address.
    #[must_use]
    pub const fn linear(self) -> u64 {
        STAGE_BASE + (self as u64 + 1) * PAGE
    }

    /// The page that a linear address lies in.
    #[must_use]
    pub const fn of(linear: u64) -> Option<Self> {
        let index = linear.wrapping_sub(STAGE_BASE + PAGE) / PAGE;
        if index < PLACES as u64 { Some(Self::ALL[index as usize]) } else { None }
    }

    /// Whether scenes of CPL 3 have the page as a user-mode one.
    #[must_use]
    pub const fn is_users(self) -> bool {
        matches!(
            self,
            Self::Code0 | Self::Code1 | Self::UserStack | Self::Data0 | Self::Data1 | Self::Device
        )
    }
}

/// How the entry of a page differs from one that allows everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Flags taken away.
    pub without: Entry,
    /// Flags added.
    pub with: Entry,
    /// Bit MAXPHYADDR is set, which is reserved where [`Kind::exists`] says so.
    pub reserved: bool,
    /// Protection key, bits 62:59.
    pub key: u8,
}

impl Kind {
    /// No difference.
    pub const GOOD: Self =
        Self { without: Entry::empty(), with: Entry::empty(), reserved: false, key: 0 };
    /// Not present.
    pub const NP: Self = Self { without: Entry::P, ..Self::GOOD };
    /// Read-only.
    pub const RO: Self = Self { without: Entry::RW, ..Self::GOOD };
    /// Supervisor-mode.
    pub const SUPER: Self = Self { without: Entry::US, ..Self::GOOD };
    /// Not executable.
    pub const NX: Self = Self { with: Entry::XD, ..Self::GOOD };
    /// With a reserved bit set.
    pub const RSVD: Self = Self { reserved: true, ..Self::GOOD };
    /// Neither accessed nor dirty yet.
    pub const CLEAN: Self = Self { without: Entry::A.union(Entry::D), ..Self::GOOD };
    /// Read-only, neither accessed nor dirty yet.
    pub const RO_CLEAN: Self =
        Self { without: Entry::RW.union(Entry::A).union(Entry::D), ..Self::GOOD };
    /// Not dirty and read-only: what a shadow stack's entry is.
    pub const SHADOW_STACK: Self = Self { without: Entry::RW, with: Entry::D, ..Self::GOOD };

    /// Whether a processor with this address width has such entries in a paging mode.
    #[must_use]
    pub const fn exists(&self, format: Format, maxphyaddr: Maxphyaddr) -> bool {
        !self.reserved || format.reserves_bit(maxphyaddr)
    }

    /// The last entry of a page's walk without its address, for a scene of this privilege.
    #[must_use]
    pub const fn entry(self, place: Place, cpl: Privilege, maxphyaddr: Maxphyaddr) -> u64 {
        let user = place.is_users() && matches!(cpl, Privilege::User);
        let flags = good(Level::Pte) & !if user { 0 } else { Entry::US.bits() };
        let reserved = (self.reserved as u64) << maxphyaddr;
        flags & !self.without.bits() | self.with.bits() | reserved | (self.key as u64) << 59
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, PAGE, Place, STAGE_BASE};
    use crate::manual::paging::Privilege;

    #[test]
    fn places_are_found_by_each_of_their_addresses() {
        for (at, place) in Place::ALL.into_iter().enumerate() {
            assert_eq!(place as usize, at);
            for linear in [place.linear(), place.linear() + PAGE - 1] {
                assert_eq!(Place::of(linear), Some(place));
            }
        }
        assert_eq!(Place::of(STAGE_BASE), None);
        assert_eq!(Place::of(Place::FaultStack.linear() + PAGE), None);
    }

    #[test]
    fn only_scenes_of_cpl_3_have_user_pages() {
        let us = |place, cpl| Kind::GOOD.entry(place, cpl, 40) >> 2 & 1 == 1;
        assert!(us(Place::Data0, Privilege::User) && !us(Place::Data0, Privilege::Supervisor));
        assert!(!us(Place::Gdt, Privilege::User));
    }
}
