//! The pages that L2 accesses: one row a page, each with one entry that differs from a good one.
//!
//! All of them lead to one frame, so that an access that is allowed reads, writes or runs known
//! bytes.

use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Level, Maxphyaddr};

/// Where a reserved address bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressBit {
    /// Nowhere: the entry has no address bit beyond its table or frame.
    None,
    /// The lowest reserved one: bit MAXPHYADDR.
    LowestReserved,
    /// Bit 51, the highest that an address can have.
    Highest,
}

/// One page: the level whose entry differs, and that entry without its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The row's part of a stimulus' name.
    pub name: &'static str,
    /// The level whose entry differs from [`good`].
    pub level: Level,
    flags: Entry,
    extra: u64,
    address_bit: AddressBit,
}

/// The index of a page in [`PAGES`]; at its own level the page has table index `PageIndex + 1`.
pub type PageIndex = usize;

/// The flags of an entry that allows everything: present, writable, user, already accessed and
/// dirty.
#[must_use]
pub const fn good(level: Level) -> u64 {
    let table = Entry::P.bits() | Entry::RW.bits() | Entry::US.bits() | Entry::A.bits();
    match level {
        Level::Pte => table | Entry::D.bits(),
        Level::Pml5e | Level::Pml4e | Level::Pdpte | Level::Pde => table,
    }
}

/// The entries of a walk to a page that allows everything.
const GOOD_WALK: [u64; 4] =
    [good(Level::WALK[0]), good(Level::WALK[1]), good(Level::WALK[2]), good(Level::WALK[3])];

impl Page {
    pub(crate) const fn new(name: &'static str, level: Level) -> Self {
        let flags = Entry::from_bits_retain(good(level));
        Self { name, level, flags, extra: 0, address_bit: AddressBit::None }
    }

    pub(crate) const fn without(mut self, flags: Entry) -> Self {
        self.flags = self.flags.difference(flags);
        self
    }

    pub(crate) const fn with(mut self, flags: Entry) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    pub(crate) const fn bits(mut self, extra: u64) -> Self {
        self.extra = extra;
        self
    }

    pub(crate) const fn address_bit(mut self, bit: AddressBit) -> Self {
        self.address_bit = bit;
        self
    }

    /// The differing entry without the address of its table or frame.
    #[must_use]
    pub const fn entry(&self, maxphyaddr: Maxphyaddr) -> u64 {
        let address = match self.address_bit {
            AddressBit::None => 0,
            AddressBit::LowestReserved => 1 << maxphyaddr,
            AddressBit::Highest => 1 << 51,
        };
        self.flags.bits() | self.extra | address
    }

    /// The entries of the whole walk, without addresses of tables or frame.
    #[must_use]
    pub fn entries(&self, maxphyaddr: Maxphyaddr) -> [u64; 4] {
        let mut entries = GOOD_WALK;
        if let Some(at) = Level::WALK.iter().position(|level| *level == self.level) {
            entries[at] = self.entry(maxphyaddr);
        }
        entries
    }

    /// Whether two pages have the same entry, at compile time.
    pub(crate) const fn same(&self, other: &Self) -> bool {
        self.level as u8 == other.level as u8
            && self.flags.bits() == other.flags.bits()
            && self.extra == other.extra
            && self.address_bit as u8 == other.address_bit as u8
    }

    /// Whether a processor with this address width can have the page in 4-level paging.
    #[must_use]
    pub const fn exists(&self, maxphyaddr: Maxphyaddr) -> bool {
        self.exists_in(Format::Level4, maxphyaddr)
    }

    /// Whether a processor with this address width can have the page in a paging mode.
    #[must_use]
    pub const fn exists_in(&self, format: Format, maxphyaddr: Maxphyaddr) -> bool {
        match self.address_bit {
            AddressBit::None => true,
            AddressBit::LowestReserved => format.reserves_bit(maxphyaddr),
            // With 52 address bits it is none of the reserved ones.
            AddressBit::Highest => maxphyaddr < 52,
        }
    }
}

use AddressBit::{Highest, LowestReserved};
use Level::{Pde, Pdpte, Pml4e, Pte};

/// Bits that "4-Level Paging and 5-Level Paging" calls ignored in every entry: 11:9 and 58:52.
const IGNORED: u64 = 0x07f0_0000_0000_0e00;
/// An address bit of a large page that must be 0, for 2 MiB and 1 GiB alike.
const LARGE_PAGE_LOW_BIT: u64 = 1 << 13;

/// The index of a page in [`PAGES`], at compile time.
///
/// # Panics
/// If there is no such page.
#[must_use]
pub const fn index_of(name: &str) -> PageIndex {
    let (name, mut at) = (name.as_bytes(), 0);
    while at < PAGES.len() {
        let (other, mut same) = (PAGES[at].name.as_bytes(), 0);
        while same < name.len() && same < other.len() && name[same] == other[same] {
            same += 1;
        }
        if same == name.len() && same == other.len() {
            return at;
        }
        at += 1;
    }
    panic!("no page has the name");
}

