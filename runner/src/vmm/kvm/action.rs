//! Does what the guest asks the VMM for, see [`spec::channel`], or refuses and leaves everything as
//! it was.

use crate::vmm::kvm::exits::ExitCounter;
use crate::vmm::kvm::host::Device;
use crate::vmm::kvm::kicks::{Kicker, Kicks, Target, hold_signals};
use crate::vmm::kvm::machine::{Exits, Machine, create_vm};
use crate::vmm::kvm::memory::has_page;
use crate::vmm::kvm::second::Second;
use crate::vmm::kvm::state::{self, Failed, State};
use crate::vmm::kvm::{KvmOptions, cpuid, vcpu};
use kvm_bindings::{
    CpuId, KVM_CAP_SMALLER_MAXPHYADDR, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_HW_BP,
    KVM_GUESTDBG_USE_SW_BP, KVM_STATE_NESTED_RUN_PENDING, KVM_VCPUEVENT_VALID_PAYLOAD,
    kvm_guest_debug, kvm_msi,
};
use kvm_ioctls::VcpuFd;
use spec::channel::{
    Ask, EVENT_ADDRESS, EVENT_PFEC, INTERRUPT_VECTOR, NARROW, Status, Step, page_of,
};
use spec::walk::outcome::RFLAGS_RF;
use std::mem::replace;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The vector of #PF.
const PAGE_FAULT: u8 = 14;
/// A message to the local APIC with ID 0, and its data: delivery mode INIT, level asserted, or SMI.
/// Only a vector is an interrupt.
const MSI_TO_APIC_0: u32 = 0xfee0_0000;
pub const MSI_INIT: u32 = 5 << 8 | 1 << 14;
const MSI_SMI: u32 = 2 << 8;

/// How many signals move the vCPU, how many exits do, and how many pages that come late.
const MOVES_BY_KICK: u32 = 4;
const MOVES: u32 = 8;
const MOVES_BY_PAGE: u32 = 3;
const MANY_MOVES_BY_PAGE: u32 = 12;

/// The guest's MAXPHYADDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    AtStart,
    Wide,
    Narrow,
}

/// How the vCPU moves to a new VM.
#[derive(Clone, Copy)]
struct Move {
    /// The new VM has exception payloads.
    payload: bool,
    /// Its MAXPHYADDR, and the one after all is restored.
    first: Width,
    then: Option<Width>,
    /// It gets malformed nested states first.
    malformed: bool,
}

impl Machine {
    /// Does what a code asks for. Unknown codes are for a newer VMM.
    pub fn act(&mut self, code: u32) -> Status {
        let Some(ask) = Ask::from_code(code) else {
            return Status::Refused { step: Step::Know, errno: 0 };
        };
        self.does(ask, page_of(code)).map_or_else(Status::from, |()| Status::Done)
    }

