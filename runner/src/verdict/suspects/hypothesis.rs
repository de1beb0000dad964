//! The ways to be wrong that a report can name.

use spec::manual::filter::Filter;
use spec::manual::pfec::Pfec;

use super::raised::Raised;

spec::listed! {
    /// A way to get L1's filter wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Hypothesis {
        /// MASK and MATCH are taken as 0, EB.PF is L1's.
        ClearedMaskMatch => "cleared-mask-match", "behaves as MASK = MATCH = 0 with L1's EB.PF",
        /// MATCH is taken as 0, MASK and EB.PF are L1's.
        ClearedMatch => "cleared-match", "behaves as MATCH = 0 with L1's MASK and EB.PF",
        /// MASK and MATCH are exchanged.
        Swapped => "swapped-mask-match", "behaves as with MASK and MATCH exchanged",
        /// MATCH stands in MASK's place too.
        MatchAsMask => "match-as-mask", "behaves as with L1's MATCH in MASK too",
        /// MASK stands in MATCH's place too.
        MaskAsMatch => "mask-as-match", "behaves as with L1's MASK in MATCH too",
        /// EB.PF = 0 is taken as "no page fault exits", whatever MASK and MATCH say.
        InverseIgnored => "inverse-ignored",
            "behaves as if EB.PF = 0 let every fault through, without the inverse comparison",
        /// L2 runs on L1's MASK and MATCH with EB.PF set for L0: faults that L1 asks for by the
        /// inverse form reach L0 only where it corrects their error code.
        L0NeedDropped => "l0-need-dropped",
            "runs L2 on L1's MASK and MATCH with EB.PF = 1: the merge leaves out what L0 itself needs",
        /// vmcs02 has MASK and MATCH for L0's need, and EB.PF is only L1's: where that is 0, L0
        /// gets no fault at all, not even its own.
        L0NeedWithoutEb => "l0-need-without-eb",
            "runs L2 with MASK and MATCH for its own need and only L1's EB.PF: with EB.PF = 0 no fault exits, and L2 meets L0's",
        /// vmcs02 has L1's filter and nothing else, though L0 makes L2's page tables: L2 meets the
        /// faults of L0's tables that L1 does not ask for.
        L0NeedMissing => "l0-need-missing",
            "runs L2 on L1's filter without the faults that L0 itself needs: L2 meets L0's",
        /// vmcs02 holds L0's own filter, in place of L1's or in addition, and L1 gets the faults
        /// that L0 asked for.
        L0FilterLeaked => "l0-filter-leaked",
            "gives L1 the faults that L0's own filter asks for, in place of L1's own or in addition",
        /// vmcs02 holds only L0's own filter. L1 gets of those faults what it wants.
        L0FilterOnly => "l0-filter-only",
            "runs L2 on L0's own filter: L1 gets what it wants of those faults, and no others",
        /// vmcs02 holds L0's own MASK and MATCH, with L1's EB.PF.
        L0MaskMatch => "l0-mask-match", "runs L2 on L0's own MASK and MATCH with L1's EB.PF",
        /// L1 gets every fault that the processor raises. Those that L0 makes go where they belong.
        RawFaults => "raw-faults",
            "gives L1 every fault that the processor raises, before L0 corrects its error code",
        /// The error code from before L0 sets RSVD in it decides about exits.
        CodeBeforeFixup => "code-before-fixup",
            "decides by the error code from before L0 sets RSVD in it",
        /// EB.PF is taken as 1.
        EbAlwaysSet => "eb-always-set", "behaves as EB.PF = 1 with L1's MASK and MATCH",
        /// EB.PF is taken as 0.
        EbAlwaysClear => "eb-always-clear", "behaves as EB.PF = 0 with L1's MASK and MATCH",
        /// The filter of the previous entry is still in force.
        StaleFilter => "stale-filter", "behaves as with the whole filter of the previous VM entry",
        /// MASK and MATCH of the previous entry are still in force, EB.PF is L1's.
        StaleMaskMatch => "stale-mask-match", "behaves as with MASK and MATCH of the previous VM entry",
        /// EB.PF of the previous entry is still in force, MASK and MATCH are L1's.
        StaleEb => "stale-eb", "behaves as with EB.PF of the previous VM entry",
        /// MASK and MATCH are those of the last entry with EB.PF = 1, EB.PF is L1's.
        MaskMatchWithEb => "mask-match-with-eb",
            "behaves as with MASK and MATCH of the last VM entry with EB.PF = 1",
        /// A new MATCH is taken over only with a new MASK.
        MatchWithMask => "match-with-mask", "takes a new MATCH over only where L1 writes MASK too",
        /// A new MASK is taken over only with a new MATCH.
        MaskWithMatch => "mask-with-match", "takes a new MASK over only where L1 writes MATCH too",
        /// A new EB.PF is taken over only with a new MASK or MATCH.
        EbWithMaskMatch => "eb-with-mask-match",
            "takes a new EB.PF over only where L1 writes MASK or MATCH too",
        /// A new MASK and MATCH are taken over at the first VM exit after them.
        MaskMatchAtExit => "mask-match-at-exit",
            "takes a new MASK and MATCH over only at a VM exit: until one comes, the old ones are in force",
        /// MATCH is cut to the bits in MASK, so that it can always be met.
        MatchWithinMask => "match-within-mask", "behaves as if MATCH had no bits outside MASK",
        /// Only the low 5 bits of MASK and MATCH count.
        Low5 => "low-5-bits", "compares only the low 5 bits of MASK and MATCH",
        /// Only the low 8 bits of MASK and MATCH count.
        Low8 => "low-8-bits", "compares only the low 8 bits of MASK and MATCH",
        /// Only the low 16 bits of MASK and MATCH count.
        Low16 => "low-16-bits", "compares only the low 16 bits of MASK and MATCH",
        /// The error code is compared without I/D.
        CodeWithoutId => "code-without-id", "compares the error code without its bit I/D",
        /// The error code is compared without RSVD.
        CodeWithoutRsvd => "code-without-rsvd", "compares the error code without its bit RSVD",
        /// Each fault is compared as one with the error code 0.
        CodeIgnored => "code-ignored", "compares MASK and MATCH with 0 in place of the error code",
        /// Every page fault exits to L1.
        AllExit => "all-exit", "gives every fault to L1",
        /// No page fault exits to L1.
        NoneExits => "none-exits", "gives no fault to L1",
    }
    /// The word in reports.
    pub fn name;
    /// What the host seems to do, in one sentence.
    pub fn meaning;
}

