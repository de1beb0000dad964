//! L1: the hypervisor under whose name the host is tested.
//!
//! On entry: 64-bit mode, CPL 0, the low 4 GiB mapped one to one, a stack, SSE on, interrupts off, as
//! [`boot`] leaves it; EAX and EBX of the loader as arguments.
//!
//! Duties: write one complete log to COM1 and power the machine off, whatever happens.
#![no_std]
#![no_main]

mod action;
mod apic;
mod async_fault;
mod bench;
mod boot;
mod builtins;
mod channel;
mod cpu;
mod difference;
mod exception;
mod global;
mod group;
mod guest;
mod host;
mod interrupt;
mod judge;
mod loader;
mod output;
mod own;
mod paging;
mod power;
mod serial;
mod smp;
mod stage;
mod trace;
mod tried;
mod vmx;
mod walk;

use core::panic::PanicInfo;

use spec::options::Options;

use crate::output::log;

/// The story: each step either gives what the next one needs or ends the log with the reason.
extern "sysv64" fn l1_main(loader_magic: u32, loader_info: u32) -> ! {
    exception::catch_all(0);
    let serial = serial::Serial::com1();
    let boot = loader::read(loader_magic, loader_info);
    let cpu = cpu::Cpu::identify();
    output::begin(serial, &boot, &cpu);
    let options = match Options::parse(boot.command_line()) {
        Ok(options) => options,
        Err(bad) => output::end_with_error(&bad),
    };
    let capabilities = match cpu.vmx_capabilities() {
        Ok(capabilities) => capabilities,
        Err(missing) => output::end_with_skip(&missing),
    };
    cpu.enable_features();
    let vmx = match vmx::Vmx::enter(&capabilities) {
        Ok(vmx) => vmx,
        Err(failed) => output::end_with_error(&failed),
    };
    if !difference::sees_every_field() {
        output::end_with_error(&"L1 does not compare every field of a VM exit or of a delivery");
    }
    let guest = guest::Guest::build(&cpu);
    let ran = if options.bench { bench::run(&cpu, vmx, guest) } else { group::run(&options, &boot, &cpu, vmx, guest) };
    match ran {
        Ok(()) => output::end(),
        Err(failed) => output::end_with_error(&failed),
    }
}

/// A panic is a fault of maskmatch: the log says where, and is ended.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if exception::processor() == 1 {
        smp::died(&format_args!("L1 panicked: {info}"));
    }
    log().error(&format_args!("L1 panicked: {info}"));
    output::end()
}
