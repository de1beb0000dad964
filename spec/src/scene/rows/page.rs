//! Each entry of the walk in each paging mode: read, written and fetched through, by user and
//! supervisor.

use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::paging::Entry;
use crate::manual::paging::Level::{self, Pde, Pdpte, Pml4e, Pml5e, Pte};
use crate::manual::paging::Privilege::{self, Supervisor, User};
use crate::manual::paging::format::Format;
use crate::scene::builder::user;
use crate::scene::end::Word::{self, Memory, Rax, Rbx, Rdi};
use crate::scene::environment::NARROW_FS_BASE;
use crate::scene::place::Kind;
use crate::scene::place::Place::Data0;
use crate::scene::tested::{Formats, Tested, linear};
use crate::scene::{Feature, Fits, Row, initial_register};
use crate::walk::page::AddressBit::{Highest, LowestReserved};
use crate::walk::page::Page;

/// Bits 11:9, which every mode ignores in every entry.
const LOW_IGNORED: u64 = 0xe00;
/// Bits 58:52, which 4-level and 5-level paging ignore and PAE paging reserves.
const HIGH: u64 = 0x07f0_0000_0000_0000;
/// Bit 62: ignored without protection keys, reserved in PAE paging.
const BIT_62: u64 = 1 << 62;
/// In a large page: PAT, and below its address the lowest and the highest bit that must be 0.
const PAT: u64 = 1 << 12;
const LOW_BIT: u64 = 1 << 13;
const HIGH_BIT_2M: u64 = 1 << 20;
const HIGH_BIT_1G: u64 = 1 << 29;
/// Reserved in an entry of a 4-MByte page whatever the width of addresses.
const BIT_21: u64 = 1 << 21;
const P: Entry = Entry::P;
const RW: Entry = Entry::RW;
const US: Entry = Entry::US;
const PS: Entry = Entry::PS;
const XD: Entry = Entry::XD;

/// The offset in the frame of what is run.
const CODE: u64 = 0x80;
/// What a read finds.
const VALUE: u64 = 0x5a5a_1234;

/// What a scene of a level has of the page's address.
struct Slices {
    registers: &'static [(Word, u64)],
    memory: &'static [(u64, u64)],
}

macro_rules! slices {
    ($format:expr, $level:ident) => {
        const {
            &Slices {
                registers: &[(Rdi, linear($format, Level::$level))],
                memory: &[(linear($format, Level::$level), VALUE)],
            }
        }
    };
}

const LEGACY: Format = Format::Legacy { pse: true };
/// Indices have the same place in all modes with entries of eight bytes.
const WIDE: Format = Format::Level5;

const fn slices(legacy: bool, level: Level) -> &'static Slices {
    match (legacy, level) {
        (true, Pte) => slices!(LEGACY, Pte),
        (true, _) => slices!(LEGACY, Pde),
        (false, Pte) => slices!(WIDE, Pte),
        (false, Pde) => slices!(WIDE, Pde),
        (false, Pdpte) => slices!(WIDE, Pdpte),
        (false, Pml4e) => slices!(WIDE, Pml4e),
        (false, Pml5e) => slices!(WIDE, Pml5e),
    }
}

const fn row(name: &'static str, cpl: Privilege, access: Access, tested: Tested) -> Row {
    let legacy = tested.formats.contain(LEGACY);
    let address = linear(if legacy { LEGACY } else { WIDE }, tested.page.level);
    let slices = slices(legacy, tested.page.level);
    let row = match access {
        Read => Row::new(name, "a read through the entry", cpl, &[0x8b, 0x07], "mov eax,[rdi]")
            .registers(slices.registers)
            .memory(slices.memory)
            .at_end(&[(Rax, VALUE)])
            .fault(address, Read),
        Write => Row::new(name, "a write through the entry", cpl, &[0x89, 0x07], "mov [rdi],eax")
            .registers(slices.registers)
            .watch(address)
            .at_end(const { &[(Memory, initial_register(Rax as usize))] })
            .fault(address, Write),
        Fetch => Row::new(name, "a fetch through the entry", cpl, &[0x89, 0xd8], "mov eax,ebx")
            .rip(address + CODE)
            .at_end(const { &[(Rax, initial_register(Rbx as usize))] })
            .fault(address + CODE, Fetch),
    };
    row.tested(tested)
}

