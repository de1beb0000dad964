use std::vec;
use std::vec::Vec;

use super::*;

/// Tables of real machines: QEMU 7.2's `pc` and `microvm` of two processors, and `q35` with OVMF.
/// Each is a list of its address as 64 bits, its length as 32 bits, and its bytes.
const PC: &[u8] = include_bytes!("fixtures/pc.bin");
const MICROVM: &[u8] = include_bytes!("fixtures/microvm.bin");
const OVMF: &[u8] = include_bytes!("fixtures/ovmf-q35.bin");

/// Physical memory: pieces with their addresses.
#[derive(Clone)]
struct Pieces(Vec<(u64, Vec<u8>)>);

impl Pieces {
    fn of(mut fixture: &[u8]) -> Self {
        let mut pieces = Vec::new();
        while !fixture.is_empty() {
            let (head, rest) = fixture.split_at(12);
            let (piece, rest) = rest.split_at(number(head, 8, 4) as usize);
            pieces.push((number(head, 0, 8), piece.to_vec()));
            fixture = rest;
        }
        Self(pieces)
    }

    /// The first piece that begins so.
    fn named(&mut self, name: &[u8]) -> &mut Vec<u8> {
        let piece = self.0.iter_mut().find(|(_, piece)| piece.starts_with(name));
        &mut piece.expect("the fixture has it").1
    }

    /// Changes bytes of the piece that begins so, and mends its checksum.
    fn change(mut self, name: &[u8], at: usize, bytes: &[u8]) -> Self {
        let piece = self.named(name);
        piece[at..at + bytes.len()].copy_from_slice(bytes);
        mend(piece);
        self
    }

    fn read(&self, at: u64, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, piece)| {
            let from = at.checked_sub(*start)? as usize;
            piece.get(from..from.checked_add(length)?)
        })
    }

    /// What the tables say.
    fn says(&self) -> Option<(Power, Option<Console>, Option<usize>)> {
        let memory = |at, length| self.read(at, length);
        let rsdp = self.0[0].0;
        Acpi::find(&memory, Some(rsdp))
            .map(|acpi| (acpi.power(), acpi.console(), acpi.processors()))
    }
}

fn mend(table: &mut [u8]) {
    table[9] = table[9].wrapping_sub(sum(table));
}

/// A table with this after its header.
fn made(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u32;
    let mut table = [&name[..], &length.to_le_bytes(), &[0; HEADER - 8], body].concat();
    mend(&mut table);
    table
}

#[test]
fn real_tables_say_how_the_machine_ends() {
    let (power, console, processors) = Pieces::of(PC).says().unwrap();
    assert_eq!(power.pm1, [Some((0x604, 0x2000)), None]);
    assert_eq!((power.enable, power.sleep, power.reset), ((0xb2, 0xf1), None, None));
    assert_eq!((console, processors), (None, Some(2)));

    let (power, _, processors) = Pieces::of(OVMF).says().unwrap();
    assert_eq!(power.pm1, [Some((0x604, 0x2000)), None]);
    assert_eq!(power.reset, Some((Register::Port(0xcf9), 0xf)));
    assert_eq!(processors, Some(2));

    // Hardware-reduced: no PM1 registers.
    let (power, _, processors) = Pieces::of(MICROVM).says().unwrap();
    assert_eq!(power.pm1, [None; 2]);
    assert_eq!(power.sleep, Some((Register::Memory(0xfea0_0200), 0x34)));
    assert_eq!(power.reset, Some((Register::Memory(0xfea0_0202), 0x42)));
    assert_eq!(processors, Some(2));
}

#[test]
fn the_bios_has_them_if_no_loader_says_where_they_are() {
    let pieces = Pieces::of(PC);
    let memory = |at, length| pieces.read(at, length);
    assert!(Acpi::find(&memory, None).is_some());
    for rsdp in [0, 0x1000, u64::MAX] {
        assert!(Acpi::find(&memory, Some(rsdp)).is_none(), "{rsdp:x}");
    }
    let mut elsewhere = pieces.clone();
    elsewhere.0[0].0 = 0x8_0000;
    let memory = |at, length| elsewhere.read(at, length);
    assert!(Acpi::find(&memory, None).is_none());
    assert!(Acpi::find(&memory, Some(0x8_0000)).is_some());
}

