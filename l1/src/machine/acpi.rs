//! What the firmware's ACPI tables say: how to power off and reset, where the console is, how many
//! processors there are.
//!
//! Offsets are of the ACPI Specification 6.5, "ACPI Software Programming Model", and of Microsoft's
//! "Serial Port Console Redirection Table". Tables may lie: what is out of reach, too long or has a
//! wrong checksum counts as not there, and no loop is longer than a constant.

use core::ops::Range;

use crate::machine::register::{Register, Registers};

/// Reads physical memory: a range, if all of it can be read.
pub type Memory<'a> = &'a dyn Fn(u64, usize) -> Option<&'a [u8]>;

/// Where the RSDP is if no loader says: within the BIOS' read-only memory.
const BIOS: Range<u64> = 0xe_0000..0x10_0000;
const BIOS_STEP: u64 = 16;
/// Bytes of the RSDP's first version, and of all of it.
const RSDP: usize = 20;
const RSDP_ALL: usize = 36;
/// Bytes of a table's header.
const HEADER: usize = 36;
/// The longest table that is read, and how many.
const MAX_TABLE: usize = 1 << 20;
const MAX_TABLES: usize = 128;

/// How the machine is powered off and reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// PM1 control registers, and what is written there for soft off.
    pub pm1: [Option<(u16, u16)>; 2],
    /// Where and by which byte the machine is put into ACPI mode.
    pub enable: (u16, u8),
    /// The sleep control register of hardware-reduced ACPI, and its byte for soft off.
    pub sleep: Option<(Register, u8)>,
    /// The reset register and its byte.
    pub reset: Option<(Register, u8)>,
}

impl Power {
    /// No tables say how.
    pub const NONE: Self = Self { pm1: [None; 2], enable: (0, 0), sleep: None, reset: None };
}

/// A serial port that is the firmware's console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Where its registers are.
    pub registers: Registers,
    /// The speed that it is set to, if the firmware says.
    pub baud: Option<u32>,
}

/// The tables.
#[derive(Clone, Copy)]
pub struct Acpi<'a> {
    memory: Memory<'a>,
    /// The root table's entries, and the bytes of one.
    root: &'a [u8],
    entry: usize,
}

impl<'a> Acpi<'a> {
    /// The tables of the RSDP at an address, or of the one in the BIOS' memory if the loader does
    /// not say where it is. Where that is no memory, each read of it can be an exit to the VMM.
    pub fn find(memory: Memory<'a>, rsdp: Option<u64>) -> Option<Self> {
        if let Some(at) = rsdp {
            return Self::of_rsdp(memory, at);
        }
        let mut at = BIOS.start;
        while at < BIOS.end {
            if let Some(acpi) = Self::of_rsdp(memory, at) {
                return Some(acpi);
            }
            at += BIOS_STEP;
        }
        None
    }

    fn of_rsdp(memory: Memory<'a>, at: u64) -> Option<Self> {
        let rsdp =
            memory(at, RSDP).filter(|rsdp| rsdp.starts_with(b"RSD PTR ") && sum(rsdp) == 0)?;
        // Of revision 2 on, it is longer and has a 64-bit address.
        let all = memory(at, RSDP_ALL).filter(|all| rsdp[15] >= 2 && sum(all) == 0);
        let (root, entry) = match all.and_then(|all| table(memory, number(all, 24, 8), *b"XSDT")) {
            Some(root) => (root, 8),
            None => (table(memory, number(rsdp, 16, 4), *b"RSDT")?, 4),
        };
        Some(Self { memory, root: &root[HEADER..], entry })
    }

