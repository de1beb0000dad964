//! The stage: L2 entered right at one instruction or event, with all of its state L1's to choose;
//! see [`spec::scene`].
//!
//! It has memory, page tables and a VMCS of its own, apart from the walker's.
//!
//! "L2 does not run" in this folder: L2 runs only inside [`enter::enter`], which
//! `SceneVcpu::enter_as_is` calls. While any other code here runs, no one else writes to the
//! stage's memory and tables.

mod answer;
mod between;
mod deep;
mod device;
mod ept;
mod exiting;
mod features;
mod invalidation;
mod memory;
mod needs;
mod pending;
mod state;
mod tables;

use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::scene::descriptor::HANDLER;
use spec::scene::end::{EVERY_REGISTER, EVERY_WORD, End, Ends, How, Word, words_of};
use spec::scene::environment::{ENVIRONMENTS, Environment, Width};
use spec::scene::event::Source;
use spec::scene::expect::{CR2_AT_START, DR6_AT_START};
use spec::scene::flaw::Flaw;
use spec::scene::place::Place;
use spec::scene::{Answer, Exiting, Feature, Scene};
use spec::walk::layout::Header;

use state::Kept;

use crate::machine::apic::Apic;
use crate::machine::cpu::write_cr2;
use crate::machine::expected::unblock_nmis;
use crate::machine::trace;
use crate::vmx::controls::PinBased;
use crate::vmx::enter::{self, Registers};
use crate::vmx::exit::REASON_VMCALL;
use crate::vmx::invalidate::invvpid;
use crate::vmx::{
    Capabilities, Field, FilterFields, Region, VmFail, Vmcs, Vmx, changes, limit, vmcs12, vmread,
    vmwrite,
};

/// Of a stage's two VMCSs: those of the stage with ordinary ones, then of that with enlightened ones.
static VMCS_REGIONS: [[Region; 2]; 2] = [const { [const { Region::new() }; 2] }; 2];

/// What was seen before anything was.
const NOT_SEEN: Ends = Ends { first: End::new(How::Done), second: None };
/// Bit 31 of the exit reason: the VM entry failed. SDM vol. 3C, "Basic VM-Exit Information".
const ENTRY_FAILED: u64 = 1 << 31;
/// The stage's first VPID; L1 has no other guest with one.
const VPID: u16 = 1;

/// The stage with its VMCSs.
pub struct Stage {
    main: SceneVcpu,
    /// For [`Between::OtherVmcs`].
    other: SceneVcpu,
    environment: &'static Environment,
    /// Whether L0 has the forced-emulation prefix, once that was tried.
    forces_emulation: Option<bool>,
    /// Whether the local APIC brings L1 what it sends itself, once that was tried.
    interrupts_itself: Option<bool>,
    /// Whether the VMM moves the VM, once that was tried.
    moves: Option<bool>,
    /// How the last scene ended.
    seen: Ends,
    /// How what came between its two plays had to end, and how it ended, if that is wrong.
    wrong_between: Option<(End, End)>,
}

/// One VMCS of the stage, and what is written in it.
struct SceneVcpu {
    vmcs: Vmcs,
    /// L2's registers: for the next entry, and those of the last exit.
    registers: Registers,
    /// What is wrong with the next entry, which may fail, and the one after it too.
    flaw: Option<Flaw>,
    /// The VM-instruction error of an entry that failed as it may.
    error: Option<u16>,
    /// The environment that is written.
    environment: Option<&'static Environment>,
    filter: FilterFields,
    exiting: Exiting,
    /// The last scene's feature, whose bits of CR4 L2 has.
    feature: Option<Feature>,
    /// What is known of the fields that every scene writes: before the last entry, and now.
    before_entry: Kept,
    kept: Kept,
    /// Whether the scene's DR6 is looked at.
    dr6: bool,
    /// Pin-based controls that the environment has, and those that the last scene added.
    pin_based: u32,
    pins: u32,
    /// Its VPID.
    vpid: u16,
    /// Whether INVVPID comes before each entry, with VPID in the environment or without.
    always_invalidates: bool,
}

/// What the stage needs of the rest of L1.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// VMX.
    pub vmx: &'a Vmx,
    /// What L2's image says of itself.
    pub header: &'a Header,
    /// The width of physical addresses in bits.
    pub maxphyaddr: Maxphyaddr,
    /// The local APIC, if it is in use.
    pub apic: Option<Apic>,
}

