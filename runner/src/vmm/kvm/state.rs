//! All state of a VM and its vCPU, so that another VM can go on with it on the same memory.
//!
//! The order of restoring is the one that KVM's API documentation asks for and QEMU uses: devices
//! of the VM, local APIC, IA32_FEATURE_CONTROL, system registers, nested state, then general
//! registers, FPU, MSRs, events, MP state, deadline, debug registers. KVM_SET_REGS drops pending
//! exceptions, so events come after it.

#![allow(unsafe_code, reason = "KVM_SET_XSAVE reads as many bytes as KVM says")]

use crate::vmm::kvm::malformed;
use kvm_bindings::nested::KvmNestedStateBuffer;
use kvm_bindings::{
    KVM_CAP_XSAVE2, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KVM_VCPUEVENT_VALID_PAYLOAD, Msrs, kvm_clock_data, kvm_debugregs, kvm_irqchip, kvm_lapic_state,
    kvm_mp_state, kvm_msr_entry, kvm_pit_state2, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs,
    kvm_xsave,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use spec::channel::{Status, Step};

/// IA32_FEATURE_CONTROL, which goes before nested state.
const MSR_FEATURE_CONTROL: u32 = 0x3a;
/// IA32_TSC_DEADLINE, which goes after the local APIC's mode and the TSC.
const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// The VMX capability MSRs are not state: they follow from CPUID, and KVM takes no writes in VMX
/// operation.
const VMX_CAPABILITIES: std::ops::RangeInclusive<u32> = 0x480..=0x491;
/// Bytes of `kvm_xsave` without what KVM_CAP_XSAVE2 adds.
const XSAVE_BYTES: i32 = 4096;

/// A part of an action that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub step: Step,
    /// Linux's number of the error.
    pub errno: i32,
}

impl Failed {
    /// For `map_err`.
    pub fn at(step: Step) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |error| Self { step, errno: error.errno() }
    }
}

impl From<Failed> for Status {
    fn from(Failed { step, errno }: Failed) -> Self {
        Self::Refused { step, errno: u8::try_from(errno).unwrap_or(u8::MAX) }
    }
}

/// What is saved.
pub struct State {
    irqchips: [kvm_irqchip; 3],
    pit: kvm_pit_state2,
    clock: kvm_clock_data,
    lapic: kvm_lapic_state,
    sregs: kvm_sregs,
    nested: Box<KvmNestedStateBuffer>,
    regs: kvm_regs,
    xsave: Box<kvm_xsave>,
    xcrs: kvm_xcrs,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
    mp: kvm_mp_state,
    debug: kvm_debugregs,
}

impl State {
    /// Saves.
    ///
    /// # Errors
    /// KVM refuses a part.
    pub fn save(kvm: &Kvm, vm: &VmFd, vcpu: &VcpuFd) -> Result<Self, Failed> {
        let of_vm = Failed::at(Step::SaveVm);
        let of_vcpu = Failed::at(Step::SaveVcpu);
        if vm.check_extension_raw(KVM_CAP_XSAVE2.into()) > XSAVE_BYTES {
            // There is more state than `kvm_xsave` holds only if the VMM gives the guest AMX, which
            // this one does not.
            return Err(Failed { step: Step::SaveVcpu, errno: libc::E2BIG });
        }
        let chip = |chip_id| {
            let mut chip = kvm_irqchip { chip_id, ..Default::default() };
            vm.get_irqchip(&mut chip).map(|()| chip)
        };
        let irqchips = [
            chip(KVM_IRQCHIP_PIC_MASTER).map_err(&of_vm)?,
            chip(KVM_IRQCHIP_PIC_SLAVE).map_err(&of_vm)?,
            chip(KVM_IRQCHIP_IOAPIC).map_err(&of_vm)?,
        ];
        let nested = nested(vcpu)?;
        Ok(Self {
            irqchips,
            pit: vm.get_pit2().map_err(&of_vm)?,
            clock: vm.get_clock().map_err(&of_vm)?,
            // This comes before everything else: it may complete what is in progress.
            mp: vcpu.get_mp_state().map_err(&of_vcpu)?,
            events: vcpu.get_vcpu_events().map_err(Failed::at(Step::SaveEvents))?,
            lapic: vcpu.get_lapic().map_err(&of_vcpu)?,
            sregs: vcpu.get_sregs().map_err(&of_vcpu)?,
            nested,
            regs: vcpu.get_regs().map_err(&of_vcpu)?,
            xsave: Box::new(vcpu.get_xsave().map_err(&of_vcpu)?),
            xcrs: vcpu.get_xcrs().map_err(&of_vcpu)?,
            msrs: read_msrs(kvm, vcpu)?,
            debug: vcpu.get_debug_regs().map_err(&of_vcpu)?,
        })
    }