/// L1's filter at a VM entry, and what a host may still have of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// This entry's.
    pub now: Filter,
    /// That of the entry before.
    pub before: Filter,
    /// What the host holds of earlier ones, as [`Hypothesis::keeps`] says.
    pub kept: Filter,
}

/// How far a hypothesis looks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Not further than to the entry before.
    None,
    /// From group to group.
    Run,
    /// To the start of the group, where L1 writes other fields of vmcs12 too.
    Group,
}

impl Hypothesis {
    /// The one of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hypothesis| hypothesis.name() == name)
    }

    /// Whether L0's own filter, which is not known, decides.
    pub const fn is_by_l0(self) -> bool {
        matches!(self, Self::L0FilterLeaked | Self::L0FilterOnly | Self::L0MaskMatch)
    }

    /// Whether it shows in which faults exit. If not, it shows in what L2 meets.
    pub const fn decides(self) -> bool {
        !matches!(self, Self::L0NeedWithoutEb | Self::L0NeedMissing)
    }

    /// Whether there is such a host only where the guest's MAXPHYADDR is below the processor's.
    /// Elsewhere it decides as another one, or as it must.
    pub const fn is_by_correction(self) -> bool {
        matches!(self, Self::L0NeedDropped | Self::RawFaults | Self::CodeBeforeFixup)
    }

    /// Where what it holds begins.
    pub const fn memory(self) -> Memory {
        match self {
            Self::MaskMatchWithEb => Memory::Run,
            Self::MatchWithMask | Self::MaskWithMatch | Self::EbWithMaskMatch => Memory::Group,
            _ => Memory::None,
        }
    }

    /// What the host holds after L1 wrote the filter `now` over `before`.
    pub fn keeps(self, kept: Filter, before: Filter, now: Filter) -> Filter {
        let (mask, matching) = (now.mask != before.mask, now.matching != before.matching);
        match self {
            Self::MaskMatchWithEb if now.eb_pf => now,
            Self::MaskMatchWithEb => kept,
            Self::MatchWithMask if !mask => Filter { matching: kept.matching, ..now },
            Self::MaskWithMatch if !matching => Filter { mask: kept.mask, ..now },
            Self::EbWithMaskMatch if !mask && !matching => Filter { eb_pf: kept.eb_pf, ..now },
            _ => now,
        }
    }

    /// Whether such a host lets a fault exit. `code` is what must be seen, and `met` what the
    /// processor raises, if it raises the fault. `l0` is L0's own filter, and `had_exit` says whether
    /// there was a VM exit since the entry.
    pub fn exits(
        self,
        entry: &Entry,
        code: Pfec,
        met: Option<Pfec>,
        l0: Filter,
        had_exit: bool,
    ) -> bool {
        let Entry { now, before, kept } = *entry;
        let Filter { eb_pf, mask, matching } = now;
        let right = now.exits(code);
        let filter = match self {
            Self::L0NeedDropped => {
                return right && met.is_none_or(|met| Filter { eb_pf: true, ..now }.exits(met));
            }
            Self::L0FilterOnly => return right && met.is_none_or(|met| l0.exits(met)),
            Self::L0FilterLeaked => return met.map_or(right, |met| l0.exits(met)),
            Self::L0MaskMatch => {
                return met.map_or(right, |met| Filter { eb_pf, ..l0 }.exits(met));
            }
            Self::RawFaults => return right || met.is_some(),
            Self::CodeBeforeFixup => return met.map_or(right, |met| now.exits(met)),
            Self::InverseIgnored | Self::L0NeedWithoutEb => return eb_pf && right,
            Self::L0NeedMissing => return right,
            Self::CodeWithoutId => return now.exits(code - Pfec::ID),
            Self::CodeWithoutRsvd => return now.exits(code - Pfec::RSVD),
            Self::CodeIgnored => return now.exits(Pfec::empty()),
            Self::AllExit => return true,
            Self::NoneExits => return false,
            Self::ClearedMaskMatch => Filter::new(eb_pf, 0, 0),
            Self::ClearedMatch => Filter::new(eb_pf, mask, 0),
            Self::Swapped => Filter::new(eb_pf, matching, mask),
            Self::MatchAsMask => Filter::new(eb_pf, matching, matching),
            Self::MaskAsMatch => Filter::new(eb_pf, mask, mask),
            Self::EbAlwaysSet => Filter { eb_pf: true, ..now },
            Self::EbAlwaysClear => Filter { eb_pf: false, ..now },
            Self::StaleFilter => before,
            Self::StaleEb => Filter { eb_pf: before.eb_pf, ..now },
            Self::MaskMatchAtExit if had_exit => now,
            Self::StaleMaskMatch | Self::MaskMatchAtExit => Filter { eb_pf, ..before },
            Self::MaskMatchWithEb => Filter { eb_pf, ..kept },
            Self::MatchWithMask | Self::MaskWithMatch | Self::EbWithMaskMatch => kept,
            Self::MatchWithinMask => Filter::new(eb_pf, mask, matching & mask),
            Self::Low5 => low_bits(now, 0x1f),
            Self::Low8 => low_bits(now, 0xff),
            Self::Low16 => low_bits(now, 0xffff),
        };
        filter.exits(code)
    }

    /// Whether a fault that must be seen with this code distinguishes such a host from a right one,
    /// if the VM entries before had the same filter.
    pub fn shows(self, filter: Filter, code: Pfec, raised: Raised) -> bool {
        let right = filter.exits(code);
        let met = raised.met(code);
        match self {
            // L0's filter may ask for any fault that L1's does not, or leave out any in its place.
            Self::L0FilterLeaked => !right,
            Self::L0FilterOnly => right,
            Self::L0MaskMatch => true,
            Self::L0NeedMissing => false,
            _ => {
                let entry = Entry { now: filter, before: filter, kept: filter };
                self.exits(&entry, code, met, filter, false) != right
            }
        }
    }
}

fn low_bits(filter: Filter, bits: u32) -> Filter {
    Filter { mask: filter.mask & bits, matching: filter.matching & bits, ..filter }
}
