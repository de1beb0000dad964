//! How L1 invalidates what is cached of L2's translations once it changed L2's page tables.

/// The type of an INVVPID, or none. SDM vol. 3C, "Operations that Invalidate Cached Mappings", and
/// "VMX Instructions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// None: without VPID each VM entry does so.
    Entry,
    /// None, and an interrupt ends the VM entry before L2's first instruction.
    EntryCut,
    /// None: L2 gets a VPID that no guest had before.
    NewVpid,
    /// The same, and an interrupt ends the first VM entry with it before L2's first instruction.
    NewVpidCut,
    /// L1 changes the EPT entry of a frame, and not L2's tables: INVEPT of type 1.
    EptSingle,
    /// The same: INVEPT of type 2.
    EptAll,
    /// INVVPID of type 0: the linear address alone.
    Address,
    /// INVVPID of type 1: all of the VPID.
    SingleContext,
    /// INVVPID of type 2: all VPIDs.
    AllContexts,
    /// INVVPID of type 3: all of the VPID but what is of global pages, and the page is none.
    RetainingGlobals,
}

impl Invalidation {
    /// The type as INVVPID has it.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Entry
            | Self::EntryCut
            | Self::NewVpid
            | Self::NewVpidCut
            | Self::EptSingle
            | Self::EptAll => None,
            Self::Address => Some(0),
            Self::SingleContext => Some(1),
            Self::AllContexts => Some(2),
            Self::RetainingGlobals => Some(3),
        }
    }

    /// Whether it is one of what EPT gives.
    #[must_use]
    pub const fn is_of_ept(self) -> bool {
        matches!(self, Self::EptSingle | Self::EptAll)
    }

    /// Whether L2 must have a VPID, or must have none; `None` if either will do.
    #[must_use]
    pub const fn vpid(self) -> Option<bool> {
        match self {
            Self::Entry | Self::EntryCut => Some(false),
            Self::EptSingle | Self::EptAll => None,
            _ => Some(true),
        }
    }

    /// Whether an interrupt ends the first VM entry after it.
    #[must_use]
    pub const fn is_cut(self) -> bool {
        matches!(self, Self::EntryCut | Self::NewVpidCut)
    }

    /// In words, for `maskmatch explain`.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Entry => {
                "L1 makes the page bad and enters L2 again: without VPID the entry forgets translations"
            }
            Self::EntryCut => {
                "L1 makes the page bad, enters L2, which an interrupt ends before the first instruction, and enters it again"
            }
            Self::NewVpid => {
                "L1 makes the page bad and enters L2 again with a VPID that no guest had before"
            }
            Self::NewVpidCut => {
                "L1 makes the page bad, enters L2 with a VPID that no guest had before, which an interrupt ends before the first instruction, and enters it again"
            }
            Self::EptSingle => {
                "L1 takes rights from the frame's EPT entry, does INVEPT of the EPT pointer (type 1), and enters L2 again"
            }
            Self::EptAll => {
                "L1 takes rights from the frame's EPT entry, does INVEPT of all (type 2), and enters L2 again"
            }
            Self::Address => {
                "L1 makes the page bad, does INVVPID of its address (type 0), and enters L2 again"
            }
            Self::SingleContext => {
                "L1 makes the page bad, does INVVPID of the VPID (type 1), and enters L2 again"
            }
            Self::AllContexts => {
                "L1 makes the page bad, does INVVPID of all VPIDs (type 2), and enters L2 again"
            }
            Self::RetainingGlobals => {
                "L1 makes the page bad, does INVVPID of the VPID but global pages (type 3), and enters L2 again"
            }
        }
    }
}
