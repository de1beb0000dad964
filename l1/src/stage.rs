//! The stage: L2 entered right at one instruction or event, with all of its state L1's to choose; see
//! [`spec::scene`].
//!
//! It has memory, page tables and a VMCS of its own beside the walker's.

mod enter;
mod exiting;
mod features;
mod memory;
mod state;

use spec::filter::{EXCEPTION_BITMAP_PF, Filter};
use spec::outcome::IDT_VECTORING_VALID;
use spec::paging::Maxphyaddr;
use spec::scene::descriptor::HANDLER;
use spec::scene::end::{End, Ends, How, WORDS, Word, Words};
use spec::scene::environment::Environment;
use spec::scene::event::Source;
use spec::scene::expect::{CR2_AT_START, DR6_AT_START};
use spec::scene::place::Place;
use spec::scene::rows::forced;
use spec::scene::{Answer, Exiting, Feature, Scene};

use crate::guest::{write_controls, write_host_state};
use crate::vmx::{Field, Vmcs, Vmx, vmread, vmwrite};
use crate::walk::{EntryFailed, write_cr2};

/// The basic exit reason of VMCALL.
const REASON_VMCALL: u64 = 18;
/// A #PF for VM-entry injection: valid, error code valid, hardware exception, vector 14.
const INJECT_PF: u64 = 1 << 31 | 1 << 11 | 3 << 8 | 0xe;
/// All words.
const EVERYTHING: Words = (1 << WORDS) - 1;

/// The stage with its VMCS.
pub struct Stage {
    vmcs: Vmcs,
    environment: Option<&'static Environment>,
    maxphyaddr: Maxphyaddr,
    filter: Option<(Filter, u32)>,
    exiting: Exiting,
    /// The last scene's feature, whose bits of CR4 L2 has.
    feature: Option<Feature>,
    /// Whether L0 has the forced-emulation prefix, once that was tried.
    forces_emulation: Option<bool>,
}

impl Stage {
    /// Makes the stage's VMCS; it is current then.
    pub fn new(vmx: &Vmx, maxphyaddr: Maxphyaddr) -> Result<Self, EntryFailed> {
        let vmcs = vmx.stage_vmcs().map_err(EntryFailed::Entry)?;
        write_controls(vmx);
        write_host_state();
        enter::write_host_entry();
        memory::build();
        Ok(Self {
            vmcs,
            environment: None,
            maxphyaddr,
            filter: None,
            exiting: Exiting::Nothing,
            feature: None,
            forces_emulation: None,
        })
    }

    /// Makes the stage's VMCS current, and writes the state that all scenes of an environment share.
    pub fn set_up(&mut self, vmx: &Vmx, environment: &'static Environment) -> Result<(), EntryFailed> {
        self.vmcs.make_current().map_err(EntryFailed::Entry)?;
        self.environment = Some(environment);
        self.feature = None;
        state::write_environment(vmx, environment);
        Ok(())
    }