/// Six scenes a row: the row's name, the paging modes that have it, its entry, what the processor
/// must have.
macro_rules! rows {
    ($($name:literal $formats:ident $(needs $feature:ident)? = $page:expr;)*) => {
        &[$(
            rows!(one concat!("user-read-", $name), User, Read, $page, $formats $(, $feature)?),
            rows!(one concat!("user-write-", $name), User, Write, $page, $formats $(, $feature)?),
            rows!(one concat!("user-fetch-", $name), User, Fetch, $page, $formats $(, $feature)?),
            rows!(one concat!("super-read-", $name), Supervisor, Read, $page, $formats $(, $feature)?),
            rows!(one concat!("super-write-", $name), Supervisor, Write, $page, $formats $(, $feature)?),
            rows!(one concat!("super-fetch-", $name), Supervisor, Fetch, $page, $formats $(, $feature)?),
        )*
        // Outside 64-bit mode a linear address has 32 bits: base and offset wrap, and the
        // qualification's upper half is clear. SDM vol. 1, "Address Calculations in 64-Bit Mode";
        // vol. 3C, "Basic VM-Exit Information".
        WRAPPED.registers(WRAP).memory(&[(DATA, VALUE)]).at_end(&[(Rax, VALUE)]),
        WRAPPED_NP.registers(WRAP).memory(&[(DATA, VALUE)]).at_end(&[(Rax, VALUE)]).pages(&[(Data0, Kind::NP)]).fault(DATA, Read),
        ]
    };
    (one $name:expr, $cpl:ident, $access:ident, $page:expr, $formats:ident $(, $feature:ident)?) => {
        row($name, $cpl, $access, Tested { page: $page, formats: Formats::$formats })$(.needs(Feature::$feature))?
    };
}

const DATA: u64 = Data0.linear();
const WRAP: &[(Word, u64)] = &[(Rdi, DATA + (1 << 32) - NARROW_FS_BASE)];
const WRAPPED: Row = user(
    "user-read-wrap",
    "a read at 4 GiB and above, which wraps",
    &[0x64, 0x8b, 0x07],
    "mov eax,fs:[rdi]",
)
.fits(Fits::Narrow);
const WRAPPED_NP: Row = WRAPPED.described(
    "user-read-wrap-np",
    "a read at 4 GiB and above, which wraps to a page that is not present",
);

const fn page(level: Level) -> Page {
    Page::new("", level)
}

const fn large(level: Level) -> Page {
    page(level).with(PS)
}