impl Stage {
    /// Makes the stage and its VMCSs. With `invvpid` INVVPID comes before each VM entry of a scene:
    /// it makes an L0 read changed page tables that it would not read again.
    pub fn new(vmx: &Vmx, invvpid: bool) -> Result<Self, VmFail> {
        let invalidates = invvpid && Capabilities::has_invvpid();
        let new = |number: usize| {
            let region = &VMCS_REGIONS[usize::from(vmx.is_enlightened())][number];
            Ok(SceneVcpu::new(vmx, vmx.load(region)?, invalidates))
        };
        let (other, main) = (new(1)?, new(0)?);
        Ok(Self {
            main,
            other,
            environment: &ENVIRONMENTS[0],
            forces_emulation: None,
            interrupts_itself: None,
            moves: None,
            seen: NOT_SEEN,
            wrong_between: None,
        })
    }

    /// Makes the stage's VMCS current, and writes the state that all scenes of an environment share
    /// if it is not there.
    pub fn set_up(
        &mut self,
        environment: &'static Environment,
        Around { vmx, maxphyaddr, .. }: Around<'_>,
    ) -> Result<(), VmFail> {
        if self.main.environment == Some(environment) {
            return self.main.vmcs.make_current();
        }
        self.environment = environment;
        self.other.environment = None;
        self.main.set_up(vmx, environment, maxphyaddr)
    }

    /// Makes the stage's VMCSs inactive.
    pub fn clear(&mut self) -> Result<(), VmFail> {
        self.main.vmcs.clear()?;
        self.other.vmcs.clear()
    }

    /// What the VMCS holds is not known any more.
    pub fn forget(&mut self) {
        self.main.environment = None;
    }

    /// How the last scene ended.
    pub fn seen(&self) -> &Ends {
        &self.seen
    }

    /// Plays a scene under a filter. `want` says what must be seen; what was is read as far as
    /// `want` fixes it, and in full where it ended otherwise; [`Stage::seen`] has it. If what came
    /// between two plays is wrong and the second play is not, or is as the first was, the second end
    /// is that of what came between.
    pub fn play(
        &mut self,
        scene: &Scene,
        filter: Filter,
        want: &mut Ends,
        around: Around<'_>,
    ) -> Result<(), VmFail> {
        if self.main.environment.is_none() {
            self.set_up(self.environment, around)?;
        }
        let played = self.play_through(scene, filter, want, around);
        if played.is_err() {
            // An event may still be to be injected.
            self.forget();
        }
        if scene.unsettles {
            self.main.settle(around.vmx);
        }
        if let Some((pending, apic)) = scene.pending.zip(around.apic) {
            pending::clear(&pending.event, apic);
        }
        if scene.blocks_nmis() {
            unblock_nmis();
        }
        played
    }

    /// Plays a scene to its last end, and keeps what was seen.
    fn play_through(
        &mut self,
        scene: &Scene,
        filter: Filter,
        want: &mut Ends,
        around: Around<'_>,
    ) -> Result<(), VmFail> {
        let first_filter = match scene.answer {
            Answer::Again(between) => {
                scene.first_filter(between, filter, scene.pfec(self.environment, around.maxphyaddr))
            }
            _ => filter,
        };
        self.main.dr6 = want.first.fixed & Word::Dr6.bit() != 0;
        self.main.begin(scene, around)?;
        self.main.filter.set(first_filter, scene.intercepts);
        self.main.enter()?;
        self.seen.second = None;
        self.wrong_between = None;
        let SceneVcpu { registers, error, .. } = &self.main;
        end(scene, self.environment, registers, *error, &want.first, &mut self.seen.first);
        if want.first.how != self.seen.first.how {
            // It went where its state was not foreseen.
            self.forget();
            return Ok(());
        }
        let Some(second) = &want.second else {
            self.main.kept = self.main.before_entry.after(scene, self.environment, &want.first);
            return Ok(());
        };
        match scene.answer {
            _ if scene.flaw.is_some() => self.main.enter_mended()?,
            Answer::Again(between) => {
                if !self.do_between(between, scene, filter, around)? {
                    if let Some((must, was)) = self.wrong_between {
                        (want.second, self.seen.second) = (Some(must), Some(was));
                    }
                    return Ok(());
                }
                self.main.enter()?;
            }
            Answer::Spoil(how) => self.main.enter_spoiled(how, scene, around)?,
            Answer::GoOn => self.main.go_on(scene)?,
            _ => {
                answer::answer(scene, self.environment, around.maxphyaddr)?;
                self.main.enter()?;
            }
        }
        let seen = self.seen.second.insert(End::new(second.how));
        let SceneVcpu { registers, error, .. } = &self.main;
        end(scene, self.environment, registers, *error, second, seen);
        // What both plays show is no news: it must not hide what is wrong between them.
        if let Some((must, was)) = self.wrong_between
            && (second.admits(seen) || *seen == self.seen.first)
        {
            (want.second, self.seen.second) = (Some(must), Some(was));
        }
        Ok(())
    }
}

