//! L1 makes a page bad that L2 has used, invalidates what is cached of it, and lets L2 use it
//! again; see [`spec::scene::invalidation`].

use spec::scene::Scene;
use spec::scene::environment::Environment;
use spec::scene::invalidation::Invalidation;
use spec::scene::tested::linear;

use super::{Around, SceneVcpu, VPID, tables};
use crate::vmx::invalidate::invvpid_of;
use crate::vmx::{Capabilities, ProcessorBased, VmFail, Vmx};

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
                invvpid_of(kind, VPID, address)?;
            }
        }
        self.enter_as_is()
    }
}
