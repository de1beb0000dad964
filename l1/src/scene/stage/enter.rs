//! VM entry with all general-purpose registers, and back at the first VM exit.
#![allow(unsafe_code, reason = "VMLAUNCH, VMRESUME and the exit path are assembly")]

use core::arch::{asm, global_asm};

use spec::scene::end::Word;

use crate::machine::global::Global;
use crate::vmx::{Field, VmFail, Vmcs, vmwrite};

const EXIT_STACK: usize = 64;

#[repr(C, align(16))]
struct Stack([u8; EXIT_STACK]);
/// The exit path pushes nothing; the stack is there since HOST_RSP must be some address.
static STACK: Global<Stack> = Global::new(Stack([0; EXIT_STACK]));

/// L2's registers in the order of [`Word`], and RSP of [`enter`]'s frame behind them.
static REGISTERS: Global<[u64; Word::REGISTERS + 1]> = Global::new([0; Word::REGISTERS + 1]);

global_asm!(
    r#"
    .section .text.entry, "ax"
    # extern "sysv64" fn stage_enter(resume: bool) -> u64 (1: an exit came, 0: the entry failed, see RFLAGS in RDX)
    .globl stage_enter
    stage_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rip + {registers} + 120], rsp
        # MOV changes no flags.
        test dil, dil
        mov rax, [rip + {registers}]
        mov rcx, [rip + {registers} + 8]
        mov rdx, [rip + {registers} + 16]
        mov rbx, [rip + {registers} + 24]
        mov rbp, [rip + {registers} + 32]
        mov rsi, [rip + {registers} + 40]
        mov rdi, [rip + {registers} + 48]
        mov r8, [rip + {registers} + 56]
        mov r9, [rip + {registers} + 64]
        mov r10, [rip + {registers} + 72]
        mov r11, [rip + {registers} + 80]
        mov r12, [rip + {registers} + 88]
        mov r13, [rip + {registers} + 96]
        mov r14, [rip + {registers} + 104]
        mov r15, [rip + {registers} + 112]
        jnz 2f
        vmlaunch
        jmp 3f
    2:  vmresume
        # Still here: the entry failed, and CF or ZF says how.
    3:  pushfq
        pop rdx
        xor eax, eax
        jmp stage_leave

    .globl stage_exit
    stage_exit:
        mov [rip + {registers}], rax
        mov [rip + {registers} + 8], rcx
        mov [rip + {registers} + 16], rdx
        mov [rip + {registers} + 24], rbx
        mov [rip + {registers} + 32], rbp
        mov [rip + {registers} + 40], rsi
        mov [rip + {registers} + 48], rdi
        mov [rip + {registers} + 56], r8
        mov [rip + {registers} + 64], r9
        mov [rip + {registers} + 72], r10
        mov [rip + {registers} + 80], r11
        mov [rip + {registers} + 88], r12
        mov [rip + {registers} + 96], r13
        mov [rip + {registers} + 104], r14
        mov [rip + {registers} + 112], r15
        mov rsp, [rip + {registers} + 120]
        mov eax, 1
    stage_leave:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    .text
    "#,
    registers = sym REGISTERS,
);

unsafe extern "sysv64" {
    fn stage_exit();
}

/// Writes where VM exits go.
pub fn write_host_entry() {
    vmwrite(Field::HostRsp, STACK.get() as u64 + EXIT_STACK as u64);
    vmwrite(Field::HostRip, stage_exit as *const () as u64);
}

/// Sets the registers for the next entry, in the order of [`Word`].
pub fn set_registers(values: &[u64; Word::REGISTERS]) {
    // SAFETY: L2 does not run, and the assembly uses the registers only inside `enter`.
    unsafe { (&mut *REGISTERS.get())[..Word::REGISTERS].copy_from_slice(values) };
}

/// What the register of this number of [`Word`] held at the last exit.
pub fn register(at: usize) -> u64 {
    // SAFETY: as in `set_registers`.
    unsafe { (*REGISTERS.get())[at] }
}

/// Enters L2 until the first VM exit.
pub fn enter(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    let (exited, flags): (u64, u64);
    // SAFETY: the current VMCS holds host state that leads to `stage_exit`, with a stack of its own; the assembly
    // keeps callee-saved registers, and L2 shares no memory with Rust but through pointers.
    unsafe {
        asm!("call stage_enter", inout("rdi") u64::from(vmcs.launched()) => _, lateout("rax") exited,
            lateout("rdx") flags, clobber_abi("sysv64"));
    }
    vmcs.entered(exited != 0, flags)
}

/// Ends the blocking of NMIs that the delivery of one to L2 began: an IRET to the next instruction. SDM vol. 3A,
/// section 6.7.1, "Handling Multiple NMIs".
pub fn unblock_nmis() {
    // SAFETY: the frame is L1's own state, with RIP behind the instruction; RSP comes back with it.
    unsafe {
        asm!("mov {0}, ss", "mov {1}, rsp", "push {0}", "push {1}", "pushfq", "mov {0}, cs", "push {0}",
            "lea {0}, [rip + 2f]", "push {0}", "iretq", "2:", out(reg) _, out(reg) _);
    }
}
