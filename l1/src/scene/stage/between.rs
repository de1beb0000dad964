//! What comes between two plays of a scene, see [`spec::scene::between`].
#![allow(unsafe_code, reason = "writes L1's CR0 and CR4")]

use spec::channel::{Ask, Status, Step};
use spec::manual::filter::Filter;
use spec::manual::paging::Mode;
use spec::manual::vector::NMI;
use spec::scene::Scene;
use spec::scene::between::{Between, LAUNCHED, NOT_LAUNCHED, PLAYS_FOR_MOVE};
use spec::scene::descriptor::idt_base;
use spec::scene::end::{End, How, Word};
use spec::scene::environment::Environment;
use spec::scene::event::{Event, EventType, Source};
use spec::scene::expect::CR2_AT_START;
use spec::scene::own::OwnInstruction;
use spec::scene::place::STAGE_BASE;
use spec::walk::outcome::IDT_VECTORING_VALID;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

use super::answer::inject;
use super::pending::{self, NmiSeen};
use super::{Around, SceneVcpu, Stage, end};
use crate::machine::channel;
use crate::machine::cpu::write_cr2;
use crate::vmx::exit::REASON_VMCALL;
use crate::vmx::vmcs12::write_paging;
use crate::vmx::{Field, Region, VmFail, enlightened, enter, vmread, vmwrite};
use crate::walk::{l1_faults, own_operand};

/// Of [`Between::OrdinaryVmcs`].
static ORDINARY: Region = Region::new();
/// No page of the stage is there.
const NOWHERE: u64 = STAGE_BASE;
/// #UD, by L1.
const UD: Event = Event::new(Source::Injected, EventType::HardwareException, 6);

