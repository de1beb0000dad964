//! The loop that runs the guest and serves its exits.
//!
//! [`Machine::run`] needs its own thread. Another thread says what it wants by [`Wishes`], and kicks
//! this one with a signal. If a kick comes between two checks, the next one works.

#![allow(unsafe_code, reason = "KVM's run page has a union")]

use crate::vmm::End;
use crate::vmm::kvm::devices::{COM1, Request};
use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::machine::{Exits, Machine};
use crate::vmm::kvm::second::Second;
use crate::vmm::kvm::vcpu;
use kvm_ioctls::VcpuExit;
use spec::channel::{self, LINE, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use vm_memory::{Address, Bytes, GuestAddress};

/// The largest number of words that an internal error comes with.
const MAX_ERROR_DATA: usize = 16;

/// What another thread wants of the one that runs the guest.
#[derive(Debug, Default)]
pub struct Wishes {
    /// To end.
    pub stop: AtomicBool,
    /// To look whether L2 goes on.
    pub look: AtomicBool,
}

impl Machine {
    /// Runs the guest until it ends or is to stop.
    pub fn run(mut self, wishes: &Wishes) -> End {
        let end = self.serve(wishes);
        self.ports.flush();
        end
    }

    fn serve(&mut self, wishes: &Wishes) -> End {
        // Whether the next KVM_RUN has to complete an instruction.
        let mut incomplete = false;
        while !wishes.stop.load(Ordering::Acquire) {
            let completes = std::mem::replace(&mut incomplete, true) && self.exits != Exits::Plain;
            self.vcpu.set_kvm_immediate_exit(u8::from(completes));
            let request = match self.vcpu.run() {
                Ok(VcpuExit::IoIn(channel::EXITS_PORT, data)) => {
                    let exits = self.counter.as_ref().and_then(ExitCounter::read);
                    // All ones: nobody counts.
                    let bytes = exits.map_or([u8::MAX; 4], |exits| (exits as u32).to_le_bytes());
                    data.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                    Request::None
                }
                Ok(VcpuExit::IoIn(port, data)) => {
                    self.ports.read(port, data);
                    Request::None
                }
                Ok(VcpuExit::IoOut(port, data)) => self.ports.write(port, data),
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.scratch.read(address, data);
                    Request::None
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    if self.memory.write(address, data) {
                        self.read_only_writes += 1;
                    } else {
                        self.scratch.write(address, data);
                    }
                    Request::None
                }
                Ok(VcpuExit::Intr) => Request::None,
                Ok(VcpuExit::Shutdown) => {
                    return End::Crashed("the guest died of a triple fault".into());
                }
                Ok(VcpuExit::Hlt) => return End::Crashed("the guest halted for good".into()),
                Ok(VcpuExit::FailEntry(reason, cpu)) => {
                    return End::Crashed(vcpu::entry_failed(reason, cpu));
                }
                Ok(VcpuExit::InternalError) => return End::Crashed(self.internal_error()),
                Ok(exit) => {
                    return End::Crashed(format!(
                        "KVM left the guest for a reason that has no handler: {exit:?}"
                    ));
                }
                // A signal (the kick), or a page that is not there yet: see what is wanted, go on.
                Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                    incomplete = false;
                    if completes {
                        self.exit_served();
                    } else if wishes.look.swap(false, Ordering::AcqRel) {
                        self.look();
                    } else {
                        self.kicked();
                    }
                    Request::None
                }
                Err(error) => return End::Crashed(format!("KVM_RUN failed: {error}")),
            };
            if let Some(died) = self.second.as_ref().and_then(Second::died) {
                return End::Crashed(died.into());
            }
            match request {
                Request::None => {}
                Request::PowerOff => return End::PoweredOff,
                Request::Reset => return End::Crashed("the guest reset the machine".into()),
                Request::Line(address) => self.line(address),
                Request::Action(code) => {
                    let status: Status = self.act(code);
                    self.ports.answer(status);
                }
            }
        }
        End::Stopped
    }

    /// Sends a line from the guest's memory to COM1.
    fn line(&mut self, address: u32) {
        let memory = self.memory.contents();
        let mut line = [0; LINE];
        let start = GuestAddress(address.into());
        let length = memory.read_obj::<u32>(start).map_or(0, |length| (length as usize).min(LINE));
        // A guest whose address is not memory has said nothing.
        if memory.read_slice(&mut line[..length], start.unchecked_add(4)).is_ok() {
            self.ports.write(COM1, &line[..length]);
        }
    }

    fn internal_error(&mut self) -> String {
        // SAFETY: KVM_RUN has just returned KVM_EXIT_INTERNAL_ERROR, for which KVM fills the
        // union's `internal`.
        let internal = unsafe { self.vcpu.get_kvm_run().__bindgen_anon_1.internal };
        let count = (internal.ndata as usize).min(MAX_ERROR_DATA);
        let rip = self.vcpu.get_regs().ok().map(|regs| regs.rip);
        vcpu::internal_error(internal.suberror, &internal.data[..count], rip)
    }
}
