//! The second processor: started for a group, does the jobs that it gets, and halts after it.

use core::fmt;

use spec::smp::shootdown::State;
use x86_64::instructions::hlt;

use super::VMCS_REGIONS;
use super::lockstep::play_all;
use super::mailbox::{self, Job, Results, SecondState};
use super::memory;
use super::start::NoSecond;
use super::vcpu::SmpVcpu;
use crate::machine::apic::Apic;
use crate::machine::cpu::Cpu;
use crate::machine::exception;
use crate::vmx::{Capabilities, Vmx};

/// The second processor's story, from where [`crate::machine::boot`] leaves it.
#[expect(unsafe_code, reason = "the symbol is called by boot's assembly")]
// SAFETY: no other symbol has the name, and boot's call passes nothing and expects no return.
#[unsafe(no_mangle)]
extern "sysv64" fn l1_second_main() -> ! {
    exception::catch_all(1, died);
    let cpu = Cpu::identify();
    cpu.leave_x2apic();
    let Some(apic) = Apic::of(&cpu) else { died(&NoSecond::Apic) };
    let capabilities = match Capabilities::of(&cpu) {
        Ok(capabilities) => capabilities,
        Err(missing) => died(&missing),
    };
    cpu.enable_features();
    let vmx = match Vmx::enter(1, &capabilities) {
        Ok(vmx) => vmx,
        Err(failed) => died(&failed),
    };
    apic.enable();
    let root = memory::root(usize::from(!mailbox::is_shared()));
    let vmcs = match vmx.load(&VMCS_REGIONS[1]) {
        Ok(vmcs) => vmcs,
        Err(fail) => died(&fail),
    };
    let mut vcpu = SmpVcpu::new(&vmx, vmcs, 1, root);
    mailbox::ready(apic.own_id());
    loop {
        match mailbox::take() {
            Job::Walk { filter, number } => {
                let maxphyaddr = cpu.maxphyaddr;
                mailbox::done(|results| {
                    play_all(&mut vcpu, 1, maxphyaddr, filter, number, &mut results.walk);
                });
            }
            Job::Shoot { filter, change, interrupt, number } => {
                vcpu.set_filter(filter);
                let first_allowed = change.pfec(State::Old, cpu.maxphyaddr).is_none();
                let shot = vcpu.shoot(change, interrupt, first_allowed, number);
                if interrupt {
                    apic.end_of_interrupt();
                }
                mailbox::done(|results: &mut Results| results.shot = shot);
            }
            Job::Halt => break,
        }
    }
    vcpu.end();
    vmx.leave();
    mailbox::set_second_state(SecondState::Halted);
    halt()
}

/// The second processor cannot go on.
fn died(why: &dyn fmt::Display) -> ! {
    mailbox::die(why);
    halt()
}

/// Waits for INIT.
fn halt() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        hlt();
    }
}
