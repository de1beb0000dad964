//! What L1 intercepts of L2's instructions in a scene.

use spec::scene::Exiting;

use crate::vmx::{Controls, Field, ProcessorBased, Secondary, Vmx, vmwrite};

/// The bits of the two processor-based control fields.
fn bits(exiting: Exiting) -> (ProcessorBased, Secondary) {
    match exiting {
        Exiting::Nothing => (ProcessorBased::empty(), Secondary::empty()),
        Exiting::DescriptorTables => {
            (ProcessorBased::SECONDARY, Secondary::DESCRIPTOR_TABLE_EXITING)
        }
        Exiting::Invlpg => {
            (ProcessorBased::INVLPG_EXITING | ProcessorBased::SECONDARY, Secondary::ENABLE_INVPCID)
        }
        Exiting::Io => (ProcessorBased::UNCONDITIONAL_IO_EXITING, Secondary::empty()),
    }
}

/// Whether the processor can intercept that.
pub fn is_offered(vmx: &Vmx, exiting: Exiting) -> bool {
    let (primary, secondary) = bits(exiting);
    vmx.processor_based(primary, secondary).is_some()
}

/// Writes the control fields: those of the environment, and what is intercepted. That must be
/// offered.
pub fn write(controls: &Controls, exiting: Exiting) {
    let (primary, secondary) = bits(exiting);
    let primary = controls.processor_based | primary.bits();
    vmwrite(Field::ProcessorBasedControls, primary.into());
    if primary & ProcessorBased::SECONDARY.bits() != 0 {
        vmwrite(
            Field::SecondaryControls,
            (controls.secondary.unwrap_or(0) | secondary.bits()).into(),
        );
    }
}
