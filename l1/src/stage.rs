//! The stage: L2 entered right at one instruction or event, with all of its state L1's to choose; see
//! [`spec::scene`].
//!
//! It has memory, page tables and a VMCS of its own beside the walker's.

mod enter;
mod memory;
mod state;

use spec::filter::{EXCEPTION_BITMAP_PF, Filter};
use spec::outcome::IDT_VECTORING_VALID;
use spec::paging::Maxphyaddr;
use spec::scene::descriptor::HANDLER;
use spec::scene::end::{End, Ends, How, WORDS, Word, Words};
use spec::scene::environment::Environment;
use spec::scene::event::{EventType, Source};
use spec::scene::expect::{BLOCKING_BY_NMI, CR2_AT_START, DR6_AT_START, NMI_UNBLOCKED};
use spec::scene::place::Place;
use spec::scene::{Answer, Scene};

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
    /// Pin-based controls that the environment has, and those that the last scene had beside them.
    pin_based: u32,
    pins: u32,
}

impl Stage {
    /// Makes the stage's VMCS; it is current then.
    pub fn new(vmx: &Vmx, maxphyaddr: Maxphyaddr) -> Result<Self, EntryFailed> {
        let vmcs = vmx.stage_vmcs().map_err(EntryFailed::Entry)?;
        write_controls(vmx);
        write_host_state();
        enter::write_host_entry();
        memory::build();
        Ok(Self { vmcs, environment: None, maxphyaddr, filter: None, pin_based: vmx.controls.pin_based, pins: 0 })
    }

    /// Makes the stage's VMCS current, and writes the state that all scenes of an environment share.
    pub fn set_up(&mut self, vmx: &Vmx, environment: &'static Environment) -> Result<(), EntryFailed> {
        self.vmcs.make_current().map_err(EntryFailed::Entry)?;
        self.environment = Some(environment);
        state::write_environment(vmx, environment);
        Ok(())
    }

    /// Plays a scene under a filter. `want` says what must be seen; what was is read as far as `want` fixes it, and
    /// in full where it ended otherwise.
    pub fn play(&mut self, scene: &Scene, filter: Filter, want: &Ends) -> Result<Ends, EntryFailed> {
        memory::lay_out(scene, self.maxphyaddr);
        state::write_scene(scene);
        self.set_filter(filter, scene.intercepts);
        self.set_pins(scene.pins);
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
        if scene.blocks_nmis() {
            state::unblock_nmis();
        }
        Ok(ends)
    }

    fn enter(&mut self) -> Result<(), EntryFailed> {
        enter::enter(&mut self.vmcs).map_err(EntryFailed::Entry)
    }

    /// Does what the scene says about its exit.
    fn answer(scene: &Scene, maxphyaddr: Maxphyaddr) {
        if let Some(place) = Place::of(vmread(Field::ExitQualification)) {
            match scene.answer {
                Answer::Retry | Answer::Reinject => memory::mend(scene, place, maxphyaddr),
                Answer::Nothing | Answer::Reflect => {}
            }
        }
        match scene.answer {
            Answer::Nothing => {}
            // An IRET that comes again must find NMIs blocked. SDM vol. 3C, section 31.7.1.2, "Resuming Guest Software
            // after Handling an Exception".
            Answer::Retry => {
                let idt_vectoring = vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID != 0;
                if !idt_vectoring && vmread(Field::ExitInterruptionInfo) & NMI_UNBLOCKED != 0 {
                    vmwrite(Field::GuestInterruptibility, BLOCKING_BY_NMI);
                }
            }
            Answer::Reinject => {
                let info = vmread(Field::IdtVectoringInfo) & !NMI_UNBLOCKED;
                if info & IDT_VECTORING_VALID != 0 {
                    // With virtual NMIs, an NMI cannot be injected while they are blocked, and its delivery blocks them.
                    if info >> 8 & 7 == EventType::Nmi as u64 {
                        vmwrite(Field::GuestInterruptibility, 0);
                    }
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

    fn set_pins(&mut self, pins: u32) {
        if self.pins != pins {
            vmwrite(Field::PinBasedControls, (self.pin_based | pins).into());
            self.pins = pins;
        }
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
        let is_software =
            |vector| scene.event.is_some_and(|event| event.vector == vector && !event.kind.may_have_error_code());
        for (at, value) in end.words.iter_mut().enumerate().filter(|(at, _)| wanted >> at & 1 == 1) {
            *value = match how {
                How::Delivered(vector) => frame.word(at, vector, is_software(vector)),
                How::Exit(_) | How::Done => None,
            }
            .or_else(|| state::word(at))
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
