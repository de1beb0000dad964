//! Accesses through EPT: each frame on the way spoiled, alone and together with each guest entry.
//!
//! After an EPT-induced exit L1 mends EPT, after a #PF that exits it mends the guest entry, and
//! enters again: so both are seen in their order, and the #PF after an EPT-induced exit obeys the
//! filter too.

use super::delivery_ept::{FIRST_PUSH, GP, INT, INTERRUPT, NMI, VECTOR, delivery, fault_delivery};
use crate::manual::paging::Access::{self, Fetch, Read, Write};
use crate::manual::paging::Level::{self, Pde, Pdpte, Pml4e, Pte};
use crate::manual::paging::Privilege::Supervisor;
use crate::manual::section::{Citation, Section};
use crate::scene::builder::user;
use crate::scene::descriptor::gate_address;
use crate::scene::end::Word::{Memory, Qualification, Rax, Rdi};
use crate::scene::ept::GuestFrame::{self, Page, Pd, Pdpt, Place as At, Pt, Root};
use crate::scene::ept::{DEEP, During, EptEntry, Nested};
use crate::scene::place::Place::{Code1, FaultStack, Idt1, Stack};
use crate::scene::place::{Kind, PAGE};
use crate::scene::{Answer, Feature, Row, initial_register};

/// Where data is accessed, and code fetched.
const DATA: u64 = DEEP + 0x208;
const CODE: u64 = DEEP + 0x100;
const BEFORE: u64 = 0x1234;
const PRIORITIES: Citation = Section::EPT_PRIORITIES.says("");

/// An access to the deep page, with a guest entry and a frame that are not good.
const fn deep(
    name: &'static str,
    what: &'static str,
    access: Access,
    guest: Option<(Level, Kind)>,
    frame: Option<(GuestFrame, EptEntry)>,
) -> Row {
    let address = match access {
        Fetch => CODE,
        Read | Write => DATA,
    };
    let nested = Nested { address, access, during: During::Instruction, guest, frame };
    let row = match access {
        Read => user(name, what, &[0x8b, 0x07], "mov eax,[rdi]").at_end(const { &[(Rax, BEFORE)] }),
        Write => user(name, what, &[0x89, 0x07], "mov [rdi],eax")
            .at_end(const { &[(Memory, initial_register(Rax as usize))] }),
        Fetch => user(name, what, &[0x90], "nop").rip(CODE),
    };
    let row = match access {
        Read => {
            row.registers(const { &[(Rdi, DATA), (Rax, 0)] }).memory(const { &[(DATA, BEFORE)] })
        }
        Write => row.registers(const { &[(Rdi, DATA)] }).watch(DATA),
        Fetch => row,
    };
    let row = row.nested(nested).answer(Answer::Retry).section(PRIORITIES);
    // What is about mode-based execute control shows only where it is on.
    if matches!(frame, Some((_, EptEntry { user: Some(_), .. }))) { row.telling() } else { row }
}

/// A spoiled frame, with or without a guest entry that is not good. The access comes first, then
/// the guest entry's level and kind, then the frame and its EPT entry.
macro_rules! row {
    ($name:literal, $what:literal; $access:ident $frame:ident $entry:ident) => {
        deep($name, $what, $access, None, Some(($frame, EptEntry::$entry)))
    };
    ($name:literal, $what:literal;
        $access:ident $level:ident $kind:ident, $frame:ident $entry:ident) => {
        deep($name, $what, $access, Some(($level, Kind::$kind)), Some(($frame, EptEntry::$entry)))
    };
}

/// A guest entry not accessed yet, in a table that EPT makes read-only. Whether the write of the
/// accessed flag sets bit 0 of the qualification beside bit 1 is the implementation's choice, as
/// for all read-modify-write accesses.
const fn clean(name: &'static str, level: Level) -> Row {
    let frame = GuestFrame::of(level);
    let what = "a read through an entry that is not accessed yet, in a read-only table";
    let mut row = deep(name, what, Read, Some((level, Kind::CLEAN)), Some((frame, EptEntry::RO)));
    row.scene.fault = None;
    row.open(Qualification.bit())
}

