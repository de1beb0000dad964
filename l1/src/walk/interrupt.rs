//! The external interrupt that the VMM makes while L2 is active: L2's handler gets it, or L1 by a
//! VM exit.

use spec::channel::INTERRUPT_VECTOR;

use crate::machine::apic::Apic;
use crate::vmx::exit::REASON_INTERRUPT;
use crate::vmx::{Field, PinBased, Vmx, vmread, vmwrite};

/// VM-exit interruption information of an external interrupt: valid, type 0. SDM "Information for
/// VM Exits Due to Vectored Events".
const INTERRUPTION_INFO: u64 = 1 << 31 | INTERRUPT_VECTOR as u64;

/// What L1 does about it.
#[derive(Clone, Copy)]
pub struct Interrupts {
    apic: Apic,
    /// Whether L1 gets it, by a VM exit that acknowledges it.
    exiting: bool,
    /// How many exits of this walk were as they must be.
    exits: u32,
}

impl Interrupts {
    /// Lets the local APIC accept it, and vmcs12 ask for its exit if L1 is to get it. `None` if VMX
    /// does not allow that.
    pub fn on(apic: Apic, exiting: bool, vmx: &Vmx) -> Option<Self> {
        if exiting {
            let (pins, exit) = vmx.interrupt_exiting()?;
            vmwrite(Field::PinBasedControls, vmread(Field::PinBasedControls) | u64::from(pins));
            vmwrite(Field::ExitControls, exit.into());
        }
        apic.enable();
        Some(Self { apic, exiting, exits: 0 })
    }

    /// Takes back what [`Interrupts::on`] wrote to vmcs12.
    pub fn off(vmx: &Vmx) {
        let exiting = u64::from(PinBased::EXTERNAL_INTERRUPT_EXITING.bits());
        vmwrite(Field::PinBasedControls, vmread(Field::PinBasedControls) & !exiting);
        vmwrite(Field::ExitControls, vmx.controls.exit.into());
    }

    /// Before a walk: whether L2's IF must be 1 for it to come.
    pub fn begin(&mut self) -> bool {
        self.exits = 0;
        // One of a walk that broke.
        self.apic.end_of_interrupt();
        !self.exiting
    }

    /// Whether the exit that came is the one that must; it is then handled, and L2 can go on.
    pub fn take(&mut self) -> bool {
        let right = self.exiting
            && vmread(Field::ExitReason) == REASON_INTERRUPT
            && vmread(Field::ExitInterruptionInfo) == INTERRUPTION_INFO;
        if right {
            self.exits += 1;
            self.apic.end_of_interrupt();
        }
        right
    }

    /// Whether it came once, to the party that must get it. `delivered` is how many L2's handler
    /// got in the walk that is over.
    pub fn came_once(&self, delivered: u32) -> bool {
        if self.exiting {
            return (self.exits, delivered) == (1, 0);
        }
        // L2 leaves that to L1.
        self.apic.end_of_interrupt();
        delivered == 1
    }
}
