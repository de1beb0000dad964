//! The VM: memory, interrupt controllers, ports, vCPU; and the loop that serves its exits.
//!
//! [`Machine::run`] belongs into a thread of its own. Another thread ends it by setting `stop` and kicking the
//! thread with a signal until it is gone; a kick that comes between two checks is made good by the next one.

#![allow(unsafe_code, reason = "KVM keeps the address of the guest's memory, and its run page has a union")]

use crate::vmm::kvm::devices::{Ports, Request};
use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::host::Host;
use crate::vmm::kvm::mmio::{self, Scratch};
use crate::vmm::kvm::{KvmOptions, cpuid, load, vcpu};
use crate::vmm::{Boot, End, Unavailable};
use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use spec::channel;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Where kvm_intel may put its three pages of TSS and its identity map: below the BIOS that is not there.
const TSS_ADDRESS: usize = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS: u64 = 0xfffb_c000;
const RAM_SLOT: u32 = 0;
/// RAM must end below the devices.
const MAX_MEMORY_MIB: u32 = 3072;
/// Pieces of the log that may be under way before the guest has to wait.
const LOG_QUEUE: usize = 4096;
/// The largest number of words that an internal error comes with.
const MAX_ERROR_DATA: usize = 16;

/// A VM that is ready to run. The order matters: the vCPU and the VM go before the memory that they use.
pub struct Machine {
    vcpu: VcpuFd,
    vm: VmFd,
    ports: Ports,
    scratch: Scratch,
    exits: Option<ExitCounter>,
    memory: GuestMemoryMmap,
    tracked: bool,
}

impl Machine {
    /// Makes the VM with the image in it. The receiver gets the serial port's bytes.
    ///
    /// # Errors
    /// KVM refuses something, or the image does not fit.
    pub fn build(host: &Host, options: KvmOptions, boot: &Boot) -> Result<(Self, Receiver<Vec<u8>>), Unavailable> {
        if boot.memory_mib == 0 || boot.memory_mib > MAX_MEMORY_MIB {
            return Err(Unavailable::new(format!("the guest's memory must be 1 to {MAX_MEMORY_MIB} MiB"), ""));
        }
        let ram = u64::from(boot.memory_mib) << 20;
        if !options.mmio_page.is_multiple_of(mmio::SIZE) || options.mmio_page < ram {
            return Err(Unavailable::new("the MMIO page must be page-aligned and above the guest's memory", ""));
        }
        let vm = create_vm(host)?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), ram as usize)])
            .map_err(|error| Unavailable::failed("allocate the guest's memory", error))?;
        add_ram(&vm, &memory, ram, false)?;
        let start = load::load(&memory, boot)?;
        let vcpu = vcpu::create(&vm, 0, &cpuid::guest(&host.cpuid, &options, 0))?;
        if host.offers_vmx() {
            vcpu::allow_vmx(&vcpu)?;
        }
        vcpu::enter(&vcpu, start)?;
        let (sender, receiver) = sync_channel(LOG_QUEUE);
        let ports = Ports::new(&vm, sender).map_err(|error| Unavailable::failed("make COM1", error))?;
        let (scratch, exits) = (Scratch::new(options.mmio_page), ExitCounter::of(&vcpu));
        Ok((Self { vcpu, vm, ports, scratch, exits, memory, tracked: false }, receiver))
    }

    /// Runs the guest until it ends or `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) -> End {
        let end = self.serve(stop);
        self.ports.flush();
        end
    }

    fn serve(&mut self, stop: &AtomicBool) -> End {
        while !stop.load(Ordering::Acquire) {
            let request = match self.vcpu.run() {
                Ok(VcpuExit::IoIn(channel::EXITS_PORT, data)) => {
                    let exits = self.exits.as_ref().and_then(ExitCounter::read);
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
                    self.scratch.write(address, data);
                    Request::None
                }
                Ok(VcpuExit::Intr) => Request::None,
                Ok(VcpuExit::Shutdown) => return End::Crashed("the guest died of a triple fault".into()),
                Ok(VcpuExit::Hlt) => return End::Crashed("the guest halted for good".into()),
                Ok(VcpuExit::FailEntry(reason, cpu)) => return End::Crashed(vcpu::entry_failed(reason, cpu)),
                Ok(VcpuExit::InternalError) => return End::Crashed(self.internal_error()),
                Ok(exit) => {
                    return End::Crashed(format!("KVM left the guest for a reason that has no handler: {exit:?}"));
                }
                // A signal (the kick), or a page that is not there yet: look at `stop`, go on.
                Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => Request::None,
                Err(error) => return End::Crashed(format!("KVM_RUN failed: {error}")),
            };
            match request {
                Request::None => {}
                Request::PowerOff => return End::PoweredOff,
                Request::Reset => return End::Crashed("the guest reset the machine".into()),
                Request::Action(code) => self.act(code),
            }
        }
        End::Stopped
    }

    /// Does what the guest asked for through the channel. Unknown codes are for a newer VMM.
    fn act(&mut self, code: u32) {
        if code == channel::ACTION_REARM_DIRTY_LOG {
            let size = self.memory.iter().map(|region| vm_memory::GuestMemoryRegion::len(region) as usize).sum();
            // The first time turns logging on. Then fetching the log protects the pages again. If KVM refuses,
            // nothing is tracked, which no guest can tell from tracking that does not show.
            if !self.tracked && add_ram(&self.vm, &self.memory, size as u64, true).is_ok() {
                self.tracked = true;
            }
            let _ = self.vm.get_dirty_log(RAM_SLOT, size);
        }
    }

    fn internal_error(&mut self) -> String {
        // SAFETY: KVM_RUN has just returned KVM_EXIT_INTERNAL_ERROR, for which KVM fills the union's `internal`.
        let internal = unsafe { self.vcpu.get_kvm_run().__bindgen_anon_1.internal };
        let count = (internal.ndata as usize).min(MAX_ERROR_DATA);
        let rip = self.vcpu.get_regs().ok().map(|regs| regs.rip);
        vcpu::internal_error(internal.suberror, &internal.data[..count], rip)
    }
}

