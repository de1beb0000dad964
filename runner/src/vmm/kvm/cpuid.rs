//! The guest's CPUID: what KVM supports, with the physical-address width changed if asked for.

use crate::vmm::kvm::KvmOptions;
use kvm_bindings::CpuId;

/// Leaf with the address widths; EAX bits 7:0 are MAXPHYADDR.
const ADDRESS_WIDTHS: u32 = 0x8000_0008;
/// Leaf 1, EBX bits 31:24: the initial APIC ID.
const APIC_ID_SHIFT: u32 = 24;

/// Leaf 1, ECX bit 31: there is a hypervisor, whose name is in leaf 0x40000000. KVM leaves it to
/// the VMM.
const HYPERVISOR: u32 = 1 << 31;

/// The CPUID of the vCPU with this number.
pub fn guest(supported: &CpuId, options: &KvmOptions, vcpu: u8) -> CpuId {
    let mut cpuid = supported.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => {
                entry.ebx = entry.ebx & !(0xff << APIC_ID_SHIFT) | u32::from(vcpu) << APIC_ID_SHIFT;
                entry.ecx |= HYPERVISOR;
            }
            ADDRESS_WIDTHS => {
                if let Some(width) = options.guest_maxphyaddr {
                    entry.eax = entry.eax & !0xff | u32::from(width);
                }
            }
            _ => {}
        }
    }
    cpuid
}

/// MAXPHYADDR, if its leaf exists.
pub fn maxphyaddr(cpuid: &CpuId) -> Option<u8> {
    cpuid
        .as_slice()
        .iter()
        .find(|entry| entry.function == ADDRESS_WIDTHS)
        .map(|entry| entry.eax as u8)
}

#[cfg(test)]
mod tests {
    use super::guest;
    use crate::vmm::kvm::KvmOptions;
    use kvm_bindings::{CpuId, kvm_cpuid_entry2};

    #[test]
    fn only_what_is_asked_for_changes() {
        let leaf = |function, eax, ebx, ecx| kvm_cpuid_entry2 {
            function,
            eax,
            ebx,
            ecx,
            ..Default::default()
        };
        let supported = CpuId::from_entries(&[
            leaf(1, 0x50654, 0x0710_0800, 0x20),
            leaf(0x8000_0008, 0x0030_302e, 7, 0),
        ])
        .unwrap();
        let patched =
            guest(&supported, &KvmOptions { guest_maxphyaddr: Some(36), ..Default::default() }, 2);
        assert_eq!(
            patched.as_slice(),
            [leaf(1, 0x50654, 0x0210_0800, 0x8000_0020), leaf(0x8000_0008, 0x0030_3024, 7, 0)]
        );
        let same = guest(&supported, &KvmOptions::default(), 7);
        assert_eq!(same.as_slice()[1], supported.as_slice()[1]);
    }
}
