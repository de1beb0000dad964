//! The best filter that a merge can have.

use super::Parties;
use super::set::{Cube, Exits, spared_by_inverse};
use spec::manual::filter::Filter;

/// The sound filter with the least excess. Where an exact merge exists, this is one.
///
/// # Why none is better
///
/// Let U be the set of error codes that a party needs. A filter makes a subcube exit (EB.PF = 1) or
/// all but a subcube (EB.PF = 0), and MATCH outside MASK gives the empty subcube. A filter is sound
/// if its set contains U, and its excess is the size of its set less the size of U, which is given.
/// So we look for the smallest set that contains U.
///
/// 1. **U is empty.** Then [`Filter::NEVER`] has excess 0.
/// 2. **The smallest subcube around a set** that is not empty is unique: it fixes exactly the bits
///    in which the whole set agrees. One that fixes another bit misses a member, and one that fixes
///    fewer bits contains it. A subcube agrees in the bits that it fixes, and in no other. A union
///    of subcubes agrees where these agree with each other.
/// 3. **If all of U agree in a bit, and no inverse filter (EB.PF = 0) makes a fault exit**, that
///    subcube, H, has at most 2^31 codes. A filter with EB.PF = 0 spares a subcube. Since U is not
///    empty, it spares at most half of all codes, so 2^31 codes or more exit. None is smaller than
///    H.
/// 4. **Else only EB.PF = 0 is left to try.** If U agrees in no bit, the only subcube around it is
///    everything. If an inverse filter makes a fault exit, it does so for 2^31 codes or more. A
///    subcube around U is then everything or a half, and EB.PF = 0 also makes a half exit by
///    sparing the other half. With EB.PF = 0, the spared subcube D has to lie in the complement of
///    U, and the largest such D is best. The complement is what every party spares:
///    * an inverse filter spares a subcube, and what several spare is their meet, a subcube C or
///      nothing;
///    * a direct filter spares all but a subcube A.
///
///    So D is the largest subcube in C that meets no A. A subcube in C is C with more bits fixed,
///    and it misses A if and only if it fixes some bit that A fixes to the other value. So D fixes
///    as few more bits as possible, such that for each A one of them, or one of C's, differs from
///    A's. For one A that is any one bit; for several, a smallest hitting set. If D exists, it is
///    found with at most one bit for each A: a member of D differs from each A in some bit, and
///    those bits suffice.
/// 5. If no D exists, U is everything, and [`Filter::ALWAYS`] has excess 0.
///
/// The search of step 4 tries 0, 1, 2, ... more bits and stops at the first number that suffices,
/// so it is minimal. It goes through the bits of one A at a time that is not missed yet, since one
/// of those bits must be fixed anyway. Among equals it prefers low bits: P separates more real
/// faults than RSVD.
///
/// # Cost
///
/// At most `k^d` steps for filters that compare `k` bits and `d` more bits in the result, and `d`
/// is at most the number of direct filters. For one filter of each party that is some hundred
/// instructions, unless both are direct and agree in no bit. Then it is at most a step for each bit
/// of either, and rarely more than two.
pub fn exact(parties: Parties<'_>) -> Filter {
    match hull(parties) {
        None => Filter::NEVER,
        Some(Cube::ALL) => match largest_spared(parties) {
            None => Filter::ALWAYS,
            Some(Cube { fixed, value }) => Filter::new(false, fixed, value),
        },
        Some(Cube { fixed, value }) => Filter::new(true, fixed, value),
    }
}

/// The smallest subcube around everything that is needed, or `None` if nothing is. It is
/// [`Cube::ALL`] once an inverse filter makes a fault exit.
fn hull(parties: Parties<'_>) -> Option<Cube> {
    let mut hull: Option<Cube> = None;
    for filter in parties.filters() {
        let part = match Exits::of(filter) {
            Exits::Inside(cube) => cube,
            Exits::Outside(Cube::ALL) => continue,
            Exits::Outside(_) => Cube::ALL,
        };
        hull = Some(hull.map_or(part, |hull| hull.join(part)));
    }
    hull
}

/// The largest subcube of which nobody needs a fault.
fn largest_spared(parties: Parties<'_>) -> Option<Cube> {
    let room = spared_by_inverse(Cube::ALL, parties.filters())?;
    let direct = parties.filters().filter_map(|filter| Exits::of(filter).inside());
    (0..=direct.clone().count()).find_map(|bits| shrink(room, bits, &direct))
}

/// `room` with at most `bits` more bits fixed so that it meets none of the subcubes.
fn shrink(room: Cube, bits: usize, wanted: &(impl Iterator<Item = Cube> + Clone)) -> Option<Cube> {
    let Some(met) = wanted.clone().find(|&cube| room.meet(cube).is_some()) else {
        return Some(room);
    };
    let bits = bits.checked_sub(1)?;
    let mut free = met.fixed & !room.fixed;
    while free != 0 {
        let bit = free & free.wrapping_neg();
        free ^= bit;
        let found = shrink(room.half(bit, !met.value), bits, wanted);
        if found.is_some() {
            return found;
        }
    }
    None
}
