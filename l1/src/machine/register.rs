//! Registers of devices, one byte wide, at an I/O port or in memory.
//!
//! Inlined, an access takes more room than a call in each of many places.
#![allow(unsafe_code, reason = "accesses the registers of devices")]

use x86_64::instructions::port::Port;

/// Where a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address below 4 GiB, which L1 maps one to one.
    Memory(u32),
}

impl Register {
    /// The register this far on.
    pub const fn plus(self, bytes: u8) -> Self {
        match self {
            Self::Port(port) => Self::Port(port.wrapping_add(bytes as u16)),
            Self::Memory(at) => Self::Memory(at.wrapping_add(bytes as u32)),
        }
    }

    /// Reads it.
    ///
    /// # Safety
    /// A read of the device that is there has no effect on L1's memory or registers.
    #[inline(never)]
    pub unsafe fn read(self) -> u8 {
        match self {
            // SAFETY: the caller's.
            Self::Port(port) => unsafe { Port::new(port).read() },
            // SAFETY: the caller's; the address is mapped.
            Self::Memory(at) => unsafe { (at as usize as *const u8).read_volatile() },
        }
    }

    /// Writes it.
    ///
    /// # Safety
    /// A write of the value to the device that is there has no effect on L1's memory or registers.
    #[inline(never)]
    pub unsafe fn write(self, value: u8) {
        match self {
            // SAFETY: the caller's.
            Self::Port(port) => unsafe { Port::new(port).write(value) },
            // SAFETY: the caller's; the address is mapped.
            Self::Memory(at) => unsafe { (at as usize as *mut u8).write_volatile(value) },
        }
    }
}

/// Registers of a device, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The first.
    pub at: Register,
    /// How far apart they are, as a power of two.
    pub shift: u8,
}