/// A fetch of CPL 0 from a page of the stage.
const fn super_fetch(name: &'static str, entry: EptEntry) -> Row {
    let address = Code1.linear() + 0x40;
    let frame = Some((At(Code1), entry));
    let nested = Nested { address, access: Fetch, during: During::Instruction, guest: None, frame };
    Row::new(name, "a fetch of CPL 0, with rights for each mode", Supervisor, &[0x90], "nop")
        .rip(address)
        .nested(nested)
        .answer(Answer::Retry)
        .section(Section::EPT_VIOLATIONS.says("mode-based execute control"))
        .telling()
}

/// The rows.
pub const ROWS: &[Row] = &[
    // Nothing is spoiled.
    deep("read", "a read through four tables", Read, None, None),
    deep("write", "a write through four tables", Write, None, None),
    deep("fetch", "a fetch through four tables", Fetch, None, None),
    // Mode-based execute control. The deep page is a user's, the stage's code CPL 0's here.
    row!("fetch-page-xs", "the page is executable at supervisor-mode addresses only";
        Fetch Page XS),
    row!("fetch-page-xu", "the page is executable at user-mode addresses only"; Fetch Page XU),
    row!("fetch-pt-xs", "the page table is executable at supervisor-mode addresses only";
        Fetch Pt XS),
    row!("read-page-xs", "the page is executable at supervisor-mode addresses only"; Read Page XS),
    row!("write-page-ro-xu", "the page is read-only and executable at user-mode addresses only";
        Write Page RO_XU),
    row!("fetch-page-xu-alone", "the page is for execution at user-mode addresses alone";
        Fetch Page XU_ALONE)
    .needs(Feature::ExecuteOnly),
    row!("read-page-xu-alone", "the page is for execution at user-mode addresses alone";
        Read Page XU_ALONE)
    .needs(Feature::ExecuteOnly),
    row!("fetch-page-xu-alone-rsvd", "a reserved bit where the page is for user-mode addresses alone";
        Fetch Page XU_ALONE_RSVD)
    .needs(Feature::ExecuteOnly),
    row!("fetch-nx-xs", "the guest entry and EPT forbid the fetch"; Fetch Pte NX, Page XS),
    super_fetch("super-fetch-xs", EptEntry::XS),
    super_fetch("super-fetch-xu", EptEntry::XU),
    super_fetch("super-fetch-xu-alone", EptEntry::XU_ALONE).needs(Feature::ExecuteOnly),
    // EPT violations of each frame, by each access.
    row!("read-root", "L2's root table is not there"; Read Root NP),
    row!("read-pdpt", "the PDPT's frame is not there"; Read Pdpt NP),
    row!("read-pd", "the page directory's frame is not there"; Read Pd NP),
    row!("read-pt", "the page table's frame is not there"; Read Pt NP),
    row!("read-page", "the page's frame is not there"; Read Page NP),
    row!("write-pdpt", "the PDPT's frame is not there"; Write Pdpt NP),
    row!("write-pd", "the page directory's frame is not there"; Write Pd NP),
    row!("write-pt", "the page table's frame is not there"; Write Pt NP),
    row!("write-page", "the page's frame is not there"; Write Page NP),
    row!("fetch-root", "L2's root table is not there"; Fetch Root NP),
    row!("fetch-pdpt", "the PDPT's frame is not there"; Fetch Pdpt NP),
    row!("fetch-pd", "the page directory's frame is not there"; Fetch Pd NP),
    row!("fetch-pt", "the page table's frame is not there"; Fetch Pt NP),
    row!("fetch-page", "the page's frame is not there"; Fetch Page NP),
    // Rights. Tables that are read-only or not executable serve, unless the walk counts as writing.
    row!("read-root-ro", "L2's root table is read-only"; Read Root RO),
    row!("read-pdpt-ro", "the PDPT is read-only"; Read Pdpt RO),
    row!("read-pd-ro", "the page directory is read-only"; Read Pd RO),
    row!("read-pt-ro", "the page table is read-only"; Read Pt RO),
    row!("write-pt-ro", "the page table is read-only"; Write Pt RO),
    row!("fetch-pt-ro", "the page table is read-only"; Fetch Pt RO),
    row!("fetch-pt-nx", "the page table is not executable"; Fetch Pt NX),
    row!("read-page-ro", "the page is read-only"; Read Page RO),
    row!("write-page-ro", "the page is read-only"; Write Page RO).telling(),
    row!("fetch-page-ro", "the page is read-only"; Fetch Page RO),
    row!("read-page-nx", "the page is not executable"; Read Page NX),
    row!("write-page-nx", "the page is not executable"; Write Page NX),
    row!("fetch-page-nx", "the page is not executable"; Fetch Page NX),
    row!("read-page-xo", "the page is for execution only"; Read Page XO)
        .needs(Feature::ExecuteOnly),
    row!("write-page-xo", "the page is for execution only"; Write Page XO)
        .needs(Feature::ExecuteOnly),
    row!("fetch-page-xo", "the page is for execution only"; Fetch Page XO)
        .needs(Feature::ExecuteOnly),
    row!("read-pt-xo", "the page table is for execution only"; Read Pt XO)
        .needs(Feature::ExecuteOnly),
    clean("read-clean-root", Pml4e),
    clean("read-clean-pdpt", Pdpte),
    clean("read-clean-pd", Pde),
    clean("read-clean-pt", Pte),
    // EPT misconfigurations.
    row!("read-root-rsvd", "a reserved bit for L2's root table"; Read Root RSVD),
    row!("read-pdpt-rsvd", "a reserved bit for the PDPT"; Read Pdpt RSVD),
    row!("read-pd-rsvd", "a reserved bit for the page directory"; Read Pd RSVD),
    row!("read-pt-rsvd", "a reserved bit for the page table"; Read Pt RSVD),
    row!("read-page-rsvd", "a reserved bit for the page"; Read Page RSVD),
    row!("write-page-rsvd", "a reserved bit for the page"; Write Page RSVD),
    row!("fetch-page-rsvd", "a reserved bit for the page"; Fetch Page RSVD),
    row!("read-page-wo", "the page can only be written"; Read Page WO),
    row!("write-page-wo", "the page can only be written"; Write Page WO),
    row!("write-page-wx", "the page can be written and executed"; Write Page WX),
    row!("fetch-page-wx", "the page can be written and executed"; Fetch Page WX),
    row!("read-pt-wo", "the page table can only be written"; Read Pt WO),
    // One level above the last, where rights are missing too.
    row!("read-page-upper", "no way to the page's frame"; Read Page UPPER_NP),
    row!("write-page-upper", "no way to the page's frame"; Write Page UPPER_NP),
    row!("fetch-page-upper", "no way to the page's frame"; Fetch Page UPPER_NP),
    row!("write-page-upper-ro", "the way to the page is read-only"; Write Page UPPER_RO).telling(),
    row!("read-page-upper-ro", "the way to the page is read-only"; Read Page UPPER_RO),
    row!("fetch-page-upper-nx", "the way to the page is not executable"; Fetch Page UPPER_NX),
    row!("read-page-upper-wo", "the way to the page can only be written"; Read Page UPPER_WO),
    row!("read-page-upper-rsvd", "a reserved bit on the way to the page"; Read Page UPPER_RSVD),
    row!("write-page-upper-type", "a memory type on the way to the page"; Write Page UPPER_TYPE),
    row!("read-np-pte-page-upper", "no PT entry, no way to the page"; Read Pte NP, Page UPPER_NP),
    row!("write-ro-pte-page-upper-ro", "a read-only PT entry, a read-only way to the page";
        Write Pte RO, Page UPPER_RO),
    row!("read-page-type2", "memory type 2"; Read Page TYPE2),
    row!("write-page-type3", "memory type 3"; Write Page TYPE3),
    row!("read-page-type7", "memory type 7"; Read Page TYPE7),
    // A guest entry that is not present, against the frame that holds it, the next one, and the
    // page.
    row!("read-np-pml4e-root", "no PML4 entry, its table not there"; Read Pml4e NP, Root NP),
    row!("read-np-pml4e-pdpt", "no PML4 entry, the next table not there"; Read Pml4e NP, Pdpt NP),
    row!("read-np-pml4e-page", "no PML4 entry, the page not there"; Read Pml4e NP, Page NP),
    row!("read-np-pdpte-pdpt", "no PDPT entry, its table not there"; Read Pdpte NP, Pdpt NP),
    row!("read-np-pdpte-pd", "no PDPT entry, the next table not there"; Read Pdpte NP, Pd NP),
    row!("read-np-pdpte-page", "no PDPT entry, the page not there"; Read Pdpte NP, Page NP),
    row!("read-np-pde-pd", "no PD entry, its table not there"; Read Pde NP, Pd NP),
    row!("read-np-pde-pt", "no PD entry, the next table not there"; Read Pde NP, Pt NP),
    row!("write-np-pde-pt", "no PD entry, the next table not there"; Write Pde NP, Pt NP),
    row!("fetch-np-pde-pt", "no PD entry, the next table not there"; Fetch Pde NP, Pt NP),
    row!("read-np-pde-page", "no PD entry, the page not there"; Read Pde NP, Page NP),
    row!("read-np-pte-pd", "no PT entry, a table before not there"; Read Pte NP, Pd NP),
    row!("read-np-pte-pt", "no PT entry, its table not there"; Read Pte NP, Pt NP),
    row!("write-np-pte-pt", "no PT entry, its table not there"; Write Pte NP, Pt NP),
    row!("fetch-np-pte-pt", "no PT entry, its table not there"; Fetch Pte NP, Pt NP),
    row!("read-np-pte-page", "no PT entry, the page not there"; Read Pte NP, Page NP),
    row!("write-np-pte-page", "no PT entry, the page not there"; Write Pte NP, Page NP),
    row!("fetch-np-pte-page", "no PT entry, the page not there"; Fetch Pte NP, Page NP),
    // ... and with a read-only table around it, which is for the walk to write if EPT has accessed
    // and dirty flags.
    row!("read-np-pdpte-pdpt-ro", "no PDPT entry in a read-only table"; Read Pdpte NP, Pdpt RO),
    row!("read-np-pde-pd-ro", "no PD entry in a read-only table"; Read Pde NP, Pd RO),
    row!("read-np-pte-pt-ro", "no PT entry in a read-only table"; Read Pte NP, Pt RO),
    row!("write-np-pte-pt-ro", "no PT entry in a read-only table"; Write Pte NP, Pt RO),
    row!("fetch-np-pte-pt-ro", "no PT entry in a read-only table"; Fetch Pte NP, Pt RO),
    // ... and against misconfigurations.
    row!("read-np-pml4e-pdpt-rsvd", "no PML4 entry, the next frame misconfigured";
        Read Pml4e NP, Pdpt RSVD),
    row!("read-np-pdpte-pdpt-rsvd", "no PDPT entry, its frame misconfigured";
        Read Pdpte NP, Pdpt RSVD),
    row!("read-np-pde-pd-rsvd", "no PD entry, its frame misconfigured"; Read Pde NP, Pd RSVD),
    row!("read-np-pte-pt-rsvd", "no PT entry, its frame misconfigured"; Read Pte NP, Pt RSVD),
    row!("read-np-pte-page-rsvd", "no PT entry, the page misconfigured"; Read Pte NP, Page RSVD),
    // A reserved bit in a guest entry.
    row!("read-rsvd-pml4e-pdpt", "a reserved bit in the PML4 entry, the next table not there";
        Read Pml4e RSVD, Pdpt NP),
    row!("read-rsvd-pdpte-pdpt", "a reserved bit in the PDPT entry, its table not there";
        Read Pdpte RSVD, Pdpt NP),
    row!("read-rsvd-pdpte-pd", "a reserved bit in the PDPT entry, the next table not there";
        Read Pdpte RSVD, Pd NP),
    row!("read-rsvd-pde-pd", "a reserved bit in the PD entry, its table not there";
        Read Pde RSVD, Pd NP),
    row!("read-rsvd-pde-pt", "a reserved bit in the PD entry, the next table not there";
        Read Pde RSVD, Pt NP),
    row!("read-rsvd-pte-pt", "a reserved bit in the PT entry, its table not there";
        Read Pte RSVD, Pt NP),
    row!("read-rsvd-pte-page", "a reserved bit in the PT entry, the page not there";
        Read Pte RSVD, Page NP),
    row!("write-rsvd-pte-page-ro", "a reserved bit in the PT entry, the page read-only";
        Write Pte RSVD, Page RO),
    row!("fetch-rsvd-pte-page-nx", "a reserved bit in the PT entry, the page not executable";
        Fetch Pte RSVD, Page NX),
    // Rights that a guest entry lacks: looked at after the walk, and before the page.
    row!("write-ro-pml4e-pdpt", "a read-only PML4 entry, the next table not there";
        Write Pml4e RO, Pdpt NP),
    row!("write-ro-pml4e-pt", "a read-only PML4 entry, the last table not there";
        Write Pml4e RO, Pt NP),
    row!("write-ro-pml4e-page", "a read-only PML4 entry, the page not there";
        Write Pml4e RO, Page NP),
    row!("write-ro-pdpte-pt", "a read-only PDPT entry, the last table not there";
        Write Pdpte RO, Pt NP),
    row!("write-ro-pdpte-page", "a read-only PDPT entry, the page not there";
        Write Pdpte RO, Page NP),
    row!("write-ro-pde-pt", "a read-only PD entry, the last table not there"; Write Pde RO, Pt NP),
    row!("write-ro-pde-page", "a read-only PD entry, the page not there"; Write Pde RO, Page NP),
    row!("write-ro-pte-pt", "a read-only PT entry, its table not there"; Write Pte RO, Pt NP),
    row!("write-ro-pte-page", "a read-only PT entry, the page not there"; Write Pte RO, Page NP),
    row!("write-ro-pte-page-ro", "a read-only PT entry, the page read-only"; Write Pte RO, Page RO),
    row!("write-ro-pte-page-rsvd", "a read-only PT entry, the page misconfigured";
        Write Pte RO, Page RSVD),
    row!("read-super-pml4e-pt", "a supervisor's PML4 entry, the last table not there";
        Read Pml4e SUPER, Pt NP),
    row!("read-super-pde-page", "a supervisor's PD entry, the page not there";
        Read Pde SUPER, Page NP),
    row!("read-super-pte-pt", "a supervisor's PT entry, its table not there";
        Read Pte SUPER, Pt NP),
    row!("read-super-pte-page", "a supervisor's PT entry, the page not there";
        Read Pte SUPER, Page NP),
    row!("read-super-pte-page-rsvd", "a supervisor's PT entry, the page misconfigured";
        Read Pte SUPER, Page RSVD),
    row!("fetch-nx-pdpte-pt", "XD in the PDPT entry, the last table not there";
        Fetch Pdpte NX, Pt NP),
    row!("fetch-nx-pde-page", "XD in the PD entry, the page not there"; Fetch Pde NX, Page NP),
    row!("fetch-nx-pte-pt", "XD in the PT entry, its table not there"; Fetch Pte NX, Pt NP),
    row!("fetch-nx-pte-page", "XD in the PT entry, the page not executable"; Fetch Pte NX, Page NX),
    // During the delivery of an event.
    delivery(
        "interrupt-push",
        "an interrupt's first push",
        INTERRUPT,
        FIRST_PUSH,
        Write,
        (At(Stack), EptEntry::RO),
    ),
    delivery(
        "interrupt-gate",
        "an interrupt's gate",
        INTERRUPT,
        gate_address(VECTOR, true),
        Read,
        (At(Idt1), EptEntry::NP),
    ),
    delivery(
        "interrupt-rsvd",
        "an interrupt's first push",
        INTERRUPT,
        FIRST_PUSH,
        Write,
        (At(Stack), EptEntry::RSVD),
    ),
    delivery("nmi-push", "an NMI's first push", NMI, FIRST_PUSH, Write, (At(Stack), EptEntry::NP)),
    delivery("gp-push", "a #GP's first push", GP, FIRST_PUSH, Write, (At(Stack), EptEntry::RO)),
    delivery(
        "int-push",
        "a software interrupt's first push",
        INT,
        FIRST_PUSH,
        Write,
        (At(Stack), EptEntry::RO),
    ),
    delivery(
        "int-gate",
        "a software interrupt's gate",
        INT,
        gate_address(VECTOR, true),
        Read,
        (At(Idt1), EptEntry::NP),
    ),
    // During the delivery of a #PF that the filter lets through.
    fault_delivery(
        "pf-push",
        "a #PF whose handler's stack is read-only",
        FaultStack.linear() + PAGE - 8,
        Write,
        At(FaultStack),
    ),
    fault_delivery(
        "pf-gate",
        "a #PF whose gate is not there",
        gate_address(14, true),
        Read,
        At(Idt1),
    ),
];
