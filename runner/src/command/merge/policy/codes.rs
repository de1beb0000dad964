//! Which error codes a processor can deliver.
//!
//! SDM vol. 3A, "Page-Fault Exceptions", on each flag.

use spec::manual::pfec::Pfec;

/// Whether there is a fault with this error code.
///
/// * Bits without a name are 0.
/// * RSVD comes with P: entries are checked for reserved bits once they are present.
/// * W/R and I/D exclude each other: a fetch is no write. PK and SS also mean data accesses.
/// * PK and SGX come with P and without RSVD: what the entries themselves forbid comes first. SGX
///   comes after PK.
pub const fn is_possible(pfec: Pfec) -> bool {
    let present_alone = pfec.contains(Pfec::P) && !pfec.contains(Pfec::RSVD);
    Pfec::all().contains(pfec)
        && (pfec.contains(Pfec::P) || !pfec.contains(Pfec::RSVD))
        && !(pfec.contains(Pfec::ID) && pfec.intersects(Pfec::WR.union(Pfec::PK).union(Pfec::SS)))
        && (present_alone || !pfec.intersects(Pfec::PK.union(Pfec::SGX)))
        && !pfec.contains(Pfec::PK.union(Pfec::SGX))
}

/// The possible codes of [`Pfec::BASIC`] bits, in ascending order: those that every processor
/// delivers.
pub fn basic() -> impl Iterator<Item = Pfec> + Clone {
    up_to(Pfec::BASIC)
}

/// All possible codes, in ascending order.
pub fn all() -> impl Iterator<Item = Pfec> + Clone {
    up_to(Pfec::all())
}

fn up_to(most: Pfec) -> impl Iterator<Item = Pfec> + Clone {
    (0..=most.bits()).map(Pfec::from_bits_retain).filter(|&pfec| is_possible(pfec))
}

#[cfg(test)]
mod tests {
    use super::{all, basic};
    use spec::manual::pfec::Pfec;
    use spec::walk::setting::BASE;
    use spec::walk::stimulus::Stimulus;
    use std::collections::BTreeSet;

    #[test]
    fn the_basic_codes_are_those_that_stimuli_raise() {
        let raised: BTreeSet<Pfec> =
            Stimulus::all(BASE, 40).filter_map(|s| s.pfec(BASE, 40)).collect();
        assert_eq!(basic().collect::<BTreeSet<_>>(), raised);
        assert_eq!(basic().count(), 18);
    }

    #[test]
    fn impossible_codes_are_left_out() {
        let all: BTreeSet<Pfec> = all().collect();
        for possible in
            [Pfec::P | Pfec::PK, Pfec::WR | Pfec::SS, Pfec::ID | Pfec::HLAT, Pfec::P | Pfec::SGX]
        {
            assert!(all.contains(&possible), "{possible:?}");
        }
        for impossible in [
            Pfec::RSVD,
            Pfec::PK,
            Pfec::SGX,
            Pfec::P | Pfec::RSVD | Pfec::PK,
            Pfec::P | Pfec::ID | Pfec::PK,
            Pfec::P | Pfec::PK | Pfec::SGX,
            Pfec::WR | Pfec::ID,
            Pfec::from_bits_retain(0x100),
        ] {
            assert!(!all.contains(&impossible), "{impossible:?}");
        }
    }
}
