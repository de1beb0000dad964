//! How L1 invalidates what is cached of L2's translations once it changed L2's page tables.

/// The type of an INVVPID, or none. SDM vol. 3C, "Operations that Invalidate Cached Mappings", and
/// "VMX Instructions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// None: without VPID each VM entry does so.
    Entry,
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
            Self::Entry => None,
            Self::Address => Some(0),
            Self::SingleContext => Some(1),
            Self::AllContexts => Some(2),
            Self::RetainingGlobals => Some(3),
        }
    }

    /// In words, for `maskmatch explain`.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Entry => {
                "L1 makes the page bad and enters L2 again: without VPID the entry forgets translations"
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
