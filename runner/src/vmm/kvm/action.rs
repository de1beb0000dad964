//! What the guest asks the VMM for, see [`spec::channel`]: done, or refused with all as it was.

use crate::vmm::kvm::host::Host;
use crate::vmm::kvm::machine::{Machine, add_ram, create_vm};
use crate::vmm::kvm::state::{Failed, State};
use crate::vmm::kvm::{KvmOptions, cpuid};
use kvm_bindings::{CpuId, KVM_CAP_SMALLER_MAXPHYADDR};
use kvm_ioctls::VcpuFd;
use spec::channel::{Ask, NARROW, Status, Step};

/// The guest's MAXPHYADDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    AtStart,
    Wide,
    Narrow,
}

impl Machine {
    /// Does what a code asks for. Unknown codes are for a newer VMM.
    pub fn act(&mut self, code: u32) -> Status {
        let Some(ask) = Ask::from_code(code) else { return Status::Refused { step: Step::Know, errno: 0 } };
        let done = match ask {
            Ask::RearmDirtyLog => self.rearm_dirty_log(),
            Ask::Move => self.relocate(Width::AtStart, None),
            Ask::MoveWide => self.relocate(Width::Wide, None),
            Ask::MoveNarrow => self.relocate(Width::Narrow, None),
            Ask::Narrow => self.change_width(Width::Narrow),
            Ask::Widen => self.change_width(Width::Wide),
            Ask::MoveThenNarrow => self.relocate(Width::Wide, Some(Width::Narrow)),
            Ask::MoveThenWiden => self.relocate(Width::Narrow, Some(Width::Wide)),
        };
        done.map_or_else(Status::from, |()| Status::Done)
    }

    /// The first time turns logging on. Then fetching the log protects the pages again.
    fn rearm_dirty_log(&mut self) -> Result<(), Failed> {
        if !self.tracked {
            add_ram(&self.vm, &self.memory, true).map_err(Failed::at(Step::Memory))?;
            self.tracked = true;
        }
        self.vm.get_dirty_log(super::machine::RAM_SLOT, self.ram()).map_err(Failed::at(Step::DirtyLog))?;
        Ok(())
    }

    /// The guest's CPUID with a MAXPHYADDR.
    fn cpuid(&self, width: Width) -> Result<CpuId, Failed> {
        let Machine { host, options, .. } = self;
        let guest_maxphyaddr = match width {
            Width::AtStart => options.guest_maxphyaddr,
            Width::Wide => None,
            Width::Narrow if supports_narrow(host) => Some(NARROW),
            Width::Narrow => return Err(Failed { step: Step::SmallerMaxphyaddr, errno: 0 }),
        };
        Ok(cpuid::guest(&host.cpuid, &KvmOptions { guest_maxphyaddr, ..*options }, 0))
    }

    fn change_width(&mut self, width: Width) -> Result<(), Failed> {
        let cpuid = self.cpuid(width)?;
        self.vcpu.set_cpuid2(&cpuid).map_err(Failed::at(Step::SetCpuid))
    }

    /// Saves everything and goes on in a new VM, whose MAXPHYADDR is `first`, and `then` when all is restored.
    fn relocate(&mut self, first: Width, then: Option<Width>) -> Result<(), Failed> {
        let (first, then) = (self.cpuid(first)?, then.map(|width| self.cpuid(width)).transpose()?);
        complete(&mut self.vcpu)?;
        let state = State::save(&self.host.kvm, &self.vm, &self.vcpu)?;
        let vm = create_vm(&self.host).map_err(Failed::at(Step::CreateVm))?;
        add_ram(&vm, &self.memory, self.tracked).map_err(Failed::at(Step::Memory))?;
        let vcpu = vm.create_vcpu(0).map_err(Failed::at(Step::CreateVm))?;
        vcpu.set_cpuid2(&first).map_err(Failed::at(Step::SetCpuid))?;
        state.restore(&vm, &vcpu)?;
        if let Some(cpuid) = then {
            vcpu.set_cpuid2(&cpuid).map_err(Failed::at(Step::SetCpuid))?;
        }
        self.ports.rewire(&self.vm, &vm).map_err(Failed::at(Step::CreateVm))?;
        self.vcpu = vcpu;
        self.vm = vm;
        Ok(())
    }
}

/// Whether L0 gives a guest the right error codes if its MAXPHYADDR is [`NARROW`], and that is less than its own.
fn supports_narrow(host: &Host) -> bool {
    let smaller = host.kvm.check_extension_raw(KVM_CAP_SMALLER_MAXPHYADDR.into()) > 0;
    smaller && cpuid::maxphyaddr(&host.cpuid).is_some_and(|width| width > NARROW)
}

/// Completes the instruction that left to the VMM, and no other.
fn complete(vcpu: &mut VcpuFd) -> Result<(), Failed> {
    vcpu.set_kvm_immediate_exit(1);
    let failed = match vcpu.run() {
        // KVM says so with a signal's error.
        Err(error) if error.errno() == libc::EINTR => None,
        Err(error) => Some(error.errno()),
        // Another exit: the instruction is not over.
        Ok(_) => Some(0),
    };
    vcpu.set_kvm_immediate_exit(0);
    failed.map_or(Ok(()), |errno| Err(Failed { step: Step::Run, errno }))
}
