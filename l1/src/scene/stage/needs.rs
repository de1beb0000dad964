//! What VMX, L0 and the VMM lack for a scene.

use spec::channel::Ask;
use spec::manual::filter::Filter;
use spec::scene::end::{End, Ends, How};
use spec::scene::rows::forced;
use spec::scene::{Exiting, Feature};

use super::invalidation::INVEPT_ALL;
use super::{Around, Stage, exiting, invalidation, pending};
use crate::machine::channel;
use crate::vmx::{Capabilities, VmFail, Vmx};

impl Stage {
    /// Whether the processor has the control by which L1 intercepts that.
    pub fn intercepts(vmx: &Vmx, exiting: Exiting) -> bool {
        exiting::is_offered(vmx, exiting)
    }

    /// What is lacking for a scene that needs a feature, as far as VMX and L0 are concerned. An
    /// environment is set up.
    pub fn lacks_feature(
        &mut self,
        feature: Feature,
        around: Around<'_>,
    ) -> Result<Option<&'static str>, VmFail> {
        let vmx = around.vmx;
        Ok(match feature {
            Feature::DescriptorTableExiting => (!exiting::is_offered(vmx, Exiting::DescriptorTables))
                .then_some("VMX lacks descriptor-table exiting (IA32_VMX_PROCBASED_CTLS2[34])"),
            Feature::InvpcidExiting | Feature::InvpcidWithoutExits => (!exiting::is_offered(vmx, Exiting::Invlpg))
                .then_some("VMX lacks INVPCID for L2 (IA32_VMX_PROCBASED_CTLS2[44])"),
            Feature::ShadowStack => {
                vmx.entry_with_cet().is_none().then_some("VMX lacks \"load CET state\" (IA32_VMX_ENTRY_CTLS[52])")
            }
            Feature::ForcedEmulation => (!self.forces_emulation(around)?).then_some(
                "L0 does not emulate what follows the forced-emulation prefix (KVM's force_emulation_prefix)",
            ),
            Feature::ExecuteOnly => {
                (!vmx.has_execute_only()).then_some("the CPU lacks execute-only EPT entries (IA32_VMX_EPT_VPID_CAP[0])")
            }
            Feature::Cr3WithoutExits | Feature::Pcid => invalidation::cr3_exits(vmx, self.environment)
                .then_some("VMX offers no CR3 accesses without exits (CR3-load, CR3-store exiting)"),
            Feature::Invept => {
                (!Capabilities::has_invept()).then_some("the CPU lacks INVEPT (IA32_VMX_EPT_VPID_CAP[20])")
            }
            Feature::InveptOfAll => (!(Capabilities::has_invept() && Capabilities::has_invept_of(INVEPT_ALL)))
                .then_some("the CPU lacks INVEPT of all contexts (IA32_VMX_EPT_VPID_CAP[26])"),
            Feature::AnyInvvpid => {
                (!Capabilities::has_any_invvpid()).then_some("the CPU lacks INVVPID (IA32_VMX_EPT_VPID_CAP[32])")
            }
            Feature::Invvpid(how) => {
                (!invalidation::has(how)).then_some("VMX lacks this type of INVVPID (IA32_VMX_EPT_VPID_CAP[43:40])")
            }
            Feature::LocalApic => (!self.interrupts_itself(around))
                .then_some("the local APIC does not deliver what its processor sends itself"),
            Feature::Moves => (!self.moves()).then_some("the VMM does not save and restore the VM"),
            Feature::CodeByVector => (!vmx.has_code_by_vector()).then_some(
                "VM entries deliver any exception with or without an error code (IA32_VMX_BASIC[56])",
            ),
            _ => None,
        })
    }

    /// Whether the VMM is one that moves the VM: it is the one that has immediate exits, too. To
    /// try one costs less than a move.
    fn moves(&mut self) -> bool {
        *self.moves.get_or_insert_with(|| {
            channel::present() && !channel::ask(Ask::ImmediateExit.word()).is_unknown_here()
        })
    }

    fn interrupts_itself(&mut self, around: Around<'_>) -> bool {
        *self.interrupts_itself.get_or_insert_with(|| around.apic.is_some_and(pending::is_possible))
    }

    /// Tries the prefix before an instruction that does nothing: without it, UD2 raises #UD.
    fn forces_emulation(&mut self, around: Around<'_>) -> Result<bool, VmFail> {
        if let Some(known) = self.forces_emulation {
            return Ok(known);
        }
        let done = End::new(How::Done);
        self.play(
            &forced::NOP.scene,
            Filter::NEVER,
            &mut Ends { first: done, second: None },
            around,
        )?;
        let forces_emulation = self.seen.first.how == How::Done;
        Ok(*self.forces_emulation.insert(forces_emulation))
    }
}