/// The rows. To add one, add a row.
#[rustfmt::skip]
pub const ROWS: &[Row] = rows![
    // 32-bit paging.
    "user" LEGACY = page(Pte);
    "ignored-pde" LEGACY = page(Pde).bits(LOW_IGNORED);
    "ignored-pte" LEGACY = page(Pte).bits(LOW_IGNORED);
    "np-pde" LEGACY = page(Pde).without(P);
    "np-pte" LEGACY = page(Pte).without(P);
    "ro" LEGACY = page(Pte).without(RW);
    "super" LEGACY = page(Pte).without(US);
    "super-ro" LEGACY = page(Pte).without(US.union(RW));
    "ro-pde" LEGACY = page(Pde).without(RW);
    "super-pde" LEGACY = page(Pde).without(US);
    "super-ro-pde" LEGACY = page(Pde).without(US.union(RW));
    "pat-pte" LEGACY = page(Pte).with(PS);
    // PS in a PDE: a 4-MByte page with PSE, ignored without.
    "4m" LEGACY = large(Pde);
    "4m-ro" LEGACY = large(Pde).without(RW);
    "4m-super" LEGACY = large(Pde).without(US);
    "4m-np" LEGACY = large(Pde).without(P);
    "4m-pat" PSE = large(Pde).bits(PAT);
    "4m-rsvd" PSE = large(Pde).bits(BIT_21);
    "4m-rsvd-ro" PSE = large(Pde).bits(BIT_21).without(RW);
    "4m-rsvd-np" PSE = large(Pde).bits(BIT_21).without(P);
    // Entries of eight bytes. Allowed, with bits set that are ignored.
    "user" WIDE = page(Pte);
    "ignored-pml5e" LONG = page(Pml5e).bits(LOW_IGNORED);
    "ignored-pml4e" LONG = page(Pml4e).bits(LOW_IGNORED);
    "ignored-pdpte" WIDE = page(Pdpte).bits(LOW_IGNORED);
    "ignored-pde" WIDE = page(Pde).bits(LOW_IGNORED);
    "ignored-pte" WIDE = page(Pte).bits(LOW_IGNORED);
    "pat-pte" WIDE = page(Pte).with(PS);
    // Ignored, but reserved in PAE paging.
    "high-pml5e" LONG = page(Pml5e).bits(HIGH);
    "high-pml4e" LONG = page(Pml4e).bits(HIGH);
    "high-pdpte" LONG = page(Pdpte).bits(HIGH);
    "high-pde" WIDE = page(Pde).bits(HIGH);
    "high-pte" WIDE = page(Pte).bits(HIGH);
    "bit62-pte" WIDE = page(Pte).bits(BIT_62);
    // Not present at each level.
    "np-pml5e" LONG = page(Pml5e).without(P);
    "np-pml4e" LONG = page(Pml4e).without(P);
    "np-pdpte" WIDE = page(Pdpte).without(P);
    "np-pde" WIDE = page(Pde).without(P);
    "np-pte" WIDE = page(Pte).without(P);
    "np-rsvd-pte" WIDE = page(Pte).without(P).address_bit(Highest);
    // Reserved bits at each level.
    "rsvd-low-pml5e" LONG = page(Pml5e).address_bit(LowestReserved);
    "rsvd-low-pml4e" LONG = page(Pml4e).address_bit(LowestReserved);
    "rsvd-low-pdpte" LONG = page(Pdpte).address_bit(LowestReserved);
    "rsvd-low-pde" WIDE = page(Pde).address_bit(LowestReserved);
    "rsvd-low-pte" WIDE = page(Pte).address_bit(LowestReserved);
    "rsvd-top-pml5e" LONG = page(Pml5e).address_bit(Highest);
    "rsvd-top-pml4e" LONG = page(Pml4e).address_bit(Highest);
    "rsvd-top-pdpte" LONG = page(Pdpte).address_bit(Highest);
    "rsvd-top-pde" WIDE = page(Pde).address_bit(Highest);
    "rsvd-top-pte" WIDE = page(Pte).address_bit(Highest);
    "rsvd-ro-pte" WIDE = page(Pte).without(RW).address_bit(LowestReserved);
    "rsvd-super-pte" WIDE = page(Pte).without(US).address_bit(LowestReserved);
    "rsvd-ps-pml5e" LONG = page(Pml5e).with(PS);
    "rsvd-ps-pml4e" LONG = page(Pml4e).with(PS);
    // Rights at each level. XD is reserved without NXE.
    "ro" WIDE = page(Pte).without(RW);
    "nx" WIDE = page(Pte).with(XD);
    "super" WIDE = page(Pte).without(US);
    "super-ro" WIDE = page(Pte).without(US.union(RW));
    "super-nx" WIDE = page(Pte).without(US).with(XD);
    "ro-pml5e" LONG = page(Pml5e).without(RW);
    "ro-pml4e" LONG = page(Pml4e).without(RW);
    "ro-pdpte" LONG = page(Pdpte).without(RW);
    "ro-pde" WIDE = page(Pde).without(RW);
    "super-pml5e" LONG = page(Pml5e).without(US);
    "super-pml4e" LONG = page(Pml4e).without(US);
    "super-pdpte" LONG = page(Pdpte).without(US);
    "super-pde" WIDE = page(Pde).without(US);
    "nx-pml5e" LONG = page(Pml5e).with(XD);
    "nx-pml4e" LONG = page(Pml4e).with(XD);
    "nx-pdpte" LONG = page(Pdpte).with(XD);
    "nx-pde" WIDE = page(Pde).with(XD);
    // Large pages, good and bad.
    "2m" WIDE = large(Pde);
    "2m-pat" WIDE = large(Pde).bits(PAT);
    "2m-np" WIDE = large(Pde).without(P);
    "2m-ro" WIDE = large(Pde).without(RW);
    "2m-super" WIDE = large(Pde).without(US);
    "2m-nx" WIDE = large(Pde).with(XD);
    "2m-rsvd-bit13" WIDE = large(Pde).bits(LOW_BIT);
    "2m-rsvd-bit20" WIDE = large(Pde).bits(HIGH_BIT_2M);
    "2m-rsvd-low" WIDE = large(Pde).address_bit(LowestReserved);
    "2m-rsvd-top" WIDE = large(Pde).address_bit(Highest);
    "2m-high" WIDE = large(Pde).bits(HIGH);
    "1g" LONG needs GbytePages = large(Pdpte);
    "1g-pat" LONG needs GbytePages = large(Pdpte).bits(PAT);
    "1g-np" LONG needs GbytePages = large(Pdpte).without(P);
    "1g-ro" LONG needs GbytePages = large(Pdpte).without(RW);
    "1g-super" LONG needs GbytePages = large(Pdpte).without(US);
    "1g-nx" LONG needs GbytePages = large(Pdpte).with(XD);
    "1g-rsvd-bit13" LONG needs GbytePages = large(Pdpte).bits(LOW_BIT);
    "1g-rsvd-bit29" LONG needs GbytePages = large(Pdpte).bits(HIGH_BIT_1G);
    "1g-rsvd-low" LONG needs GbytePages = large(Pdpte).address_bit(LowestReserved);
    "1g-rsvd-top" LONG needs GbytePages = large(Pdpte).address_bit(Highest);
];

