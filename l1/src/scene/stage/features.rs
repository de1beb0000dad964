//! State of features that VM entries do not load by themselves: rights of protection keys, CET.
#![allow(unsafe_code, reason = "writes PKRU and MSRs")]

use core::arch::asm;

use spec::scene::{Feature, Scene};
use x86_64::registers::model_specific::Msr;

use crate::vmx::{Field, Vmx, vmwrite};

const IA32_U_CET: u32 = 0x6a0;
const IA32_PKRS: u32 = 0x6e1;
/// IA32_U_CET.SH_STK_EN.
const SHADOW_STACKS: u64 = 1 << 0;

/// Writes what a scene's feature needs. The processor has it.
pub fn write(vmx: &Vmx, scene: &Scene) {
    match scene.needs {
        // SAFETY: `Cpu::lacks_feature` saw PKU, so `enable_features` set CR4.PKE; the keys count
        // for user-mode pages, of which L1 uses none except for faults that it expects.
        Some(Feature::Pku) => unsafe {
            asm!("wrpkru", in("eax") scene.keys, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
        },
        // SAFETY: `Cpu::lacks_feature` saw PKS, whose MSR this is; L1 does not set CR4.PKS.
        Some(Feature::Pks) => unsafe { Msr::new(IA32_PKRS).write(scene.keys.into()) },
        Some(Feature::ShadowStack) => {
            if let Some(controls) = vmx.entry_with_cet() {
                vmwrite(Field::EntryControls, controls.into());
                vmwrite(Field::GuestSCet, 0);
                vmwrite(Field::GuestSsp, scene.ssp);
                vmwrite(Field::GuestInterruptSspTable, 0);
                // SAFETY: `Cpu::lacks_feature` saw shadow stacks, whose MSR this is; L1 does not
                // set CR4.CET.
                unsafe { Msr::new(IA32_U_CET).write(SHADOW_STACKS) };
            }
        }
        _ => {}
    }
}

/// Takes back what [`write`] left in the VMCS, before a scene with another feature.
pub fn take_back(vmx: &Vmx, feature: Feature) {
    if feature == Feature::ShadowStack {
        vmwrite(Field::EntryControls, vmx.controls.entry.into());
    }
}
