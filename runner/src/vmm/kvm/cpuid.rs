//! The guest's CPUID: what KVM supports, with the physical-address width changed if asked for.

use crate::vmm::kvm::KvmOptions;
use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use spec::manual::enlightened as evmcs;

/// Leaf with the address widths; EAX bits 7:0 are MAXPHYADDR.
const ADDRESS_WIDTHS: u32 = 0x8000_0008;
/// Leaf 1, EBX bits 31:24: the initial APIC ID.
const APIC_ID_SHIFT: u32 = 24;

/// Leaf 1, ECX bit 31: there is a hypervisor, whose name is in leaf 0x40000000. KVM leaves it to
/// the VMM.
const HYPERVISOR: u32 = 1 << 31;

/// Where hypervisors have their leaves.
const HYPERVISORS: std::ops::RangeInclusive<u32> = 0x4000_0000..=0x4000_ffff;

/// The CPUID of the vCPU with this number.
pub fn guest(supported: &CpuId, options: &KvmOptions, vcpu: u8) -> CpuId {
    let mut cpuid = supported.clone();
    if options.enlightened {
        cpuid.retain(|entry| !HYPERVISORS.contains(&entry.function));
        for entry in HYPER_V {
            // There was room for KVM's leaves, and KVM takes many more than these.
            let _ = cpuid.push(entry);
        }
    }
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

/// Hyper-V's leaves in place of KVM's: the interface, the assist page, the enlightened VMCS.
const HYPER_V: [kvm_cpuid_entry2; 5] = [
    kvm_cpuid_entry2 {
        ebx: u32::from_le_bytes(*b"Micr"),
        ecx: u32::from_le_bytes(*b"osof"),
        edx: u32::from_le_bytes(*b"t Hv"),
        ..leaf(evmcs::HIGHEST_LEAF, evmcs::VERSIONS_LEAF)
    },
    leaf(evmcs::INTERFACE_LEAF, evmcs::INTERFACE),
    leaf(evmcs::FEATURES_LEAF, evmcs::FEATURE_ASSIST),
    leaf(evmcs::HINTS_LEAF, evmcs::HINT_ENLIGHTENED_VMCS),
    leaf(evmcs::VERSIONS_LEAF, evmcs::VERSION << 8 | evmcs::VERSION),
];

/// A leaf that has only EAX.
const fn leaf(function: u32, eax: u32) -> kvm_cpuid_entry2 {
    let (index, flags, ebx, ecx, edx, padding) = (0, 0, 0, 0, 0, [0; 3]);
    kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, padding }
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
        let enlightened =
            guest(&supported, &KvmOptions { enlightened: true, ..Default::default() }, 0);
        assert_eq!(enlightened.as_slice()[2..], super::HYPER_V);
        let same = guest(&supported, &KvmOptions::default(), 7);
        assert_eq!(same.as_slice()[1], supported.as_slice()[1]);
    }
}