    /// Leaves out the payload of a pending exception: KVM takes none for a VM without
    /// KVM_CAP_EXCEPTION_PAYLOAD.
    pub fn drop_payload(&mut self) {
        self.events.flags &= !KVM_VCPUEVENT_VALID_PAYLOAD;
    }

    /// Restores in a new VM, if asked for with malformed nested states before the right one.
    ///
    /// # Errors
    /// KVM refuses a part, or takes a malformed state.
    pub fn restore(&self, vm: &VmFd, vcpu: &VcpuFd, malformed_first: bool) -> Result<(), Failed> {
        let of_vm = Failed::at(Step::RestoreVm);
        let of_vcpu = Failed::at(Step::RestoreVcpu);
        for chip in &self.irqchips {
            vm.set_irqchip(chip).map_err(&of_vm)?;
        }
        vm.set_pit2(&self.pit).map_err(&of_vm)?;
        // KVM_SET_CLOCK does not take what KVM_GET_CLOCK says of the host's clock.
        vm.set_clock(&kvm_clock_data { flags: 0, ..self.clock }).map_err(&of_vm)?;
        self.write_msrs(vcpu, |index| index == MSR_FEATURE_CONTROL)?;
        vcpu.set_sregs(&self.sregs).map_err(&of_vcpu)?;
        vcpu.set_lapic(&self.lapic).map_err(&of_vcpu)?;
        if malformed_first {
            malformed::refuses(vcpu, &self.nested)?;
        }
        vcpu.set_nested_state(&self.nested).map_err(Failed::at(Step::RestoreNested))?;
        vcpu.set_regs(&self.regs).map_err(&of_vcpu)?;
        // SAFETY: KVM reads as many bytes as KVM_CAP_XSAVE2 says, which `save` found to be those
        // of the structure.
        unsafe { vcpu.set_xsave(&self.xsave) }.map_err(&of_vcpu)?;
        vcpu.set_xcrs(&self.xcrs).map_err(&of_vcpu)?;
        self.write_msrs(vcpu, |index| ![MSR_FEATURE_CONTROL, MSR_TSC_DEADLINE].contains(&index))?;
        vcpu.set_vcpu_events(&self.events).map_err(Failed::at(Step::RestoreEvents))?;
        vcpu.set_mp_state(self.mp).map_err(&of_vcpu)?;
        self.write_msrs(vcpu, |index| index == MSR_TSC_DEADLINE)?;
        vcpu.set_debug_regs(&self.debug).map_err(&of_vcpu)
    }

    /// Writes the MSRs of a kind. If one holds 0 and cannot be written, the guest does not have it.
    fn write_msrs(&self, vcpu: &VcpuFd, wanted: impl Fn(u32) -> bool) -> Result<(), Failed> {
        let mut rest: Vec<kvm_msr_entry> =
            self.msrs.iter().filter(|entry| wanted(entry.index)).copied().collect();
        while !rest.is_empty() {
            let list = list(&rest, Step::RestoreMsrs)?;
            let done = vcpu.set_msrs(&list).map_err(Failed::at(Step::RestoreMsrs))?;
            match rest.get(done) {
                Some(refused) if refused.data != 0 => {
                    return Err(Failed { step: Step::RestoreMsrs, errno: libc::EINVAL });
                }
                _ => rest.drain(..(done + 1).min(rest.len())),
            };
        }
        Ok(())
    }
}

/// Saves the nested state.
///
/// # Errors
/// KVM refuses.
pub fn nested(vcpu: &VcpuFd) -> Result<Box<KvmNestedStateBuffer>, Failed> {
    let mut nested = Box::new(KvmNestedStateBuffer::empty());
    vcpu.nested_state(&mut nested).map_err(Failed::at(Step::SaveNested))?;
    Ok(nested)
}

/// All MSRs that are state according to KVM and that this vCPU has.
fn read_msrs(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Vec<kvm_msr_entry>, Failed> {
    let failed = Failed::at(Step::SaveMsrs);
    let indices = kvm.get_msr_index_list().map_err(&failed)?;
    let mut rest: Vec<kvm_msr_entry> = indices
        .as_slice()
        .iter()
        .filter(|index| !VMX_CAPABILITIES.contains(*index))
        .map(|&index| kvm_msr_entry { index, ..Default::default() })
        .collect();
    let mut read = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let mut list = list(&rest, Step::SaveMsrs)?;
        let done = vcpu.get_msrs(&mut list).map_err(&failed)?;
        read.extend_from_slice(&list.as_slice()[..done]);
        // KVM stops at one that the vCPU does not have.
        rest.drain(..(done + 1).min(rest.len()));
    }
    Ok(read)
}

fn list(entries: &[kvm_msr_entry], step: Step) -> Result<Msrs, Failed> {
    Msrs::from_entries(entries).map_err(|_| Failed { step, errno: libc::E2BIG })
}
