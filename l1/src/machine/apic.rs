//! The local APIC of the processor that uses it, in xAPIC mode. SDM vol. 3A, "Advanced Programmable
//! Interrupt Controller (APIC)".
#![allow(unsafe_code, reason = "accesses the local APIC's registers")]

use core::hint::spin_loop;

use spec::scene::event::COMMAND;

use crate::machine::cpu::Cpu;

/// Registers. SDM vol. 3A, "The Local APIC Block Diagram".
const ID: u64 = 0x20;
const TASK_PRIORITY: u64 = 0x80;
const EOI: u64 = 0xb0;
const SPURIOUS_VECTOR: u64 = 0xf0;
const IN_SERVICE: u64 = 0x100;
const REQUESTED: u64 = 0x200;
const COMMAND_LOW: u64 = COMMAND;
const COMMAND_HIGH: u64 = 0x310;
/// In the spurious-interrupt vector register: APIC enabled, vector FFH.
const ENABLED: u32 = 0x1ff;
/// In the interrupt command register: level asserted; delivery mode NMI; delivery pending; the
/// destination is every processor but this one.
pub const ASSERT: u32 = 1 << 14;
const ALL_BUT_SELF: u32 = 3 << 18;
const NMI: u32 = 4 << 8;
const PENDING: u32 = 1 << 12;
/// How long, in looks, until an interrupt is accepted.
const ACCEPT_POLLS: u32 = 100_000;

/// The local APIC.
#[derive(Clone, Copy)]
pub struct Apic(u64);

impl Apic {
    /// This processor's, if it is in xAPIC mode.
    pub fn of(cpu: &Cpu) -> Option<Self> {
        cpu.local_apic().map(Self)
    }

    fn write(self, register: u64, value: u32) {
        // SAFETY: `Apic::of` has the page from IA32_APIC_BASE, below 4 GiB, so mapped, and no
        // memory of L1; `register` is a constant of this file, or up to 70H more than that of IRR
        // or ISR: below 4096, and a multiple of 16.
        unsafe { ((self.0 + register) as *mut u32).write_volatile(value) };
    }

    fn read(self, register: u64) -> u32 {
        // SAFETY: as in `write`.
        unsafe { ((self.0 + register) as *const u32).read_volatile() }
    }

    /// Sends an interrupt command to the processor with an APIC ID.
    pub fn send(self, id: u32, command: u32) {
        self.write(COMMAND_HIGH, id << 24);
        self.command(command);
    }

    /// Sends an interrupt command to all processors but this one.
    pub fn send_to_others(self, command: u32) {
        self.command(command | ALL_BUT_SELF);
    }

    /// Sends an interrupt command, and waits until it is accepted.
    fn command(self, command: u32) {
        self.write(COMMAND_LOW, command);
        for _ in 0..ACCEPT_POLLS {
            if self.read(COMMAND_LOW) & PENDING == 0 {
                break;
            }
            spin_loop();
        }
    }

    /// This processor's APIC ID.
    pub fn own_id(self) -> u32 {
        self.read(ID) >> 24
    }

    /// Sends this processor an interrupt of this vector.
    pub fn interrupt_itself(self, vector: u8) {
        self.send(self.own_id(), ASSERT | u32::from(vector));
    }

    /// Lets the next write to the low half of the interrupt command register go to this processor.
    pub fn aim_at_itself(self) {
        self.write(COMMAND_HIGH, self.own_id() << 24);
    }

    /// Sends an NMI to where [`Apic::aim_at_itself`] aims. It does nothing after the write.
    pub fn nmi(self) {
        self.write(COMMAND_LOW, ASSERT | NMI);
    }

    /// Physical address of the registers, which L1 maps there.
    pub fn page(self) -> u64 {
        self.0
    }

    /// Whether an interrupt of this vector is requested and was not delivered yet.
    pub fn is_requested(self, vector: u8) -> bool {
        self.has(REQUESTED, vector)
    }

    /// Whether an interrupt of this vector was delivered and is not at its end yet.
    pub fn is_in_service(self, vector: u8) -> bool {
        self.has(IN_SERVICE, vector)
    }

    /// Whether a register of 256 bits has the bit of this vector.
    fn has(self, register: u64, vector: u8) -> bool {
        self.read(register + u64::from(vector / 32) * 0x10) >> (vector % 32) & 1 == 1
    }

    /// Accepts interrupts of every priority.
    pub fn enable(self) {
        self.write(SPURIOUS_VECTOR, ENABLED);
        // `host.apic` writes it.
        self.write(TASK_PRIORITY, 0);
    }

    /// The interrupt is handled.
    pub fn end_of_interrupt(self) {
        self.write(EOI, 0);
    }
}
