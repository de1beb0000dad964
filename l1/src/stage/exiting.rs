//! What L1 intercepts of L2's instructions in a scene.

use spec::scene::Exiting;

use crate::vmx::{Field, ProcessorBased, Secondary, Vmx, vmwrite};

/// The values of the two processor-based control fields, if the processor allows them.
fn fields(vmx: &Vmx, exiting: Exiting) -> Option<(u32, u32)> {
    let (primary, secondary) = match exiting {
        Exiting::Nothing => (ProcessorBased::empty(), Secondary::empty()),
        Exiting::DescriptorTables => (ProcessorBased::empty(), Secondary::DESCRIPTOR_TABLE_EXITING),
        Exiting::Invlpg => (ProcessorBased::INVLPG_EXITING, Secondary::ENABLE_INVPCID),
        Exiting::Io => (ProcessorBased::UNCONDITIONAL_IO_EXITING, Secondary::empty()),
    };
    vmx.processor_based(primary, secondary)
}

/// Whether the processor can intercept that.
pub fn is_offered(vmx: &Vmx, exiting: Exiting) -> bool {
    fields(vmx, exiting).is_some()
}

/// Writes the control fields; what is not offered, L1 does not ask for.
pub fn write(vmx: &Vmx, exiting: Exiting) {
    let Some((primary, secondary)) = fields(vmx, exiting) else {
        return;
    };
    vmwrite(Field::ProcessorBasedControls, primary.into());
    if primary & ProcessorBased::SECONDARY.bits() != 0 {
        vmwrite(Field::SecondaryControls, secondary.into());
    }
}
