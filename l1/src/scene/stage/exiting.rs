//! What L1 intercepts of L2's instructions in a scene.
#![allow(unsafe_code, reason = "fills the I/O bitmaps in a static")]

use spec::scene::Exiting;
use spec::scene::feature::{LISTED_PORT_A, LISTED_PORT_B};

use crate::machine::global::Global;
use crate::machine::page::{Page, physical};
use crate::vmx::{Controls, Field, ProcessorBased, Secondary, Vmx, vmwrite};

/// I/O bitmaps A and B, a bit for each port of the lower and of the upper half. SDM vol. 3C,
/// "I/O-Bitmap Addresses".
static IO_BITMAPS: Global<[Page; 2]> = Global::new([Page::EMPTY; 2]);

/// The MSR bitmap: no MSR's bit is set.
static MSR_BITMAPS: Global<Page> = Global::new(Page::EMPTY);

/// The bits of the two processor-based control fields.
fn bits(exiting: Exiting) -> (ProcessorBased, Secondary) {
    let primary = match exiting {
        Exiting::Nothing => ProcessorBased::empty(),
        Exiting::DescriptorTables | Exiting::NotEvenInvpcid => ProcessorBased::SECONDARY,
        Exiting::NotEvenMsrs => ProcessorBased::MSR_BITMAPS,
        Exiting::Invlpg => ProcessorBased::INVLPG_EXITING | ProcessorBased::SECONDARY,
        Exiting::Io => ProcessorBased::UNCONDITIONAL_IO_EXITING,
        Exiting::IoBitmaps => ProcessorBased::IO_BITMAPS,
        Exiting::Hlt => ProcessorBased::HLT_EXITING,
        Exiting::Pause => ProcessorBased::PAUSE_EXITING,
        Exiting::Rdtsc => ProcessorBased::RDTSC_EXITING,
        Exiting::Rdpmc => ProcessorBased::RDPMC_EXITING,
        Exiting::Cr3 => ProcessorBased::CR3_LOAD_EXITING | ProcessorBased::CR3_STORE_EXITING,
        Exiting::Cr8 => ProcessorBased::CR8_LOAD_EXITING | ProcessorBased::CR8_STORE_EXITING,
        Exiting::DebugRegisters => ProcessorBased::MOV_DR_EXITING,
        Exiting::MonitorTrap => ProcessorBased::MONITOR_TRAP,
        Exiting::InterruptWindow => ProcessorBased::INTERRUPT_WINDOW_EXITING,
        Exiting::NmiWindow => ProcessorBased::NMI_WINDOW_EXITING,
    };
    let secondary = match exiting {
        Exiting::DescriptorTables => Secondary::DESCRIPTOR_TABLE_EXITING,
        Exiting::Invlpg | Exiting::NotEvenInvpcid => Secondary::ENABLE_INVPCID,
        _ => Secondary::empty(),
    };
    (primary, secondary)
}

/// Whether the processor can intercept that.
pub fn is_offered(vmx: &Vmx, exiting: Exiting) -> bool {
    let (primary, secondary) = bits(exiting);
    exiting == Exiting::Nothing || vmx.processor_based(primary, secondary).is_some()
}

/// Writes the control fields: those of the environment, and what is intercepted. That must be
/// offered.
pub fn write(controls: &Controls, exiting: Exiting) {
    let (primary, secondary) = bits(exiting);
    let primary = controls.processor_based | primary.bits();
    vmwrite(Field::ProcessorBasedControls, primary.into());
    if exiting == Exiting::NotEvenMsrs {
        vmwrite(Field::MsrBitmaps, physical(MSR_BITMAPS.get()));
    }
    if primary & ProcessorBased::SECONDARY.bits() != 0 {
        vmwrite(
            Field::SecondaryControls,
            (controls.secondary.unwrap_or(0) | secondary.bits()).into(),
        );
    }
    if exiting == Exiting::IoBitmaps {
        write_io_bitmaps();
    }
}

/// Lists the two ports, and writes where the bitmaps are.
fn write_io_bitmaps() {
    let bitmaps = IO_BITMAPS.get();
    for port in [LISTED_PORT_A, LISTED_PORT_B].map(usize::from) {
        let (bitmap, bit) = (port >> 15, port & 0x7fff);
        // SAFETY: only the first processor has a stage; L2 does not run. Of a bitmap's 8000H bits
        // each word has 64.
        unsafe { (*bitmaps)[bitmap].0[bit / 64] = 1 << (bit % 64) };
    }
    let first = physical(bitmaps);
    vmwrite(Field::IoBitmapA, first);
    vmwrite(Field::IoBitmapB, first + Page::SIZE);
}