/// Every page. To add one, add a row: the oracle walks it, L1 maps it, ids and lists follow.
pub const PAGES: &[Page] = &[
    // Allowed to everyone, and with ignored bits set: the legal twins of the reserved ones.
    Page::new("user", Pte),
    Page::new("ignored-pml4e", Pml4e).bits(IGNORED),
    Page::new("ignored-pdpte", Pdpte).bits(IGNORED),
    Page::new("ignored-pde", Pde).bits(IGNORED),
    Page::new("ignored-pte", Pte).bits(IGNORED),
    // Not present at each level. The other bits stay, and none of them may matter.
    Page::new("np-pml4e", Pml4e).without(Entry::P),
    Page::new("np-pdpte", Pdpte).without(Entry::P),
    Page::new("np-pde", Pde).without(Entry::P),
    Page::new("np-pte", Pte).without(Entry::P),
    Page::new("np-rsvd-pte", Pte).without(Entry::P).address_bit(Highest),
    // Reserved bits at each level.
    Page::new("rsvd-low-pml4e", Pml4e).address_bit(LowestReserved),
    Page::new("rsvd-low-pdpte", Pdpte).address_bit(LowestReserved),
    Page::new("rsvd-low-pde", Pde).address_bit(LowestReserved),
    Page::new("rsvd-low-pte", Pte).address_bit(LowestReserved),
    Page::new("rsvd-top-pml4e", Pml4e).address_bit(Highest),
    Page::new("rsvd-top-pdpte", Pdpte).address_bit(Highest),
    Page::new("rsvd-top-pde", Pde).address_bit(Highest),
    Page::new("rsvd-top-pte", Pte).address_bit(Highest),
    Page::new("rsvd-ro-pte", Pte).without(Entry::RW).address_bit(LowestReserved),
    Page::new("rsvd-super-pte", Pte).without(Entry::US).address_bit(LowestReserved),
    Page::new("rsvd-ps-pml4e", Pml4e).with(Entry::PS),
    Page::new("rsvd-1g-pdpte", Pdpte).with(Entry::PS).bits(LARGE_PAGE_LOW_BIT),
    Page::new("rsvd-2m-pde", Pde).with(Entry::PS).bits(LARGE_PAGE_LOW_BIT),
    // Rights in the last entry.
    Page::new("user-ro", Pte).without(Entry::RW),
    Page::new("user-nx", Pte).with(Entry::XD),
    Page::new("user-ro-nx", Pte).without(Entry::RW).with(Entry::XD),
    Page::new("super", Pte).without(Entry::US),
    Page::new("super-ro", Pte).without(Entry::US.union(Entry::RW)),
    Page::new("super-nx", Pte).without(Entry::US).with(Entry::XD),
    Page::new("super-ro-nx", Pte).without(Entry::US.union(Entry::RW)).with(Entry::XD),
    // Rights in the levels above.
    Page::new("ro-pml4e", Pml4e).without(Entry::RW),
    Page::new("ro-pdpte", Pdpte).without(Entry::RW),
    Page::new("ro-pde", Pde).without(Entry::RW),
    Page::new("super-pml4e", Pml4e).without(Entry::US),
    Page::new("super-pdpte", Pdpte).without(Entry::US),
    Page::new("super-pde", Pde).without(Entry::US),
    Page::new("nx-pml4e", Pml4e).with(Entry::XD),
    Page::new("nx-pdpte", Pdpte).with(Entry::XD),
    Page::new("nx-pde", Pde).with(Entry::XD),
];

#[cfg(test)]
mod tests {
    use super::{PAGES, good};
    use crate::manual::paging::format::Format;
    use crate::manual::paging::{Access, Level, Mode, Privilege, walk};
    use crate::walk::layout::MAX_PAGES;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_fit_ids() {
        let names: HashSet<_> = PAGES.iter().map(|page| page.name).collect();
        assert_eq!(names.len(), PAGES.len());
        assert!(PAGES.len() <= MAX_PAGES);
        for page in PAGES {
            assert!(
                page.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
    }

    #[test]
    fn every_page_differs_from_every_other() {
        for (at, page) in PAGES.iter().enumerate() {
            for other in &PAGES[at + 1..] {
                assert!(
                    page.level != other.level || page.entry(40) != other.entry(40),
                    "{} = {}",
                    page.name,
                    other.name
                );
            }
        }
    }

    #[test]
    fn good_entries_allow_a_user_everything() {
        let mode = Mode { wp: true, smep: true, smap: true, ac: false, nxe: true };
        for access in [Access::Read, Access::Write, Access::Fetch] {
            assert!(walk(Level::WALK.map(good), access, Privilege::User, mode, 36).is_ok());
        }
    }

    #[test]
    fn reserved_address_bits_need_a_processor_that_has_them() {
        let rsvd = PAGES.iter().find(|page| page.name == "rsvd-low-pte").unwrap();
        assert!(rsvd.exists(51));
        assert!(!rsvd.exists(52));
        assert_eq!(rsvd.entry(36) >> 36 & 1, 1);
        // PAE paging reserves bits 62:52 too.
        assert!(rsvd.exists_in(Format::Pae, 52) && !rsvd.exists_in(Format::Level5, 52));
        let top = PAGES.iter().find(|page| page.name == "rsvd-top-pte").unwrap();
        assert!(!top.exists_in(Format::Pae, 52) && top.exists_in(Format::Pae, 51));
    }
}