/// A VM with the kernel's interrupt controllers and timer.
fn create_vm(host: &Host) -> Result<VmFd, Unavailable> {
    let failed = |what: &'static str| move |error| Unavailable::failed(what, error);
    let vm = host.kvm.create_vm().map_err(failed("create a VM"))?;
    vm.set_tss_address(TSS_ADDRESS).map_err(failed("place KVM's TSS"))?;
    vm.set_identity_map_address(IDENTITY_MAP_ADDRESS).map_err(failed("place KVM's identity map"))?;
    vm.create_irq_chip().map_err(failed("create the interrupt controllers"))?;
    vm.create_pit2(kvm_pit_config::default()).map_err(failed("create the timer"))?;
    Ok(vm)
}

/// Gives the memory to the VM.
fn add_ram(vm: &VmFd, memory: &GuestMemoryMmap, size: u64, dirty_log: bool) -> Result<(), Unavailable> {
    let failed = |error: &dyn std::fmt::Display| Unavailable::failed("give memory to the VM", error);
    let address = memory.get_host_address(GuestAddress(0)).map_err(|error| failed(&error))?;
    let region = kvm_userspace_memory_region {
        slot: RAM_SLOT,
        flags: if dirty_log { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
        guest_phys_addr: 0,
        memory_size: size,
        userspace_addr: address as u64,
    };
    // SAFETY: the range is one mapping of exactly `size` bytes that `memory` owns, and `Machine` drops `memory`
    // after the vCPU and the VM; it is accessed by raw volatile copies only, never by references.
    unsafe { vm.set_user_memory_region(region) }.map_err(|error| failed(&error))
}
