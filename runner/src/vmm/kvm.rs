//! The built-in VMM on this machine's KVM: the shortest way from the image to the nested VMX under
//! test.
//!
//! It has one vCPU in its own thread, and a [`second`] one if the guest asks for it. RAM is in one
//! slot, entry is by PVH, and the interrupt controllers are the kernel's. The devices are COM1 and
//! a few ports, see [`devices`]. The calling thread watches the clock and feeds the sink, so
//! neither a hung guest nor a full sink can delay the end.

use crate::vmm::{Boot, Outcome, Sink, Unavailable, Vmm};
use host::Device;

pub mod action;
pub mod cpuid;
pub mod devices;
pub mod exits;
pub mod host;
pub mod kicks;
pub mod late;
pub mod load;
pub mod machine;
pub mod malformed;
pub mod memory;
pub mod mmio;
pub mod second;
pub mod serve;
pub mod state;
pub mod stay;
pub mod vcpu;
pub mod watch;

/// Where the scratch device is by default: below the I/O APIC, where there is no RAM.
pub const MMIO_PAGE: u64 = 0xfeb0_0000;

/// What can be varied in the VM, so that L0's own need differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvmOptions {
    /// The physical-address width in the guest's CPUID (leaf 0x80000008, EAX bits 7:0), if not the
    /// host's.
    pub guest_maxphyaddr: Option<u8>,
    /// Physical address of the scratch device's page, see [`mmio`].
    pub mmio_page: u64,
    /// The guest has Hyper-V's interface with the enlightened VMCS.
    pub enlightened: bool,
}

impl Default for KvmOptions {
    fn default() -> Self {
        Self { guest_maxphyaddr: None, mmio_page: MMIO_PAGE, enlightened: false }
    }
}

/// This machine's KVM, which was found to be usable.
#[derive(Debug)]
pub struct Kvm {
    options: KvmOptions,
}

impl Kvm {
    /// Opens KVM and checks that it offers nested VMX.
    ///
    /// # Errors
    /// It is missing, not permitted, too old, or offers no VMX to guests.
    pub fn open(options: KvmOptions) -> Result<Self, Unavailable> {
        Device::open()?.require_vmx()?;
        Ok(Self { options })
    }

    /// Opens KVM for a guest that needs no VMX.
    ///
    /// # Errors
    /// As [`Kvm::open`], except the last.
    #[cfg(test)]
    pub fn open_plain(options: KvmOptions) -> Result<Self, Unavailable> {
        Device::open().map(|_| Self { options })
    }
}

impl Vmm for Kvm {
    fn describe(&self) -> String {
        let kernel = host::kernel_release();
        let width = self
            .options
            .guest_maxphyaddr
            .map_or_else(String::new, |width| format!(", guest MAXPHYADDR {width}"));
        format!("KVM of Linux {kernel}{width}")
    }

    fn run(&self, boot: &Boot, sink: &mut dyn Sink) -> Result<Outcome, Unavailable> {
        if boot.verbose {
            eprintln!(
                "maskmatch: {}, {} MiB, {:?}",
                self.describe(),
                boot.memory_mib,
                self.options
            );
        }
        let (machine, serial) = machine::Machine::build(self.options, boot)?;
        watch::run(machine, &serial, boot.limit, sink)
    }
}

#[cfg(test)]
mod tests;