    /// The first table of a name.
    #[inline(never)]
    fn named(self, name: [u8; 4]) -> Option<&'a [u8]> {
        let count = (self.root.len() / self.entry).min(MAX_TABLES);
        (0..count).find_map(|entry| {
            table(self.memory, number(self.root, entry * self.entry, self.entry), name)
        })
    }

    /// How to power off and reset.
    pub fn power(self) -> Power {
        let Some(fadt) = self.named(*b"FACP") else { return Power::NONE };
        let flags = number(fadt, 112, 4);
        let dsdt = |at, size| table(self.memory, number(fadt, at, size), *b"DSDT");
        let soft_off = dsdt(140, 8).or_else(|| dsdt(40, 4)).and_then(soft_off);
        // The registers by their long addresses, or by ports.
        let pm1 = [(172, 64), (184, 68)].map(|(long, short)| match register(fadt, long) {
            Some(Register::Port(port)) => port,
            _ => number(fadt, short, 4) as u16,
        });
        Power {
            pm1: [0, 1].map(|at| {
                let value = SLEEP_ENABLE | u16::from(soft_off?[at] & SLEEP_TYPES) << SLEEP_TYPE;
                (pm1[at] != 0 && flags & HARDWARE_REDUCED == 0).then_some((pm1[at], value))
            }),
            enable: (number(fadt, 48, 4) as u16, number(fadt, 52, 1) as u8),
            sleep: register(fadt, 244).zip(soft_off).map(|(sleep, [kind, _])| {
                (sleep, SLEEP_ENABLE_REDUCED | (kind & SLEEP_TYPES) << SLEEP_TYPE_REDUCED)
            }),
            reset: register(fadt, 116)
                .filter(|_| flags & RESET_SUPPORTED != 0)
                .map(|reset| (reset, number(fadt, 128, 1) as u8)),
        }
    }

    /// The firmware's console, if it is a UART like COM1's.
    pub fn console(self) -> Option<Console> {
        let spcr = self.named(*b"SPCR")?;
        let baud = match number(spcr, 58, 1) {
            3 => Some(9600),
            4 => Some(19_200),
            6 => Some(57_600),
            7 => Some(115_200),
            _ => None,
        };
        // 16550, 16450, and a 16550 with the registers that its address structure says.
        matches!(number(spcr, 36, 1), 0 | 1 | 0x12).then_some(())?;
        let shift = if number(spcr, 41, 1) == 32 { 2 } else { 0 };
        Some(Console { registers: Registers { at: register(spcr, 40)?, shift }, baud })
    }

    /// How many processors can be started, as far as the tables say.
    pub fn processors(self) -> Option<usize> {
        let mut rest = self.named(*b"APIC")?.get(HEADER + 8..)?;
        let mut count = 0;
        while let [kind, length, ..] = *rest {
            let entry = rest.get(..length.into()).filter(|entry| entry.len() >= 2)?;
            // Those with a local APIC and with a local x2APIC have their flags at different places.
            count += match kind {
                0 => number(entry, 4, 4) & 1,
                9 => number(entry, 8, 4) & 1,
                _ => 0,
            } as usize;
            rest = &rest[entry.len()..];
        }
        Some(count)
    }
}

/// In the FADT's flags: there is a reset register; the hardware has no PM1 registers.
const RESET_SUPPORTED: u64 = 1 << 10;
const HARDWARE_REDUCED: u64 = 1 << 20;
/// In a PM1 control register, and in the sleep control register: to sleep, and where the kind of
/// sleep is.
const SLEEP_TYPES: u8 = 7;
const SLEEP_ENABLE: u16 = 1 << 13;
const SLEEP_TYPE: u8 = 10;
const SLEEP_ENABLE_REDUCED: u8 = 1 << 5;
const SLEEP_TYPE_REDUCED: u8 = 2;

/// The little-endian number at an offset, 0 beyond the end.
// Inlined, it takes more room than a call in each of many places; so do the next ones.
#[inline(never)]
pub fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The register of a generic address structure, if L1 can reach it. ACPI Specification, "Generic
/// Address Structure".
#[inline(never)]
fn register(table: &[u8], at: usize) -> Option<Register> {
    match (number(table, at, 1), number(table, at + 4, 8)) {
        (_, 0) => None,
        (0, at) => u32::try_from(at).ok().map(Register::Memory),
        (1, at) => u16::try_from(at).ok().map(Register::Port),
        _ => None,
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// The table at an address, if it has this name and is whole.
#[inline(never)]
fn table(memory: Memory<'_>, at: u64, name: [u8; 4]) -> Option<&[u8]> {
    let header = memory(at, HEADER).filter(|header| header.starts_with(&name))?;
    let length = number(header, 4, 4) as usize;
    (HEADER..=MAX_TABLE).contains(&length).then_some(())?;
    memory(at, length).filter(|table| sum(table) == 0)
}

/// The kinds of sleep of soft off for both PM1 registers, from the package `\_S5` in AML. ACPI
/// Specification, "AML Grammar Definition": PackageOp, length, number of elements, elements.
fn soft_off(aml: &[u8]) -> Option<[u8; 2]> {
    const BYTE_PREFIX: u8 = 0x0a;
    (0..aml.len()).find_map(|at| {
        let rest = aml[at..].strip_prefix(b"_S5_\x12")?;
        let mut elements = rest.get(2 + usize::from(rest.first()? >> 6)..)?.iter().copied();
        let mut element = || match elements.next()? {
            BYTE_PREFIX => elements.next(),
            // ZeroOp and OneOp.
            small @ 0..=1 => Some(small),
            _ => None,
        };
        let first = element()?;
        Some([first, element().unwrap_or_default()])
    })
}

#[cfg(test)]
mod tests;
