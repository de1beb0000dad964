//! Ending the machine.
#![allow(unsafe_code, reason = "the end is assembly")]

use core::arch::global_asm;

/// Bochs powers off when this word arrives at this port, and so do other VMMs.
const SHUTDOWN_PORT: u16 = 0x8900;
/// PM1a control, with the word that means power off: of QEMU's PC, of the same with OVMF as
/// firmware, of VirtualBox.
const PM1A: [(u16, u16); 3] = [(0x604, 0x2000), (0xb004, 0x2000), (0x4004, 0x3400)];
/// Cloud Hypervisor's sleep control.
const SLEEP: (u16, u8) = (0x600, 0x34);
/// QEMU's `isa-debug-exit`.
const DEBUG_EXIT: u16 = 0xf4;
/// The keyboard controller's command that resets the processor. Firecracker ends by it.
const RESET: (u16, u8) = (0x64, 0xfe);
/// An IDT without entries, as LIDT reads it in either mode.
static NO_IDT: [u8; 10] = [0; 10];
/// A port that nothing listens to, and how often it is read to give a VMM time to end.
const DELAY: (u16, u32) = (0x80, 100_000);
/// CPUID.1:ECX: there is a hypervisor.
const HYPERVISOR: u8 = 31;

global_asm!(
    r#"
    .section .boot, "ax"
    .code32
    # Powers off by each way that a VMM may have. If none works, a virtual machine is reset, by which
    # Firecracker and QEMU's -no-reboot end. A real one would only start again: it halts for ever.
    #
    # This runs in 32-bit and in 64-bit mode: the instructions have the same bytes in both.
    .globl l1_power_off
    l1_power_off:
        cli
        mov edx, {shutdown}
        .irpc letter, Shutdown
            mov eax, '\letter'
            out dx, al
        .endr
        mov edx, {pm1a_0}
        mov eax, {off_0}
        out dx, ax
        mov edx, {pm1a_1}
        mov eax, {off_1}
        out dx, ax
        mov edx, {pm1a_2}
        mov eax, {off_2}
        out dx, ax
        mov edx, {sleep}
        mov eax, {sleep_off}
        out dx, al
        xor eax, eax
        mov edx, {debug_exit}
        out dx, al
        mov edx, {delay}
        mov ecx, {delays}
    1:  in al, dx
        sub ecx, 1
        jnz 1b
        mov eax, 1
        cpuid
        bt ecx, {hypervisor}
        jnc 2f
        mov edx, {reset}
        mov eax, {reset_now}
        out dx, al
        # Without an IDT, an exception shuts the processor down.
        mov eax, offset {no_idt}
        lidt [eax]
        int3
    2:  hlt
        jmp 2b
    .code64
    .text
    "#,
    shutdown = const SHUTDOWN_PORT,
    pm1a_0 = const PM1A[0].0,
    off_0 = const PM1A[0].1,
    pm1a_1 = const PM1A[1].0,
    off_1 = const PM1A[1].1,
    pm1a_2 = const PM1A[2].0,
    off_2 = const PM1A[2].1,
    sleep = const SLEEP.0,
    sleep_off = const SLEEP.1,
    debug_exit = const DEBUG_EXIT,
    delay = const DELAY.0,
    delays = const DELAY.1,
    hypervisor = const HYPERVISOR,
    reset = const RESET.0,
    reset_now = const RESET.1,
    no_idt = sym NO_IDT,
);

unsafe extern "sysv64" {
    fn l1_power_off() -> !;
}

/// Powers off.
pub fn off() -> ! {
    // SAFETY: the code above ends the machine or halts for ever; it uses no memory and no stack.
    unsafe { l1_power_off() }
}