impl SceneVcpu {
    /// With a VMCS that was not used before and is current.
    fn new(vmx: &Vmx, vmcs: Vmcs, always_invalidates: bool) -> Self {
        vmcs12::write_controls(&vmx.controls);
        vmcs12::write_host_state();
        enter::write_host_entry(&vmcs);
        Self {
            vmcs,
            registers: Registers::ZERO,
            flaw: None,
            error: None,
            environment: None,
            filter: FilterFields::default(),
            exiting: Exiting::Nothing,
            feature: None,
            before_entry: Kept::default(),
            kept: Kept::default(),
            dr6: true,
            pin_based: vmx.controls.pin_based,
            pins: 0,
            vpid: VPID,
            always_invalidates,
        }
    }

    /// Makes the VMCS current and writes what all scenes of the environment share.
    fn set_up(
        &mut self,
        vmx: &Vmx,
        environment: &'static Environment,
        maxphyaddr: Maxphyaddr,
    ) -> Result<(), VmFail> {
        self.vmcs.make_current()?;
        self.environment = Some(environment);
        self.feature = None;
        self.exiting = Exiting::Nothing;
        self.kept = Kept::default();
        // What is lacking was asked before.
        let controls = vmx.controls_for(environment).unwrap_or(vmx.controls);
        vmcs12::write_controls(&controls);
        (self.pin_based, self.pins) = (limit::set(vmx), 0);
        if environment.vpid {
            vmwrite(Field::Vpid, self.vpid.into());
        }
        ept::set_up(environment, maxphyaddr)?;
        // With the addresses that memory has through these EPT tables.
        memory::build(environment, maxphyaddr);
        state::write_environment(vmx, environment);
        Ok(())
    }

    /// Enters L2 at the instruction of the scene's fault, whatever an earlier one has left, with what
    /// is cached of its page tables.
    fn go_on(&mut self, scene: &Scene) -> Result<(), VmFail> {
        let rip = scene.fault.and_then(|fault| fault.rip).unwrap_or(scene.rip);
        self.start(&Scene { rip, ..*scene });
        self.enter_as_is()
    }

    /// Puts L2's registers to the start of a scene.
    fn start(&mut self, scene: &Scene) {
        state::write_scene(scene, self.environment(), &mut self.kept);
        self.registers = Registers::in_order(scene.start_registers());
        write_cr2(CR2_AT_START);
        if self.dr6 {
            state::write_dr6(DR6_AT_START);
        }
    }

    /// Puts L2 to the start of a scene.
    fn begin(&mut self, scene: &Scene, around: Around<'_>) -> Result<(), VmFail> {
        let environment = self.environment();
        let device = device::page(scene, around.apic);
        ept::set_device(device)?;
        memory::lay_out(scene, environment, device, around.maxphyaddr);
        ept::spoil(scene.spoiled_at_start(), around.maxphyaddr)?;
        self.start(scene);
        state::write_pdptes(environment);
        self.set_controls(around.vmx, scene);
        self.set_pins(around.vmx, scene.pins);
        if let Some(event) = scene.event.filter(|event| event.source == Source::Injected) {
            answer::inject(event.info(), event.error_code.unwrap_or_default().into(), event.length);
        }
        pending::make(scene, around.apic);
        self.flaw = scene.flaw;
        self.flaw.iter().for_each(state::flip);
        Ok(())
    }

    /// Writes anew what all scenes of the environment share of L2's state, if it is known.
    fn settle(&mut self, vmx: &Vmx) {
        if let Some(environment) = self.environment {
            state::write_environment(vmx, environment);
            (self.feature, self.kept) = (None, Kept::default());
        }
    }

