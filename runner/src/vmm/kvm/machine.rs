//! The VM: memory, interrupt controllers, ports, vCPU.

use crate::vmm::kvm::devices::Ports;
use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::host::Device;
use crate::vmm::kvm::kicks::Kicks;
use crate::vmm::kvm::late::Late;
use crate::vmm::kvm::memory::Memory;
use crate::vmm::kvm::mmio::{self, Scratch};
use crate::vmm::kvm::second::Second;
use crate::vmm::kvm::state::Failed;
use crate::vmm::kvm::stay::Stay;
use crate::vmm::kvm::{KvmOptions, cpuid, load, vcpu};
use crate::vmm::{Boot, Unavailable};
use kvm_bindings::{KVM_CAP_EXCEPTION_PAYLOAD, kvm_enable_cap, kvm_pit_config};
use kvm_ioctls::{VcpuFd, VmFd};
use spec::channel::Status;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, sync_channel};

/// Where kvm_intel may put its three pages of TSS and its identity map: below where a BIOS would
/// be.
const TSS_ADDRESS: usize = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS: u64 = 0xfffb_c000;
/// RAM must end below the devices.
const MAX_MEMORY_MIB: u32 = 3072;
/// How many pieces of the log may be queued before the guest has to wait.
const LOG_QUEUE: usize = 4096;

/// How exits to user space are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exits {
    /// The KVM_RUN that completes the instruction enters the guest.
    Plain,
    /// It does not; the next one does.
    Immediate,
    /// The same, and between the two the vCPU moves, this many times. A failure ends that.
    Moved(u32, Option<Failed>),
}

/// A VM that is ready to run. The order matters: the vCPUs and the VM go before the memory that
/// they use.
pub struct Machine {
    /// Memory whose pages come late. Its thread may use the VM.
    pub(super) late: Option<Late>,
    /// The second vCPU, if the guest asked for one.
    pub(super) second: Option<Second>,
    pub(super) vcpu: VcpuFd,
    pub(super) vm: Arc<VmFd>,
    pub(super) ports: Ports,
    pub(super) scratch: Scratch,
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
    /// How often its state was saved, to move to a new VM.
    pub(super) moves: Arc<AtomicU32>,
    pub(super) exits: Exits,
    pub(super) counter: Option<ExitCounter>,
    pub(super) stay: Stay,
}

impl Machine {
    /// Makes the VM with the image in it. The receiver gets the serial port's bytes.
    ///
    /// # Errors
    /// KVM refuses something, or the image does not fit.
    pub fn build(
        options: KvmOptions,
        boot: &Boot,
    ) -> Result<(Self, Receiver<Vec<u8>>), Unavailable> {
        if boot.memory_mib == 0 || boot.memory_mib > MAX_MEMORY_MIB {
            return Err(Unavailable::new(
                format!("the guest's memory must be 1 to {MAX_MEMORY_MIB} MiB"),
                "",
            ));
        }
        let ram = u64::from(boot.memory_mib) << 20;
        if !options.mmio_page.is_multiple_of(mmio::SIZE) || options.mmio_page < ram {
            return Err(Unavailable::new(
                "the MMIO page must be page-aligned and above the guest's memory",
                "",
            ));
        }
        let host = Device::open()?;
        let vm =
            create_vm(&host, true).map_err(|error| Unavailable::failed("create a VM", error))?;
        let memory = Memory::new(ram as usize)?;
        memory
            .give(&vm, false)
            .map_err(|failed| Unavailable::failed("give memory to the VM", Status::from(failed)))?;
        let start = load::load(memory.contents(), boot)?;
        let vcpu = vcpu::create(&vm, 0, &cpuid::guest(&host.cpuid, &options, 0))?;
        if host.offers_vmx() {
            vcpu::allow_vmx(&vcpu)?;
        }
        vcpu::enter(&vcpu, start)?;
        let (sender, receiver) = sync_channel(LOG_QUEUE);
        let ports =
            Ports::new(&vm, sender).map_err(|error| Unavailable::failed("make COM1", error))?;
        let (scratch, counter) = (Scratch::new(options.mmio_page), ExitCounter::of(&vcpu));
        let machine = Self {
            late: None,
            second: None,
            vcpu,
            vm: Arc::new(vm),
            ports,
            scratch,
            memory,
            tracked: false,
            payload: true,
            read_only_writes: 0,
            host,
            options,
            kicks: None,
            moves: Arc::default(),
            exits: Exits::Plain,
            counter,
            stay: Stay::default(),
        };
        Ok((machine, receiver))
    }
}

/// A VM with the kernel's interrupt controllers and timer, and exception payloads if asked for.
pub(super) fn create_vm(host: &Device, payload: bool) -> Result<VmFd, kvm_ioctls::Error> {
    let vm = loop {
        match host.kvm.create_vm() {
            // A signal came.
            Err(error) if error.errno() == libc::EINTR => {}
            made => break made?,
        }
    };
    vm.set_tss_address(TSS_ADDRESS)?;
    vm.set_identity_map_address(IDENTITY_MAP_ADDRESS)?;
    vm.create_irq_chip()?;
    vm.create_pit2(kvm_pit_config::default())?;
    // QEMU enables it too. Without it a pending exception cannot be saved as pending.
    let enable =
        kvm_enable_cap { cap: KVM_CAP_EXCEPTION_PAYLOAD, args: [1, 0, 0, 0], ..Default::default() };
    if payload && vm.check_extension_raw(KVM_CAP_EXCEPTION_PAYLOAD.into()) > 0 {
        vm.enable_cap(&enable)?;
    }
    Ok(vm)
}
