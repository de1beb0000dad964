//! L1 makes a page bad that L2 has used, invalidates what is cached of it, and lets L2 use it
//! again; see [`spec::scene::invalidation`].

use spec::manual::ept::SINGLE_CONTEXT;
use spec::scene::Scene;
use spec::scene::environment::Environment;
use spec::scene::event::{Event, EventType, Source};
use spec::scene::invalidation::Invalidation;
use spec::scene::tested::linear;

use super::{Around, SceneVcpu, VPID, ept, pending, tables};
use crate::machine::apic::Apic;
use crate::vmx::exit::REASON_INTERRUPT;
use crate::vmx::invalidate::invvpid_of;
use crate::vmx::{Capabilities, Field, PinBased, ProcessorBased, VmFail, Vmx, vmread, vmwrite};

/// The type of INVEPT that invalidates everything.
pub const INVEPT_ALL: u64 = 2;
/// What ends an entry before L2's first instruction.
const INTERRUPT: Event = Event::new(Source::Arrived, EventType::ExternalInterrupt, 0x32);

/// Whether VMX has it.
pub fn has(how: Invalidation) -> bool {
    how.number().is_none_or(Capabilities::has_invvpid_of)
}

/// Whether L2's accesses to CR3 exit in an environment.
pub fn cr3_exits(vmx: &Vmx, environment: &Environment) -> bool {
    let exits = ProcessorBased::CR3_LOAD_EXITING | ProcessorBased::CR3_STORE_EXITING;
    vmx.controls_for(environment).is_ok_and(|controls| controls.processor_based & exits.bits() != 0)
}

impl SceneVcpu {
    /// Puts L2 to the start of a scene that it played, with the page under test as it is to be, and
    /// enters it.
    pub(super) fn enter_spoiled(
        &mut self,
        how: Invalidation,
        scene: &Scene,
        around: Around<'_>,
    ) -> Result<(), VmFail> {
        let environment = self.environment();
        self.begin(scene, around)?;
        if let Some(tested) = &scene.tested {
            tables::set_tested(environment, tested, around.maxphyaddr);
            if let Some(kind) = how.number() {
                let address = linear(environment.format, tested.page.level);
                invvpid_of(kind, self.vpid, address)?;
            }
        }
        match how {
            Invalidation::EptSingle => {
                ept::spoil_by(SINGLE_CONTEXT, scene.spoiled(), around.maxphyaddr)?;
            }
            Invalidation::EptAll => {
                ept::spoil_by(INVEPT_ALL, scene.spoiled(), around.maxphyaddr)?;
            }
            Invalidation::NewVpid | Invalidation::NewVpidCut => {
                // No run has as many scenes as there are VPIDs.
                self.vpid = self.vpid.wrapping_add(1).max(VPID);
                vmwrite(Field::Vpid, self.vpid.into());
            }
            _ => {}
        }
        match around.apic.filter(|_| how.is_cut()) {
            Some(apic) => self.enter_cut(around.vmx, scene, apic),
            None => self.enter_as_is(),
        }
    }

    /// Enters L2 while an interrupt is pending that exits, so that L2 executes nothing, and again
    /// without it. If something else comes of the first entry, that is where the scene ends.
    fn enter_cut(&mut self, vmx: &Vmx, scene: &Scene, apic: Apic) -> Result<(), VmFail> {
        self.set_pins(vmx, scene.pins | PinBased::EXTERNAL_INTERRUPT_EXITING.bits());
        apic.interrupt_itself(INTERRUPT.vector);
        self.enter_as_is()?;
        let cut = vmread(Field::ExitReason) == REASON_INTERRUPT;
        pending::clear(&INTERRUPT, apic);
        self.set_pins(vmx, scene.pins);
        if cut { self.enter_as_is() } else { Ok(()) }
    }
}
