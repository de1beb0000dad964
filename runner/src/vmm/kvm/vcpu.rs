//! One vCPU: its state at the PVH entry, and a sentence for each way in which it can stop.

use crate::vmm::Unavailable;
use crate::vmm::kvm::load::Start;
use kvm_bindings::{
    CpuId, KVM_CAP_HYPERV_ENLIGHTENED_VMCS, Msrs, kvm_enable_cap, kvm_msr_entry, kvm_regs,
    kvm_segment,
};
use kvm_ioctls::{VcpuFd, VmFd};

/// CR0 at the PVH entry: PE, and ET which is hardwired.
const CR0: u64 = 0x11;
/// RFLAGS bit 1 is always set; interrupts are off.
const RFLAGS: u64 = 2;
/// IA32_FEATURE_CONTROL.
const MSR_FEATURE_CONTROL: u32 = 0x3a;
/// Locked (bit 0), VMX outside SMX (bit 2): what firmware would have set.
const FEATURE_CONTROL: u64 = 0b101;
/// Segment types: execute, read, accessed; read, write, accessed; busy 32-bit TSS.
const CODE: u8 = 11;
const DATA: u8 = 3;
const TSS: u8 = 11;

/// Makes a vCPU.
///
/// # Errors
/// KVM refuses it or its CPUID.
pub fn create(vm: &VmFd, number: u8, cpuid: &CpuId) -> Result<VcpuFd, Unavailable> {
    let vcpu = vm
        .create_vcpu(u64::from(number))
        .map_err(|error| Unavailable::failed("create a vCPU", error))?;
    vcpu.set_cpuid2(cpuid).map_err(|error| Unavailable::failed("set the guest's CPUID", error))?;
    // KVM finds the destinations of interrupts in a map that it made before this vCPU was there. It
    // makes the map anew when the local APIC's state is set, or when a guest turns it on.
    let failed = |error| Unavailable::failed("set up the local APIC", error);
    vcpu.set_lapic(&vcpu.get_lapic().map_err(failed)?).map_err(failed)?;
    Ok(vcpu)
}

/// Allows VMX, as firmware does.
///
/// # Errors
/// KVM refuses it.
pub fn allow_vmx(vcpu: &VcpuFd) -> Result<(), Unavailable> {
    let entry =
        kvm_msr_entry { index: MSR_FEATURE_CONTROL, data: FEATURE_CONTROL, ..Default::default() };
    let msrs = Msrs::from_entries(&[entry])
        .map_err(|error| Unavailable::failed("make a list of MSRs", error))?;
    match vcpu.set_msrs(&msrs) {
        Ok(1) => Ok(()),
        Ok(_) => {
            Err(Unavailable::new("KVM refuses IA32_FEATURE_CONTROL although it offers VMX", ""))
        }
        Err(error) => Err(Unavailable::failed("set IA32_FEATURE_CONTROL", error)),
    }
}

/// Offers the enlightened VMCS, if the CPUID does too.
///
/// # Errors
/// KVM refuses it.
pub fn enlighten(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    // KVM writes the versions that it knows.
    let mut versions = 0u16;
    let cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS;
    let args = [&raw mut versions as u64, 0, 0, 0];
    vcpu.enable_cap(&kvm_enable_cap { cap, args, ..Default::default() })
}

/// Puts the vCPU at the entry: flat 32-bit protected mode, paging and interrupts off, EBX = start
/// information.
///
/// # Errors
/// KVM refuses the state.
pub fn enter(vcpu: &VcpuFd, start: Start) -> Result<(), Unavailable> {
    let failed = |error| Unavailable::failed("set the vCPU's registers", error);
    let flat = kvm_segment { limit: u32::MAX, present: 1, s: 1, db: 1, g: 1, ..Default::default() };
    let code = kvm_segment { selector: 0x08, type_: CODE, ..flat };
    let data = kvm_segment { selector: 0x10, type_: DATA, ..flat };
    let mut sregs = vcpu.get_sregs().map_err(failed)?;
    sregs.cs = code;
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = kvm_segment { limit: 0x67, present: 1, type_: TSS, ..Default::default() };
    sregs.cr0 = CR0;
    sregs.cr4 = 0;
    vcpu.set_sregs(&sregs).map_err(failed)?;
    let regs =
        kvm_regs { rip: start.entry, rbx: start.start_info, rflags: RFLAGS, ..Default::default() };
    vcpu.set_regs(&regs).map_err(failed)
}

/// The sentence for KVM_EXIT_FAIL_ENTRY.
pub fn entry_failed(reason: u64, cpu: u32) -> String {
    format!("VM entry failed with hardware reason {reason:#x} on CPU {cpu}")
}

/// The sentence for KVM_EXIT_INTERNAL_ERROR.
pub fn internal_error(suberror: u32, data: &[u64], rip: Option<u64>) -> String {
    let name = match suberror {
        1 => "emulation failed",
        2 => "simultaneous exceptions",
        3 => "exit while an event was being delivered",
        4 => "unexpected exit reason",
        _ => "unknown",
    };
    let data: Vec<String> = data.iter().map(|word| format!("{word:#x}")).collect();
    let rip = rip.map_or_else(String::new, |rip| format!(" at RIP {rip:#x}"));
    format!("KVM internal error, suberror {suberror} ({name}){rip}, data [{}]", data.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{entry_failed, internal_error};

    #[test]
    fn errors_have_their_numbers() {
        assert_eq!(
            entry_failed(0x8000_0021, 3),
            "VM entry failed with hardware reason 0x80000021 on CPU 3"
        );
        assert_eq!(
            internal_error(1, &[2, 0x0f0b], Some(0x20_0010)),
            "KVM internal error, suberror 1 (emulation failed) at RIP 0x200010, data [0x2, 0xf0b]"
        );
    }
}
