//! Nested states with one mistake each, which KVM_SET_NESTED_STATE must refuse with EINVAL: those of
//! Linux' own `tools/testing/selftests/kvm/x86/vmx_set_nested_state_test.c`, and fields of vmcs12
//! that no VM entry takes.

#![allow(unsafe_code, reason = "the nested state is made of unions")]

use crate::vmm::kvm::state::Failed;
use kvm_bindings::nested::KvmNestedStateBuffer;
use kvm_bindings::{
    KVM_STATE_NESTED_FORMAT_SVM, KVM_STATE_NESTED_GUEST_MODE, KVM_STATE_NESTED_RUN_PENDING,
    KVM_STATE_NESTED_SMM_GUEST_MODE,
};
use kvm_ioctls::VcpuFd;
use spec::channel::Step;
use std::mem::offset_of;

/// Bytes of the state before vmcs12.
const HEADER: u32 = offset_of!(KvmNestedStateBuffer, data) as u32;
/// A flag that none of KVM's versions has.
const UNKNOWN_FLAG: u16 = 1 << 15;
/// Fields of KVM's vmcs12: their offsets in bytes. Linux, `arch/x86/kvm/vmx/vmcs12.h`, which fixes
/// them.
const REVISION: usize = 0;
const ENTRY_INTERRUPTION: usize = 788;
const ACTIVITY: usize = 916;
/// VM-entry interruption information: valid, hardware exception, #PF without its error code and
/// \#UD with one. SDM vol. 3C, "VM-Entry Control Fields", checks.
const PAGE_FAULT_WITHOUT_CODE: u32 = 1 << 31 | 3 << 8 | 0xe;
const INVALID_OPCODE_WITH_CODE: u32 = 1 << 31 | 1 << 11 | 3 << 8 | 0x6;
/// No activity state of the manual.
const NO_ACTIVITY: u32 = 5;

/// A mistake, made in a copy of the right state.
type Mistake = fn(&mut KvmNestedStateBuffer);

/// The mistakes. Their numbers, from 1, are those of docs/actions.md.
const MISTAKES: &[Mistake] = &[
    |state| state.format = KVM_STATE_NESTED_FORMAT_SVM as u16,
    |state| state.flags |= UNKNOWN_FLAG,
    |state| {
        state.flags &= !(KVM_STATE_NESTED_GUEST_MODE as u16);
        state.flags |= KVM_STATE_NESTED_RUN_PENDING as u16;
    },
    |state| state.hdr.vmx.vmxon_pa = vmxon(state) + 1,
    |state| state.hdr.vmx.vmcs12_pa = vmxon(state),
    |state| state.size = HEADER,
    |state| state.hdr.vmx.smm.flags = KVM_STATE_NESTED_SMM_GUEST_MODE as u16,
    |state| set(state, REVISION, 0),
    |state| set(state, ENTRY_INTERRUPTION, PAGE_FAULT_WITHOUT_CODE),
    |state| set(state, ENTRY_INTERRUPTION, INVALID_OPCODE_WITH_CODE),
    |state| set(state, ACTIVITY, NO_ACTIVITY),
];

/// Whether KVM refuses all of them, for a vCPU that has no nested state yet. `right` is one in which
/// L2 is active.
///
/// # Errors
/// It takes one: its number is in place of the error's.
pub fn refuses(vcpu: &VcpuFd, right: &KvmNestedStateBuffer) -> Result<(), Failed> {
    for (number, mistake) in (1..).zip(MISTAKES) {
        let mut wrong = *right;
        mistake(&mut wrong);
        if vcpu.set_nested_state(&wrong).is_ok() {
            return Err(Failed { step: Step::RefuseNested, errno: number });
        }
    }
    Ok(())
}

fn vmxon(state: &KvmNestedStateBuffer) -> u64 {
    // SAFETY: every bit pattern is one of the union's, whose other parts are integers too.
    unsafe { state.hdr.vmx.vmxon_pa }
}

/// Writes a field of vmcs12, 32 bits wide.
fn set(state: &mut KvmNestedStateBuffer, offset: usize, value: u32) {
    // SAFETY: the union's parts are bytes.
    let vmcs12 = unsafe { &mut state.data.vmx.vmcs12 };
    vmcs12[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}
