//! L1: the hypervisor under whose name the host is tested.
//!
//! On entry: 64-bit mode, CPL 0, the low 4 GiB mapped one to one, a stack, SSE on, interrupts off,
//! as [`boot`] leaves it; EAX and EBX of the loader as arguments.
//!
//! Duties: write one complete log to where it is asked for and end the machine, whatever happens.
//!
//! Of this the image is made, by `main.rs`, and the tests, which run on the host: there `fake`
//! takes the place of the processor.
#![cfg_attr(not(test), no_std)]

mod bench;
#[cfg(test)]
mod fake;
mod machine;
mod probe;
mod run;
mod scene;
mod smp;
mod tally;
mod turn;
mod vmx;
mod walk;
mod worlds;

use core::panic::PanicInfo;

use machine::acpi::Acpi;
use spec::catalogue::options::Options;

/// The story: each step either gives what the next one needs or ends the log with the reason.
#[expect(unsafe_code, reason = "the symbol is called by boot's assembly")]
// SAFETY: no other symbol has the name, and boot's call passes two values of 32 bits and expects no
// return.
#[unsafe(no_mangle)]
extern "sysv64" fn l1_main(loader_magic: u32, loader_info: u32) -> ! {
    machine::exception::catch_all(0, machine::log::end_with_error);
    machine::pic::mask_all();
    let boot = machine::loader::read(loader_magic, loader_info);
    let cpu = machine::cpu::Cpu::identify();
    cpu.leave_x2apic();
    let (options, bad) = Options::take(boot.command_line(), &mut |_| {});
    let acpi = Acpi::find(&machine::loader::firmware_memory, boot.rsdp());
    machine::power::plan(&options, acpi);
    machine::log::begin(&options, acpi, &boot, &cpu, vmx::basic(&cpu));
    Options::take(boot.command_line(), &mut |word| {
        machine::log::log().note(&format_args!("not an option of the image: {word}"));
    });
    if let Some(bad) = bad {
        machine::log::end_with_error(&bad);
    }
    let capabilities = match vmx::Capabilities::of(&cpu) {
        Ok(capabilities) => capabilities,
        Err(missing) => machine::log::end_with_skip(&missing),
    };
    cpu.enable_features();
    let vmx = match vmx::Vmx::enter(0, &capabilities) {
        Ok(vmx) => vmx,
        Err(failed) => machine::log::end_with_error(&failed),
    };
    let guest = walk::guest::Guest::build(&cpu);
    let ran = if options.bench {
        bench::run(&cpu, vmx, guest)
    } else {
        run::run(&options, &boot, &cpu, vmx, guest)
    };
    match ran {
        Ok(()) => machine::log::end(),
        Err(failed) => machine::log::end_with_error(&failed),
    }
}

/// A panic is a fault of maskmatch: the log says where, and is ended.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    machine::exception::give_up(&format_args!("L1 panicked: {info}"))
}
