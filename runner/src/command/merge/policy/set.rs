//! Sets of error codes as filters make them: a subcube of the 32-bit space, or everything outside
//! one.

use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

/// The error codes whose bits in `fixed` are those of `value`: a subcube, never empty.
///
/// `value` has no bit outside `fixed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cube {
    pub fixed: u32,
    pub value: u32,
}

impl Cube {
    /// Every error code.
    pub const ALL: Self = Self { fixed: 0, value: 0 };

    /// How many error codes it has.
    pub const fn size(self) -> u64 {
        1 << (32 - self.fixed.count_ones())
    }

    /// What both have.
    pub const fn meet(self, other: Self) -> Option<Self> {
        if (self.value ^ other.value) & self.fixed & other.fixed == 0 {
            Some(Self { fixed: self.fixed | other.fixed, value: self.value | other.value })
        } else {
            None
        }
    }

    /// The smallest subcube around both: it fixes the bits that both fix, and alike.
    pub const fn join(self, other: Self) -> Self {
        let fixed = self.fixed & other.fixed & !(self.value ^ other.value);
        Self { fixed, value: self.value & fixed }
    }

    /// The half in which one more bit, free so far, has the value that it has in `like`.
    pub const fn half(self, bit: u32, like: u32) -> Self {
        Self { fixed: self.fixed | bit, value: self.value | bit & like }
    }
}

/// The error codes that a filter makes exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exits {
    /// A subcube. [`Cube::ALL`]: every fault exits.
    Inside(Cube),
    /// All except a subcube. With [`Cube::ALL`], no fault exits.
    Outside(Cube),
}

impl Exits {
    pub const fn of(filter: Filter) -> Self {
        if filter.matching & !filter.mask != 0 {
            // The comparison never finds equality.
            return if filter.eb_pf { Self::Outside(Cube::ALL) } else { Self::Inside(Cube::ALL) };
        }
        let equal = Cube { fixed: filter.mask, value: filter.matching };
        if filter.eb_pf { Self::Inside(equal) } else { Self::Outside(equal) }
    }

    pub const fn inside(self) -> Option<Cube> {
        match self {
            Self::Inside(cube) => Some(cube),
            Self::Outside(_) => None,
        }
    }
}

/// The part of a subcube that no inverse filter makes exit: a subcube again, if there is one.
pub(super) fn spared_by_inverse(
    within: Cube,
    filters: impl Iterator<Item = Filter>,
) -> Option<Cube> {
    let mut room = within;
    for filter in filters {
        if let Exits::Outside(spared) = Exits::of(filter) {
            room = room.meet(spared)?;
        }
    }
    Some(room)
}

/// How many error codes of a subcube none of the filters makes exit.
pub(super) fn spared(within: Cube, filters: impl Iterator<Item = Filter> + Clone) -> u64 {
    spared_by_inverse(within, filters.clone())
        .map_or(0, |room| outside(room, filters.filter_map(|filter| Exits::of(filter).inside())))
}

/// How many error codes of `room` are in none of the subcubes.
///
/// By inclusion and exclusion: the first takes away what it has in `room`, less what the others
/// take from that. At most `2^n` steps for `n` subcubes, and two for one.
fn outside(room: Cube, mut cubes: impl Iterator<Item = Cube> + Clone) -> u64 {
    match cubes.find_map(|cube| room.meet(cube)) {
        None => room.size(),
        Some(common) => outside(room, cubes.clone()) - outside(common, cubes),
    }
}

/// The smallest error code that none of the filters makes exit.
pub(super) fn smallest_spared(filters: &(impl Iterator<Item = Filter> + Clone)) -> Option<Pfec> {
    if spared(Cube::ALL, filters.clone()) == 0 {
        return None;
    }
    let mut cube = Cube::ALL;
    for bit in (0..32).rev().map(|n| 1 << n) {
        let clear = cube.half(bit, 0);
        cube = if spared(clear, filters.clone()) == 0 { cube.half(bit, bit) } else { clear };
    }
    Some(Pfec::from_bits_retain(cube.value))
}
