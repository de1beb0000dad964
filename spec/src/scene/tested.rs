//! Pages under test: one entry of the walk differs, at any level of any paging mode.
//!
//! The linear address of one differs from a good page's in the index at the level of its entry
//! alone, so all tables below that entry are the good page's. All of them lead to one frame, or to
//! a large page around it.

use super::environment::{Environment, Width};
use super::place::{PAGE, STAGE_BASE};
use crate::manual::paging::format::Format;
use crate::manual::paging::{Level, Maxphyaddr};
use crate::walk::page::{Page, good};

/// Physical address of the frame: the last page before L1's image, which is RAM on every PC, and no
/// longer in use once L1 has read what the loader left. A large page around it begins at physical
/// address 0.
pub const FRAME: u64 = 0x1f_f000;
/// Linear address that leads to the frame through good entries.
pub const GOOD: u64 = STAGE_BASE + FRAME;

/// A page under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The entry that differs.
    pub page: Page,
    /// The paging modes that have it.
    pub formats: Formats,
}

/// Some paging modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats(u8);

impl Formats {
    /// 32-bit paging.
    pub const LEGACY: Self = Self(1 << 0 | 1 << 1);
    /// 32-bit paging with PSE.
    pub const PSE: Self = Self(1 << 1);
    /// PAE paging.
    pub const PAE: Self = Self(1 << 2);
    /// All paging modes whose entries have eight bytes.
    pub const WIDE: Self = Self(1 << 2 | 1 << 3 | 1 << 4);
    /// 4-level and 5-level paging.
    pub const LONG: Self = Self(1 << 3 | 1 << 4);

    /// Whether a paging mode is among them.
    #[must_use]
    pub const fn contain(self, format: Format) -> bool {
        let bit = match format {
            Format::Legacy { pse: false } => 0,
            Format::Legacy { pse: true } => 1,
            Format::Pae => 2,
            Format::Level4 => 3,
            Format::Level5 => 4,
        };
        self.0 >> bit & 1 == 1
    }
}

/// Linear address of the page under test whose entry at a level differs.
#[must_use]
pub const fn linear(format: Format, level: Level) -> u64 {
    match level {
        // The good one is the last of its table.
        Level::Pte => GOOD - PAGE,
        _ => GOOD + (1 << format.shift(level)),
    }
}

/// Linear address of the last page of the lower canonical half, if the mode has halves. It leads to
/// the frame through good entries, so that an access beyond its end meets no page fault.
#[must_use]
pub const fn last_canonical(format: Format) -> Option<u64> {
    match format {
        Format::Legacy { .. } | Format::Pae => None,
        Format::Level4 => Some((1 << 47) - PAGE),
        Format::Level5 => Some((1 << 56) - PAGE),
    }
}

impl Tested {
    /// Whether two are the same, at compile time.
    pub(super) const fn same(&self, other: &Self) -> bool {
        self.page.same(&other.page) && self.formats.0 == other.formats.0
    }

    /// The entry of a level in the walk to it, without the address of a table or frame.
    #[must_use]
    pub const fn entry(&self, level: Level, maxphyaddr: Maxphyaddr) -> u64 {
        if level as u8 == self.page.level as u8 { self.page.entry(maxphyaddr) } else { good(level) }
    }

    /// Whether an environment has the page: its paging mode has the entry, and its code can address
    /// the page.
    #[must_use]
    pub(super) const fn exists_in(&self, environment: &Environment) -> bool {
        let reachable = matches!(environment.width, Width::Bits64)
            || linear(environment.format, self.page.level) <= u32::MAX as u64;
        reachable
            && self.formats.contain(environment.format)
            && environment.format.has(self.page.level)
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME, Formats, GOOD, last_canonical, linear};
    use crate::manual::paging::Level;
    use crate::manual::paging::format::Format;
    use crate::scene::ept::DEEP;
    use crate::scene::place::{PAGE, PLACES, STAGE_BASE};

    const ALL: [Format; 5] = [
        Format::Legacy { pse: false },
        Format::Legacy { pse: true },
        Format::Pae,
        Format::Level4,
        Format::Level5,
    ];

    #[test]
    fn the_address_differs_from_the_good_one_at_its_own_level_alone() {
        for format in ALL {
            for &level in format.levels() {
                for &other in format.levels() {
                    let same =
                        format.index(other, linear(format, level)) == format.index(other, GOOD);
                    assert_eq!(same, other != level, "{format:?} {level:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn the_address_lies_in_a_large_page_where_the_frame_lies_in_memory() {
        for format in ALL {
            for level in [Level::Pde, Level::Pdpte].into_iter().filter(|&level| format.has(level)) {
                assert_eq!(linear(format, level) % (1 << format.shift(level)), FRAME);
            }
        }
        assert!(STAGE_BASE + (PLACES as u64 + 1) * PAGE < GOOD - PAGE);
    }

    #[test]
    fn the_last_canonical_page_has_the_good_page_s_pte_and_else_entries_of_its_own() {
        for format in [Format::Level4, Format::Level5] {
            let last = last_canonical(format).unwrap();
            for &level in format.levels() {
                let index = format.index(level, last);
                assert_eq!(index == format.index(level, GOOD), level == Level::Pte, "{level:?}");
                let tested = format
                    .levels()
                    .iter()
                    .filter(|&&at| at != Level::Pte)
                    .map(|&at| linear(format, at));
                assert!(
                    tested
                        .chain([DEEP])
                        .all(|other| level == Level::Pte || index != format.index(level, other))
                );
            }
        }
    }

    #[test]
    fn formats_are_told_apart() {
        let which = |formats: Formats| ALL.map(|format| formats.contain(format));
        assert_eq!(which(Formats::LEGACY), [true, true, false, false, false]);
        assert_eq!(which(Formats::PSE), [false, true, false, false, false]);
        assert_eq!(which(Formats::WIDE), [false, false, true, true, true]);
        assert_eq!(which(Formats::LONG), [false, false, false, true, true]);
    }
}