#[cfg(test)]
mod tests {
    use crate::manual::filter::Filter;
    use crate::scene::case::SceneGroup;
    use crate::scene::end::{How, Word};
    use crate::scene::environment::{ENVIRONMENTS, Environment, Width};
    use crate::scene::{Act, Scene};

    fn environment(name: &str) -> &'static Environment {
        ENVIRONMENTS.iter().find(|environment| environment.name == name).unwrap()
    }

    fn scene(environment: &'static Environment, name: &str) -> Scene {
        SceneGroup { act: Act::Page, environment }
            .scenes()
            .find(|id| id.name() == name)
            .unwrap()
            .scene()
    }

    #[test]
    fn error_codes_of_known_scenes() {
        for (at, name, code) in [
            ("long", "user-read-1g", None),
            ("long", "user-read-1g-rsvd-bit29", Some(0x0d)),
            ("long", "super-write-2m-super", None),
            ("long", "user-read-high-pte", None),
            ("la57", "user-write-np-pml5e", Some(0x06)),
            ("compat", "user-fetch-np-pdpte", Some(0x14)),
            ("pae", "user-read-high-pte", Some(0x0d)),
            ("pae", "user-fetch-nx", Some(0x15)),
            ("pae-nx0", "user-fetch-np-pdpte", Some(0x14)),
            ("pae-nx0", "user-fetch-nx", Some(0x1d)),
            ("pae-off", "user-fetch-nx", Some(0x0d)),
            ("pae-off", "super-write-super-ro", None),
            ("legacy", "user-read-4m-np", Some(0x04)),
            ("legacy", "user-fetch-np-pte", Some(0x14)),
            ("legacy-pse", "user-read-4m-rsvd", Some(0x0d)),
            ("legacy-off", "user-fetch-np-pte", Some(0x04)),
            ("legacy-off", "super-write-4m-ro", None),
            ("legacy", "super-write-super-ro", Some(0x03)),
        ] {
            let environment = environment(at);
            let pfec = scene(environment, name).pfec(environment, 40);
            assert_eq!(pfec.map(|pfec| pfec.bits()), code, "{at} {name}");
        }
    }

    #[test]
    fn every_kind_of_row_has_silent_scenes_and_faults() {
        let with_pages = |at: &&Environment| at.width != Width::Real && at.enlightened.is_none();
        for environment in ENVIRONMENTS.iter().filter(with_pages) {
            let scenes = || SceneGroup { act: Act::Page, environment }.scenes();
            let faults = scenes().filter(|id| id.scene().pfec(environment, 40).is_some()).count();
            assert!(faults > 20 && scenes().count() - faults > 20, "{}", environment.name);
        }
    }

    #[test]
    fn a_narrow_qualification_wraps() {
        for environment in ENVIRONMENTS
            .iter()
            .filter(|at| !matches!(at.width, Width::Bits64 | Width::Real) && !at.walk_only)
        {
            let ends =
                scene(environment, "user-read-wrap-np").expect(environment, Filter::ALWAYS, 40);
            assert_eq!(ends.first.how, How::Exit(0));
            assert_eq!(ends.first.word(Word::Qualification) >> 32, 0);
        }
    }
}