/// The pieces with one more table in the place of the one of this name.
fn with(fixture: &[u8], name: &[u8], table: Vec<u8>) -> Pieces {
    let mut pieces = Pieces::of(fixture);
    *pieces.named(name) = table;
    pieces
}

#[test]
fn both_kinds_of_local_apics_count_if_they_are_enabled() {
    let entries = [
        &[0, 8, 0, 0, 1, 0, 0, 0][..],
        &[0, 8, 0, 1, 0, 0, 0, 0],
        // An I/O APIC.
        &[1, 12, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        &[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[9, 16, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let body = [&[0; 8][..], &entries.concat()].concat();
    assert_eq!(with(PC, b"APIC", made(*b"APIC", &body)).says().unwrap().2, Some(2));
    for entry in [&[0, 0][..], &[0, 1], &[0, 9, 0, 0, 1], &[9, 255]] {
        let body = [&body, entry].concat();
        assert_eq!(with(PC, b"APIC", made(*b"APIC", &body)).says().unwrap().2, None, "{entry:?}");
    }
    let odd = [&body[..], &[0]].concat();
    assert_eq!(with(PC, b"APIC", made(*b"APIC", &odd)).says().unwrap().2, Some(2));
    assert_eq!(with(PC, b"APIC", made(*b"APIC", &[0; 7])).says().unwrap().2, None);
}

#[test]
fn the_console_is_a_uart_that_l1_can_reach() {
    // Kind of interface; kind, width and address of the registers; code of the speed.
    let console = |kind: u8, space: u8, width: u8, at: u64, baud: u8| {
        let mut body = [0; 44];
        (body[0], body[4], body[5], body[22]) = (kind, space, width, baud);
        body[8..16].copy_from_slice(&at.to_le_bytes());
        with(PC, b"APIC", made(*b"SPCR", &body)).says().unwrap().1
    };
    let found = |at, shift, baud| Some(Console { registers: Registers { at, shift }, baud });
    let com2 = Register::Port(0x2f8);
    assert_eq!(console(0, 1, 8, 0x2f8, 3), found(com2, 0, Some(9600)));
    assert_eq!(console(1, 1, 8, 0x2f8, 0), found(com2, 0, None));
    let memory = Register::Memory(0xfe03_4000);
    assert_eq!(console(0x12, 0, 32, 0xfe03_4000, 7), found(memory, 2, Some(115_200)));
    for (kind, space, at) in
        [(3, 1, 0x2f8), (0, 2, 0x2f8), (0, 1, 0x1_0000), (0, 0, 1 << 32), (0, 1, 0)]
    {
        assert_eq!(console(kind, space, 8, at, 7), None, "{kind} {space} {at:x}");
    }
}

#[test]
fn soft_off_is_a_package_of_one_or_two_numbers() {
    for (aml, kinds) in [
        (&b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\0\0"[..], Some([5, 6])),
        (b"_S5_\x12\x06\x04\0\x01\0\0", Some([0, 1])),
        (b"_S5_\x12\x41\0\x04\x0a\x07\0\0\0", Some([7, 0])),
        (b"_S5_\x12\x03\x01\x01", Some([1, 0])),
        // A use of the name before the package.
        (b"_S5_\x70_S5_\x12\x06\x04\x0a\x05\0\0\0", Some([5, 0])),
        (b"_S5_\x12\x06\x04\x0b\x05\0", None),
        (b"_S5_\x12\x06\x04\x0a", None),
        (b"_S5_\x12\xc0", None),
        (b"_S5_\x12", None),
        (b"_S5_", None),
        (b"", None),
    ] {
        assert_eq!(soft_off(aml), kinds, "{aml:x?}");
    }
}

#[test]
fn addresses_of_both_widths_are_taken() {
    // In OVMF's tables the long address counts; without it, the port.
    let long = Pieces::of(OVMF).change(b"FACP", 176, &0x1234_u64.to_le_bytes());
    assert_eq!(long.says().unwrap().0.pm1[0], Some((0x1234, 0x2000)));
    let short = Pieces::of(OVMF).change(b"FACP", 172, &[0; 12]);
    assert_eq!(short.says().unwrap().0.pm1[0], Some((0x604, 0x2000)));
    let none = Pieces::of(OVMF).change(b"FACP", 112, &[0; 4]);
    assert_eq!(none.says().unwrap().0.reset, None, "the flag says that there is none");
    let reduced = Pieces::of(MICROVM).change(b"FACP", 64, &0x604_u32.to_le_bytes());
    assert_eq!(reduced.says().unwrap().0.pm1, [None; 2], "the flag says that there are none");
    let both = Pieces::of(PC).change(b"FACP", 68, &0x704_u32.to_le_bytes());
    assert_eq!(both.says().unwrap().0.pm1[1], Some((0x704, 0x2000)));
}

#[test]
fn tables_that_lie_are_not_there() {
    // A wrong checksum of the RSDP, of the root, of one table, of what that points at.
    let broken = |name: &[u8]| {
        let mut pieces = Pieces::of(PC);
        // A letter of the maker's name: nothing else is wrong.
        pieces.named(name)[10] ^= 1;
        pieces.says()
    };
    assert_eq!(broken(b"RSD PTR "), None);
    assert_eq!(broken(b"RSDT"), None);
    assert_eq!(broken(b"FACP").unwrap().0, Power::NONE);
    assert_eq!(broken(b"APIC").unwrap().2, None);
    assert_eq!(broken(b"DSDT").unwrap().0.pm1, [None; 2]);
    // Lengths that lie.
    for length in [0_u32, 35, 1 << 20, 1 << 24, u32::MAX] {
        for name in [b"RSDT", b"FACP", b"APIC", b"DSDT"] {
            Pieces::of(PC).change(name, 4, &length.to_le_bytes()).says();
        }
        assert_eq!(Pieces::of(PC).change(b"RSDT", 4, &length.to_le_bytes()).says(), None);
    }
    // Tables that are themselves, or one another.
    let loops = Pieces::of(PC);
    let root = loops.0[1].0 as u32;
    loops.change(b"FACP", 40, &root.to_le_bytes()).says();
    Pieces::of(PC).change(b"RSDT", 36, &root.to_le_bytes()).says().unwrap();
    Pieces::of(PC).change(b"RSD PTR ", 16, &(0xf_0000_u32).to_le_bytes()).says();
}

#[test]
fn a_root_of_any_length_is_read_to_a_limit() {
    let reads = core::cell::Cell::new(0);
    let pieces = with(PC, b"RSDT", made(*b"RSDT", &vec![0x11; 4 * 100_000]));
    let memory = |at, length| {
        reads.set(reads.get() + 1);
        pieces.read(at, length)
    };
    let acpi = Acpi::find(&memory, Some(pieces.0[0].0)).unwrap();
    assert_eq!(acpi.processors(), None);
    assert!(reads.get() < 1000, "{}", reads.get());
}

/// Every byte of small tables in turn, in three ways, with mended and with wrong checksums; and
/// every length to which they can be cut.
#[test]
fn no_damage_is_a_fault() {
    for fixture in [PC, MICROVM, OVMF] {
        let whole = Pieces::of(fixture);
        for (piece, (_, bytes)) in whole.0.iter().enumerate() {
            for at in 0..bytes.len().min(300) {
                for value in [0, 0xff, bytes[at] ^ 1] {
                    let mut damaged = whole.clone();
                    damaged.0[piece].1[at] = value;
                    damaged.says();
                    if bytes.len() > HEADER {
                        mend(&mut damaged.0[piece].1);
                        damaged.says();
                    }
                }
                let mut cut = whole.clone();
                cut.0[piece].1.truncate(at);
                cut.says();
            }
        }
    }
}