impl Stage {
    /// Does what comes between, and puts L2 to where the second play begins, under `filter`. False
    /// if something in it came out wrong, so that there is no second play.
    pub(super) fn do_between(
        &mut self,
        between: Between,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<bool, VmFail> {
        let right = match between {
            Between::Rewrite(_) | Between::Upper { .. } | Between::Moved(_) => {
                let exited = vmread(Field::ExitReason) != REASON_VMCALL;
                self.main.filter.set(Scene::second_filter(between, filter), scene.intercepts);
                if matches!(between, Between::Moved(_)) {
                    let status = channel::ask(Ask::Move.word());
                    self.wrong_between = (status != Status::Done).then(|| refused(status));
                }
                if exited {
                    // L2 is still at the instruction: nothing else is to be written.
                    return Ok(true);
                }
                true
            }
            Between::Unannounced(_) => {
                if vmread(Field::ExitReason) != REASON_VMCALL {
                    self.unannounced(scene, filter, around)?;
                }
                self.main.filter.set(filter, scene.intercepts);
                true
            }
            Between::MovedAtEntry => self.until_moved(scene, filter, around)?,
            Between::OtherVmcs => self.on_other_vmcs(scene, filter, around)?,
            Between::OrdinaryVmcs => self.on_ordinary_vmcs(scene, filter, around)?,
            Between::InTurn => return self.in_turn(scene, filter, around),
            Between::Clear => {
                self.main.vmcs.clear()?;
                self.main.vmcs.make_current()?;
                true
            }
            Between::WrongEntry { cleared } => {
                if cleared {
                    self.main.vmcs.clear()?;
                    self.main.vmcs.make_current()?;
                }
                self.wrong_between = self.main.enter_wrongly();
                self.wrong_between.is_none()
            }
            Between::OtherExit => {
                self.main.begin(scene, around)?;
                vmwrite(Field::GuestRip, scene.rip + scene.code.len() as u64);
                self.main.enter()?;
                vmread(Field::ExitReason) == REASON_VMCALL
            }
            Between::VectoredExit => {
                self.main.begin(scene, around)?;
                self.main.filter.set(Filter::ALWAYS, scene.intercepts);
                vmwrite(Field::GuestIdtrBase, NOWHERE);
                inject(UD.info(), 0, 0);
                self.main.enter()?;
                vmwrite(Field::GuestIdtrBase, idt_base(self.environment.width.is_long()));
                self.main.filter.set(filter, scene.intercepts);
                vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID != 0
            }
            Between::OwnFaults => {
                let mut right = true;
                l1_faults::check(around.maxphyaddr, around.header, None, |_, want, got| {
                    right &= want == got;
                });
                right
            }
            Between::OwnRegisters => {
                toggle_own_registers(around.vmx.offered());
                true
            }
            Between::Own(own) => {
                let (current, other) = (self.main.vmcs.address(), self.other.vmcs.address());
                let seen = own_operand::execute(own, current, other);
                if own.instruction == OwnInstruction::Vmclear {
                    self.other.vmcs.clear()?;
                }
                let must = own.expect(around.maxphyaddr);
                self.wrong_between = (!must.admits(&seen)).then_some((must, seen));
                true
            }
            Between::Nmi => {
                let [done, nmi] = [How::Done, How::Delivered(NMI)].map(End::new);
                self.wrong_between = match around.apic.map(pending::nmi_waits_for_iret) {
                    Some(NmiSeen::AtOnce) => Some((done, nmi)),
                    Some(NmiSeen::Never) => Some((nmi, done)),
                    Some(NmiSeen::AfterIret) | None => None,
                };
                true
            }
            Between::GuestRegisters => {
                let Environment { format, mode, .. } = *self.environment;
                write_paging(around.vmx, format, Mode { wp: false, smep: false, ..mode });
                self.main.begin(scene, around)?;
                vmwrite(Field::GuestRip, scene.rip + scene.code.len() as u64);
                self.main.enter()?;
                write_paging(around.vmx, format, mode);
                vmread(Field::ExitReason) == REASON_VMCALL
            }
        };
        self.main.begin(scene, around)?;
        Ok(right)
    }

    /// Plays the scene until the VMM has moved the VM at an entry. False if a play ended elsewhere
    /// than it must.
    fn until_moved(
        &mut self,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<bool, VmFail> {
        let want = scene.expect(self.environment, filter, around.maxphyaddr).first;
        for _ in 0..PLAYS_FOR_MOVE {
            let status = channel::ask(Ask::MoveAtEntry.word());
            if status == Status::Done {
                return Ok(true);
            }
            if !matches!(status, Status::Refused { step: Step::SeeEntry, .. }) {
                self.wrong_between = Some(refused(status));
                return Ok(true);
            }
            self.main.begin(scene, around)?;
            self.main.enter()?;
            self.wrong_between = wrong(scene, &self.main, &want);
            if self.wrong_between.is_some() {
                break;
            }
        }
        channel::ask(Ask::KicksOff.word());
        Ok(self.wrong_between.is_none_or(|(must, was)| must.how == was.how))
    }

    /// Plays the scene on the other VMCS under a filter that decides the other way, and makes the
    /// first current again. False if it ended elsewhere.
    fn on_other_vmcs(
        &mut self,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<bool, VmFail> {
        let inverse = self.inverse(scene, filter, around);
        if self.other.environment.is_none() {
            self.other.set_up(around.vmx, self.environment, around.maxphyaddr)?;
        } else {
            self.other.vmcs.make_current()?;
        }
        self.other.begin(scene, around)?;
        self.other.filter.set(inverse, scene.intercepts);
        self.other.enter()?;
        let right = self.other_ended(scene, inverse, around);
        self.main.vmcs.make_current()?;
        Ok(right)
    }

    /// The same with an ordinary VMCS in place of the other one. Neither kind is used while one of
    /// the other kind is active.
    fn on_ordinary_vmcs(
        &mut self,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<bool, VmFail> {
        self.clear()?;
        enlightened::leave_current();
        let vmcs = around.vmx.load_ordinary(&ORDINARY)?;
        let ordinary = SceneVcpu::new(around.vmx, vmcs, self.other.always_invalidates);
        let other = core::mem::replace(&mut self.other, ordinary);
        let played = self.on_other_vmcs(scene, filter, around);
        let mut ordinary = core::mem::replace(&mut self.other, other);
        enlightened::leave_current();
        ordinary.vmcs.clear()?;
        self.main.vmcs.make_current()?;
        played
    }

    /// Changes the filter from that of the first play, without a word of it in the clean fields, and
    /// enters L2, which is at the instruction: either filter may hold. Then all is as if it were new.
    fn unannounced(
        &mut self,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<(), VmFail> {
        let old = self.main.filter.filter().unwrap_or(filter);
        let clean = enlightened::clean_fields();
        self.main.filter.set(filter, scene.intercepts);
        enlightened::set_clean_fields(clean);
        self.main.enter_as_is()?;
        let [by_old, by_new] = [old, filter].map(|filter| {
            let want = scene.expect(self.environment, filter, around.maxphyaddr).second;
            want.and_then(|mut want| {
                // The words of the filter are what L1 wrote.
                for word in [Word::Bitmap, Word::Mask, Word::Match] {
                    want.unset(word);
                }
                wrong(scene, &self.main, &want)
            })
        });
        self.wrong_between = by_old.and(by_new);
        enlightened::set_clean_fields(0);
        Ok(())
    }

    /// Plays the scene on the other VMCS, and on the two in turn, up to where the last entry of the
    /// first is to come. False if something ended elsewhere than it must.
    fn in_turn(
        &mut self,
        scene: &Scene,
        filter: Filter,
        around: Around<'_>,
    ) -> Result<bool, VmFail> {
        let inverse = self.inverse(scene, filter, around);
        let ends = |filter| scene.expect(self.environment, filter, around.maxphyaddr).first;
        let (own, others) = (ends(filter), ends(inverse));
        if !self.on_other_vmcs(scene, filter, around)? {
            return Ok(false);
        }
        self.main.begin_again(scene, &own, around)?;
        self.main.enter_as_is()?;
        self.wrong_between = wrong(scene, &self.main, &own);
        self.other.vmcs.make_current()?;
        self.other.begin_again(scene, &others, around)?;
        self.other.enter_as_is()?;
        let right = self.wrong_between.is_none() && self.other_ended(scene, inverse, around);
        self.main.vmcs.make_current()?;
        if right {
            self.main.begin_again(scene, &own, around)?;
        }
        Ok(right)
    }

    /// A filter of the other VMCS that decides the other way, by MASK and MATCH. Of enlightened VMCSs,
    /// which have these two in no clean field, by EB.PF.
    fn inverse(&self, scene: &Scene, filter: Filter, around: Around<'_>) -> Filter {
        if around.vmx.is_enlightened() {
            return Filter { eb_pf: !filter.eb_pf, ..filter };
        }
        let code = scene.pfec(self.environment, around.maxphyaddr);
        code.map_or(filter, |code| filter.inverse_for(code))
    }

    /// Whether the other VMCS, which is current, ended where it must; notes what was wrong.
    fn other_ended(&mut self, scene: &Scene, filter: Filter, around: Around<'_>) -> bool {
        let want = scene.expect(self.environment, filter, around.maxphyaddr).second;
        self.wrong_between = want.and_then(|want| wrong(scene, &self.other, &want));
        self.wrong_between.is_none_or(|(must, was)| must.how == was.how)
    }
}

impl SceneVcpu {
    /// Enters L2 by the instruction that the launch state forbids: how that must end, and how it did,
    /// if that is wrong.
    fn enter_wrongly(&mut self) -> Option<(End, End)> {
        let error = if self.vmcs.is_launched() { LAUNCHED } else { NOT_LAUNCHED };
        let how = match enter::enter_wrongly(&mut self.vmcs, &self.registers) {
            Ok(()) => How::Exit(vmread(Field::ExitReason) as u16),
            Err(fail) => How::Failed(fail.error.unwrap_or_default() as u16),
        };
        let must = How::Failed(error);
        (how != must).then(|| (End::new(must), End::new(how)))
    }

    /// Puts L2 back to the start of the scene that it played last, and that ended as it must, with
    /// as few VMWRITEs as that takes: none if it is there. The VMCS is current.
    fn begin_again(
        &mut self,
        scene: &Scene,
        ended: &End,
        around: Around<'_>,
    ) -> Result<(), VmFail> {
        if matches!(ended.how, How::Exit(_)) {
            write_cr2(CR2_AT_START);
            return Ok(());
        }
        self.kept = self.before_entry.after(scene, self.environment(), ended);
        self.begin(scene, around)
    }
}

/// How the last entry of a VMCS, which is current, had to end, and how it did, if that is wrong.
fn wrong(scene: &Scene, vcpu: &SceneVcpu, want: &End) -> Option<(End, End)> {
    let mut seen = End::new(want.how);
    end(scene, vcpu.environment(), &vcpu.registers, None, want, &mut seen);
    (!want.admits(&seen)).then_some((*want, seen))
}

/// What the VMM does not do: it must say 0, and said something else.
fn refused(status: Status) -> (End, End) {
    let done = End::new(How::Done);
    (done.with(Word::Rax, 0), done.with(Word::Rax, status.word().into()))
}

/// Turns CR0.WP and CR4.SMEP of L1 off and on, or the other way round.
fn toggle_own_registers(offered: Mode) {
    let mut smep = Cr4Flags::empty();
    smep.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, offered.smep);
    // SAFETY: L1 writes no read-only page and fetches from no user-mode page, so neither bit makes
    // a difference to it; SMEP is only written where it is offered.
    unsafe {
        Cr0::update(|cr0| cr0.toggle(Cr0Flags::WRITE_PROTECT));
        Cr0::update(|cr0| cr0.toggle(Cr0Flags::WRITE_PROTECT));
        Cr4::update(|cr4| cr4.toggle(smep));
        Cr4::update(|cr4| cr4.toggle(smep));
    }
}
