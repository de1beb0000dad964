//! The stage: L2 entered right at one instruction or event, with all of its state L1's to choose; see
//! [`spec::scene`].
//!
//! It has memory, page tables and a VMCS of its own beside the walker's.

mod deep;
mod enter;
mod ept;
mod memory;
mod state;

use spec::filter::{EXCEPTION_BITMAP_PF, Filter};
use spec::outcome::IDT_VECTORING_VALID;
use spec::paging::Maxphyaddr;
use spec::scene::descriptor::HANDLER;
use spec::scene::end::{EXIT_EPT_MISCONFIGURATION, EXIT_EPT_VIOLATION, End, Ends, How, WORDS, Word, Words};
use spec::scene::environment::{ENVIRONMENTS, Environment};
use spec::scene::event::{EventType, Source};
use spec::scene::expect::{CR2_AT_START, DR6_AT_START};
use spec::scene::place::Place;
use spec::scene::{Answer, Scene};

use crate::guest::{write_controls, write_host_state};
use crate::vmx::{Field, Vmcs, Vmx, invvpid, vmread, vmwrite};
use crate::walk::{EntryFailed, write_cr2};

/// The basic exit reason of VMCALL.
const REASON_VMCALL: u64 = 18;
/// A #PF for VM-entry injection: valid, error code valid, hardware exception, vector 14.
const INJECT_PF: u64 = 1 << 31 | 1 << 11 | 3 << 8 | 0xe;
/// The stage's VPID; L1 has no other guest with one.
const VPID: u16 = 1;
/// All words.
const EVERYTHING: Words = (1 << WORDS) - 1;

/// The stage with its VMCS.
pub struct Stage {
    vmcs: Vmcs,
    environment: &'static Environment,
    maxphyaddr: Maxphyaddr,
    filter: Option<(Filter, u32)>,
}

impl Stage {
    /// Makes the stage's VMCS; it is current then.
    pub fn new(vmx: &Vmx, maxphyaddr: Maxphyaddr) -> Result<Self, EntryFailed> {
        let vmcs = vmx.stage_vmcs().map_err(EntryFailed::Entry)?;
        write_controls(&vmx.controls);
        write_host_state();
        enter::write_host_entry();
        memory::build();
        Ok(Self { vmcs, environment: &ENVIRONMENTS[0], maxphyaddr, filter: None })
    }

    /// Makes the stage's VMCS current, and writes the state that all scenes of an environment share.
    pub fn set_up(&mut self, vmx: &Vmx, environment: &'static Environment) -> Result<(), EntryFailed> {
        self.vmcs.make_current().map_err(EntryFailed::Entry)?;
        self.environment = environment;
        // What is lacking was asked before.
        write_controls(&vmx.controls_for(environment).unwrap_or(vmx.controls));
        if environment.vpid {
            vmwrite(Field::Vpid, VPID.into());
        }
        ept::set_up(environment, self.maxphyaddr).map_err(EntryFailed::Entry)?;
        memory::link_tables();
        state::write_environment(vmx, environment);
        Ok(())
    }

    /// Plays a scene under a filter. `want` says what must be seen; what was is read as far as `want` fixes it, and
    /// in full where it ended otherwise.
    pub fn play(&mut self, scene: &Scene, filter: Filter, want: &Ends) -> Result<Ends, EntryFailed> {
        memory::lay_out(scene, self.maxphyaddr);
        ept::spoil(scene.spoiled(), self.maxphyaddr).map_err(EntryFailed::Entry)?;
        state::write_scene(scene, self.environment);
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
        let first = self.end(scene, &want.first);
        let mut ends = Ends { first, second: None };
        if let Some(second) = &want.second
            && want.first.how == first.how
        {
            self.answer(scene)?;
            self.enter()?;
            ends.second = Some(self.end(scene, second));
        }
        if scene.event.is_some_and(|event| event.kind == EventType::Nmi) {
            enter::unblock_nmis();
        }
        Ok(ends)
    }

    /// Enters L2. Its page tables were changed, so what is cached of them under its VPID is made invalid first; without
    /// VPID the entry does so. SDM vol. 3C, section 28.3.3.3, "Guidelines for Use of the INVVPID Instruction".
    fn enter(&mut self) -> Result<(), EntryFailed> {
        if self.environment.vpid {
            invvpid(VPID).map_err(EntryFailed::Entry)?;
        }
        enter::enter(&mut self.vmcs).map_err(EntryFailed::Entry)
    }

    /// Does what the scene says about its exit.
    fn answer(&self, scene: &Scene) -> Result<(), EntryFailed> {
        let reason = vmread(Field::ExitReason) as u16;
        match scene.answer {
            Answer::Retry | Answer::Reinject if matches!(reason, EXIT_EPT_VIOLATION | EXIT_EPT_MISCONFIGURATION) => {
                ept::spoil(None, self.maxphyaddr).map_err(EntryFailed::Entry)?;
            }
            Answer::Retry | Answer::Reinject => {
                deep::mend();
                if let Some(place) = scene.fault.and_then(|fault| Place::of(fault.address)) {
                    memory::mend(scene, place, self.maxphyaddr);
                }
            }
            Answer::Nothing | Answer::Reflect => {}
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
        Ok(())
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

    /// Reads how the scene ended.
    fn end(&self, scene: &Scene, want: &End) -> End {
        let reason = vmread(Field::ExitReason) as u16;
        let rip = self.environment.linear(vmread(Field::GuestRip));
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
                How::Delivered(vector) if !scene.real => frame.word(at, vector),
                How::Delivered(_) | How::Exit(_) | How::Done => None,
            }
            .or_else(|| state::word(at, self.environment))
            .or_else(|| memory::word(at, scene))
            .unwrap_or(0);
        }
        end.without_undefined()
    }
}

/// Injects an event at the next VM entry.
fn inject(info: u64, error_code: u64, length: u64) {
    vmwrite(Field::EntryInterruptionInfo, info);
    vmwrite(Field::EntryExceptionErrorCode, error_code);
    vmwrite(Field::EntryInstructionLength, length);
}