    fn does(&mut self, ask: Ask, page: u64) -> Result<(), Failed> {
        match ask {
            Ask::RearmDirtyLog => self.rearm_dirty_log(),
            Ask::Move => self.relocate_by(Move { payload: true, ..self.plain_move() }),
            Ask::MoveMalformed => self.relocate_by(Move { malformed: true, ..self.plain_move() }),
            Ask::MoveWithoutPayload => {
                self.relocate_by(Move { payload: false, ..self.plain_move() })
            }
            Ask::MoveWide => self.relocate(Width::Wide, None),
            Ask::MoveNarrow => self.relocate(Width::Narrow, None),
            Ask::Narrow => self.change_width(Width::Narrow),
            Ask::Widen => self.change_width(Width::Wide),
            Ask::MoveThenNarrow => self.relocate(Width::Wide, Some(Width::Narrow)),
            Ask::MoveThenWiden => self.relocate(Width::Narrow, Some(Width::Wide)),
            Ask::DirtyLogOn => self.log_writes(true),
            Ask::DirtyLogOff => self.log_writes(false),
            Ask::Logged => self.see_logged(page),
            Ask::RemoveMemory => self.memory.take(&self.vm).and_then(|()| self.give_memory()),
            Ask::DropPages => self.memory.drop_pages(),
            Ask::ImmediateExit => complete(&mut self.vcpu),
            Ask::DebugOn => {
                self.debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP)
            }
            Ask::DebugOff => self.debug(0),
            Ask::Smi => self.smi(),
            Ask::SmiAndFault => self.fault(true).and_then(|()| self.smi()),
            Ask::SmiAndNmi => {
                self.vcpu.nmi().map_err(Failed::at(Step::Nmi)).and_then(|()| self.smi())
            }
            Ask::Nmi => self.vcpu.nmi().map_err(Failed::at(Step::Nmi)),
            Ask::Init => self.signal(MSI_INIT),
            Ask::Interrupt => self.signal(INTERRUPT_VECTOR.into()),
            Ask::InterruptAndFault => {
                self.signal(INTERRUPT_VECTOR.into()).and_then(|()| self.fault(true))
            }
            Ask::ReadOnlyOn => {
                self.read_only_writes = 0;
                self.memory.protect(&self.vm, page)
            }
            Ask::ReadOnlyOff => self.memory.unprotect(&self.vm),
            Ask::ReadOnlyEnd => {
                self.memory.unprotect(&self.vm)?;
                if self.read_only_writes > 0 {
                    Ok(())
                } else {
                    Err(Failed { step: Step::SeeWrite, errno: 0 })
                }
            }
            Ask::KicksOn => self.kick(0, false),
            Ask::MovesOn => self.kick(MOVES_BY_KICK, false),
            Ask::MoveAtEntry => self.move_at_entry(),
            Ask::KicksOff => self.end_kicks(),
            Ask::LatePagesReady => {
                // The old one goes first: a range has one owner.
                self.late = None;
                self.late = Some(self.memory.late()?);
                Ok(())
            }
            Ask::LatePages => self.take_pages(|_| true),
            Ask::LatePagesAndSmi => {
                self.memory.write_smi_handler()?;
                let vm = Arc::clone(&self.vm);
                // One that is lost comes with the next page.
                self.take_pages(move |_| {
                    let _ = vm.signal_msi(message(MSI_SMI));
                    true
                })
            }
            Ask::LatePagesAndMoves => self.take_pages_and_move(MOVES_BY_PAGE),
            Ask::LatePagesAndManyMoves => self.take_pages_and_move(MANY_MOVES_BY_PAGE),
            Ask::LatePagesEnd => {
                self.late = None;
                self.end_kicks()
            }
            Ask::PlainExits => self.serve_exits(Exits::Plain),
            Ask::ImmediateExits => self.serve_exits(Exits::Immediate),
            Ask::MovedExits => self.serve_exits(Exits::Moved(MOVES, None)),
            Ask::PendingFault => self.fault(true),
            Ask::InjectedFault => self.fault(false),
            Ask::MovePendingFault => {
                self.fault(true).and_then(|()| self.relocate(Width::AtStart, None))
            }
            Ask::MoveFaultThenRegisters => {
                self.fault(true)?;
                self.relocate(Width::AtStart, None)?;
                let sregs = self.vcpu.get_sregs().map_err(Failed::at(Step::SaveVcpu))?;
                self.vcpu.set_sregs(&sregs).map_err(Failed::at(Step::RestoreVcpu))
            }
            // It needs a port of its own, which this VMM lacks.
            Ask::Migrate | Ask::MigrateMeanwhile => Err(Failed { step: Step::Know, errno: 0 }),
            Ask::Enlighten => self.enlighten(true),
            Ask::Ordinary => self.enlighten(false),
            Ask::SecondProcessor => {
                if self.second.is_none() {
                    self.second = Some(Second::start(&self.vm, &self.host, &self.options)?);
                }
                Ok(())
            }
            Ask::MoveInjectedFault => {
                self.fault(false).and_then(|()| self.relocate(Width::AtStart, None))
            }
        }
    }

    /// The first call turns logging on. After that, fetching the log protects the pages again.
    fn rearm_dirty_log(&mut self) -> Result<(), Failed> {
        if !self.tracked {
            self.log_writes(true)?;
        }
        self.memory.take_log(&self.vm).map(drop)
    }

    /// Whether the log of writes has the page at an address.
    fn see_logged(&self, page: u64) -> Result<(), Failed> {
        let log = self.memory.take_log(&self.vm)?;
        if has_page(&log, page) { Ok(()) } else { Err(Failed { step: Step::SeeLogged, errno: 0 }) }
    }

    fn log_writes(&mut self, tracked: bool) -> Result<(), Failed> {
        self.memory.give(&self.vm, tracked)?;
        self.tracked = tracked;
        Ok(())
    }

    fn give_memory(&self) -> Result<(), Failed> {
        self.memory.give(&self.vm, self.tracked)
    }

    fn debug(&self, control: u32) -> Result<(), Failed> {
        let debug = kvm_guest_debug { control, ..Default::default() };
        self.vcpu.set_guest_debug(&debug).map_err(Failed::at(Step::Debug))
    }

    /// A system-management interrupt.
    fn smi(&mut self) -> Result<(), Failed> {
        self.memory.write_smi_handler()?;
        self.vcpu.smi().map_err(Failed::at(Step::Smi))
    }

    /// Takes all pages of memory away, for which [`Ask::LatePagesReady`] got ready.
    fn take_pages(
        &mut self,
        comes: impl FnMut(i32) -> bool + Send + 'static,
    ) -> Result<(), Failed> {
        match &mut self.late {
            Some(late) => late.take(self.memory.file(), comes),
            None => Err(Failed { step: Step::LatePages, errno: 0 }),
        }
    }

    /// The same; at the first pages that are awaited, this many, the vCPU moves.
    fn take_pages_and_move(&mut self, moves: u32) -> Result<(), Failed> {
        self.kicks = Some(Kicks { moves, at_entry: false, failed: None, _kicker: None });
        self.take_pages(after_moves(Arc::clone(&self.moves), moves))
    }

    /// A message to the local APIC 0.
    pub(super) fn signal(&self, data: u32) -> Result<(), Failed> {
        match self.vm.signal_msi(message(data)).map_err(Failed::at(Step::Msi))? {
            // No APIC took it.
            0 => Err(Failed { step: Step::Msi, errno: 0 }),
            _ => Ok(()),
        }
    }

    /// Whether a signal has moved the vCPU at a VM entry of L2's. The first time that somebody asks,
    /// the signals begin, and when it has, they end.
    fn move_at_entry(&mut self) -> Result<(), Failed> {
        match &self.kicks {
            None => self.kick(1, true)?,
            Some(Kicks { moves: 0, .. }) => return self.end_kicks(),
            Some(_) => {}
        }
        Err(Failed { step: Step::SeeEntry, errno: 0 })
    }

    /// Whether L1 has entered L2, and L2 has not begun.
    fn is_entering(&self) -> bool {
        state::nested(&self.vcpu)
            .is_ok_and(|nested| u32::from(nested.flags) & KVM_STATE_NESTED_RUN_PENDING != 0)
    }

    /// Begins to signal this thread. The first signals, this many, move the vCPU; of those that find
    /// L2 being entered, with `at_entry`.
    fn kick(&mut self, moves: u32, at_entry: bool) -> Result<(), Failed> {
        let kicker = Kicker::start().map_err(|error| Failed {
            step: Step::Kick,
            errno: error.raw_os_error().unwrap_or_default(),
        })?;
        self.kicks = Some(Kicks { moves, at_entry, failed: None, _kicker: Some(kicker) });
        Ok(())
    }

    /// Ends the signals, and says whether the moves by them went well.
    fn end_kicks(&mut self) -> Result<(), Failed> {
        self.kicks.take().map_or(Ok(()), |kicks| kicks.failed.map_or(Ok(()), Err))
    }

    /// Handles a signal that made KVM_RUN return.
    pub fn kicked(&mut self) {
        let Some(Kicks { moves: left @ 1.., at_entry, .. }) = self.kicks else { return };
        if at_entry && !self.is_entering() {
            return;
        }
        // A signal would make the move's system calls return early.
        let held = hold_signals();
        let failed = self.relocate(Width::AtStart, None).err();
        drop(held);
        if let Some(kicks) = &mut self.kicks {
            (kicks.moves, kicks.failed) = (if failed.is_some() { 0 } else { left - 1 }, failed);
        }
    }

    /// Sets how exits to user space are served from now on, and says whether that went well so far.
    fn serve_exits(&mut self, exits: Exits) -> Result<(), Failed> {
        match replace(&mut self.exits, exits) {
            Exits::Moved(_, Some(failed)) => Err(failed),
            _ => Ok(()),
        }
    }

    /// Ends an exit to user space: its instruction is complete, and the guest is not entered yet.
    pub fn exit_served(&mut self) {
        if let Exits::Moved(left @ 1.., None) = self.exits {
            let failed = self.relocate(Width::AtStart, None).err();
            self.exits = Exits::Moved(left - 1, failed);
        }
    }

    /// Makes a page fault for the guest, either pending or being delivered.
    fn fault(&mut self, pending: bool) -> Result<(), Failed> {
        complete(&mut self.vcpu)?;
        let mut events = self.vcpu.get_vcpu_events().map_err(Failed::at(Step::SaveEvents))?;
        events.exception.nr = PAGE_FAULT;
        events.exception.has_error_code = 1;
        events.exception.error_code = EVENT_PFEC.bits();
        events.exception.pending = u8::from(pending);
        events.exception.injected = u8::from(!pending);
        if pending {
            events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
            events.exception_has_payload = 1;
            events.exception_payload = EVENT_ADDRESS;
        } else {
            // This is what a VMM does that knows no payloads: it writes CR2 and RF beforehand.
            events.flags &= !KVM_VCPUEVENT_VALID_PAYLOAD;
            let mut regs = self.vcpu.get_regs().map_err(Failed::at(Step::SaveVcpu))?;
            regs.rflags |= RFLAGS_RF;
            self.vcpu.set_regs(&regs).map_err(Failed::at(Step::RestoreVcpu))?;
            let mut sregs = self.vcpu.get_sregs().map_err(Failed::at(Step::SaveVcpu))?;
            sregs.cr2 = EVENT_ADDRESS;
            self.vcpu.set_sregs(&sregs).map_err(Failed::at(Step::RestoreVcpu))?;
        }
        self.vcpu.set_vcpu_events(&events).map_err(Failed::at(Step::RestoreEvents))
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

    /// Moves to a VM that offers the enlightened VMCS, or to one that does not.
    fn enlighten(&mut self, offers: bool) -> Result<(), Failed> {
        let offered = replace(&mut self.options.enlightened, offers);
        self.relocate(Width::AtStart, None).inspect_err(|_| self.options.enlightened = offered)
    }

    /// A move to a VM as this one was at its start.
    fn plain_move(&self) -> Move {
        Move { payload: self.payload, first: Width::AtStart, then: None, malformed: false }
    }

    /// Saves everything and goes on in a new VM, whose MAXPHYADDR is `first`, and `then` once all
    /// is restored.
    fn relocate(&mut self, first: Width, then: Option<Width>) -> Result<(), Failed> {
        self.relocate_by(Move { first, then, ..self.plain_move() })
    }

    /// Saves everything and goes on in a new VM.
    fn relocate_by(&mut self, how: Move) -> Result<(), Failed> {
        let Move { payload, first, then, malformed } = how;
        if self.second.is_some() {
            return Err(Failed { step: Step::MoveTwo, errno: 0 });
        }
        let (first, then) = (self.cpuid(first)?, then.map(|width| self.cpuid(width)).transpose()?);
        complete(&mut self.vcpu)?;
        let mut state = State::save(&self.host.kvm, &self.vm, &self.vcpu)?;
        self.moves.fetch_add(1, Ordering::Release);
        if !payload {
            state.drop_payload();
        }
        let vm = create_vm(&self.host, payload).map_err(Failed::at(Step::CreateVm))?;
        self.memory.give(&vm, self.tracked)?;
        let vcpu = vm.create_vcpu(0).map_err(Failed::at(Step::CreateVm))?;
        if self.options.enlightened {
            vcpu::enlighten(&vcpu).map_err(Failed::at(Step::Enlighten))?;
        }
        vcpu.set_cpuid2(&first).map_err(Failed::at(Step::SetCpuid))?;
        state.restore(&vm, &vcpu, malformed)?;
        if let Some(cpuid) = then {
            vcpu.set_cpuid2(&cpuid).map_err(Failed::at(Step::SetCpuid))?;
        }
        self.ports.rewire(&self.vm, &vm).map_err(Failed::at(Step::CreateVm))?;
        self.counter = ExitCounter::of(&vcpu);
        self.vcpu = vcpu;
        self.vm = Arc::new(vm);
        self.payload = payload;
        Ok(())
    }
}

