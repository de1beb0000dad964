//! A second vCPU, in a thread of its own: made when the guest asks for it. From then on it waits
//! for INIT and SIPI.
//!
//! It has no devices: reads of ports and of missing memory give ones, and writes are ignored. If it
//! dies, the first vCPU's loop learns of it and ends the run.

use crate::vmm::kvm::host::Device;
use crate::vmm::kvm::state::Failed;
use crate::vmm::kvm::{KvmOptions, cpuid, vcpu};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use spec::channel::Step;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use vmm_sys_util::signal::{Killable, SIGRTMIN};

/// Its number and its local APIC's. Not the one after the first's: as in Xen, the guest has to find
/// out.
const NUMBER: u8 = 2;
/// The time between two kicks of a thread that is to end.
const PAUSE: Duration = Duration::from_millis(20);

/// The thread of the second vCPU; it is ended when this goes out of scope.
pub struct Second {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the two vCPUs' threads share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Why the vCPU no longer runs: a sentence.
    died: OnceLock<String>,
}

impl Second {
    /// Why the vCPU no longer runs, if so.
    pub fn died(&self) -> Option<&str> {
        self.shared.died.get().map(String::as_str)
    }

    /// Makes the vCPU in a VM, and its thread.
    pub fn start(vm: &VmFd, host: &Device, options: &KvmOptions) -> Result<Self, Failed> {
        let refused = |errno| Failed { step: Step::SecondProcessor, errno };
        let cpuid = cpuid::guest(&host.cpuid, options, NUMBER);
        let vcpu = vcpu::create(vm, NUMBER, &cpuid).map_err(|_| refused(0))?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("vcpu1".into())
            .spawn(move || serve(vcpu, &seen))
            .map_err(|error| refused(error.raw_os_error().unwrap_or_default()))?;
        Ok(Self { thread: Some(thread), shared })
    }
}

/// Runs the vCPU until it is asked to stop, or dies.
fn serve(mut vcpu: VcpuFd, shared: &Shared) {
    while !shared.stop.load(Ordering::Acquire) {
        let died = match vcpu.run() {
            Ok(VcpuExit::IoIn(_, data) | VcpuExit::MmioRead(_, data)) => {
                data.fill(0xff);
                continue;
            }
            Ok(VcpuExit::IoOut(..) | VcpuExit::MmioWrite(..) | VcpuExit::Intr) => continue,
            // A signal came, or it still waits for SIPI.
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => continue,
            Ok(VcpuExit::Shutdown) => "the guest's second processor died of a triple fault".into(),
            Ok(VcpuExit::FailEntry(reason, cpu)) => {
                format!("the second vCPU: {}", vcpu::entry_failed(reason, cpu))
            }
            Ok(exit) => {
                format!("KVM left the second vCPU for a reason that has no handler: {exit:?}")
            }
            Err(error) => format!("KVM_RUN of the second vCPU failed: {error}"),
        };
        // The first word counts, and there is only one.
        let _ = shared.died.set(died);
        return;
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            // An error means that the thread is gone already.
            let _ = thread.kill(SIGRTMIN());
            thread::sleep(PAUSE);
        }
        let _ = thread.join();
    }
}
