//! Events: what is delivered through L2's IDT.

/// The type of an event as interruption-information fields encode it. SDM vol. 3C, "VM-Entry
/// Controls for Event Injection".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventType {
    /// External interrupt.
    ExternalInterrupt = 0,
    /// Non-maskable interrupt.
    Nmi = 2,
    /// Hardware exception.
    HardwareException = 3,
    /// Software interrupt: INT n.
    SoftwareInterrupt = 4,
    /// Privileged software exception: INT1.
    PrivilegedSoftwareException = 5,
    /// Software exception: INT3 or INTO.
    SoftwareException = 6,
}

impl EventType {
    /// Whether events of the type push an error code if their vector has one.
    #[must_use]
    pub const fn may_have_error_code(self) -> bool {
        matches!(self, Self::HardwareException)
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// L1 injects it at the VM entry.
    Injected,
    /// The instruction under test raises it.
    Raised,
    /// The local APIC has it, see [`Pending`], and L1 does not intercept it.
    Arrived,
}

/// An event of L1's local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// An external interrupt or an NMI.
    pub event: Event,
    /// Who makes it pending.
    pub by: Sender,
}

/// Who makes the local APIC's event pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// L1, before the VM entry.
    Hypervisor,
    /// L2's instruction: it writes the low half of the interrupt command register, at [`COMMAND`]
    /// of [`Place::Device`](super::place::Place::Device), which is the local APIC's page then.
    Guest,
}

/// Offset of the low half of the interrupt command register. SDM vol. 3A, "The Local APIC Block
/// Diagram".
pub const COMMAND: u64 = 0x300;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it comes from.
    pub source: Source,
    /// Its type.
    pub kind: EventType,
    /// Its vector.
    pub vector: u8,
    /// Its error code, if it has one.
    pub error_code: Option<u32>,
    /// Length of the instruction of a software interrupt or software exception, in bytes.
    pub length: u64,
}

impl Event {
    /// An event without error code.
    #[must_use]
    pub const fn new(source: Source, kind: EventType, vector: u8) -> Self {
        Self { source, kind, vector, error_code: None, length: 0 }
    }

    /// With an error code.
    #[must_use]
    pub const fn error_code(mut self, error_code: u32) -> Self {
        self.error_code = Some(error_code);
        self
    }

    /// With an instruction length.
    #[must_use]
    pub const fn length(mut self, length: u64) -> Self {
        self.length = length;
        self
    }

    /// The event in the format of interruption information: valid, with its type, vector, and
    /// whether there is an error code.
    #[must_use]
    pub const fn info(&self) -> u64 {
        1 << 31
            | (self.error_code.is_some() as u64) << 11
            | (self.kind as u64) << 8
            | self.vector as u64
    }

    /// Whether it is made by an instruction, after which its handler returns.
    #[must_use]
    pub const fn is_software(&self) -> bool {
        matches!(
            self.kind,
            EventType::SoftwareInterrupt
                | EventType::SoftwareException
                | EventType::PrivilegedSoftwareException
        )
    }

    /// Whether its handler returns to the instruction at which it came, with RF set: a fault.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self.kind, EventType::HardwareException)
    }
}
