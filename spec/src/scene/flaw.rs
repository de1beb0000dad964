//! VM entries that must fail: what is wrong with one, and how the failure is reported.
//!
//! SDM vol. 3C, "VM-Entry Control Fields", "Checks on Guest Non-Register State" and "VM-Entry
//! Failures During or After Loading Guest State". A failed entry writes nothing of the
//! VMCS but the error, or the exit reason and the exit qualification: the event that was to be
//! injected, L2's state and the filter stay. So once L1 has made good what was wrong, and written
//! nothing else, the same entry does what it would have done at first.

crate::listed! {
    /// A field of the VMCS that VM entries check.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Checked {
        /// VM-entry interruption information.
        Info => "the interruption information",
        /// VM-entry exception error code.
        ErrorCode => "the error code of the injected event",
        /// VM-entry instruction length.
        Length => "the instruction length of the injected event",
        /// Guest RIP.
        Rip => "L2's RIP",
        /// Guest RFLAGS.
        Rflags => "L2's RFLAGS",
        /// Guest interruptibility state.
        Interruptibility => "L2's interruptibility state",
        /// Guest activity state.
        Activity => "L2's activity state",
        /// Guest pending debug exceptions.
        PendingDebug => "L2's pending debug exceptions",
        /// Guest CR0.
        Cr0 => "L2's CR0",
        /// Guest CR3.
        Cr3 => "L2's CR3",
        /// Guest CR4.
        Cr4 => "L2's CR4",
        /// Guest IA32_EFER.
        Efer => "L2's IA32_EFER",
        /// Access rights of guest CS.
        CsAccess => "the access rights of L2's CS",
        /// Access rights of guest SS.
        SsAccess => "the access rights of L2's SS",
        /// VMCS link pointer.
        Link => "the VMCS link pointer",
    }
    /// In words, for `maskmatch explain`.
    pub fn what;
}

/// The VM-instruction error of invalid control fields. SDM vol. 3C, "VM Instruction Error Numbers".
pub const INVALID_CONTROL: u8 = 7;
/// The basic exit reason of invalid guest state. SDM vol. 3D, "VMX Basic Exit Reasons".
pub const INVALID_STATE: u8 = 33;

/// What is wrong with a VM entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The numbers of the bits that are not as in the entry that follows.
    pub bits: &'static [(Checked, u8)],
    /// The VM-instruction error, or the basic exit reason.
    pub number: u8,
    /// The exit qualification, where the failure has one.
    pub qualification: Option<u8>,
}

impl Flaw {
    /// The bits of a field that are wrong.
    #[must_use]
    pub fn of(&self, field: Checked) -> u64 {
        self.bits
            .iter()
            .filter(|(wrong, _)| *wrong == field)
            .fold(0, |all, (_, bit)| all | 1 << bit)
    }
}
