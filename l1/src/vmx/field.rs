//! VMCS fields by name. SDM vol. 3D, "Field Encoding in VMCS".

#[rustfmt::skip]
spec::listed! {
    /// The encoding of a field of the VMCS.
    #[derive(Clone, Copy, PartialEq, Eq)]
    #[repr(u32)]
    pub enum Field {
        // 16 bits, controls.
        Vpid = 0x0000,
        // 16 bits, guest state.
        GuestEs = 0x0800, GuestCs = 0x0802, GuestSs = 0x0804, GuestDs = 0x0806, GuestFs = 0x0808,
        GuestGs = 0x080a, GuestLdtr = 0x080c, GuestTr = 0x080e,
        // 16 bits, host state.
        HostEs = 0x0c00, HostCs = 0x0c02, HostSs = 0x0c04, HostDs = 0x0c06, HostFs = 0x0c08,
        HostGs = 0x0c0a, HostTr = 0x0c0c,
        // 64 bits.
        IoBitmapA = 0x2000, IoBitmapB = 0x2002, MsrBitmaps = 0x2004, EptPointer = 0x201a,
        GuestPhysicalAddress = 0x2400, VmcsLinkPointer = 0x2800, GuestDebugctl = 0x2802, GuestEfer = 0x2806,
        GuestPdpte0 = 0x280a, GuestPdpte1 = 0x280c, GuestPdpte2 = 0x280e, GuestPdpte3 = 0x2810,
        HostEfer = 0x2c02,
        // 32 bits, controls.
        PinBasedControls = 0x4000, ProcessorBasedControls = 0x4002, ExceptionBitmap = 0x4004,
        PfecMask = 0x4006, PfecMatch = 0x4008, Cr3TargetCount = 0x400a, ExitControls = 0x400c,
        ExitMsrStoreCount = 0x400e, ExitMsrLoadCount = 0x4010, EntryControls = 0x4012,
        EntryMsrLoadCount = 0x4014, EntryInterruptionInfo = 0x4016, EntryExceptionErrorCode = 0x4018,
        EntryInstructionLength = 0x401a, SecondaryControls = 0x401e,
        // 32 bits, read-only.
        InstructionError = 0x4400, ExitReason = 0x4402, ExitInterruptionInfo = 0x4404,
        ExitInterruptionErrorCode = 0x4406, IdtVectoringInfo = 0x4408, IdtVectoringErrorCode = 0x440a,
        ExitInstructionLength = 0x440c,
        // 32 bits, guest state.
        GuestEsLimit = 0x4800, GuestCsLimit = 0x4802, GuestSsLimit = 0x4804, GuestDsLimit = 0x4806,
        GuestFsLimit = 0x4808, GuestGsLimit = 0x480a, GuestLdtrLimit = 0x480c, GuestTrLimit = 0x480e,
        GuestGdtrLimit = 0x4810, GuestIdtrLimit = 0x4812,
        GuestEsAccess = 0x4814, GuestCsAccess = 0x4816, GuestSsAccess = 0x4818, GuestDsAccess = 0x481a,
        GuestFsAccess = 0x481c, GuestGsAccess = 0x481e, GuestLdtrAccess = 0x4820, GuestTrAccess = 0x4822,
        GuestInterruptibility = 0x4824, GuestActivity = 0x4826, GuestSysenterCs = 0x482a,
        PreemptionTimer = 0x482e,
        HostSysenterCs = 0x4c00,
        // Natural width, controls and read-only.
        Cr0Mask = 0x6000, Cr4Mask = 0x6002, Cr0ReadShadow = 0x6004, Cr4ReadShadow = 0x6006,
        ExitQualification = 0x6400, GuestLinearAddress = 0x640a,
        // Natural width, guest state.
        GuestCr0 = 0x6800, GuestCr3 = 0x6802, GuestCr4 = 0x6804, GuestEsBase = 0x6806, GuestCsBase = 0x6808,
        GuestSsBase = 0x680a, GuestDsBase = 0x680c, GuestFsBase = 0x680e, GuestGsBase = 0x6810,
        GuestLdtrBase = 0x6812, GuestTrBase = 0x6814, GuestGdtrBase = 0x6816, GuestIdtrBase = 0x6818,
        GuestDr7 = 0x681a, GuestRsp = 0x681c, GuestRip = 0x681e, GuestRflags = 0x6820,
        GuestPendingDebug = 0x6822, GuestSysenterEsp = 0x6824, GuestSysenterEip = 0x6826,
        GuestSCet = 0x6828, GuestSsp = 0x682a, GuestInterruptSspTable = 0x682c,
        // Natural width, host state.
        HostCr0 = 0x6c00, HostCr3 = 0x6c02, HostCr4 = 0x6c04, HostFsBase = 0x6c06, HostGsBase = 0x6c08,
        HostTrBase = 0x6c0a, HostGdtrBase = 0x6c0c, HostIdtrBase = 0x6c0e, HostSysenterEsp = 0x6c10,
        HostSysenterEip = 0x6c12, HostRsp = 0x6c14, HostRip = 0x6c16,
    }
}