/// Whether a page that is awaited may come: when the state of the vCPU, which is this thread's, has
/// been saved once more. Each of the first pages has it move, unless it is this thread itself that
/// waits.
fn after_moves(moves: Arc<AtomicU32>, most: u32) -> impl FnMut(i32) -> bool + Send + 'static {
    let (vcpu, own) = (Target::this_thread(), rustix::thread::gettid().as_raw_nonzero().get());
    let (first, mut asked) = (moves.load(Ordering::Acquire), None);
    move |waiter| {
        let done = moves.load(Ordering::Acquire);
        if waiter == own || done - first >= most {
            return true;
        }
        match asked {
            None => {
                asked = Some(done);
                vcpu.kick();
                false
            }
            Some(before) if before == done => false,
            Some(_) => {
                asked = None;
                true
            }
        }
    }
}

/// A message to the local APIC with ID 0.
fn message(data: u32) -> kvm_msi {
    kvm_msi { address_lo: MSI_TO_APIC_0, data, ..Default::default() }
}

/// Whether L0 gives a guest the right error codes if its MAXPHYADDR is [`NARROW`], and that is less
/// than its own.
fn supports_narrow(host: &Device) -> bool {
    let smaller = host.kvm.check_extension_raw(KVM_CAP_SMALLER_MAXPHYADDR.into()) > 0;
    smaller && cpuid::maxphyaddr(&host.cpuid).is_some_and(|width| width > NARROW)
}

/// Completes the instruction that exited to the VMM, and no other.
fn complete(vcpu: &mut VcpuFd) -> Result<(), Failed> {
    vcpu.set_kvm_immediate_exit(1);
    let failed = match vcpu.run() {
        // KVM says so with a signal's error.
        Err(error) if error.errno() == libc::EINTR => None,
        Err(error) => Some(error.errno()),
        // Another exit: the instruction is not complete.
        Ok(_) => Some(0),
    };
    vcpu.set_kvm_immediate_exit(0);
    failed.map_or(Ok(()), |errno| Err(Failed { step: Step::Run, errno }))
}
