//! The ACPI tables without which Xen does not find its interrupt controllers: the root pointer, its
//! list, and the one table in that, which has Bochs' processor and its I/O APIC.

use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

/// Who made them.
const MAKER: [u8; 6] = *b"MMATCH";
const MACHINE: [u8; 8] = *b"LAB     ";
const REVISION: u32 = 1;
/// Bytes before a table's contents.
const HEADER: u32 = 36;
/// Where the list and the table are, from the root pointer on.
const LIST: u64 = 0x40;
const TABLE: u64 = 0x80;

const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
/// There are also the two interrupt controllers of a PC.
const PC_COMPATIBLE: u32 = 1;

/// The tables for memory at `address`. ACPI 6.4, sections 5.2.5, 5.2.8 and 5.2.12.
pub fn tables(address: u64) -> Vec<u8> {
    let table = |signature, parts: &[&[u8]]| {
        let mut table = Sdt::new(signature, HEADER, 1, MAKER, MACHINE, REVISION);
        for part in parts {
            table.append_slice(part);
        }
        table.as_slice().to_vec()
    };
    let list = table(*b"XSDT", &[&(address + TABLE).to_le_bytes()]);
    let apics = table(
        *b"APIC",
        &[
            &LOCAL_APIC.to_le_bytes(),
            &PC_COMPATIBLE.to_le_bytes(),
            // Processor 0 has local APIC 0, and is enabled.
            &[0, 8, 0, 0, 1, 0, 0, 0],
            // I/O APIC 1, whose interrupts begin at 0.
            &[&[1, 12, 1, 0], &IO_APIC.to_le_bytes()[..], &[0; 4]].concat(),
            // The timer's interrupt is 2, not 0 as on the ISA bus.
            &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        ],
    );
    let mut bytes = Bytes(Vec::new());
    Rsdp::new(MAKER, address + LIST).to_aml_bytes(&mut bytes);
    let Bytes(mut all) = bytes;
    all.resize(LIST as usize, 0);
    all.extend(list);
    all.resize(TABLE as usize, 0);
    all.extend(apics);
    all
}

/// Takes a table's bytes.
struct Bytes(Vec<u8>);

impl AmlSink for Bytes {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::{LIST, TABLE, tables};

    #[test]
    fn each_points_at_the_next_and_adds_up_to_zero() {
        let tables = tables(0xf_8000);
        let sum = |at: u64, bytes: usize| {
            tables[at as usize..][..bytes].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
        };
        let word = |at: u64| u32::from_le_bytes(tables[at as usize..][..4].try_into().unwrap());
        assert_eq!((&tables[..8], sum(0, 20), sum(0, 36)), (&b"RSD PTR "[..], 0, 0));
        assert_eq!(word(24), 0xf_8040);
        for (at, name, length) in [(LIST, b"XSDT", 44), (TABLE, b"APIC", 74)] {
            assert_eq!(&tables[at as usize..][..4], name);
            assert_eq!(word(at + 4), length);
            assert_eq!(sum(at, length as usize), 0);
        }
        assert_eq!(word(LIST + 36), 0xf_8080);
    }
}
