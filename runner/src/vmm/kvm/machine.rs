//! The VM: memory, interrupt controllers, ports, vCPU; and the loop that serves its exits.
//!
//! [`Machine::run`] needs its own thread. Another thread ends it by setting `stop` and kicking it
//! with a signal until it is gone. If a kick comes between two checks, the next one works.

#![allow(unsafe_code, reason = "KVM's run page has a union")]

use crate::vmm::kvm::action::Exits;
use crate::vmm::kvm::devices::{COM1, Ports, Request};
use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::host::Device;
use crate::vmm::kvm::kicks::Kicks;
use crate::vmm::kvm::late::Late;
use crate::vmm::kvm::memory::Memory;
use crate::vmm::kvm::mmio::{self, Scratch};
use crate::vmm::kvm::second::Second;
use crate::vmm::kvm::{KvmOptions, cpuid, load, vcpu};
use crate::vmm::{Boot, End, Unavailable};
use kvm_bindings::{KVM_CAP_EXCEPTION_PAYLOAD, kvm_enable_cap, kvm_pit_config};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use spec::channel::{self, LINE, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use vm_memory::{Address, Bytes, GuestAddress};

/// Where kvm_intel may put its three pages of TSS and its identity map: below where a BIOS would
/// be.
const TSS_ADDRESS: usize = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS: u64 = 0xfffb_c000;
/// RAM must end below the devices.
const MAX_MEMORY_MIB: u32 = 3072;
/// How many pieces of the log may be queued before the guest has to wait.
const LOG_QUEUE: usize = 4096;
/// The largest number of words that an internal error comes with.
const MAX_ERROR_DATA: usize = 16;

/// A VM that is ready to run. The order matters: the vCPUs and the VM go before the memory that
/// they use.
pub struct Machine {
    /// The second vCPU, if the guest asked for one.
    pub(super) second: Option<Second>,
    pub(super) vcpu: VcpuFd,
    pub(super) vm: VmFd,
    pub(super) ports: Ports,
    scratch: Scratch,
    pub(super) memory: Memory,
    /// Whether writes to memory are logged.
    pub(super) tracked: bool,
    /// The VM has KVM_CAP_EXCEPTION_PAYLOAD, if KVM does.
    pub(super) payload: bool,
    /// How many writes to read-only memory have exited to this VMM.
    pub(super) read_only_writes: u64,
    pub(super) host: Device,
    pub(super) options: KvmOptions,
    /// Signals to this thread.
    pub(super) kicks: Option<Kicks>,
    pub(super) exits: Exits,
    pub(super) counter: Option<ExitCounter>,
    /// Memory whose pages come late.
    pub(super) late: Option<Late>,
}

impl Machine {
    /// Makes the VM with the image in it. The receiver gets the serial port's bytes.
    ///
    /// # Errors
    /// KVM refuses something, or the image does not fit.
    pub fn build(options: KvmOptions, boot: &Boot) -> Result<(Self, Receiver<Vec<u8>>), Unavailable> {
        if boot.memory_mib == 0 || boot.memory_mib > MAX_MEMORY_MIB {
            return Err(Unavailable::new(format!("the guest's memory must be 1 to {MAX_MEMORY_MIB} MiB"), ""));
        }
        let ram = u64::from(boot.memory_mib) << 20;
        if !options.mmio_page.is_multiple_of(mmio::SIZE) || options.mmio_page < ram {
            return Err(Unavailable::new("the MMIO page must be page-aligned and above the guest's memory", ""));
        }
        let host = Device::open()?;
        let vm = create_vm(&host, true).map_err(|error| Unavailable::failed("create a VM", error))?;
        let memory = Memory::new(ram as usize)?;
        memory.give(&vm, false).map_err(|failed| Unavailable::failed("give memory to the VM", Status::from(failed)))?;
        let start = load::load(memory.contents(), boot)?;
        let vcpu = vcpu::create(&vm, 0, &cpuid::guest(&host.cpuid, &options, 0))?;
        if host.offers_vmx() {
            vcpu::allow_vmx(&vcpu)?;
        }
        vcpu::enter(&vcpu, start)?;
        let (sender, receiver) = sync_channel(LOG_QUEUE);
        let ports = Ports::new(&vm, sender).map_err(|error| Unavailable::failed("make COM1", error))?;
        let (scratch, counter) = (Scratch::new(options.mmio_page), ExitCounter::of(&vcpu));
        let machine = Self {
            second: None,
            vcpu,
            vm,
            ports,
            scratch,
            memory,
            tracked: false,
            payload: true,
            read_only_writes: 0,
            host,
            options,
            kicks: None,
            exits: Exits::Plain,
            counter,
            late: None,
        };
        Ok((machine, receiver))
    }

    /// Runs the guest until it ends or `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) -> End {
        let end = self.serve(stop);
        self.ports.flush();
        end
    }

    fn serve(&mut self, stop: &AtomicBool) -> End {
        // Whether the next KVM_RUN has to complete an instruction.
        let mut incomplete = false;
        while !stop.load(Ordering::Acquire) {
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
                Ok(VcpuExit::Shutdown) => return End::Crashed("the guest died of a triple fault".into()),
                Ok(VcpuExit::Hlt) => return End::Crashed("the guest halted for good".into()),
                Ok(VcpuExit::FailEntry(reason, cpu)) => return End::Crashed(vcpu::entry_failed(reason, cpu)),
                Ok(VcpuExit::InternalError) => return End::Crashed(self.internal_error()),
                Ok(exit) => {
                    return End::Crashed(format!("KVM left the guest for a reason that has no handler: {exit:?}"));
                }
                // A signal (the kick), or a page that is not there yet: look at `stop`, go on.
                Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                    incomplete = false;
                    if completes {
                        self.exit_served();
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

/// A VM with the kernel's interrupt controllers and timer, and exception payloads if asked for.
pub(super) fn create_vm(host: &Device, payload: bool) -> Result<VmFd, kvm_ioctls::Error> {
    let vm = host.kvm.create_vm()?;
    vm.set_tss_address(TSS_ADDRESS)?;
    vm.set_identity_map_address(IDENTITY_MAP_ADDRESS)?;
    vm.create_irq_chip()?;
    vm.create_pit2(kvm_pit_config::default())?;
    // QEMU enables it too. Without it a pending exception cannot be saved as pending.
    let enable = kvm_enable_cap { cap: KVM_CAP_EXCEPTION_PAYLOAD, args: [1, 0, 0, 0], ..Default::default() };
    if payload && vm.check_extension_raw(KVM_CAP_EXCEPTION_PAYLOAD.into()) > 0 {
        vm.enable_cap(&enable)?;
    }
    Ok(vm)
}
