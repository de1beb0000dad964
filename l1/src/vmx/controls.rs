//! The execution, exit and entry controls that L1 uses.
//!
//! SDM vol. 3C, "Pin-Based VM-Execution Controls", "Processor-Based VM-Execution Controls",
//! "VM-Exit Controls", "VM-Entry Controls".

use bitflags::bitflags;

bitflags! {
    /// Primary processor-based controls: those that L1 needs to be 0 or 1, and those that scenes
    /// set.
    #[derive(Clone, Copy, Debug)]
    pub struct ProcessorBased: u32 {
        /// Interrupt-window exiting.
        const INTERRUPT_WINDOW_EXITING = 1 << 2;
        /// HLT exiting.
        const HLT_EXITING = 1 << 7;
        /// INVLPG exiting; INVPCID, too.
        const INVLPG_EXITING = 1 << 9;
        /// RDPMC exiting.
        const RDPMC_EXITING = 1 << 11;
        /// RDTSC exiting.
        const RDTSC_EXITING = 1 << 12;
        /// CR3-load exiting.
        const CR3_LOAD_EXITING = 1 << 15;
        /// CR3-store exiting.
        const CR3_STORE_EXITING = 1 << 16;
        /// CR8-load exiting.
        const CR8_LOAD_EXITING = 1 << 19;
        /// CR8-store exiting.
        const CR8_STORE_EXITING = 1 << 20;
        /// NMI-window exiting.
        const NMI_WINDOW_EXITING = 1 << 22;
        /// MOV-DR exiting.
        const MOV_DR_EXITING = 1 << 23;
        /// Unconditional I/O exiting.
        const UNCONDITIONAL_IO_EXITING = 1 << 24;
        /// Use I/O bitmaps.
        const IO_BITMAPS = 1 << 25;
        /// Monitor trap flag.
        const MONITOR_TRAP = 1 << 27;
        /// Use MSR bitmaps.
        const MSR_BITMAPS = 1 << 28;
        /// PAUSE exiting.
        const PAUSE_EXITING = 1 << 30;
        /// Activate secondary controls.
        const SECONDARY = 1 << 31;
    }
}

bitflags! {
    /// Pin-based controls.
    #[derive(Clone, Copy, Debug)]
    pub struct PinBased: u32 {
        /// External-interrupt exiting.
        const EXTERNAL_INTERRUPT_EXITING = 1 << 0;
        /// Activate VMX-preemption timer.
        const PREEMPTION_TIMER = 1 << 6;
    }
}

bitflags! {
    /// Secondary processor-based controls.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Secondary: u32 {
        /// Enable EPT.
        const EPT = 1 << 1;
        /// Descriptor-table exiting.
        const DESCRIPTOR_TABLE_EXITING = 1 << 2;
        /// Enable VPID.
        const VPID = 1 << 5;
        /// Unrestricted guest.
        const UNRESTRICTED_GUEST = 1 << 7;
        /// Mode-based execute control for EPT.
        const MODE_BASED_EXECUTE = 1 << 22;
        /// Enable INVPCID.
        const ENABLE_INVPCID = 1 << 12;
    }
}

bitflags! {
    /// VM-exit controls.
    #[derive(Clone, Copy, Debug)]
    pub struct ExitControls: u32 {
        /// Host address-space size: exits go to 64-bit mode.
        const HOST_64_BIT = 1 << 9;
        /// Acknowledge interrupt on exit.
        const ACKNOWLEDGE_INTERRUPT = 1 << 15;
        /// Load IA32_EFER: L1's NXE differs from L2's.
        const LOAD_EFER = 1 << 21;
    }
}

bitflags! {
    /// VM-entry controls.
    #[derive(Clone, Copy, Debug)]
    pub struct EntryControls: u32 {
        /// IA-32e mode guest.
        const GUEST_IA32E = 1 << 9;
        /// Load IA32_EFER: L2's NXE differs from L1's.
        const LOAD_EFER = 1 << 15;
        /// Load CET state.
        const LOAD_CET = 1 << 20;
    }
}

/// The control fields as the processor allows them.
#[derive(Clone, Copy, Debug)]
pub struct Controls {
    /// Pin-based: nothing but what must be 1.
    pub pin_based: u32,
    /// Processor-based: nothing but what must be 1, and the secondary ones if there are any.
    pub processor_based: u32,
    /// Secondary processor-based, if they are activated.
    pub secondary: Option<u32>,
    /// VM exit.
    pub exit: u32,
    /// VM entry.
    pub entry: u32,
}