    /// The environment that is written.
    fn environment(&self) -> &'static Environment {
        self.environment.unwrap_or(&ENVIRONMENTS[0])
    }

    /// Enters L2. Its page tables were changed, so what is cached of them under its VPID is made
    /// invalid first; without VPID the entry does so. SDM vol. 3C, "Guidelines for Use of the
    /// INVVPID Instruction".
    fn enter(&mut self) -> Result<(), VmFail> {
        if self.environment().vpid || self.always_invalidates {
            invvpid(self.vpid)?;
        }
        self.enter_as_is()
    }

    /// Enters L2 with what is cached of its page tables.
    fn enter_as_is(&mut self) -> Result<(), VmFail> {
        changes::entry();
        self.before_entry = core::mem::take(&mut self.kept);
        let was_launched = self.vmcs.is_launched();
        let entered = enter::enter(&mut self.vmcs, &self.registers);
        self.error = None;
        match (entered, self.flaw) {
            (Err(VmFail { error: Some(error), .. }), Some(_)) => self.error = Some(error as u16),
            (entered, flaw) => {
                self.registers = entered?;
                if flaw.is_some() && !was_launched && vmread(Field::ExitReason) & ENTRY_FAILED != 0
                {
                    self.vmcs.stays_clear();
                }
            }
        }
        Ok(())
    }

    /// Makes good what is wrong with the entry that failed, and nothing else, and enters L2.
    fn enter_mended(&mut self) -> Result<(), VmFail> {
        self.flaw.iter().for_each(state::flip);
        self.enter_as_is()
    }

    /// Writes what changes of the instructions that L1 intercepts and of CR4.
    fn set_controls(&mut self, vmx: &Vmx, scene: &Scene) {
        if self.exiting != scene.exiting {
            self.exiting = scene.exiting;
            let controls = vmx.controls_for(self.environment()).unwrap_or(vmx.controls);
            exiting::write(&controls, scene.exiting);
        }
        let old = self.feature;
        if old != scene.needs {
            let cr4 = |feature: Option<Feature>| feature.map_or(0, Feature::cr4);
            state::flip_cr4(cr4(old) ^ cr4(scene.needs));
            if let Some(old) = old {
                features::take_back(vmx, old);
            }
            self.feature = scene.needs;
        }
        features::write(vmx, scene);
    }

    /// Sets pin-based controls in addition to those of the environment, and no others. A scene that
    /// asks for the VMX-preemption timer has it run out at once.
    fn set_pins(&mut self, vmx: &Vmx, pins: u32) {
        let changed = core::mem::replace(&mut self.pins, pins) ^ pins;
        if changed == 0 {
            return;
        }
        vmwrite(Field::PinBasedControls, (self.pin_based | pins).into());
        let timer = PinBased::PREEMPTION_TIMER.bits();
        if pins & timer != 0 {
            vmwrite(Field::PreemptionTimer, 0);
        } else if changed & timer != 0 {
            limit::set(vmx);
        }
    }
}

/// Reads how the scene ended. `error` is the VM-instruction error of an entry that failed.
fn end(
    scene: &Scene,
    environment: &Environment,
    registers: &Registers,
    error: Option<u16>,
    want: &End,
    end: &mut End,
) {
    let reason = vmread(Field::ExitReason);
    let rip = environment.linear(vmread(Field::GuestRip));
    let how = match (error, Place::of(rip)) {
        (Some(error), _) => How::Failed(error),
        _ if reason & ENTRY_FAILED != 0 => How::Failed(reason as u16),
        _ if reason != REASON_VMCALL => How::Exit(reason as u16),
        (None, Some(Place::Handlers)) => {
            How::Delivered(((rip - Place::Handlers.linear()) / HANDLER) as u8)
        }
        _ => How::Done,
    };
    let wanted = if how == want.how { want.fixed } else { EVERY_WORD };
    *end = End { fixed: wanted, ..End::new(how) };
    let frame = memory::StackFrame::at(vmread(Field::GuestRsp), environment.width);
    let is_software = |vector| {
        scene.event.is_some_and(|event| event.vector == vector && !event.kind.may_have_error_code())
    };
    // The upper halves of registers are undefined outside 64-bit mode. SDM vol. 1, "General-Purpose
    // Registers in 64-Bit Mode".
    let defined = if environment.width == Width::Bits64 { u64::MAX } else { u32::MAX.into() };
    for (word, register) in end.words.iter_mut().zip(registers.values()) {
        *word = register & defined;
    }
    for word in words_of(wanted & !EVERY_REGISTER) {
        end.words[word as usize] = match how {
            // What real mode pushes is looked at as memory.
            How::Delivered(vector) if !scene.real => frame.word(word, vector, is_software(vector)),
            How::Delivered(_) | How::Exit(_) | How::Done | How::Failed(_) => None,
        }
        .or_else(|| state::word(word, environment))
        .or_else(|| memory::word(word, scene, environment))
        .unwrap_or(0);
    }
    end.clear_open(scene);
    trace::step(end);
}

#[cfg(test)]
mod tests;
