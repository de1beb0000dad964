//! Known deviations in words.

use super::Deviation;

impl Deviation {
    /// What is wrong, where, and what the manual wants, in one sentence.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a sentence for each deviation")]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Rf0 => {
                "Bochs before 2.8 saves RFLAGS.RF = 0 on a VM exit by #PF; SDM 27.3.3 (Saving RIP, RSP, RFLAGS, and SSP) wants 1"
            }
            Self::NxStale => {
                "KVM with ept=0 keeps shadow pages when L2's IA32_EFER.NXE goes to 0, so XD is not reserved in them; SDM 4.7 (Page-Fault Exceptions) wants RSVD"
            }
            Self::ApfFlag => {
                "KVM 5.10 leaves the async_page_fault flag of faults that it makes for L2 uninitialized, and gives flagged ones to L1 unfiltered; SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::ApfStale => {
                "KVM 5.10 keeps the mark of an asynchronous page fault (nested_apf), and gives the next fault that KVM_SET_VCPU_EVENTS makes pending to L1 unfiltered, with the old token; SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::ApfEmulated => {
                "KVM 5.10 leaves the async_page_fault flag of its emulator's faults uninitialized, and gives flagged ones to L1 unfiltered; SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::PgdUnsynced => {
                "KVM 5.10 with ept=0 does not sync L2's shadow pages at a VM entry without VPID; SDM 4.10.4.1 (Operations that Invalidate TLBs and Paging-Structure Caches) wants the new page tables"
            }
            Self::ApicPrefetch => {
                "KVM with ept=0 maps its private APIC-access page for L2 when it prefetches shadow PTEs; SDM 10.4.1 (The Local APIC Block Diagram) wants the registers"
            }
            Self::CpuidVmcs02 => {
                "KVM before b47b93c15b12 takes KVM_SET_CPUID2 while L2 is active and leaves MASK and MATCH of vmcs02 as they were (docs/seed-bug.md); SDM 25.2 (Other Causes of VM Exits) wants the filter"
            }
            Self::CpuidVmcs01 => {
                "KVM before b47b93c15b12 takes KVM_SET_CPUID2 while L2 is active and leaves the exception bitmap of vmcs01 as it was (docs/seed-bug.md); SDM 4.7 (Page-Fault Exceptions) wants RSVD in L1's own faults"
            }
            Self::LegacyId => {
                "KVM with ept=0 sets I/D for L2's fetches when IA32_EFER.NXE is 1 though CR4.PAE is 0; SDM 4.7 (Page-Fault Exceptions) wants both, or CR4.SMEP"
            }
            Self::RepFlags => {
                "Bochs leaves the flags of the last comparison where a fault suspends REPE CMPS or REPNE SCAS; SDM vol. 2B (REP/REPE/REPZ/REPNE/REPNZ) wants those before the instruction"
            }
            Self::PkeyAccess => {
                "Bochs applies PKRU to supervisor-mode addresses, too, and access-disable to user-mode accesses alone; SDM 4.6.2 (Protection Keys) wants it applied to all data accesses to user-mode addresses"
            }
            Self::PkruAlone => {
                "Bochs 3.1 applies PKRU to supervisor-mode addresses, too, and IA32_PKRS to none; SDM 4.6.2 (Protection Keys) wants PKRU for user-mode addresses and IA32_PKRS for the others"
            }
            Self::RfEmulated => {
                "KVM gives L1 a fault of an instruction that it emulates with RFLAGS.RF = 0 (nested_vmx_vmexit saves what the instruction had); SDM 27.3.3 (Saving RIP, RSP, RFLAGS, and SSP) wants 1"
            }
            Self::ApfLate => {
                "KVM queues the exit by an asynchronous page fault without a request to deliver it (kvm_queue_exception_vmexit), so that a fault of L2's own can exit first while the flags say that a page is not present; Linux, msr.rst (MSR_KVM_ASYNC_PF_EN) wants the flags to tell the two apart"
            }
            Self::CrossWrite => {
                "KVM's emulator writes the first page's part of a write across two pages before the second page faults (emulator_read_write); SDM vol. 3A 6.5 (Exception Classifications) wants the state before the faulting instruction"
            }
            Self::InsBatch => {
                "KVM takes the bytes to the end of the page for the number of elements of a repeated INS (pio_in_emulated), so that a fault behind the end leaves RCX and RDI as before the batch; SDM vol. 2B (REP/REPE/REPZ/REPNE/REPNZ) wants those of the next element"
            }
            Self::UcetLost => {
                "Bochs' XRSTORS looks for a component behind one that it is not asked for in a wrong place, so that L0 restores IA32_U_CET of its guest as 0; SDM vol. 1, 13.4.3 (Extended Region of an XSAVE Area) wants each where XCOMP_BV says"
            }
            Self::NmiBlocked => {
                "Bochs before 2.8 keeps blocking of virtual NMIs at a VM entry that loads none, so KVM delays an NMI or reports unblocking by IRET; SDM 26.7.1 (Interruptibility State) wants the VMCS' state"
            }
            Self::EptAdRead => {
                "Bochs with EPT's accessed and dirty flags reports a walk's access as a write alone; SDM 27.2.1 (Basic VM-Exit Information, table 27-7) wants bits 0 and 1 set"
            }
            Self::EptFlagWrite => {
                "Bochs without EPT's accessed and dirty flags writes accessed flags of L2's page tables where EPT allows no writes; SDM 28.2.3.2 (EPT Violations) wants an EPT violation"
            }
            Self::EptMisconfigQual => {
                "KVM before 0c4765140351 gives L1 an EPT misconfiguration with the qualification of its own EPT violation; SDM 27.2.1 (Basic VM-Exit Information) wants it cleared"
            }
            Self::NmiOpen => {
                "KVM takes back NMI blocking where the delivery of an NMI faults, before it gives the exit to L1; SDM 27.1 (Architectural State Before a VM Exit) wants NMIs blocked"
            }
            Self::StepEarly => {
                "Bochs saves a pending single step where the instruction under TF meets an EPT violation of L0's, so that #DB comes when L0 goes on; SDM 27.3.4 (Saving Non-Register State) wants none pending before the instruction has completed"
            }
            Self::ShadowLost => {
                "Bochs saves no blocking by STI or MOV SS and no pending debug exception on a VM exit by an exception; SDM 27.3.4 (Saving Non-Register State) wants the state before"
            }
            Self::NmiKept => {
                "Bochs before 2.8 keeps virtual-NMI blocking over a VM entry that ends it, so that IRET seems to unblock it; SDM 26.7.1 (Interruptibility State) wants vmcs12's state"
            }
            Self::IretReblocked => {
                "KVM blocks NMIs again where an IRET faults, before it gives the fault to L1 or L2; SDM 25.3 (Changes to Instruction Behavior in VMX Non-Root Operation) wants them unblocked"
            }
            Self::NmiExiting => {
                "KVM runs L2 with virtual NMIs of its own, so IRET unblocks NMIs although NMI exiting is 1; SDM 25.3 (Changes to Instruction Behavior in VMX Non-Root Operation) wants none unblocked"
            }
            Self::NmiBit12 => {
                "KVM sets bit 12 of the interruption information of a fault that it makes for L2 whenever NMIs are blocked; SDM 27.2.2 (Information for VM Exits Due to Vectored Events) wants it for IRET alone"
            }
            Self::Int1Db => {
                "KVM intercepts #DB and gives INT1 to L2 as a hardware exception behind it; SDM 27.2.4 (Information for VM Exits During Event Delivery) wants a privileged software exception with its length"
            }
            Self::Int1Lost => {
                "KVM forgets a privileged software exception whose delivery exits (__vmx_complete_interrupts); SDM 27.2.4 (Information for VM Exits During Event Delivery) wants it reported"
            }
            Self::RsvdHang => {
                "KVM with a guest MAXPHYADDR below the host's emulates the instruction where an event's delivery meets a reserved address bit (handle_ept_violation), and L2 hangs; SDM 4.7 (Page-Fault Exceptions) wants RSVD"
            }
            Self::RsvdUd => {
                "KVM with a guest MAXPHYADDR below the host's emulates an access to an address beyond it, and gives L2 #UD where its emulator lacks the instruction (handle_ept_violation); SDM 4.7 (Page-Fault Exceptions) wants #PF with RSVD"
            }
            Self::PaeInvlpg => {
                "KVM without EPT hits a BUG of its own where an L2 in PAE or 32-bit paging executes INVLPG while a root of the 64-bit L1 is cached (shadow_walk_init_using_root); SDM vol. 2A (INVLPG) wants translations invalidated"
            }
            Self::TripleKill => {
                "KVM before cb6a32c2b877 ends the VM where a fault that it makes for L2 becomes a triple fault; SDM 25.2 (Other Causes of VM Exits) wants a VM exit to L1"
            }
            Self::DeliveryHang => {
                "KVM before 6.1 holds back a fault that it makes in the delivery of L2's interrupt or NMI until that is delivered (vmx_check_nested_events), and L2 hangs; SDM 27.2.4 (Information for VM Exits During Event Delivery) wants an exit, or the fault delivered"
            }
            Self::IdtLost => {
                "KVM before 6.1 with a guest MAXPHYADDR below the host's replaces the exception under delivery by the fault (kvm_multiple_exception); SDM 27.2.4 (Information for VM Exits During Event Delivery) wants it reported"
            }
            Self::IretUnreported => {
                "KVM before 6.1 with ept=0 reports a fault that it makes without bit 12, IRET's too, and blocks NMIs again (vmx_inject_page_fault_nested); SDM 27.2.2 (Information for VM Exits Due to Vectored Events) wants it set"
            }
            Self::IretUntold => {
                "KVM leaves out bit 12 of a fault that it makes for L2's IRET if the exit to L1 before had valid IDT-vectoring information (nested_vmx_inject_exception_vmexit), or if it handled an exit of the IRET itself before (nmi_known_unmasked); SDM 27.2.2 (Information for VM Exits Due to Vectored Events) wants it set"
            }
            Self::DoubleFirst => {
                "KVM before 6.1 with a guest MAXPHYADDR below the host's makes a double fault of two page faults before it looks at L1's filter (kvm_multiple_exception); SDM 25.2 (Other Causes of VM Exits) wants the filter for each"
            }
        }
    }
}
