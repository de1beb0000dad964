//! Ending the machine: by what the firmware's ACPI tables say, else by each way that a VMM may have.
#![allow(unsafe_code, reason = "the last resorts are assembly; registers of the machine's power")]

use core::arch::global_asm;

use spec::catalogue::machine::{End, debug_exit};
use spec::catalogue::options::Options;
use spec::log::Verdict;
use x86_64::instructions::port::Port;

use crate::machine::acpi::{Acpi, Power};
use crate::machine::global::Global;
use crate::machine::register::Register;

/// Bochs powers off when this word arrives at this port, and so do other VMMs.
const SHUTDOWN_PORT: u16 = 0x8900;
/// PM1a control, with the word that means power off: of QEMU's PC, of the same with OVMF as
/// firmware, of VirtualBox.
const PM1A: [(u16, u16); 3] = [(0x604, 0x2000), (0xb004, 0x2000), (0x4004, 0x3400)];
/// Cloud Hypervisor's sleep control.
const SLEEP: (u16, u8) = (0x600, 0x34);
/// The reset control register of a PC's chipset: what makes a reset, and its two bytes.
const CHIPSET: (u16, u8, u8) = (0xcf9, 0x02, 0x06);
/// The keyboard controller's command that resets the processor. Firecracker ends by it.
const KEYBOARD: (u16, u8) = (0x64, 0xfe);
/// An IDT without entries, as LIDT reads it in either mode.
static NO_IDT: [u8; 10] = [0; 10];
/// A port that nothing listens to, and how often it is read to give a machine time to end.
const DELAY: (u16, u32) = (0x80, 100_000);
/// CPUID.1:ECX: there is a hypervisor.
const HYPERVISOR: u8 = 31;
/// In a PM1 control register: the machine is in ACPI mode; the kind of sleep.
const SCI_ENABLED: u16 = 1;
const SLEEP_TYPE: u16 = 7 << 10;

global_asm!(
    r#"
    .section .boot, "ax"
    .code32
    .macro l1_delay
        mov edx, {delay}
        mov ecx, {delays}
    7:  in al, dx
        sub ecx, 1
        jnz 7b
    .endm

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
        mov eax, 1
        cpuid
        bt ecx, {hypervisor}
        jnc l1_halt
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
        l1_delay

    # Resets the machine by chipset, keyboard controller and processor.
    .globl l1_reset
    l1_reset:
        mov edx, {chipset}
        mov eax, {chipset_reset}
        out dx, al
        mov eax, {chipset_now}
        out dx, al
        l1_delay
        mov edx, {keyboard}
        mov eax, {keyboard_reset}
        out dx, al
        l1_delay
        # Without an IDT, an exception shuts the processor down.
        mov eax, offset {no_idt}
        lidt [eax]
        int3

    .globl l1_halt
    l1_halt:
        cli
        hlt
        jmp l1_halt
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
    delay = const DELAY.0,
    delays = const DELAY.1,
    hypervisor = const HYPERVISOR,
    chipset = const CHIPSET.0,
    chipset_reset = const CHIPSET.1,
    chipset_now = const CHIPSET.2,
    keyboard = const KEYBOARD.0,
    keyboard_reset = const KEYBOARD.1,
    no_idt = sym NO_IDT,
);

unsafe extern "sysv64" {
    fn l1_power_off() -> !;
    fn l1_reset() -> !;
    fn l1_halt() -> !;
}

/// How the machine is to end.
struct Plan {
    end: End,
    /// The port that gets the verdict.
    debug_exit: Option<u16>,
    /// What the firmware says.
    power: Power,
}

static PLAN: Global<Plan> =
    Global::new(Plan { end: End::PowerOff, debug_exit: None, power: Power::NONE });

/// Sets how the machine is to end.
pub fn plan(options: &Options<'_>, acpi: Option<Acpi<'_>>) {
    let Options { end, debug_exit, .. } = *options;
    let plan = Plan { end, debug_exit, power: acpi.map_or(Power::NONE, Acpi::power) };
    // SAFETY: only `end` refers to the static, which never comes back.
    unsafe { *PLAN.get() = plan }
}

/// Ends the machine.
pub fn end(verdict: Verdict) -> ! {
    x86_64::instructions::interrupts::disable();
    // SAFETY: as in `plan`.
    let plan = unsafe { &*PLAN.get() };
    if let Some(port) = plan.debug_exit {
        // SAFETY: whoever gave the port says that it is for this; the log is out.
        unsafe { Port::new(port).write(debug_exit(verdict)) };
    }
    // SAFETY: the registers are those that the firmware gives for this, and the code above ends the
    // machine or halts for ever; it uses no stack, and no memory but its own.
    unsafe {
        match plan.end {
            End::PowerOff => {
                power_off(&plan.power);
                l1_power_off()
            }
            End::Reset => {
                write(plan.power.reset);
                l1_reset()
            }
            End::Halt => l1_halt(),
        }
    }
}

/// Enters soft off by the firmware's registers.
///
/// # Safety
/// They are what the firmware says, and the machine may end.
unsafe fn power_off(power: &Power) {
    // SAFETY: the caller's.
    unsafe {
        write(power.sleep);
        let (enable, value) = power.enable;
        for (port, sleep) in power.pm1.into_iter().flatten() {
            let mut control = Port::<u16>::new(port);
            if control.read() & SCI_ENABLED == 0 && enable != 0 && value != 0 {
                Port::new(enable).write(value);
                let _ = (0..DELAY.1).any(|_| control.read() & SCI_ENABLED != 0);
            }
            let kept = control.read() & !SLEEP_TYPE;
            control.write(kept | sleep);
        }
    }
    if power.pm1 != [None; 2] {
        delay();
    }
}

/// Writes a register, and gives the machine time to end.
///
/// # Safety
/// As of [`Register::write`], or the machine may end.
unsafe fn write(register: Option<(Register, u8)>) {
    if let Some((register, value)) = register {
        // SAFETY: the caller's.
        unsafe { register.write(value) };
        delay();
    }
}

/// Takes a machine a while, above all where each read is an exit to a VMM.
#[inline(never)]
fn delay() {
    for _ in 0..DELAY.1 {
        // SAFETY: the port holds codes of the firmware's start; a read has no effect.
        unsafe { Port::<u8>::new(DELAY.0).read() };
    }
}
