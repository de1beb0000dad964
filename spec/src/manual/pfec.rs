//! The page-fault error code.
//!
//! SDM vol. 3A, "Page-Fault Exceptions".

use bitflags::bitflags;

bitflags! {
    /// A page-fault error code (PFEC), 32 bits wide.
    ///
    /// Bits without a name are reserved in the manual; a processor delivers them as 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Pfec: u32 {
        /// P, bit 0: the fault was caused by a page-level protection violation; clear: by a
        /// paging-structure entry that was not present.
        const P = 1 << 0;
        /// W/R, bit 1: the access was a write.
        const WR = 1 << 1;
        /// U/S, bit 2: the access was a user-mode access.
        const US = 1 << 2;
        /// RSVD, bit 3: a reserved bit was set in some paging-structure entry. Implies [`Pfec::P`].
        const RSVD = 1 << 3;
        /// I/D, bit 4: the access was an instruction fetch. Reported only where CR4.SMEP = 1, or
        /// CR4.PAE = 1 and IA32_EFER.NXE = 1.
        const ID = 1 << 4;
        /// PK, bit 5: there was a protection-key violation.
        const PK = 1 << 5;
        /// SS, bit 6: the access was a shadow-stack access.
        const SS = 1 << 6;
        /// HLAT, bit 7: the fault occurred during ordinary paging or HLAT paging; set for the
        /// latter. SDM vol. 3C, "Hypervisor-Managed Linear-Address Translation (HLAT)".
        const HLAT = 1 << 7;
        /// SGX, bit 15: the fault resulted from violation of SGX-specific access-control
        /// requirements.
        const SGX = 1 << 15;
    }
}

impl Pfec {
    /// The five bits that every processor with long mode and NX can report.
    pub const BASIC: Self =
        Self::P.union(Self::WR).union(Self::US).union(Self::RSVD).union(Self::ID);

    /// The set of the basic codes that there are: bit `n` stands for error code `n`. RSVD implies P,
    /// and a fetch is no write.
    pub const POSSIBLE: u32 = {
        let (mut set, mut code) = (0, 0);
        while code < 32 {
            let (of, fetched_write) = (Self::from_bits_retain(code), Self::WR.union(Self::ID));
            let rsvd_alone = of.contains(Self::RSVD) && !of.contains(Self::P);
            if !rsvd_alone && !of.contains(fetched_write) {
                set |= 1 << code;
            }
            code += 1;
        }
        set
    };

    /// The index of this code in a 32-bit set of codes, if it has only [`Pfec::BASIC`] bits.
    #[must_use]
    pub const fn basic_index(self) -> Option<u32> {
        if self.bits() & !Self::BASIC.bits() == 0 { Some(self.bits()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::Pfec;

    #[test]
    fn basic_codes_index_a_32_bit_set() {
        assert_eq!(Pfec::BASIC.bits(), 0x1f);
        assert_eq!((Pfec::P | Pfec::RSVD).basic_index(), Some(9));
        assert_eq!(Pfec::PK.basic_index(), None);
        assert_eq!(Pfec::from_bits_retain(1 << 31).basic_index(), None);
    }
}