    /// What is lacking for a scene that needs a feature, as far as VMX and L0 are concerned. An environment is set up.
    pub fn lacks_feature(&mut self, vmx: &Vmx, feature: Feature) -> Result<Option<&'static str>, EntryFailed> {
        Ok(match feature {
            Feature::DescriptorTableExiting => (!exiting::is_offered(vmx, Exiting::DescriptorTables))
                .then_some("VMX lacks descriptor-table exiting (IA32_VMX_PROCBASED_CTLS2[34])"),
            Feature::InvpcidExiting => (!exiting::is_offered(vmx, Exiting::Invlpg))
                .then_some("VMX lacks INVPCID for L2 (IA32_VMX_PROCBASED_CTLS2[44])"),
            Feature::ShadowStack => {
                vmx.entry_with_cet().is_none().then_some("VMX lacks \"load CET state\" (IA32_VMX_ENTRY_CTLS[52])")
            }
            Feature::ForcedEmulation => (!self.forces_emulation(vmx)?)
                .then_some("L0 does not emulate behind the forced-emulation prefix (KVM's force_emulation_prefix)"),
            _ => None,
        })
    }

    /// Tries the prefix before an instruction that does nothing: without it, UD2 raises #UD.
    fn forces_emulation(&mut self, vmx: &Vmx) -> Result<bool, EntryFailed> {
        if let Some(known) = self.forces_emulation {
            return Ok(known);
        }
        let done = End::new(How::Done);
        let ends = self.play(vmx, &forced::NOP, Filter::NEVER, &Ends { first: done, second: None })?;
        Ok(*self.forces_emulation.insert(ends.first.how == How::Done))
    }

    /// Plays a scene under a filter. `want` says what must be seen; what was is read as far as `want` fixes it, and
    /// in full where it ended otherwise.
    pub fn play(&mut self, vmx: &Vmx, scene: &Scene, filter: Filter, want: &Ends) -> Result<Ends, EntryFailed> {
        memory::lay_out(scene, self.maxphyaddr);
        state::write_scene(scene);
        self.set_controls(vmx, scene);
        self.set_filter(filter, scene.intercepts);
        if let Some(event) = scene.event.filter(|event| event.source == Source::Injected) {
            inject(event.info(), event.error_code.unwrap_or_default().into(), event.length);
        }
        for at in 0..Word::REGISTERS {
            enter::set_register(at, scene.register_at(at));
        }
        write_cr2(CR2_AT_START);
        state::write_dr6(DR6_AT_START);
        self.enter()?;
        let first = Self::end(scene, &want.first);
        let mut ends = Ends { first, second: None };
        if let Some(second) = &want.second
            && want.first.how == first.how
        {
            Self::answer(scene, self.maxphyaddr);
            self.enter()?;
            ends.second = Some(Self::end(scene, second));
        }
        Ok(ends)
    }

    fn enter(&mut self) -> Result<(), EntryFailed> {
        enter::enter(&mut self.vmcs).map_err(EntryFailed::Entry)
    }

    /// Does what the scene says about its exit.
    fn answer(scene: &Scene, maxphyaddr: Maxphyaddr) {
        if let Some(place) = scene.fault.and_then(|fault| Place::of(fault.address)) {
            match scene.answer {
                Answer::Retry | Answer::Reinject => memory::mend(scene, place, maxphyaddr),
                Answer::Nothing | Answer::Reflect => {}
            }
        }
        match scene.answer {
            Answer::Nothing | Answer::Retry => {}
            Answer::Reinject => {
                let info = vmread(Field::IdtVectoringInfo) & !(1 << 12);
                if info & IDT_VECTORING_VALID != 0 {
                    inject(info, vmread(Field::IdtVectoringErrorCode), vmread(Field::ExitInstructionLength));
                }
            }
            Answer::Reflect => {
                write_cr2(vmread(Field::ExitQualification));
                inject(INJECT_PF, vmread(Field::ExitInterruptionErrorCode), 0);
            }
        }
    }

    /// Writes what changes of the filter and of the exceptions that L1 intercepts beside #PF.
    fn set_filter(&mut self, filter: Filter, intercepts: u32) {
        let old = self.filter.replace((filter, intercepts));
        if old.is_none_or(|(old, others)| (old.eb_pf, others) != (filter.eb_pf, intercepts)) {
            let pf = if filter.eb_pf { EXCEPTION_BITMAP_PF } else { 0 };
            vmwrite(Field::ExceptionBitmap, (pf | intercepts).into());
        }
        if old.is_none_or(|(old, _)| old.mask != filter.mask) {
            vmwrite(Field::PfecMask, filter.mask.into());
        }
        if old.is_none_or(|(old, _)| old.matching != filter.matching) {
            vmwrite(Field::PfecMatch, filter.matching.into());
        }
    }

    /// Writes what changes of the instructions that L1 intercepts and of CR4.
    fn set_controls(&mut self, vmx: &Vmx, scene: &Scene) {
        if self.exiting != scene.exiting {
            self.exiting = scene.exiting;
            exiting::write(vmx, scene.exiting);
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

    /// Reads how the scene ended.
    fn end(scene: &Scene, want: &End) -> End {
        let reason = vmread(Field::ExitReason) as u16;
        let rip = vmread(Field::GuestRip);
        let how = match Place::of(rip) {
            _ if u64::from(reason) != REASON_VMCALL => How::Exit(reason),
            Some(Place::Handlers) => How::Delivered(((rip - Place::Handlers.linear()) / HANDLER) as u8),
            _ => How::Done,
        };
        let wanted = if how == want.how { want.fixed } else { EVERYTHING };
        let mut end = End { fixed: wanted, ..End::new(how) };
        let frame = memory::Frame::at(vmread(Field::GuestRsp));
        for (at, value) in end.words.iter_mut().enumerate().filter(|(at, _)| wanted >> at & 1 == 1) {
            *value = match how {
                How::Delivered(vector) => frame.word(at, vector),
                How::Exit(_) | How::Done => None,
            }
            .or_else(|| state::word(at))
            .or_else(|| memory::word(at, scene))
            .unwrap_or(0);
        }
        end.without_undefined().without_open_address(scene)
    }
}

/// Injects an event at the next VM entry.
fn inject(info: u64, error_code: u64, length: u64) {
    vmwrite(Field::EntryInterruptionInfo, info);
    vmwrite(Field::EntryExceptionErrorCode, error_code);
    vmwrite(Field::EntryInstructionLength, length);
}
